"""Threads of a subreddit to a file: posts, each with its best comment as the answer.

    python -m data_pipeline.collect --subreddit=relationship_advice --limit=500 \\
        --output=raw/relationship_advice.jsonl

Killed and started again with the same flags, it continues. Sources: arctic_shift (an
open archive, the default), dump (downloaded files, with --input), reddit (an account's
app, through PRAW), reddit_json (pages that Reddit has closed).
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import datetime
import logging
import os
import pathlib
import time
from collections.abc import Iterator

from absl import flags

from data_pipeline.collecting import collect_flags
from hax_jax import errors, files
from hax_jax.program import entry, later, output_file, results

with later.imports():
    from data_pipeline.collecting import (
        arctic_shift,
        collect_loop,
        collect_markdown,
        collect_output,
        collect_rules,
        http_client,
        reddit_api,
        reddit_json,
    )
    from data_pipeline.dumps import dump_source
    from data_pipeline.reading import path_patterns
    from data_pipeline.rows import raw_thread

LOG = logging.getLogger('collect')
_USER_AGENT = 'hax_jax data_pipeline.collect (personal, one request at a time)'


def main() -> None:
    """Collects, then prints the counts of kept and skipped posts with the reasons."""
    given = flags.FLAGS
    chosen = collect_flags.settings()
    paths = path_patterns.expand(given.input) if given.input else []
    path = pathlib.Path(given.output).expanduser()
    markdown = pathlib.Path(given.markdown).expanduser() if given.markdown else None
    if path.suffix == '.md':  # makes both files
        path, markdown = path.with_suffix('.jsonl'), markdown or path
    problems = output_file.problems('output', path)
    if markdown is not None:
        problems += output_file.problems('markdown', markdown)
    errors.refuse(problems)
    lock = collect_output.beside(path, 'lock')
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(files.locked(lock, wait=False))
        except files.LockedError:
            raise errors.InputError(
                f'another program is collecting to {path}; wait for it, or give '
                'another --output.'
            ) from None
        # Nothing was collected where the output is not there: its files are removed.
        stack.callback(lambda: path.exists() or lock.unlink())
        stack.enter_context(_log(path))
        _collect(chosen, paths=paths, path=path)
        if markdown is not None and path.exists():
            count = collect_markdown.write(markdown, raw_thread.read(path))
            print(f'{markdown}: {count:,} threads in Markdown')


def _collect(
    chosen: collect_rules.Settings, *, paths: list[str], path: pathlib.Path
) -> None:
    output = collect_output.Output(
        path,
        collecting=collect_flags.collecting(chosen, paths),
        repeat=not flags.FLAGS.skip_duplicates,
        save_interval=flags.FLAGS.save_interval,
    )
    with contextlib.ExitStack() as stack:
        stack.callback(output.close)
        for note in output.notes:
            print(f'note: {note}')
        if output.kept:
            print(f'{path} has {output.kept:,} threads: going on', flush=True)
        chosen = _bounded(chosen, output)
        output.save()
        source = _source(chosen, paths=paths, output=output)
        if isinstance(source, dump_source.Dumps):
            stack.callback(source.close)
        comments, ended = collect_loop.collect(source, output, chosen)
        passed_over = comments.passed_over + getattr(
            source, 'passed_over', collections.Counter()
        )
        print(f'{path}: {output.kept:,} threads; {collect_loop.shown(output.skipped)}')
        results.give(
            {
                'output': path,
                'threads': output.kept,
                'skipped': dict(output.skipped),
                'answers': comments.answers,
                'replies_to_comments': comments.replies,
                'passed_over': dict(passed_over),
            }
        )
        if comments.replies:
            print(
                f'answers of this call: {comments.answers:,}, of which '
                f'{comments.replies:,} reply to another comment, not to the post '
                '(--top_level_only leaves such out)'
            )
        if passed_over:
            reasons = ', '.join(f'{n:,} {why}' for why, n in passed_over.most_common())
            print(f'comments passed over in this call: {reasons}')
        for what, count in source.counts.items():
            if count:
                print(f'{what}: {count:,}')
        if ended and not output.kept and not output.skipped:
            print(
                f'note: no post of r/{chosen.subreddit} was listed; check --subreddit, '
                '--after and --before'
            )
        elif ended and output.kept < chosen.limit:
            print(
                f'note: the source has no more; --limit={chosen.limit} is not reached'
            )


def _bounded(
    chosen: collect_rules.Settings, output: collect_output.Output
) -> collect_rules.Settings:
    """The settings with --time_filter as a time, counted from the first call.

    Ranking by score needs an end too, or a later call would rank other posts. Reddit's
    own listings know the period themselves.
    """
    if chosen.source in ('reddit', 'reddit_json'):
        return chosen
    now = int(time.time())
    before = chosen.rules.before
    if period := collect_flags.PERIODS_SECONDS[chosen.time_filter]:
        output.facts.setdefault('after', now - period)
    if chosen.source == 'arctic_shift' and chosen.sort == 'top':
        output.facts.setdefault('before', before or now)
    settled = now - arctic_shift.SCORES_SETTLE_SECONDS
    if chosen.source == 'arctic_shift' and (before or now) > settled:
        when = datetime.datetime.fromtimestamp(settled, datetime.UTC)
        print(
            f'note: posts since {when:%Y-%m-%d %H:%M} UTC have the score of their '
            f'first minute there; --before={when:%Y-%m-%d} leaves them for later.'
        )
    return dataclasses.replace(
        chosen, rules=dataclasses.replace(chosen.rules, **output.facts)
    )


def _source(
    chosen: collect_rules.Settings, *, paths: list[str], output: collect_output.Output
) -> collect_loop.Source:
    if chosen.source == 'dump':
        return dump_source.Dumps(
            paths,
            dataclasses.replace(chosen, limit=max(0, chosen.limit - output.kept)),
            knows=output.knows,
            work=output.path.with_name(f'.{output.path.name}.work'),
        )
    if chosen.source == 'reddit':
        return reddit_api.RedditApi(chosen)
    client = http_client.Client(user_agent=_USER_AGENT)
    if chosen.source == 'reddit_json':
        return reddit_json.RedditJson(client, chosen)
    archive = arctic_shift.ArcticShift(client, chosen)
    if chosen.sort == 'top':
        return arctic_shift.BestFirst(archive, rules=chosen.rules, knows=output.knows)
    return archive


@contextlib.contextmanager
def _log(path: pathlib.Path) -> Iterator[None]:
    """Logs to a file, and warnings to the terminal, during the block."""
    given = flags.FLAGS
    warnings = logging.StreamHandler()
    warnings.setLevel(logging.WARNING)
    handlers: list[logging.Handler] = [warnings]
    if not given.no_log_file:
        folder = pathlib.Path(given.log_dir or path.parent).expanduser()
        log = folder / (given.log_file or f'{path.name}.log')
        log.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(log, encoding='utf-8', delay=True))
    secrets = [os.environ.get(name, '') for name in reddit_api.VARIABLES[:2]]
    for handler in handlers:
        handler.setFormatter(logging.Formatter('%(asctime)s %(levelname)s %(message)s'))
        handler.addFilter(http_client.Redaction(secrets))
        LOG.addHandler(handler)
    LOG.setLevel(logging.INFO)
    LOG.propagate = False
    try:
        yield
    finally:
        for handler in handlers:
            LOG.removeHandler(handler)
            handler.close()


if __name__ == '__main__':
    collect_flags.define()
    flags.adopt_module_key_flags(collect_flags)  # which --help lists
    entry.run(main, prepare=collect_flags.spell, in_one_process=True)
