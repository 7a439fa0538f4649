"""Posts and comments from dumps of Arctic Shift or Pushshift, each file read once.

1. posts: all of the subreddit, to the disk; which of them are wanted, by the rules
2. comments: those of wanted posts, to the disk; the best of each, by the rules
3. posts again, from the disk, each with what was found

The join is the disk's (`dump_store`): memory does not grow with the dump.
"""

import collections
import dataclasses
import json
import logging
import operator
import pathlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from data_pipeline.collecting import collect_rules, reddit_shapes
from data_pipeline.dumps import dump_files, dump_objects, dump_store
from hax_jax import errors
from hax_jax.program import progress

LOG = logging.getLogger('collect')
_RANKS = {'top': 'score', 'new': 'created_utc'}
_BATCH_BYTES = 2**25  # of JSON, whose rows go to the store together
_POST_ROW = operator.attrgetter(
    *(field.name for field in dataclasses.fields(reddit_shapes.Post))
)
_COUNTED = range(-(2**63), 2**63)  # what the store can hold


class Dumps:
    """Posts of one subreddit in files of posts and files of comments, in any order.

    `sort` 'old' is the files' own order; 'top' and 'new' choose, in that order, the
    best `limit` (0: all) that have an answer. `knows` says which posts are done with.
    `work` is a folder for the join, made by `posts` and removed by `close`.
    A position is None: files are read from their beginning.
    """

    name = 'dump'
    goes_on_at_end = False

    def __init__(
        self,
        paths: Sequence[str],
        *,
        subreddit: str,
        rules: collect_rules.Rules,
        sort: str,
        limit: int,
        knows: Callable[[str], bool],
        work: pathlib.Path,
    ) -> None:
        self._subreddit = subreddit
        self._rules = rules
        self._sort, self._limit = sort, limit
        self._knows = knows
        self._work = work
        self.counts: collections.Counter[str] = collections.Counter()
        self.passed_over: collections.Counter[str] = collections.Counter()
        kinds = {path: kind(path) for path in paths}
        self._posts = [path for path in paths if kinds[path] == 'posts']
        self._comments = [path for path in paths if kinds[path] == 'comments']
        missing = [
            what
            for what, found in (('posts', self._posts), ('comments', self._comments))
            if not found
        ]
        if missing:
            raise errors.InputError(
                f'no file of {" and none of ".join(missing)} is in --input='
                f'{", ".join(paths)}; a dump is two files, one of posts (RS_… or '
                '…_submissions) and one of comments (RC_… or …_comments).'
            )
        self._store: dump_store.Store | None = None
        self._best: list[reddit_shapes.Comment] = []

    def posts(self, position: None) -> Iterator[tuple[reddit_shapes.Post, None]]:
        """(post, None) of each post of the subreddit, but those that `limit` leaves.

        Raises:
          InputError: a file is damaged, or the disk is full.
        """
        del position
        self._store = store = dump_store.Store(self._work)
        files = map(pathlib.Path, (*self._posts, *self._comments))
        total = sum(path.stat().st_size for path in files)
        with progress.Progress('reading', total, 'byte', say=LOG.info) as shown:
            self._read_posts(store, shown)
            self._read_comments(store, shown)
            shown.show()
        if self._sort != 'old' and self._limit:
            store.choose(_RANKS[self._sort], self._limit)
        for post, self._best in store.threads():
            yield post, None
        self.close()

    def comments(self, post: reddit_shapes.Post) -> list[reddit_shapes.Comment]:
        """The best comments of the post that `posts` gave last."""
        del post
        return self._best

    def close(self) -> None:
        """Removes what was put on the disk."""
        if self._store is not None:
            self._store.close()
            self._store = None
        dump_store.clear(self._work)  # of a store, too, that was stopped half made

    def _read_posts(self, store: dump_store.Store, shown: progress.Progress) -> None:
        reader = dump_objects.Reader(self._subreddit, dump_objects.PostFields)
        seq = num_wanted = 0
        for batch in _batches(self._posts, reader, shown):
            rows = []
            for values in batch:
                try:
                    post = reddit_shapes.post(values)
                except ValueError:
                    post = None
                if post is None or not _is_counted(
                    post.score, post.num_comments, post.created_utc
                ):
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

    def _read_comments(self, store: dump_store.Store, shown: progress.Progress) -> None:
        reader = dump_objects.Reader(self._subreddit, dump_objects.CommentFields)
        seq = 0
        for batch in _batches(self._comments, reader, shown):
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

    def _comment_row(self, values: dict[str, Any], *, asker: str) -> tuple[Any, ...]:
        """(why it is no answer or '', id, parent, author, body, score, time).

        Raises:
          ValueError: it is malformed.
        """
        comment = reddit_shapes.comment(values, depth=-1)
        reason = collect_rules.why_not_comment(comment, self._rules, asker=asker)
        if reason:
            return (reason, comment.id, comment.parent_id, None, None, None, None)
        if not _is_counted(comment.score, comment.created_utc):
            raise ValueError('a number that no counter holds')
        return (
            '',
            comment.id,
            comment.parent_id,
            comment.author,
            comment.body,
            comment.score,
            comment.created_utc,
        )


def kind(path: str | pathlib.Path) -> str:
    """'posts' or 'comments', by the first object of the file.

    Raises:
      InputError: it is neither.
    """
    for line in dump_files.lines(path):
        try:
            values = json.loads(line)
        except ValueError:
            break
        if isinstance(values, dict) and 'title' in values:
            return 'posts'
        if isinstance(values, dict) and 'link_id' in values:
            return 'comments'
        break
    raise errors.InputError(
        f'{path} begins with neither a post (an object with a title) nor a comment '
        '(one with a link_id); give dumps of Arctic Shift or Pushshift.'
    )


def _batches(
    paths: list[str], reader: dump_objects.Reader, shown: progress.Progress
) -> Iterator[list[dict[str, Any]]]:
    """The subreddit's objects in the files' order, those of some bytes at a time."""
    batch: list[dict[str, Any]] = []
    size = decoded = 0
    begun = time.monotonic()
    for path in paths:
        for block in dump_files.blocks(path, on_read=shown.add):
            for num_bytes, values in reader.objects(block):
                batch.append(values)
                size += num_bytes
            decoded += len(block) + 1
            rate = decoded / max(1e-3, time.monotonic() - begun)
            shown.add(0, f'{decoded / 1e6:,.0f} MB of JSON at {rate / 1e6:,.0f} MB/s')
            if size >= _BATCH_BYTES:
                yield batch
                batch, size = [], 0
    yield batch


def _is_counted(*numbers: int) -> bool:
    """Whether 64 bits hold them: dumps may have 1e300 where a score should be."""
    return all(number in _COUNTED for number in numbers)
