"""Conversations through a whole build, out as chat messages and in again."""

import dataclasses
import json
import pathlib

import pytest

from data_pipeline import build, build_steps, dataset
from data_pipeline.pair_stages import cleaning, personal_data, quality, stages
from data_pipeline.settings import CleanSettings, PersonalDataSettings, QualitySettings
from data_pipeline.writing import tfds_files
from hax_jax.data import records

NOUNS = ['lamp', 'boat', 'drum', 'fence', 'candle', 'orchard', 'violin', 'ladder']


def row(number: int) -> dict[str, object]:
    """Row 0 has one exchange, 1 two, 2 three, whose first answer is not learned."""
    messages = [{'role': 'system', 'content': 'Be kind.'}]
    for turn in range(number % 3 + 1):
        noun = NOUNS[(number * 3 + turn) % len(NOUNS)]
        messages += [
            {'role': 'user', 'content': f'Who took {noun} {number}.{turn} away?'},
            {'role': 'assistant', 'content': f'Ask about {noun} {number}.{turn} once.'},
        ]
    if number % 3 == 2:
        messages[2]['weight'] = 0
    return {'messages': messages}


def pair(number: int, *turns: tuple[str, str, float]) -> records.QaPair:
    made = records.QaPair(
        f'p{number}', f'p{number}', 'chat', 'a.md', number, '', '', '', ''
    )
    return made.with_exchanges([records.Exchange(*turn) for turn in turns])


def turns_of(each: records.QaPair) -> list[tuple[str, str, float]]:
    return [dataclasses.astuple(turn) for turn in each.exchanges]


@pytest.fixture(scope='module')
def built(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    root = tmp_path_factory.mktemp('conversations')
    lines = [json.dumps(row(number)) + '\n' for number in range(60)]
    (root / 'talks.jsonl').write_text(''.join(lines))
    for number in (1, 2):
        options = build_steps.Options(chat=True, num_workers=number)
        output = root / f'workers_{number}'
        build.build([str(root / 'talks.jsonl')], output=output, options=options)
    return root


def test_a_dataset_holds_all_turns_with_any_number_of_workers(
    built: pathlib.Path,
) -> None:
    one, two = built / 'workers_1', built / 'workers_2'
    for name in ('manifest.json', 'ledger.json', 'report.html', 'chat/train.jsonl'):
        assert (one / name).read_bytes() == (two / name).read_bytes()
    found = [p for split in records.SPLITS for p in dataset.read_pairs(one, split)]
    assert len(found) == 60
    for each in found:
        messages = row(each.line - 1)['messages'][1:]
        expected = [
            (asked['content'], said['content'], float(said.get('weight', 1)))
            for asked, said in zip(messages[::2], messages[1::2], strict=True)
        ]
        assert turns_of(each) == expected
    assert 'Who took' in (one / 'report.html').read_text()


def test_plain_tfds_reads_the_turns(built: pathlib.Path) -> None:
    import tensorflow_datasets as tfds

    folder = built / 'workers_1' / tfds_files.FOLDER
    examples = tfds.as_numpy(tfds.builder_from_directory(folder).as_dataset('train'))
    pairs = dataset.read_pairs(built / 'workers_1', 'train')
    for example, each in zip(examples, pairs, strict=True):
        assert [text.decode() for text in example['more']] == list(each.more)
        weights = [float(text) for text in example['answer_weights']]
        assert weights == list(each.answer_weights)


def test_chat_messages_come_back_as_the_same_conversations(
    built: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    written = [str(built / 'workers_1' / 'chat' / '*.jsonl')]
    build.build(written, output=tmp_path / 'again')
    first, again = (
        sorted(
            turns_of(each)
            for split in records.SPLITS
            for each in dataset.read_pairs(path, split)
        )
        for path in (built / 'workers_1', tmp_path / 'again')
    )
    assert first == again
    weights = [
        turn.get('weight')
        for path in (built / 'workers_1' / 'chat').iterdir()
        for line in path.read_text().splitlines()
        for turn in json.loads(line)['messages']
    ]
    assert weights.count(0) == 20 and set(weights) == {None, 0}


def test_each_turn_is_cleaned_and_judged_and_a_conversation_is_cut() -> None:
    given = pair(
        1,
        ('QUESTION: Why &amp; when?', 'ANSWER: <b>So it is now.</b>', 0.0),
        ('<p>Mail me at ann@example.org</p>', 'ANSWER: I will write to you.', 1.0),
        ('And where?', 'Here and there, dear.', 0.0),
        ('https://example.org', 'Yes, I have seen it all.', 1.0),
    )
    outcome = cleaning.stage(CleanSettings()).apply(given)
    assert isinstance(outcome, stages.Kept)
    outcome = personal_data.stage(PersonalDataSettings()).apply(outcome.pair)
    assert isinstance(outcome, stages.Kept)
    cleaned = turns_of(outcome.pair)
    assert cleaned[1] == ('Mail me at [EMAIL]', 'I will write to you.', 1.0)
    assert cleaned[0][0].startswith('Why') and cleaned[0][1:] == ('So it is now.', 0.0)
    # The link breaks a rule; nothing is learned of the exchange before it.
    judge = quality.stage(QualitySettings())
    judged = judge.apply(outcome.pair)
    assert isinstance(judged, stages.Kept)
    assert turns_of(judged.pair) == cleaned[:2]
    [change] = judged.changes
    assert change.name == 'conversation cut: question of links alone'
    assert change.times == 2

    dropped = judge.apply(pair(2, ('Why?', 'It is so.', 0.0), ('Who?', '-', 1.0)))
    assert dropped == stages.Dropped('answer without a word', '-')
    context = pair(3, ('Why?', '-', 0.0), ('Who?', 'It is Ann.', 1.0))
    kept = judge.apply(context)  # a bad answer as context
    assert isinstance(kept, stages.Kept)
    assert (kept.pair, kept.changes) == (context, ())
