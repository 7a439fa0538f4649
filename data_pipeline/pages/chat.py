"""Raw live chats to pairs: a guest's question and the columnist's answer to it.

    The spare ladder                         topic
    Guest Apr 4, 12:05 p.m.                  stamp, or glued, undated: Guest12:05 p.m.
    QUESTION: text                           the question, over many lines
    avatar                                   alone opens an answer
    Marian Vale                              name
    Advice Columnist                         role; a producer's reply is no answer
    ANSWER: text                             the answer, over many lines
    Post has 0 replies and 95 Likes          footer, alone or glued to a text
    95Press Enter to expand                  tally

The host's own posts open with a name, a role and a time on one line.
"""

import pathlib

from data_pipeline.pages import (
    characters,
    chat_grammar,
    chat_posts,
    link_cards,
    oversample_marks,
    page,
)

SOURCE = 'chat'


def parse(text: str, *, file: str) -> page.Page:
    """The pairs of one chat; `file` names it in the records."""
    found = page.Page(file)
    lines = oversample_marks.split(page.raw_lines(text))
    for post in chat_posts.find(chat_grammar.split_furniture(lines), found):
        _add(post, found)
    oversample_marks.weigh(found, layout=SOURCE)
    found.unknown.sort()
    return found


def _add(post: chat_posts.Post, found: page.Page) -> None:
    """Counts the post and, if it has both texts, adds its pair."""
    link_cards.mark_in_question(post.question, found)
    for answer in post.answers:
        link_cards.mark_in_answer(answer, found)
    topic = characters.clean(post.topic)
    question = page.clean_text(post.question, page.QUESTION)
    answers = [page.clean_text(answer, page.ANSWER) for answer in post.answers]
    answers = [answer for answer in answers if answer]
    found.counts['chat guest posts'] += 1
    found.counts['chat producer replies'] += post.producer_replies
    pieces = [piece for text in (post.question, *post.answers) for piece in text]
    if reason := _why_no_pair(post, question=question, answered=bool(answers)):
        found.drop(post.line, topic, reason, pieces)
        return
    found.counts['chat posts answered'] += 1
    flags = {
        'question without label': not post.labelled,
        'link card': any(piece.kind == 'link card' for piece in pieces),
        'several answers': len(answers) > 1,
    }
    answer = '\n\n'.join(answers)
    found.add(
        question,
        answer,
        source=SOURCE,
        line=post.line,
        group=pathlib.PurePath(found.file).name,
        topic=topic,
        time=post.time,
        flags=tuple(name for name, is_set in flags.items() if is_set),
    )


def _why_no_pair(post: chat_posts.Post, *, question: str, answered: bool) -> str:
    """The reason that a post makes no pair, '' for a post that makes one."""
    if answered:
        return '' if question else 'chat posts without question text'
    if post.answers:
        return 'chat posts with an empty answer'
    if post.producer_replies:
        return 'chat posts answered by a producer alone'
    return 'chat posts unanswered'
