"""A corpus of a forum and of live chats that never were, of any size.

Words are drawn by Zipf's law from small lists and from names made of syllables, so that
hardly eight words in a row are the same in two texts. As in a forum's dump, some texts
have links, Markdown, entities, curly quotes, mojibake, addresses and telephone numbers;
one thread in ten is posted again as it was, one in ten with a few words changed.
"""

import csv
import itertools
import pathlib
import random
from collections.abc import Iterator

from data_pipeline.rows import raw_thread

_COMMON = (
    'the and to I my of that it is in he she her a was for not with me have be this '
    'but you so they we as on had his do at just if about what because when would '
    'from or like who an been all there know want them out get one has can time more '
    'up how really are by will never think then your him could some other even after '
    'don’t didn’t I’m it’s she’s he’s said feel did tell always going than only make '
    'which their over back now told should being much still into people why way ask'
)
_STEMS = (
    'friend famil neighbor cook paint borrow kitchen wedding train work talk answer '
    'garden letter sister brother mother father cousin dinner holiday visit listen '
    'explain parent boundar apolog conver relation decid manag support trust money '
    'house party weekend birthday travel doctor school teach office call plan worr '
    'friendly invit respect guest child marri divorc propos argu laugh hurt help kind '
    'silen promis break clean move phone messag photo secret honest lonel anxi angr'
)
_ENDINGS = ('s', 'ed', 'ing', 'er', 'ly', 'ness', 'e', 'ies', 'ful', 'ation', 'able')
_SYLLABLES = 'ka ro lin mar del sa ti bo ren va lo mi den har wil ste fan gre'
_NAMES = [
    ''.join(parts).capitalize()
    for parts in itertools.product(_SYLLABLES.split(), repeat=3)
]
_WORDS = [
    *_COMMON.split(),
    *(stem + end for end in _ENDINGS for stem in _STEMS.split()),
    *_NAMES,
]
_WEIGHTS = list(itertools.accumulate(1 / (rank + 3) for rank in range(len(_WORDS))))
_EXTRAS = (
    '**Please** be *kind* to her.',
    'See [the list](https://example.com/a_list?x=1&amp;y=2) of all of it.',
    'It is at https://www.example.org/pages/{n} if you want to read it.',
    'Write to someone.{n}@example.com or call 212-555-01{n:02}.',
    'As u/someone_{n} said, he wouldn&#39;t &amp; she couldn&#x2019;t.',
    '> That is what they said\n\nand I do not believe it.',
    '* first of all\n* and then\n* and last',
    'I donâ€™t know, and it isnâ€™t as if she’d tell me.',
    'There were 12 of us, then 7,500 people; it cost $1,200.50 in 2019-2021.',
)


_OFTEN = (6, 4, 3, 1, 2, 5, 4, 2, 2)  # each extra, relative to the others


