"""Posts and comments from dumps of Arctic Shift or Pushshift, joined in three passes.

1. posts: which of the subreddit's are wanted, by id
2. comments: the best of each wanted post, and who answers whom
3. posts: each again, with what was found

Held in memory: the ids of wanted posts, their best comments, and, for the depth of an
answer, the parent of each of their comments; never all texts.
"""

import collections
import collections.abc
import dataclasses
import json
import logging
import pathlib
from typing import Any

from data_pipeline import collect_rules, dump_files, reddit_shapes
from hax_jax import config

LOG = logging.getLogger('collect')
_RANKS = {'top': 'score', 'new': 'created_utc'}


class Dumps:
    """Posts of one subreddit in files of posts and files of comments, in any order.

    `sort` 'old' is the files' own order; 'top' and 'new' choose, in that order, the
    best `limit` (0: all) that have an answer. `knows` says which posts are done with.
    A position is None: files are read from their beginning.
    """

    name = 'dump'
    goes_on_at_end = False

    def __init__(
        self,
        paths: collections.abc.Sequence[str],
        *,
        subreddit: str,
        rules: collect_rules.Rules,
        sort: str,
        limit: int,
        knows: collections.abc.Callable[[str], bool],
    ) -> None:
        self._subreddit = subreddit.lower()
        self._needle = self._subreddit.encode()
        self._rules = rules
        self._sort, self._limit = sort, limit
        self._knows = knows
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
            raise config.InputError(
                f'no file of {" and none of ".join(missing)} is in --input='
                f'{", ".join(paths)}; a dump is two files, one of posts (RS_… or '
                '…_submissions) and one of comments (RC_… or …_comments).'
            )
        self._best: dict[str, list[reddit_shapes.Comment]] = {}

    def posts(
        self, position: None
    ) -> collections.abc.Iterator[tuple[reddit_shapes.Post, None]]:
        """(post, None) of each post of the subreddit that is not known.

        Raises:
          InputError: a file is damaged.
        """
        del position
        askers, ranks = self._wanted()
        parents = self._read_comments(askers)
        chosen = self._chosen(ranks)
        seen = set()
        for post in self._read_posts():
            if post.id in seen:
                self.counts['posts listed twice'] += 1
                continue
            seen.add(post.id)
            if chosen is not None and post.id in self._best and post.id not in chosen:
                continue
            if best := self._best.get(post.id):
                self._best[post.id] = [
                    _with_depth(comment, parents) for comment in best
                ]
            yield post, None
            self._best.pop(post.id, None)

    def comments(self, post: reddit_shapes.Post) -> list[reddit_shapes.Comment]:
        """The best comments of a post that `posts` gave last."""
        return self._best.get(post.id, [])

    def _wanted(self) -> tuple[dict[str, str], dict[str, int]]:
        """Who asked and how it ranks, of each post that is neither known nor out."""
        askers, ranks = {}, {}
        for post in self._read_posts(counted=False):
            if self._knows(post.id) or collect_rules.why_not_post(post, self._rules):
                continue
            askers[post.id] = post.author
            ranks[post.id] = getattr(post, _RANKS.get(self._sort, 'score'))
        LOG.info('%d posts are wanted', len(askers))
        return askers, ranks

    def _read_comments(self, askers: dict[str, str]) -> dict[str, str]:
        """Fills `_best`; returns the parent's name of each comment of wanted posts."""
        most = self._rules.max_answers_per_post
        parents: dict[str, str] = {}
        for values in self._objects(self._comments):
            post_id = reddit_shapes.bare_id(values.get('link_id'))
            if post_id not in askers:
                continue
            try:
                comment = reddit_shapes.comment(values, depth=-1)
            except ValueError:
                self.counts['malformed comments'] += 1
                continue
            if comment.id in parents:
                self.counts['comments listed twice'] += 1
                continue
            parents[comment.id] = comment.parent_id
            reason = collect_rules.why_not_comment(
                comment, self._rules, asker=askers[post_id]
            )
            if reason:
                self.passed_over[reason] += 1
                continue
            best = self._best.setdefault(post_id, [])
            best.append(comment)
            if most and len(best) > most:
                best.sort(key=_rank)
                best.pop()
        return parents

    def _chosen(self, ranks: dict[str, int]) -> set[str] | None:
        """The posts to give, None for all: those of highest rank that have answers."""
        if self._sort == 'old' or not self._limit:
            return None
        answered = sorted(
            (post_id for post_id in ranks if post_id in self._best),
            key=lambda post_id: (-ranks[post_id], post_id),
        )
        return set(answered[: self._limit])

    def _read_posts(
        self, *, counted: bool = True
    ) -> collections.abc.Iterator[reddit_shapes.Post]:
        for values in self._objects(self._posts, counted=counted):
            try:
                yield reddit_shapes.post(values)
            except ValueError:
                self.counts['malformed posts'] += counted

    def _objects(
        self, paths: list[str], *, counted: bool = True
    ) -> collections.abc.Iterator[dict[str, Any]]:
        """The subreddit's objects, in the files' order."""
        for path in paths:
            for line in dump_files.lines(path):
                # Most lines of a month of all Reddit are dropped here, unparsed.
                if self._needle not in line.lower():
                    continue
                try:
                    values = json.loads(line)
                except ValueError:
                    self.counts['lines that are no JSON'] += counted
                    continue
                if (
                    isinstance(values, dict)
                    and str(values.get('subreddit')).lower() == self._subreddit
                ):
                    yield values


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
    raise config.InputError(
        f'{path} begins with neither a post (an object with a title) nor a comment '
        '(one with a link_id); give dumps of Arctic Shift or Pushshift.'
    )


def _rank(comment: reddit_shapes.Comment) -> tuple[int, int, str]:
    return -comment.score, comment.created_utc, comment.id


def _with_depth(
    comment: reddit_shapes.Comment, parents: dict[str, str]
) -> reddit_shapes.Comment:
    """The comment with its depth, -1 where a comment above it is not in the files."""
    depth, parent, climbed = 0, comment.parent_id, {comment.id}
    while not parent.startswith('t3_'):
        above = reddit_shapes.bare_id(parent)
        if above not in parents or above in climbed:
            depth = -1
            break
        climbed.add(above)
        depth += 1
        parent = parents[above]
    return dataclasses.replace(comment, depth=depth)
