"""Threads of a subreddit to a file: posts, each with its best comment as the answer.

    python -m data_pipeline.collect --subreddit=relationship_advice --limit=500 \\
        --output=raw/relationship_advice.jsonl

Killed and started again with the same flags, it goes on where it was. Sources:
arctic_shift (an open archive, the default), dump (downloaded files, with --input),
reddit (an account's app, through PRAW), reddit_json (pages that Reddit has closed).
"""

import contextlib
import dataclasses
import datetime
import logging
import os
import pathlib
import time
from collections.abc import Callable, Iterator

from absl import flags

from data_pipeline.collecting import (
    arctic_shift,
    best_first,
    collect_flags,
    collect_markdown,
    collect_output,
    collect_rules,
    collect_run,
    http_client,
    reddit_api,
    reddit_json,
)
from data_pipeline.dumps import dumps
from data_pipeline.reading import sources
from data_pipeline.rows import raw_thread
from hax_jax import errors, files
from hax_jax.program import entry, output_file

LOG = logging.getLogger('collect')
_USER_AGENT = 'hax_jax data_pipeline.collect (personal, one request at a time)'


def main() -> None:
    """Collects, and prints what was kept, what was skipped and why."""
    given = flags.FLAGS
    chosen = collect_flags.settings()
    paths = sources.expand(given.input) if given.input else []
    path, markdown = _outputs()
    problems = output_file.problems('output', path)
    if markdown is not None:
        problems += output_file.problems('markdown', markdown)
    if problems:
        raise errors.InputError('\n'.join(problems))
    lock = collect_output.beside(path, 'lock')
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(files.locked(lock, wait=False))
        except files.LockedError:
            raise errors.InputError(
                f'another program is collecting to {path}; wait for it, or give '
                'another --output.'
            ) from None
        stack.enter_context(_log(path))
        _run(chosen, paths=paths, path=path, markdown=markdown)


def _run(
    chosen: collect_flags.Settings,
    *,
    paths: list[str],
    path: pathlib.Path,
    markdown: pathlib.Path | None,
) -> None:
    given = flags.FLAGS
    output = collect_output.Output(
        path,
        collecting=collect_flags.collecting(chosen, paths),
        repeat=not given.skip_duplicates,
        save_interval=given.save_interval,
    )
    with contextlib.ExitStack() as stack:
        stack.callback(output.close)
        for note in output.notes:
            print(f'note: {note}')
        if output.kept:
            print(f'{path} has {output.kept:,} threads: going on', flush=True)
        chosen = _bounded(chosen, output)
        output.save()
        rules = collect_flags.rules(chosen)

        def pause(what: str) -> None:
            page = what == 'page'
            seconds = chosen.batch_delay_seconds if page else chosen.delay_seconds
            if seconds:
                time.sleep(seconds)

        source = _source(chosen, rules, paths=paths, output=output, pause=pause)
        if isinstance(source, dumps.Dumps):
            stack.callback(source.close)
        passed_over, ended = collect_run.collect(
            source,
            output,
            rules,
            limit=given.limit,
            start_at=given.start_at,
            pause=pause,
        )
        passed_over += getattr(source, 'passed_over', {})
        print(f'{path}: {output.kept:,} threads; {collect_run.shown(output.skipped)}')
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
        elif ended and output.kept < given.limit:
            print(f'note: the source has no more; --limit={given.limit} is not reached')
    if markdown is not None and path.exists():
        count = collect_markdown.write(markdown, raw_thread.read(path))
        print(f'{markdown}: {count:,} threads in Markdown')


def _outputs() -> tuple[pathlib.Path, pathlib.Path | None]:
    """The threads' file, and the Markdown's: an --output=x.md makes both."""
    given = flags.FLAGS
    path = pathlib.Path(given.output).expanduser()
    markdown = pathlib.Path(given.markdown).expanduser() if given.markdown else None
    if path.suffix == '.md':
        path, markdown = path.with_suffix('.jsonl'), markdown or path
    return path, markdown


def _bounded(
    chosen: collect_flags.Settings, output: collect_output.Output
) -> collect_flags.Settings:
    """The settings with --time_filter as a time, that of the collection's first call.

    Ranking by score needs an end too, or a call that goes on would rank other posts.
    Reddit's own listings know the period themselves.
    """
    if chosen.source in ('reddit', 'reddit_json'):
        return chosen
    now = int(time.time())
    if chosen.period_seconds:
        output.facts.setdefault('after', now - chosen.period_seconds)
    if chosen.source == 'arctic_shift' and chosen.sort == 'top':
        output.facts.setdefault('before', chosen.before or now)
    settled = now - arctic_shift.SCORES_SETTLE_SECONDS
    if chosen.source == 'arctic_shift' and (chosen.before or now) > settled:
        when = datetime.datetime.fromtimestamp(settled, datetime.UTC)
        print(
            f'note: posts since {when:%Y-%m-%d %H:%M} UTC have the score of their '
            f'first minute there; --before={when:%Y-%m-%d} leaves them for later.'
        )
    return dataclasses.replace(
        chosen,
        after=output.facts.get('after', chosen.after),
        before=output.facts.get('before', chosen.before),
    )


def _source(
    chosen: collect_flags.Settings,
    rules: collect_rules.Rules,
    *,
    paths: list[str],
    output: collect_output.Output,
    pause: Callable[[str], None],
) -> collect_run.Source:
    given = flags.FLAGS
    if chosen.source == 'dump':
        return dumps.Dumps(
            paths,
            subreddit=chosen.subreddit,
            rules=rules,
            sort=chosen.sort,
            limit=max(0, given.limit - output.kept),
            knows=output.knows,
            work=collect_output.work(output.path),
        )
    if chosen.source == 'reddit':
        return reddit_api.RedditApi(
            base_url=given.base_url,
            subreddit=chosen.subreddit,
            sort=chosen.sort,
            time_filter=given.time_filter,
            pause=pause,
        )
    client = http_client.Client(user_agent=_USER_AGENT)
    if chosen.source == 'reddit_json':
        return reddit_json.RedditJson(
            client,
            base_url=given.base_url or reddit_json.BASE_URL,
            subreddit=chosen.subreddit,
            sort=chosen.sort,
            time_filter=given.time_filter,
            pause=pause,
        )
    archive = arctic_shift.ArcticShift(
        client,
        base_url=given.base_url or arctic_shift.BASE_URL,
        subreddit=chosen.subreddit,
        oldest_first=chosen.sort == 'old',
        after=chosen.after,
        before=chosen.before,
        pause=pause,
    )
    if chosen.sort == 'top':
        return best_first.BestFirst(archive, rules=rules, knows=output.knows)
    return archive


@contextlib.contextmanager
def _log(path: pathlib.Path) -> Iterator[None]:
    """Logs to a file, and warnings to the terminal, while the block runs."""
    given = flags.FLAGS
    warnings = logging.StreamHandler()
    warnings.setLevel(logging.WARNING)
    handlers: list[logging.Handler] = [warnings]
    if not given.no_log_file:
        folder = pathlib.Path(given.log_dir or path.parent).expanduser()
        log = folder / (given.log_file or f'{path.name}.log')
        log.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(log, encoding='utf-8'))
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
    entry.run(main, prepare=collect_flags.spell)