class Corpus:
    """Writes the files of a corpus of about `size` bytes into a folder."""

    def __init__(self, folder: pathlib.Path, size: int, *, seed: int = 0) -> None:
        self._folder, self._size = folder, size
        self._rng = random.Random(seed)

    def write(self) -> list[str]:
        """Makes all files; returns the --input patterns that read them."""
        for part in ('chats', 'reddit'):
            (self._folder / part).mkdir(parents=True)
        path = self._folder / 'threads.jsonl'
        with open(path, 'w', encoding='utf-8') as file:
            written = 0
            for thread in self._threads():
                written += file.write(raw_thread.to_line(thread) + '\n')
                if written > 0.65 * self._size:
                    break
        self._pages('chats', 0.12, 40_000, self._chat)
        self._pages('reddit', 0.13, 400_000, self._reddit)
        with open(self._folder / 'pairs.csv', 'w', encoding='utf-8') as file:
            rows = csv.writer(file)
            rows.writerow(['question', 'answer'])
            written = 0
            while written < 0.1 * self._size:
                row = [f'<p>{self._text(30, 150)}</p>', f'{self._text(20, 200)}<br/>']
                rows.writerow(row)
                written += sum(map(len, row))
        names = ('threads.jsonl', 'chats/*.md', 'reddit/*.md', 'pairs.csv')
        return [f'{self._folder}/{name}' for name in names]

    def _pages(self, kind: str, share: float, page_size: int, make) -> None:  # noqa: ANN001
        written = 0
        for number in itertools.count():
            if written > share * self._size:
                return
            parts, length = [], 0
            while length < page_size:
                parts.append(make(f'{number}x{len(parts)}'))
                length += len(parts[-1])
            path = self._folder / kind / f'{kind}_{number:05}.md'
            written += path.write_text(''.join(parts), encoding='utf-8')

    def _threads(self) -> Iterator[raw_thread.RawThread]:
        rng, title, body, answers = self._rng, '', '', []
        for i in itertools.count():
            again = rng.random() if i else 1.0
            if again >= 0.2:
                title = f'{self._sentence(6, 14)[:-1]}?'
                body = self._text(20, 450)
                answers = [self._text(8, 350) for _ in range(rng.choice((1, 1, 2, 4)))]
            elif again >= 0.1:
                body, answers = self._nearly(body), [*map(self._nearly, answers)]
            yield raw_thread.RawThread(
                id=f'p{i}',
                source='made up',
                subreddit=f'advice{i % 7}',
                title=title,
                body=body,
                flair='Family' if i % 3 else '',
                score=i % 50,
                num_comments=len(answers),
                created_utc=1_700_000_000 + i,
                url=f'https://www.reddit.com/r/advice{i % 7}/comments/p{i}/',
                answers=tuple(
                    raw_thread.RawAnswer(f'c{i}x{j}', text, 9 - j, 0, 0)
                    for j, text in enumerate(answers)
                ),
            )

    def _chat(self, name: str) -> str:
        minute = int(name.partition('x')[2]) % 60
        return (
            f'{self._sentence(2, 5)[:-1]}\n'
            f'Guest Apr 4, 12:{minute:02} p.m.\n'
            f'QUESTION: {self._text(20, 200)}\n'
            'avatar\nMarian Vale\nAdvice Columnist\n'
            f'ANSWER: {self._text(20, 200)}\n'
            'Post has 0 replies and 95 Likes\n95Press Enter to expand\n'
        )

    def _reddit(self, name: str) -> str:
        bar = '=' * 80
        return (
            f'{bar}\n# Reddit Post 1\n# Score: 12 | Date: 2025-03-01\n'
            f'# URL: https://www.reddit.com/r/relationships/comments/r{name}/title/\n'
            f'{bar}\n\nQUESTION: {self._sentence(6, 14)[:-1]}?\n\n'
            f'{self._text(30, 400)}\n\nANSWER: {self._text(20, 300)}\n\n'
        )

    def _text(self, least: int, most: int) -> str:
        """Paragraphs of `least` to `most` words in all."""
        left, parts = self._rng.randint(least, most), []
        while left > 0:
            count = min(left, self._rng.randint(4, 25))
            parts.append(self._sentence(count, count))
            left -= count
            if self._rng.random() < 0.03:
                (extra,) = self._rng.choices(_EXTRAS, _OFTEN)
                parts += [' ', extra.format(n=self._rng.randint(0, 99))]
            parts.append('\n\n' if self._rng.random() < 0.2 else ' ')
        return ''.join(parts[:-1]).strip()

    def _sentence(self, least: int, most: int) -> str:
        count = self._rng.randint(least, most)
        words = self._rng.choices(_WORDS, cum_weights=_WEIGHTS, k=count)
        text = ' '.join(words)
        if count > 12:
            text = text.replace(' and ', ', and ', 1)
        return f'{text[0].upper()}{text[1:]}.'

    def _nearly(self, text: str) -> str:
        """The text with one word in sixty left out."""
        words = text.split(' ')
        del words[self._rng.randrange(60) :: 60]
        return ' '.join(words) or text
