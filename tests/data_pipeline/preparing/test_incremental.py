"""Builds on the results of others, in a row, against builds of everything."""

import dataclasses
import json
import pathlib
import random

import pytest

from data_pipeline import build, build_steps, settings
from hax_jax import digests

FEW = 'they we you asked told gave called about after with the a old new my his her'
MANY = 'friend sister mother house wedding letter money dinner promise answer work'
HELPLINE = (
    'If you or somebody near you is in danger, call the free line of your country at '
    'any hour of the day or the night.'
)
ANSWER = (
    'A ladder is no present, and a neighbour is no bank. Your brother knows both of '
    'these things, since he counts his own spoons after each dinner of the family. '
    'Tell your brother what the ladder cost, and mean it.'
)
ASKED = (
    'My brother borrowed our ladder in May, lent it to a neighbour in June, and says '
    'that he never had one. How do I get it back without a quarrel at the wedding?'
)


class Corpus:
    """A folder of inputs, and builds of it with and without what is kept."""

    def __init__(
        self, folder: pathlib.Path, chosen: settings.Settings, **options: object
    ) -> None:
        self.raw, self.cache = folder / 'raw', folder / 'cache'
        self.raw.mkdir()
        self._data = folder / 'data'
        self._chosen, self._options = chosen, options

    def write(self, name: str, *rows: dict[str, object]) -> None:
        lines = ''.join(f'{json.dumps(row)}\n' for row in rows)
        (self.raw / f'{name}.jsonl').write_text(lines)

    def built(self, cache: pathlib.Path | None) -> dict[str, str]:
        options = build_steps.Options(
            cache=cache, num_workers=1, overwrite=True, **self._options
        )
        build.build(
            [f'{self.raw}/*.jsonl'],
            output=self._data,
            validation_share=0.2,
            test_share=0.1,
            chosen=self._chosen,
            options=options,
        )
        return digests.of_folder(self._data)

    def check(self) -> dict[str, str]:
        """Why each pair was dropped, by its id, of both builds."""
        assert self.built(self.cache) == self.built(None)
        lines = (self._data / 'dropped.jsonl').read_text().splitlines()
        return {row['id']: row['reason'] for row in map(json.loads, lines)}


LOOSE = settings.Settings(split=settings.SplitSettings(max_shared_ngrams=1.0))


def told(
    words: list[str], start: int, answer: int | None = None, **more: object
) -> dict[str, object]:
    """Texts of sixty words; near those that start a few words from them."""
    question = ' '.join(words[start : start + 60])
    at = start if answer is None else answer
    return {'question': f'{question}?', 'answer': ' '.join(words[at : at + 60]), **more}


@pytest.mark.parametrize(
    'kind', ['pairs', 'standing lines are cut', 'weights', 'preferences']
)
def test_any_additions_give_the_bytes_of_a_whole_build(
    tmp_path: pathlib.Path, kind: str
) -> None:
    chance = random.Random(kind)
    words = [chance.choice(FEW.split() + MANY.split()) for _ in range(6_000)]
    chosen = LOOSE
    if kind == 'standing lines are cut':
        clean = settings.CleanSettings(cut_standing=True)
        chosen = dataclasses.replace(LOOSE, clean=clean)
    if kind == 'weights':
        mix = settings.MixSettings(caps=('pairs=40',), weights=('pairs=1.5',))
        chosen = dataclasses.replace(LOOSE, mix=mix)
    corpus = Corpus(tmp_path, chosen, preferences=kind == 'preferences')
    starts = [100 * number for number in range(40)]
    corpus.write('old', *(told(words, start) for start in starts))

    def row() -> dict[str, object]:
        """A new pair, or one that is like an old one in some way."""
        start = chance.choice(starts)
        score = chance.randrange(9)
        shape = chance.randrange(8)
        if shape == 0:  # the same, and it may win
            return told(words, start, score=score)
        if shape == 1:  # near
            return told(words, start + chance.randrange(1, 12), score=score)
        if shape == 2:  # near two that are not near each other, or joins their stories
            return told(words, start + 50, score=score)
        if shape == 3:  # an old question with another answer
            return told(words, start, chance.choice(starts), score=score)
        if shape == 4:  # more behind an answer
            made = told(words, start, score=score)
            ends = ['1125', 'Then call her at once. She waits.', 'Why does she wave?']
            return made | {'answer': f'{made["answer"]}.\n{chance.choice(ends)}'}
        if shape == 5:  # a topic that such an answer may end in
            made = told(words, chance.randrange(4_000, 5_900))
            return made | {'topic': 'Why does she wave?'}
        made = told(words, chance.randrange(4_000, 5_900), score=score)
        if shape == 6:  # a passage that becomes common
            made |= {'answer': f'{made["answer"]}.\n\n{HELPLINE}'}
        return made

    for step in range(5):
        corpus.check()
        names = sorted(path.stem for path in corpus.raw.glob('*.jsonl'))
        happens = chance.randrange(5)
        if happens == 0 and len(names) > 2:
            (corpus.raw / f'{chance.choice(names[:-1])}.jsonl').unlink()
            if not (corpus.raw / 'old.jsonl').exists():
                corpus.write('old', *(told(words, start) for start in starts[::2]))
        elif happens == 1:
            path = corpus.raw / f'{chance.choice(names)}.jsonl'
            path.write_text(path.read_text().replace(chance.choice(words), 'cousin', 9))
        else:
            rows = [row() for _ in range(chance.randrange(1, 9))]
            # In the middle of the others, or behind them.
            corpus.write(f'{chance.choice("az")}{step}', *rows)
    corpus.check()


