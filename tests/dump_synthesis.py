"""Synthetic dumps: posts and comments as Arctic Shift writes them, with made-up text.

A month of a subreddit: posts in the order of time, comments too, so that a post's
comments lie among those of the posts around it. Objects have the fields that nobody
reads as well, and about the sizes of real ones: 2 KB a comment, 3 KB and a text a post.
"""

import collections
import collections.abc
import json
import pathlib
import random
from typing import Any

import zstandard

COMMENTS_PER_POST = 24
# Of these posts, the latest, each comment takes one: so far do they mingle.
_OPEN_POSTS = 400
_BEGIN = 1_640_995_200  # 2022-01-01
_WORDS = [
    *('I', 'you', 'he', 'she', 'they', 'told', 'asked', 'wanted', 'never', 'always'),
    *('just', 'really', 'honestly', 'maybe', 'partner', 'husband', 'wife', 'mother'),
    *('sister', 'friend', 'family', 'house', 'job', 'money', 'years', 'months', 'talk'),
    *('listen', 'leave', 'stay', 'trust', 'respect', 'boundary', 'therapy', 'feel'),
    *('think', 'know', 'need', 'should', 'would', 'about', 'with', 'without', 'after'),
    *('because', 'and', 'but', 'so', 'if', 'when', 'the', 'a', 'this', 'that', 'my'),
    *('your', 'not', 'more', 'less', 'again', 'still', 'happy', 'angry', 'tired'),
    *('alone', 'wrong', 'right', 'better', 'worse', 'phone', 'night', 'week', "don't"),
    *("can't", "it's", 'that\u2019s', 'caf\u00e9', '\U0001f494', '"fine"'),
]
_BOTS = ('AutoModerator', 'HelpfulBot', 'haiku-detector', 'RemindMeBot')

# What real objects have beside what is collected (names of 2022).
_COMMON: dict[str, Any] = {
    'all_awardings': [],
    'approved_at_utc': None,
    'approved_by': None,
    'archived': False,
    'author_flair_background_color': None,
    'author_flair_css_class': None,
    'author_flair_richtext': [],
    'author_flair_template_id': None,
    'author_flair_text': None,
    'author_flair_text_color': None,
    'author_flair_type': 'text',
    'author_is_blocked': False,
    'author_patreon_flair': False,
    'author_premium': False,
    'banned_at_utc': None,
    'banned_by': None,
    'can_gild': True,
    'distinguished': None,
    'edited': False,
    'gilded': 0,
    'gildings': {},
    'likes': None,
    'locked': False,
    'mod_note': None,
    'mod_reason_by': None,
    'mod_reason_title': None,
    'mod_reports': [],
    'no_follow': True,
    'num_reports': None,
    'removal_reason': None,
    'report_reasons': None,
    'retrieved_on': 1_643_700_000,
    'saved': False,
    'send_replies': True,
    'stickied': False,
    'subreddit_id': 't5_2qh1i',
    'subreddit_type': 'public',
    'top_awarded_type': None,
    'total_awards_received': 0,
    'treatment_tags': [],
    'updated_on': 1_643_800_000,
    'user_reports': [],
}
_OF_COMMENTS: dict[str, Any] = {
    'associated_award': None,
    'collapsed': False,
    'collapsed_because_crowd_control': None,
    'collapsed_reason': None,
    'collapsed_reason_code': None,
    'comment_type': None,
    'controversiality': 0,
    'is_submitter': False,
    'replies': '',
    'score_hidden': False,
    'unrepliable_reason': None,
}
_OF_POSTS: dict[str, Any] = {
    'allow_live_comments': False,
    'category': None,
    'clicked': False,
    'content_categories': None,
    'contest_mode': False,
    'domain': 'self.Advice',
    'hidden': False,
    'hide_score': False,
    'is_crosspostable': True,
    'is_original_content': False,
    'is_reddit_media_domain': False,
    'is_robot_indexable': True,
    'is_self': True,
    'is_video': False,
    'link_flair_background_color': '#ffd635',
    'link_flair_css_class': '',
    'link_flair_richtext': [{'e': 'text', 't': 'Advice'}],
    'link_flair_template_id': '5c30ea00-54e1-11e5-ac2a-0e6ee8d6d6a5',
    'link_flair_text_color': 'dark',
    'link_flair_type': 'richtext',
    'media': None,
    'media_embed': {},
    'media_only': False,
    'over_18': False,
    'parent_whitelist_status': 'all_ads',
    'pinned': False,
    'post_hint': None,
    'pwls': 6,
    'quarantine': False,
    'secure_media': None,
    'secure_media_embed': {},
    'spoiler': False,
    'subreddit_subscribers': 3_811_204,
    'suggested_sort': None,
    'thumbnail': 'self',
    'upvote_ratio': 0.87,
    'view_count': None,
    'visited': False,
    'whitelist_status': 'all_ads',
    'wls': 6,
}


