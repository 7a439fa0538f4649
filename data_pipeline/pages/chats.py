"""Raw live chats to pairs: a guest's question and the columnist's answer to it.

    The spare ladder                         topic
    Guest Apr 4, 12:05 p.m.                  stamp, or glued, undated: Guest12:05 p.m.
    QUESTION: text                           the question, over many lines
    avatar                                   alone opens an answer
    Marian Vale                              name
    Advice Columnist                         role; a producer's reply is no answer
    ANSWER: text                             the answer, over many lines
    Post has 0 replies and 95 Likes          footer, glued or not to what stands around
    95Press Enter to expand                  tally

The host's own posts open with a name, a role and a time on one line.
"""

import pathlib

from data_pipeline.pages import (
    chat_lines,
    chat_reader,
    clean,
    link_cards,
    parsed,
    set_marks,
)
from hax_jax.data import records

SOURCE = 'chat'


def parse(text: str, *, file: str) -> parsed.Parsed:
    """The pairs of one chat; `file` names it in the records."""
    lines = set_marks.split(parsed.raw_lines(text))
    reader = chat_reader.Reader(chat_lines.split_furniture(lines))
    reader.read()
    result = parsed.Parsed(pieces=reader.out, unknown=reader.unknown)
    result.counts.update(
        {
            'chat host posts': reader.staff_posts['host'],
            'chat producer posts': reader.staff_posts['producer'],
        }
    )
    for post in reader.posts:
        _add(post, file=file, result=result)
    set_marks.weigh(result, layout='chat')
    result.unknown.sort()
    return result


def _add(post: chat_reader.Post, *, file: str, result: parsed.Parsed) -> None:
    """Counts the post and, where it has both texts, adds its pair."""
    flags = [] if post.labelled else ['question without label']
    cards = link_cards.mark_in_question(post.question)
    for answer in post.answers:
        cards += link_cards.mark_in_answer(answer)
    for card in cards:
        result.counts[f'chat {card.kind}s'] += 1
        if card.kind == 'link card':
            flags.append('link card')
        if card.kept:
            result.unknown.append((card.line, card.text, 'kept in the text'))
    question = clean.text(parsed.join(post.question, parsed.QUESTION))
    answers = [clean.text(parsed.join(a, parsed.ANSWER)) for a in post.answers]
    answer = '\n\n'.join(a for a in answers if a)
    result.counts['chat guest posts'] += 1
    result.counts['chat producer replies'] += post.producer_replies
    missing = _why_no_pair(post, question=question, answer=answer)
    if missing:
        result.counts[missing] += 1
        result.dropped.append((post.line, clean.text(post.topic), missing))
        for pieces in (post.question, *post.answers):
            parsed.leave_without_pair(pieces)
        return
    result.counts['chat posts answered'] += 1
    if len([a for a in answers if a]) > 1:
        flags.append('several answers')
    stem = pathlib.PurePath(file).stem
    result.pairs.append(
        records.QaPair(
            id=f'chat:{stem}:{parsed.content_hash(question, answer)}',
            group=pathlib.PurePath(file).name,
            source=SOURCE,
            file=file,
            line=post.line,
            topic=clean.text(post.topic),
            time=post.time,
            question=question,
            answer=answer,
            flags=tuple(dict.fromkeys(flags)),
        )
    )


def _why_no_pair(post: chat_reader.Post, *, question: str, answer: str) -> str:
    """What keeps a post from being a pair, '' where nothing does."""
    if answer:
        return '' if question else 'chat posts without question text'
    if post.answers:
        return 'chat posts with an empty answer'
    if post.producer_replies:
        return 'chat posts answered by a producer alone'
    return 'chat posts unanswered'
