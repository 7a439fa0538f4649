"""The flags of data_pipeline.collect, in absl's spelling and in the old program's."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence

from absl import flags

from hax_jax import errors
from hax_jax.program import later

with later.imports():
    from data_pipeline.collecting import collect_rules

SOURCES = ('arctic_shift', 'dump', 'reddit', 'reddit_json')
# The orders of each source; the first is its default.
SORTS = {
    'arctic_shift': ('new', 'old', 'top'),
    'dump': ('old', 'new', 'top'),
    'reddit': ('top', 'hot', 'new'),
    'reddit_json': ('top', 'hot', 'new'),
}
# Seconds before the comments of a post, and before a page of posts. Arctic Shift asks
# for no more than a couple of requests a second; PRAW keeps Reddit's pace by itself;
# Reddit's pages get the pace of the old program.
DELAYS_SECONDS = {
    'arctic_shift': (0.5, 1.0),
    'dump': (0.0, 0.0),
    'reddit': (0.0, 0.0),
    'reddit_json': (3.0, 10.0),
}
PERIODS_SECONDS = {
    'all': 0,
    'year': 365 * 86_400,
    'month': 30 * 86_400,
    'week': 7 * 86_400,
    'day': 86_400,
}
_BOOLEANS = (
    *('skip_duplicates', 'skip_bots', 'skip_stickied', 'skip_asker'),
    'top_level_only',
)
_SUBREDDIT = re.compile(r'[A-Za-z0-9_]{2,30}')
_LEAST = {
    'limit': 0,
    'start_at': 1,
    'min_comment_length': 0,
    'max_answers_per_post': 0,
    'save_interval': 1,
}


def define() -> None:
    """Defines all flags but --log_dir, which is absl's own."""
    flags.DEFINE_enum('source', 'arctic_shift', SOURCES, 'The source of the threads.')
    flags.DEFINE_string('subreddit', 'relationships', 'Its name without r/.')
    flags.DEFINE_string('output', '', 'The .jsonl file to fill or to continue.')
    flags.DEFINE_integer('limit', 50, 'Threads in the finished output; 0: all.')
    flags.DEFINE_string(
        'sort', '', "top, hot, new or old; '' is the source's own order."
    )
    flags.DEFINE_enum(
        'time_filter', 'all', PERIODS_SECONDS, 'The greatest age of posts (for top).'
    )
    flags.DEFINE_string('after', '', 'First day or time of posts, such as 2024-01-31.')
    flags.DEFINE_string('before', '', 'All posts are before this day or time, in UTC.')
    flags.DEFINE_integer('start_at', 1, 'The first to take of the posts that pass.')
    flags.DEFINE_integer('min_upvotes', 10, 'Least score of a post.')
    flags.DEFINE_integer('min_comment_length', 100, 'Characters of an answer.')
    flags.DEFINE_integer('max_answers_per_post', 1, 'The best ones; 0: all.')
    flags.DEFINE_multi_string('flair', [], 'Posts of this flair; repeat for more.')
    flags.DEFINE_bool('skip_bots', True, 'Skip accounts whose names end in bot, too.')
    flags.DEFINE_bool('skip_stickied', False, 'Skip posts pinned by moderators.')
    flags.DEFINE_bool('skip_asker', False, "Skip comments by the post's own author.")
    flags.DEFINE_bool('top_level_only', False, 'Replies to the post alone are answers.')
    flags.DEFINE_bool(
        'skip_duplicates', True, 'Skip posts that finished calls put into the output.'
    )
    flags.DEFINE_float('delay', -1.0, 'Seconds before each post; -1: by source.')
    flags.DEFINE_float('batch_delay', -1.0, 'Seconds before each page; -1: by source.')
    flags.DEFINE_integer('save_interval', 20, 'Threads between two saves.')
    flags.DEFINE_string('log_file', '', "The log's name; '' is the output's with .log.")
    flags.DEFINE_bool('no_log_file', False, 'Write no log.')
    flags.DEFINE_multi_string('input', [], 'Dump files or patterns (--source=dump).')
    flags.DEFINE_string('markdown', '', 'A .md file to write in the old layout, too.')
    flags.DEFINE_string('base_url', '', "Another server in place of the source's own.")


def spell(argv: list[str]) -> list[str]:
    """The command line, with the old spelling of flags replaced by absl's.

    ['--min-upvotes', '5', '--no-skip-duplicates'] ->
    ['--min_upvotes', '5', '--noskip_duplicates']
    """
    return [*argv[:1], *map(_spell, argv[1:])]


def _spell(argument: str) -> str:
    if not argument.startswith('--') or argument == '--':
        return argument
    name, equals, value = argument[2:].partition('=')
    name = name.replace('-', '_')
    if name.startswith('no_') and name[3:] in _BOOLEANS:
        name = 'no' + name[3:]
    return f'--{name}{equals}{value}'