class Dump:
    """Posts of one subreddit and their comments, in turns; a seed gives them again."""

    def __init__(self, *, seed: int, subreddit: str, others: float = 0.0) -> None:
        """`others` is the share of objects that are of another subreddit."""
        self._random = random.Random(seed)
        self._subreddit, self._others = subreddit, others
        self._sentences = [
            ' '.join(self._random.choices(_WORDS, k=self._random.randint(5, 22)))
            + self._random.choice(['. ', '. ', '? ', '!\n\n'])
            for _ in range(20_000)
        ]
        self._names = [
            f'{self._random.choice(_WORDS[:40])}_{self._random.randrange(10**6)}'
            for _ in range(50_000)
        ]
        self._names += _BOTS * 200
        self._open: collections.deque[tuple[str, list[str]]] = collections.deque(
            maxlen=_OPEN_POSTS
        )
        self._count = 0
        # Made once: to dump 60 fields that never change takes most of the time.
        self._post_rest = _rest(_COMMON | _OF_POSTS)
        self._comment_rest = _rest(_COMMON | _OF_COMMENTS)

    def turn(self) -> tuple[bytes, list[bytes]]:
        """The next post, and as many comments as a post has, of the open posts."""
        draw = self._random
        self._count += 1
        name = _base36(17 * 36**5 + self._count * 37)
        mine = draw.random() >= self._others
        post = self._post(name, mine)
        if mine or not self._open:
            self._open.append((name, []))
        comments = []
        for i in range(COMMENTS_PER_POST):
            mine = draw.random() >= self._others
            comment_id = _base36(30 * 36**5 + self._count * 100 + i)
            post_name, there = draw.choice(self._open)
            parent = f't3_{post_name}'
            if mine and there and draw.random() < 0.6:
                parent = f't1_{draw.choice(there)}'
            if mine:
                there.append(comment_id)
            else:
                post_name = _base36(60 * 36**5 + self._count)
                parent = f't3_{post_name}'
            comments.append(self._comment(comment_id, post_name, parent, mine))
        return post, comments

    def _text(self, most: int) -> str:
        length = min(most, 1 + int(self._random.expovariate(4 / most)))
        return ''.join(self._random.choices(self._sentences, k=length)).strip()

    def _common(self, name: str, mine: bool) -> dict[str, Any]:
        draw = self._random
        where = self._subreddit if mine else f'sub{draw.randrange(5_000)}'
        score = int(draw.paretovariate(0.6)) % 9_000 - draw.randrange(3)
        return {
            'id': name,
            'name': name,
            'author': draw.choice(self._names),
            'author_fullname': f't2_{_base36(draw.randrange(36**5))}',
            'created_utc': _BEGIN + self._count * 40 + draw.randrange(40),
            'score': score,
            'ups': score,
            'downs': 0,
            'subreddit': where,
            'subreddit_name_prefixed': f'r/{where}',
        }

    def _post(self, name: str, mine: bool) -> bytes:
        draw = self._random
        values = self._common(name, mine)
        title = ' '.join(draw.choices(_WORDS, k=draw.randint(4, 18)))
        values |= {
            'title': title,
            'selftext': self._text(60),
            'link_flair_text': draw.choice(['Advice', 'Rant', None]),
            'num_comments': draw.randrange(2 * COMMENTS_PER_POST),
            'permalink': f'/r/{values["subreddit"]}/comments/{name}/made_up/',
            'url': f'https://www.reddit.com/r/x/comments/{name}/made_up/',
        }
        if draw.random() < 0.15:
            values |= {'selftext': '[removed]', 'removed_by_category': 'moderator'}
        return _line(values, self._post_rest)

    def _comment(self, name: str, post: str, parent: str, mine: bool) -> bytes:
        draw = self._random
        values = self._common(name, mine)
        values |= {
            'body': self._text(16),
            'link_id': f't3_{post}',
            'parent_id': parent,
            'permalink': f'/r/{values["subreddit"]}/comments/{post}/made_up/{name}/',
        }
        chance = draw.random()
        if chance < 0.06:
            values |= {'body': '[deleted]', 'author': '[deleted]'}
        elif chance < 0.1:
            values |= {'body': '[removed]', '_meta': {'removal_type': 'removed'}}
        return _line(values, self._comment_rest)


def write(
    folder: pathlib.Path,
    num_bytes: int,
    *,
    suffix: str,
    seed: int = 0,
    subreddit: str = 'Advice',
    others: float = 0.0,
) -> tuple[list[pathlib.Path], int]:
    """Writes RS and RC with `num_bytes` of JSON together; returns them, and how many.

    `suffix` is '.jsonl', or '.zst': one frame each, whose window is of 2 GiB.
    """
    paths = [folder / f'{name}_2022-01{suffix}' for name in ('RS', 'RC')]
    dump = Dump(seed=seed, subreddit=subreddit, others=others)
    size = 0
    with open(paths[0], 'wb') as posts, open(paths[1], 'wb') as comments:
        writers: list[Any] = [posts, comments]
        if suffix == '.zst':
            writers = [_long_window().stream_writer(file) for file in writers]
        while size < num_bytes:
            post, below = dump.turn()
            for writer, text in zip(writers, (post, b''.join(below)), strict=True):
                writer.write(text)
                size += len(text)
        if suffix == '.zst':
            for writer in writers:
                writer.flush(zstandard.FLUSH_FRAME)
    return paths, size


def _long_window() -> zstandard.ZstdCompressor:
    return zstandard.ZstdCompressor(
        compression_params=zstandard.ZstdCompressionParameters.from_level(
            1, window_log=31, enable_ldm=True
        )
    )


def _rest(values: dict[str, Any]) -> str:
    return ',' + json.dumps(values, separators=(',', ':'))[1:] + '\n'


def _line(values: dict[str, Any], rest: str) -> bytes:
    text = json.dumps(values, ensure_ascii=False, separators=(',', ':'))
    return (text[:-1] + rest).encode()


def _base36(number: int) -> str:
    digits = ''
    while number:
        number, rest = divmod(number, 36)
        digits = '0123456789abcdefghijklmnopqrstuvwxyz'[rest] + digits
    return digits or '0'
