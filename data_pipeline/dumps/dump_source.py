"""Posts and comments from dumps of Arctic Shift or Pushshift; reads each file once.

1. posts of the subreddit go to the disk; the rules say which are wanted
2. comments of wanted posts go to the disk; the rules choose the best of each post
3. the posts come back from the disk, each with its comments

`join_store` joins them on the disk: memory does not grow with the dump.
"""

import collections
import dataclasses
import itertools
import json
import logging
import operator
import pathlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from data_pipeline.collecting import collect_rules, reddit_shapes
from data_pipeline.dumps import join_store, line_blocks, subreddit_objects
from hax_jax import errors
from hax_jax.program import progress

LOG = logging.getLogger('collect')
_RANKS = {'top': 'score', 'new': 'created_utc'}
_BATCH_BYTES = 2**25  # of JSON for a batch of the store
_POST_ROW = operator.attrgetter(
    *(field.name for field in dataclasses.fields(reddit_shapes.Post))
)
_COMMENT_ROW = operator.attrgetter(
    *('id', 'parent_id', 'author', 'body', 'score', 'created_utc')
)
_MARKS = {'posts': 'title', 'comments': 'link_id'}  # fields that tell them apart
_SEARCHED = 2**28  # bytes of a file's lines, for what no file begins with
_COUNTED = range(-(2**63), 2**63)  # the integers that the store can hold