def settings() -> collect_rules.Settings:
    """The settings that the flags give.

    Raises:
      InputError: names every flag that is wrong.
    """
    given = flags.FLAGS
    problems = []
    if not given.output:
        problems.append('--output is not given; give a file, such as raw/advice.jsonl.')
    elif not given.output.endswith(('.jsonl', '.md')):
        problems.append(
            f'--output={given.output} is no .jsonl file (nor .md, which is written '
            'beside one).'
        )
    subreddit = re.sub(r'^/?r/', '', given.subreddit.strip())
    if not _SUBREDDIT.fullmatch(subreddit):
        problems.append(
            f'--subreddit={given.subreddit!r} is no name; give 2 to 30 letters, digits '
            'and _, such as relationship_advice.'
        )
    sorts = SORTS[given.source]
    sort = given.sort or sorts[0]
    if sort not in sorts:
        problems.append(
            f'--sort={sort} is not an order that --source={given.source} has; give '
            f'{", ".join(sorts)}.'
        )
    times, wrong_times = _times()
    problems += wrong_times
    problems += [
        f'--{name}={given[name].value} is under {least}; give {least} or more.'
        for name, least in _LEAST.items()
        if given[name].value < least
    ]
    problems += _source_problems(sort)
    errors.refuse(problems)
    comments, page = DELAYS_SECONDS[given.source]
    return collect_rules.Settings(
        source=given.source,
        subreddit=subreddit,
        sort=sort,
        time_filter=given.time_filter,
        rules=collect_rules.Rules(
            min_upvotes=given.min_upvotes,
            min_comment_length=given.min_comment_length,
            max_answers_per_post=given.max_answers_per_post,
            flairs=tuple(sorted(flair.strip().lower() for flair in given.flair)),
            skip_bots=given.skip_bots,
            skip_stickied=given.skip_stickied,
            skip_asker=given.skip_asker,
            top_level_only=given.top_level_only,
            **times,
        ),
        limit=given.limit,
        start_at=given.start_at,
        base_url=given.base_url,
        delays={
            'comments': comments if given.delay < 0 else given.delay,
            'page': page if given.batch_delay < 0 else given.batch_delay,
        },
    )


def _times() -> tuple[dict[str, int], list[str]]:
    """--after and --before in seconds since 1970, and a sentence for each that's wrong.

    A flag that is not given is 0.
    """
    given = flags.FLAGS
    times, problems = {'after': 0, 'before': 0}, []
    for name in times:
        try:
            times[name] = seconds(given[name].value)
        except ValueError:
            problems.append(
                f'--{name}={given[name].value} is no date; give 2024-01-31, '
                '2024-01-31T18:00 or seconds since 1970.'
            )
    if times['after'] and times['before'] and times['after'] >= times['before']:
        problems.append(
            f'--after={given.after} is not before --before={given.before}; swap them.'
        )
    if given.time_filter != 'all' and given.after:
        problems.append('--time_filter and --after both bound the age; give one.')
    return times, problems


def _source_problems(sort: str) -> list[str]:
    """A sentence for each flag that does not go with the source."""
    given = flags.FLAGS
    problems = []
    if given.source == 'dump' and not given.input:
        problems.append(
            '--source=dump needs --input: a file of posts and one of comments.'
        )
    if given.source == 'dump' and sort != 'old' and given.start_at > 1:
        problems.append(f'--start_at does not go with --sort={sort} of a dump.')
    if given.source != 'dump' and given.input:
        problems.append(f'--input is for --source=dump, not {given.source}.')
    if given.base_url and not re.fullmatch(r'https?://[^@?#\s]+', given.base_url):
        problems.append(
            f'--base_url={given.base_url} is no address; give http(s)://HOST, without '
            'a user or a password.'
        )
    unbounded = given.time_filter == 'all' and not given.after
    if given.source == 'arctic_shift' and sort == 'top' and unbounded:
        problems.append(
            '--sort=top of arctic_shift lists every post of a time to rank them; name '
            'it: --time_filter=month or --after=2024-01-31, or give --sort=new with '
            '--min_upvotes.'
        )
    return problems


def collecting(
    chosen: collect_rules.Settings, paths: Sequence[str]
) -> dict[str, object]:
    """The identity of a collection, which a call that continues it must share."""
    given = flags.FLAGS
    names = (
        'source after before time_filter start_at min_upvotes min_comment_length '
        'max_answers_per_post skip_bots skip_stickied skip_asker'
    )
    # Left out where it is off, as in collections older than the flag.
    only = {'top_level_only': True} if given.top_level_only else {}
    return {
        **only,
        **{name: given[name].value for name in names.split()},
        'subreddit': chosen.subreddit.lower(),
        'sort': chosen.sort,
        'flair': list(chosen.rules.flairs),
        'input': list(paths),
    }


def seconds(text: str) -> int:
    """'2024-01-31', with a time or none, or '1706659200' -> seconds; '' -> 0.

    A time without a zone is in UTC.
    """
    text = text.strip()
    if not text or text.isdigit():
        return int(text or 0)
    when = datetime.datetime.fromisoformat(text)
    return int(when.replace(tzinfo=when.tzinfo or datetime.UTC).timestamp())
