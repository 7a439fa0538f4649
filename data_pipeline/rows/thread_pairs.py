"""Threads as data_pipeline.collect writes them to pairs: one for each answer.

The pair of a thread's best answer is the one that data_pipeline.reddit reads from the
thread's Markdown: the same texts, id, source, score, date and flags.
"""

import datetime

from data_pipeline.pages import clean, parsed, reddit
from data_pipeline.rows import batch_types, json_lines, raw_thread
from hax_jax.data import records


def read(batch: batch_types.Batch, result: batch_types.BatchRead) -> None:
    """Adds the pairs of a batch of lines, a thread each."""
    for line, value, text in json_lines.rows(batch, result):
        try:
            thread = raw_thread.from_values(value)
        except ValueError as error:
            problem = f'no thread: {error}'
            json_lines.leave_out(f'{batch.name}:{line}', text, problem, result)
            continue
        add(thread, line=line, file=batch.name, result=result)


def add(
    thread: raw_thread.RawThread,
    *,
    line: int,
    file: str,
    result: batch_types.BatchRead,
) -> None:
    """Counts one thread and its words, and adds its pairs."""
    counts, words = result.counts, result.words
    counts['reddit posts'] += 1
    forum = clean.line(thread.subreddit)
    title, body = clean.text(thread.title), clean.text(thread.body)
    batch_types.count_changes(result, thread.title, thread.body)
    asked = len(thread.title.split()) + len(thread.body.split())
    if reddit.is_removed(body):
        counts['reddit removed bodies'] += 1
        words['removed body'] += len(thread.body.split())
        asked -= len(thread.body.split())
        body = ''
    question = f'{title}\n\n{body}'.strip()
    best = clean.text(thread.answers[0].body) if thread.answers else ''
    post_id = clean.line(thread.id).lower() or parsed.content_hash(question, best)
    name = f'reddit:{post_id}'
    flags = []
    if not body:
        flags.append('title only')
        counts['reddit title-only posts'] += 1
    if reddit.is_update(title):
        flags.append('update')
        counts['reddit update posts'] += 1
    if not thread.answers:
        _drop(f'{file}:{line}: {name}', 'posts unanswered', result)
    found = 0
    for i, each in enumerate(thread.answers):
        pair_id = f'{name}/{clean.line(each.id).lower()}' if i else name
        answer = clean.text(each.body)
        batch_types.count_changes(result, each.body)
        missing = _why_no_pair(question, answer)
        if missing:
            words['answer without pair'] += len(each.body.split())
            _drop(f'{file}:{line}: {pair_id}', missing, result)
            continue
        found += 1
        words['answer'] += len(each.body.split())
        result.pairs.append(
            records.QaPair(
                id=pair_id,
                group=name,
                source=f'reddit:{forum}' if forum else 'reddit',
                file=file,
                line=line,
                topic=clean.line(thread.flair),
                time=_day(thread.created_utc),
                question=question,
                answer=answer,
                score=thread.score,
                flags=tuple(flags),
            )
        )
    counts['reddit posts answered'] += bool(found)
    counts['reddit further answers'] += max(0, found - 1)
    words['question' if found else 'question without pair'] += asked
    others = [thread.id, thread.source, thread.subreddit, thread.flair, thread.url]
    others += [each.id for each in thread.answers]
    words['in fields not read'] += json_lines.num_words(others)


def _why_no_pair(question: str, answer: str) -> str:
    """What keeps a post and an answer from being a pair, '' where nothing does."""
    if not answer:
        return 'posts with an empty answer'
    if not question:
        return 'posts without question text'
    if reddit.is_bot(answer):
        return 'AutoModerator answers'
    return 'removed answers' if reddit.is_removed(answer) else ''


def _drop(where: str, kind: str, result: batch_types.BatchRead) -> None:
    result.counts[f'reddit {kind}'] += 1
    result.dropped.append(f'{where} (reddit {kind})')


def _day(created_utc: int) -> str:
    """'2025-03-01' in UTC, '' for a time that there is not."""
    try:
        return str(datetime.datetime.fromtimestamp(created_utc, datetime.UTC).date())
    except (OverflowError, ValueError, OSError):
        return ''