def test_a_topic_of_a_new_pair_changes_what_is_known_of_old_copies(
    tmp_path: pathlib.Path,
) -> None:
    corpus = Corpus(tmp_path, LOOSE)
    chance = random.Random(0)
    words = [chance.choice(FEW.split() + MANY.split()) for _ in range(3_000)]
    corpus.write('old', *(told(words, 100 * number) for number in range(20)))
    both = [{'question': ASKED, 'answer': ANSWER, 'score': 1}]
    both.append(both[0] | {'answer': f'{ANSWER}\nWhy does she wave?', 'score': 9})
    corpus.write('both', *both)

    def reasons() -> list[str]:
        return list(corpus.check().values())

    assert reasons() == ['near duplicate cut short']
    corpus.write('other', told(words, 2_500, topic='Who sings?'))
    assert reasons() == ['near duplicate cut short']
    corpus.write('topic', told(words, 2_700, topic='Why does she wave?'))
    assert reasons() == ['near duplicate with residue']
    (corpus.raw / 'topic.jsonl').unlink()
    assert reasons() == ['near duplicate cut short']


def test_files_of_another_folder_leave_what_is_kept_of_the_first(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chance = random.Random(0)
    words = [chance.choice(FEW.split() + MANY.split()) for _ in range(400)]
    first, second = tmp_path / 'one' / 'corpus', tmp_path / 'two'
    for folder, name, start in (
        (first / 'a', 'spring', 0),
        (first / 'b', 'summer', 60),
        (second, 'spring', 120),
    ):
        folder.mkdir(parents=True)
        row = json.dumps(told(words, start))
        (folder / f'{name}.jsonl').write_text(f'{row}\n')
    files, names = [], []
    for folder in (first / 'a', first / 'b', second):
        files.append(f'{folder}/*.jsonl')
        if len(files) > 1:
            manifest = build.build(
                files,
                output=tmp_path / 'data',
                validation_share=0.4,
                test_share=0.0,
                chosen=LOOSE,
                options=build_steps.Options(cache=tmp_path / 'cache', overwrite=True),
            )
            names.append([source['file'] for source in manifest['sources']])
    assert names == [
        ['spring.jsonl', 'summer.jsonl'],
        ['spring.jsonl', 'summer.jsonl', 'two/spring.jsonl'],
    ]
    assert '2 of 3 batches were prepared by an earlier build' in capsys.readouterr().out


@pytest.mark.parametrize('stop', [1, 2])
def test_a_build_that_is_killed_leaves_what_the_next_one_can_use(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    corpus = Corpus(tmp_path, LOOSE)
    chance = random.Random(0)
    words = [chance.choice(FEW.split() + MANY.split()) for _ in range(3_000)]
    corpus.write('old', *(told(words, 100 * number) for number in range(20)))
    corpus.write('more', told(words, 105), told(words, 507), told(words, 600))
    replace, kinds = pathlib.Path.replace, []

    def killed(self: pathlib.Path, target: pathlib.Path) -> None:
        if corpus.cache in target.parents and target.suffix != '.model':
            kinds.append(target.suffix)
            if len(kinds) == stop:
                raise KeyboardInterrupt
        replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(pathlib.Path, 'replace', killed)
        with pytest.raises(KeyboardInterrupt):
            corpus.built(corpus.cache)
    assert kinds == ['.batch'] * stop
    assert len(list(corpus.cache.glob('*/*.batch'))) == stop - 1
    corpus.check()
    corpus.check()
