"""Threads of a forum that never was: as many as are asked for, no two alike.

Sentences are drawn from a small grammar, so that a model can learn their words and
their order, and share few runs of eight words.
"""

import random
import re
from collections.abc import Iterator
from typing import Any

import reddit_objects

from data_pipeline.rows import raw_thread

_WORDS = {
    'people': 'sisters brothers cousins neighbors bosses mothers uncles friends aunts',
    'kind': 'older younger former distant busy loud quiet kind stubborn lonely polite',
    'do': 'borrow hide break paint sell return forget guard lend move wash fix drop',
    'look': 'red old heavy broken tiny spare wooden dusty painted cheap folding rusty',
    'things': 'ladders kettles bicycles lamps tents guitars drills blankets mirrors',
    'places': 'garages kitchens gardens offices attics hallways barns sheds cellars',
    'times': 'weeks mornings evenings months weekends holidays nights winters visits',
    'ask': 'talk listen write call wait explain apologize smile leave answer argue',
    'how': 'calmly kindly firmly slowly plainly twice today soon alone first often',
}
# Few words stand fast, so that two texts hardly share eight words in a row.
_EVENT = '{kind} {people} {do} {look} {things} {how} near {look} {places}.'
_ADVICE = '{ask} {how} before {kind} {times}, {ask} about {look} {things} {how}.'


def _sentence(rng: random.Random, form: str) -> str:
    drawn = re.sub(r'{(\w+)}', lambda slot: rng.choice(_WORDS[slot[1]].split()), form)
    return drawn.capitalize()


def _text(rng: random.Random, form: str, least: int, most: int) -> str:
    return ' '.join(_sentence(rng, form) for _ in range(rng.randint(least, most)))


def make(
    number: int, *, seed: int = 0
) -> tuple[list[dict[str, Any]], dict[str, list[dict[str, Any]]]]:
    """`number` posts, and the comment tree of each by its id.

    Of every 20 posts one is removed, one has a poor score, one has none but a bot's
    comment; in every tenth the best comment stands below another.
    """
    rng = random.Random(seed)
    posts, trees = [], {}
    for i in range(number):
        title = f'Why do {_sentence(rng, _EVENT)[:-1].lower()}?'
        fields = {'title': title, 'selftext': _text(rng, _EVENT, 2, 8)}
        if i % 20 == 3:
            fields = {'title': title, 'selftext': '[removed]', 'author': '[deleted]'}
        if i % 20 == 7:
            fields['score'] = 2
        posts.append(reddit_objects.post(i, **fields))
        best = reddit_objects.comment(
            i, f'b{i}', body=_text(rng, _ADVICE, 3, 9), score=50
        )
        other = reddit_objects.comment(
            i, f'c{i}', body=_text(rng, _ADVICE, 2, 4), score=7
        )
        if i % 20 == 11:
            tree = [reddit_objects.node({**best, 'author': 'AutoModerator'})]
        elif i % 10 == 5:
            below = {**best, 'parent_id': f't1_c{i}'}
            tree = [reddit_objects.node(other, reddit_objects.node(below))]
        else:
            tree = [reddit_objects.node(other), reddit_objects.node(best)]
        trees[posts[-1]['id']] = tree
    return posts, trees


def raw(number: int, *, seed: int = 0) -> Iterator[raw_thread.RawThread]:
    """As many threads as a collector writes them; each tenth asks as the one before."""
    rng = random.Random(seed)
    asked = ''
    for i in range(number):
        if i % 10 != 9:
            asked = _text(rng, _EVENT, 3, 9)
        answer = raw_thread.RawAnswer(f'c{i}', _text(rng, _ADVICE, 3, 9), 7, 0, 0)
        yield raw_thread.RawThread(
            id=f'p{i}',
            source='made up',
            subreddit=f'advice{i % 3}',
            title=f'Why do {_sentence(rng, _EVENT)[:-1].lower()}?',
            body=asked,
            flair='',
            score=i % 50,
            num_comments=1,
            created_utc=1_700_000_000 + i,
            url=f'https://www.reddit.com/r/advice{i % 3}/comments/p{i}/',
            answers=(answer,),
        )