class Dumps:
    """Posts of one subreddit in files of posts and files of comments, in any order.

    A file may hold both.

    The order 'old' is the files' own; 'top' and 'new' choose the first `limit` posts
    with an answer (0: all), in the files' order. `knows` tells posts that are done.
    `work` is a folder for the join, made by `posts` and removed by `close`. A position
    is None: every call reads the files from their beginning.
    """

    name = 'dump'
    goes_on_at_end = False

    def __init__(
        self,
        paths: Sequence[str],
        chosen: collect_rules.Settings,
        *,
        knows: Callable[[str], bool],
        work: pathlib.Path,
    ) -> None:
        self._chosen = chosen
        self._rules = chosen.rules
        self._knows = knows
        self._work = work
        self.counts: collections.Counter[str] = collections.Counter()
        self.passed_over: collections.Counter[str] = collections.Counter()
        self._paths: dict[str, list[str]] = {'posts': [], 'comments': []}
        for path in paths:
            self._paths[kind(path)].append(path)
        for what in [what for what, found in self._paths.items() if not found]:
            self._paths[what] = [path for path in paths if _holds(path, what)]
        self._mixed = {*self._paths['posts']} & {*self._paths['comments']}
        if missing := [what for what, found in self._paths.items() if not found]:
            raise errors.InputError(
                f'no file of {" and none of ".join(missing)} is in --input='
                f'{", ".join(paths)}; a dump is two files, one of posts (RS_… or '
                '…_submissions) and one of comments (RC_… or …_comments).'
            )
        self._store: join_store.Store | None = None
        self._best: list[reddit_shapes.Comment] = []

    def posts(self, position: None) -> Iterator[tuple[reddit_shapes.Post, None]]:
        """(post, None) for each post of the subreddit, up to the limit.

        Raises:
          InputError: a file is damaged, or the disk is full.
        """
        del position
        self._store = store = join_store.Store(self._work)
        paths = map(pathlib.Path, itertools.chain(*self._paths.values()))
        total = sum(path.stat().st_size for path in paths)
        with progress.Progress('reading', total, 'byte', say=LOG.info) as shown:
            self._read_posts(store, shown)
            self._read_comments(store, shown)
            shown.show()
        if self._chosen.sort != 'old' and self._chosen.limit:
            store.choose(_RANKS[self._chosen.sort], self._chosen.limit)
        for post, self._best in store.threads():
            yield post, None
        self.close()

    def comments(self, post: reddit_shapes.Post) -> list[reddit_shapes.Comment]:
        """The best comments of the post that `posts` gave last."""
        del post
        return self._best

    def close(self) -> None:
        """Removes all files of the join."""
        if self._store is not None:
            self._store.close()
            self._store = None
        join_store.clear(self._work)  # even of a store that was stopped half made

    def _reader(self, fields: Sequence[str]) -> subreddit_objects.Reader:
        return subreddit_objects.Reader(self._chosen.subreddit, fields)

    def _read_posts(self, store: join_store.Store, shown: progress.Progress) -> None:
        reader = self._reader(subreddit_objects.POST_FIELDS)
        seq = num_wanted = 0
        for batch in self._batches('posts', reader, shown):
            rows = []
            for values in batch:
                try:
                    post = reddit_shapes.post(values)
                    _check_size(post.score, post.num_comments, post.created_utc)
                except ValueError:
                    self.counts['malformed posts'] += 1
                    continue
                wanted = not (
                    self._knows(post.id)
                    or collect_rules.why_not_post(post, self._rules)
                )
                rows.append((seq, wanted, *_POST_ROW(post)))
                num_wanted += wanted
                seq += 1
            if rows:
                store.add_posts(rows)
        self.counts += reader.counts
        self.counts['posts listed twice'] += store.end_posts()
        LOG.info('%d posts, of which %d are wanted', seq, num_wanted)

    def _read_comments(self, store: join_store.Store, shown: progress.Progress) -> None:
        reader = self._reader(subreddit_objects.COMMENT_FIELDS)
        seq = 0
        for batch in self._batches('comments', reader, shown):
            names = [reddit_shapes.bare_id(values.get('link_id')) for values in batch]
            askers = store.askers(set(names))
            rows = []
            for name, values in zip(names, batch, strict=True):
                if name not in askers:
                    continue
                post, asker = askers[name]
                try:
                    row = self._comment_row(values, asker=asker)
                except ValueError:
                    self.counts['malformed comments'] += 1
                    continue
                rows.append((seq, post, *row))
                seq += 1
            if rows:
                store.add_comments(rows)
        self.counts += reader.counts
        LOG.info('%d comments of wanted posts: ranking them', seq)
        repeated, reasons = store.end_comments(self._rules.max_answers_per_post)
        self.counts['comments listed twice'] += repeated
        self.passed_over += reasons

    def _batches(
        self, what: str, reader: subreddit_objects.Reader, shown: progress.Progress
    ) -> Iterator[list[dict[str, Any]]]:
        """Batches of the subreddit's posts or comments, in the files' order."""
        batch: list[dict[str, Any]] = []
        size = decoded = 0
        begun = time.monotonic()
        for path in self._paths[what]:
            is_mixed = path in self._mixed
            for block in line_blocks.blocks(path, on_read=shown.add):
                for num_bytes, values in reader.objects(block):
                    if is_mixed and _MARKS[what] not in values:
                        continue
                    batch.append(values)
                    size += num_bytes
                decoded += len(block) + 1
                rate = decoded / max(1e-3, time.monotonic() - begun)
                text = f'{decoded / 1e6:,.0f} MB of JSON at {rate / 1e6:,.0f} MB/s'
                shown.add(0, text)
                if size >= _BATCH_BYTES:
                    yield batch
                    batch, size = [], 0
        yield batch

    def _comment_row(self, values: dict[str, Any], *, asker: str) -> tuple[Any, ...]:
        """(reason why it is no answer or '', id, parent, author, body, score, time).

        Raises:
          ValueError: it is malformed.
        """
        comment = reddit_shapes.comment(values, depth=-1)
        reason = collect_rules.why_not_comment(comment, self._rules, asker=asker)
        if reason:
            return (reason, comment.id, comment.parent_id, None, None, None, None)
        _check_size(comment.score, comment.created_utc)
        return ('', *_COMMENT_ROW(comment))


def kind(path: str | pathlib.Path) -> str:
    """'posts' or 'comments', by the first object of the file.

    Raises:
      InputError: it is neither.
    """
    line = next(line_blocks.lines(path), b'')
    try:
        values = json.loads(line)
    except ValueError:
        values = None
    for what, field in _MARKS.items():
        if isinstance(values, dict) and field in values:
            return what
    raise errors.InputError(
        f'{path} begins with neither a post (an object with a title) nor a comment '
        '(one with a link_id); give dumps of Arctic Shift or Pushshift.'
    )


def _holds(path: str, what: str) -> bool:
    """Whether an object of a kind is among a file's lines, up to `_SEARCHED` bytes."""
    mark = _MARKS[what]
    needle, read = f'"{mark}"'.encode(), 0
    for line in line_blocks.lines(path):
        read += len(line)
        if needle in line:
            try:
                values = json.loads(line)
            except ValueError:
                continue
            if isinstance(values, dict) and mark in values:
                return True
        if read > _SEARCHED:
            break
    return False


def _check_size(*numbers: int) -> None:
    """Raises ValueError unless 64 bits hold them: some dumps have a score of 1e300."""
    if not all(number in _COUNTED for number in numbers):
        raise ValueError(f'{numbers} do not fit into 64 bits')
