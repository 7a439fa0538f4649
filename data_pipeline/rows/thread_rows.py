"""Threads as data_pipeline.collect writes them to pairs: one for each answer.

The pair of a thread's best answer equals the pair that pages.reddit reads from the
thread's Markdown: the same texts, id, source, score, date and flags.
"""

import datetime

from data_pipeline.pages import characters, page, reddit
from data_pipeline.rows import batches, json_rows, raw_thread
from hax_jax.data import records


def read(batch: batches.Batch, result: batches.BatchRead) -> None:
    """Adds the pairs of a batch of lines, a thread each."""
    for line, value, text in json_rows.rows(batch, result):
        try:
            thread = raw_thread.from_values(value)
        except ValueError as error:
            result.leave_out(f'{batch.name}:{line}', text, f'no thread: {error}')
        else:
            add(
                thread,
                line=line,
                file=batch.name,
                result=result,
                preferences=batch.preferences,
            )


def add(
    thread: raw_thread.RawThread,
    *,
    line: int,
    file: str,
    result: batches.BatchRead,
    preferences: bool = False,
) -> None:
    """Counts one thread and its words, and adds its pairs.

    With `preferences` also adds its answers, if they are several: replies to the post
    alone, as in SHP, since votes for a reply to a comment say little about the post.
    """
    counts, words = result.counts, result.words
    counts['reddit posts'] += 1
    forum = characters.clean_line(thread.subreddit)
    title, body = characters.clean(thread.title), characters.clean(thread.body)
    answers = [characters.clean(each.body) for each in thread.answers]
    result.count_changes(
        thread.title, thread.body, *(each.body for each in thread.answers)
    )
    asked = json_rows.num_words([thread.title, thread.body])
    if reddit.is_removed(body):
        removed = len(thread.body.split())
        counts['reddit removed bodies'] += 1
        words['removed body'] += removed
        asked -= removed
        body = ''
    question = f'{title}\n\n{body}'.strip()
    post_id = characters.clean_line(thread.id).lower()
    name = f'reddit:{post_id or page.content_hash(question, (answers or [""])[0])}'
    flags = reddit.post_flags(title, body, counts)
    if not answers:
        _drop(f'{file}:{line}: {name}', 'posts unanswered', result)
    found = 0
    row = len(result.answers)
    for i, (each, answer) in enumerate(zip(thread.answers, answers, strict=True)):
        pair_id = f'{name}/{characters.clean_line(each.id).lower()}' if i else name
        pair = records.QaPair(
            id=pair_id,
            group=name,
            source=f'reddit:{forum}' if forum else 'reddit',
            file=file,
            line=line,
            topic=characters.clean_line(thread.flair),
            time=_day(thread.created_utc),
            question=question,
            answer=answer,
            score=thread.score,
            flags=flags,
        )
        reason = reddit.why_no_pair(question, answer)
        if preferences and len(answers) > 1:
            result.answers.append(_answer(each, pair, row, reason))
        if reason:
            words['answer without pair'] += len(each.body.split())
            _drop(f'{file}:{line}: {pair_id}', reason, result)
            continue
        found += 1
        words['answer'] += len(each.body.split())
        result.pairs.append(pair)
    counts['reddit posts answered'] += bool(found)
    counts['reddit further answers'] += max(0, found - 1)
    words['question' if found else 'question without pair'] += asked
    others = [thread.id, thread.source, thread.subreddit, thread.flair, thread.url]
    others += [each.id for each in thread.answers]
    words['in fields not read'] += json_rows.num_words(others)


def _answer(
    given: raw_thread.RawAnswer, pair: records.QaPair, row: int, reason: str
) -> batches.Answer:
    """The answer with its votes, which count for replies to the post alone."""
    return batches.Answer(
        pair,
        row,
        score=given.score if given.depth <= 0 else None,
        time=given.created_utc or None,
        reason=reason,
    )


def _drop(where: str, reason: str, result: batches.BatchRead) -> None:
    result.counts[f'reddit {reason}'] += 1
    result.dropped.append(f'{where} (reddit {reason})')


def _day(created_utc: int) -> str:
    """'2025-03-01' in UTC, '' for a time out of range."""
    try:
        return str(datetime.datetime.fromtimestamp(created_utc, datetime.UTC).date())
    except (OverflowError, ValueError, OSError):
        return ''
