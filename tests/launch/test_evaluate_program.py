"""launch.evaluate on runs that were trained here, and on an export of one."""

import json
import pathlib
import re
from typing import Any

import forks
import numpy as np
import pytest


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return tmp_path_factory.mktemp('evaluate')


@pytest.fixture(scope='module')
def printed(folder: pathlib.Path) -> dict[str, str]:
    """What each call of evaluate_child.py printed."""
    done = forks.run('tests/launch/evaluate_child.py', str(folder))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def report(folder: pathlib.Path, name: str) -> dict[str, Any]:
    return json.loads((folder / f'{name}.json').read_text('utf-8'))


def during_training(workdir: pathlib.Path, step: int) -> dict[str, Any]:
    rows = map(json.loads, (workdir / 'metrics.jsonl').read_text().splitlines())
    (row,) = [r for r in rows if (r['kind'], r['step']) == ('evaluation', step)]
    return row


def test_a_run_gets_the_numbers_of_its_training_bit_for_bit(
    folder: pathlib.Path, printed: dict[str, str]
) -> None:
    output = folder / 'full.json'
    command = ('-m', 'launch.evaluate', f'--workdir={folder / "full"}')
    done = forks.run(*command, f'--output={output}')
    assert done.returncode == 0, done.stderr
    assert 'Traceback' not in done.stderr
    assert f'wrote {output}' in done.stderr
    (model,) = report(folder, 'full')['models']
    then = during_training(folder / 'full', model['step'])
    assert (model['loss'], model['by']) == (then['eval_loss'], then['by'])
    assert model['notes'] == []
    assert f'loss {then["eval_loss"]:.4f}' in done.stdout
    # LoRA over it, unmerged, its vocabulary padded, in another process at step 3.
    (model,) = report(folder, 'lora')['models']
    then = during_training(folder / 'lora', 3)
    assert model['step'] == 3
    assert (model['loss'], model['by']) == (then['eval_loss'], then['by'])


def test_pairs_add_up_to_the_whole(
    folder: pathlib.Path, printed: dict[str, str]
) -> None:
    model, _ = report(folder, 'base')['models']
    pairs = model['pairs']
    assert sorted(pair['id'] for pair in pairs) == [f'0-{i}' for i in range(24, 38)]
    for source in ('chat', 'reddit', 'all'):
        chosen = [p for p in pairs if source in ('all', p['source'])]
        for part in ('question', 'answer'):
            found = model['by'][source][part]
            tokens = sum(p[f'{part}_tokens'] for p in chosen)
            nats = sum(p[f'{part}_nats'] for p in chosen)
            size = sum(p[f'{part}_bytes'] for p in chosen)
            assert found['tokens'] == tokens
            assert found['nll'] == pytest.approx(nats / tokens)
            assert found['bits_per_byte'] == pytest.approx(nats / np.log(2) / size)
        eos = [np.exp(-p['eos_nats']) for p in chosen]
        assert model['by'][source]['eos']['probability'] == pytest.approx(np.mean(eos))
        assert model['by'][source]['eos']['answers'] == len(chosen)
    assert all(p['eos_tokens'] == 1 for p in pairs)


def test_an_export_scores_as_the_run_it_was_made_from(
    folder: pathlib.Path, printed: dict[str, str]
) -> None:
    model, _ = report(folder, 'base')['models']
    then = during_training(folder / 'full', 6)
    assert model['loss'] == pytest.approx(then['eval_loss'], abs=1e-5)
    assert model['step'] is None
    assert 'EOS at the end of 14 answers' in printed['base']


def test_texts_that_a_run_was_trained_on_are_counted(
    folder: pathlib.Path, printed: dict[str, str]
) -> None:
    # Its base, another run, has the same rows, which are counted once.
    said = (
        '24 answers and 24 questions of these 24 train pairs stand in the rows that '
        f'{folder / "lora"} was trained on, whole or for over half of their text: '
        'their scores measure memory'
    )
    assert f'\nwarning: {said}\n' in printed['trained on']
    (model,) = report(folder, 'trained')['models']
    assert model['warnings'] == [said]
    assert 'warning' not in printed['lora'] + printed['both']


def test_that_it_could_not_be_looked_at_is_said(
    folder: pathlib.Path, printed: dict[str, str]
) -> None:
    said = (
        f'note: whether {folder / "elsewhere"} was trained on these texts is unknown: '
    )
    assert said in printed['not known']
    assert 'is not packed yet' in printed['not known']
    said = f'note: what {folder / "hf"} was trained on is not known here'
    assert said in printed['base']
    small = f'whether {folder / "small"} was trained on these texts is unknown: '
    assert f'{small}no row of its training is known' in printed['tokenizers']


def test_two_steps_are_compared_pair_by_pair(
    folder: pathlib.Path, printed: dict[str, str]
) -> None:
    found = report(folder, 'steps')
    a, b = found['models']
    assert (a['step'], b['step']) == (3, 6)
    assert f'A: {folder / "full"} at step 3 (as asked)' in printed['steps']
    difference = found['comparison']['by']['all']
    tokens = sum(pair['answer_tokens'] for pair in a['pairs'])
    nats = [sum(pair['answer_nats'] for pair in one['pairs']) for one in (a, b)]
    assert difference['mean'] == pytest.approx((nats[0] - nats[1]) / tokens)
    assert (difference['num_pairs'], difference['num_groups']) == (14, 7)
    # Three more steps from scratch make it better beyond doubt.
    assert difference['better'] == 'B'
    assert 'all: B is better by' in printed['steps']
    small = 'too few groups to tell, 5 the least: chat (4), reddit (3)'
    assert small in printed['steps']
    last = printed['steps'].rstrip().split('\n')[-1]
    assert re.fullmatch(r'.+ is better than .+ by [\d.]+ nats per answer .*', last)


def test_the_page_of_two_runs_has_the_difference_that_evaluating_them_finds(
    folder: pathlib.Path, printed: dict[str, str]
) -> None:
    output = folder / 'both.html'
    runs = [f'--workdir={folder / name}' for name in ('full', 'lora')]
    done = forks.run('-m', 'launch.report', *runs, f'--output={output}', '--json')
    assert done.returncode == 0, done.stderr
    page = output.read_text('utf-8')
    found = report(folder, 'both')
    a, b = (
        f'{name} at step {m["step"]}'
        for name, m in zip(('full', 'lora'), found['models'], strict=True)
    )
    said = printed['both'].rstrip().split('\n')[-1]
    said = said.replace(f'{folder}/', '')
    assert said.startswith((a, b))
    assert said in page
    assert json.loads(done.stdout)['comparisons'] == [said]
    difference = found['comparison']['by']['all']
    assert (difference['num_pairs'], difference['num_groups']) == (14, 7)
    row = re.search(r'<tr><td>all</td>(.*?)</tr>', page.replace('\n', ''))[1]
    row = re.sub('</?span>', '', row)
    numbers = re.findall(r'>([^<>]+)</td>', row)
    assert numbers[:4] == [
        '14',
        '7',
        f'{difference["mean"]:+.4f}',
        f'{difference["low"]:+.4f} to {difference["high"]:+.4f}',
    ]
    assert 'too few groups for an interval: chat, reddit' in page


def test_of_a_run_and_a_pretrained_model_the_latter_is_a(
    folder: pathlib.Path, printed: dict[str, str]
) -> None:
    a, b = report(folder, 'base')['models']
    assert a['path'] == str(folder / 'hf')
    assert b['path'] == str(folder / 'lora')


def test_other_tokenizers_are_compared_in_bits_per_byte_on_rows_of_one_length(
    folder: pathlib.Path, printed: dict[str, str]
) -> None:
    found = report(folder, 'tokenizers')
    a, b = found['models']
    assert a['tokenizer'] != b['tokenizer']
    assert [one['data']['seq_len'] for one in (a, b)] == [48, 48]
    assert 'compared in bits per byte' in printed['tokenizers']
    assert 'bits per byte of the answers' in printed['tokenizers']
    difference = found['comparison']['by']['all']
    in_both = {p['id'] for p in a['pairs']} & {p['id'] for p in b['pairs']}
    in_both -= set(found['comparison']['unlike'])
    assert len(in_both) == difference['num_pairs'] > 5
    bits = [
        sum(p['answer_nats'] for p in one['pairs'] if p['id'] in in_both) / np.log(2)
        for one in (a, b)
    ]
    size = sum(p['answer_bytes'] for p in a['pairs'] if p['id'] in in_both)
    assert difference['mean'] == pytest.approx((bits[0] - bits[1]) / size)


@pytest.mark.parametrize(
    ('call', 'named'),
    [
        ('different', ['different datasets', '--data=FOLDER']),
        ('imported', ["the run's own dataset is not where it was", '--data=FOLDER']),
        ('empty', ['the test split of', 'is empty', '--test_share']),
        ('no step', ['has no checkpoint of step', 'it has 3, 6.']),
        ('a run as pretrained', ['is a run of launch.train; give it as --workdir']),
        ('long', ['seq_len=65 is over the 64 positions']),
        ('moved', ['is not a dataset']),
        (
            'flags',
            [
                '--workdir or --pretrained is missing',
                '--step selects a checkpoint',
                '--seq_len=3 is not accepted; use from 8 to 1,048,576',
                '--batch_size=-1 is not accepted; use from 1 to 1,048,576',
                '--seed=-1',
            ],
        ),
        ('too many', ['3 models are given', '--step is given 1 times', 'is a folder']),
        ('twice', ['both models are', 'at step 6; give another']),
        ('not ours', ['run.json exists and is no report']),
        ('damaged', ['is damaged: validation/targets.npy has other bytes']),
        ('no data', ['--data is missing: a Hugging Face folder has no dataset']),
    ],
)
def test_what_is_wrong_is_named(
    printed: dict[str, str], call: str, named: list[str]
) -> None:
    assert printed[call].startswith('error: ')
    for words in named:
        assert words in printed[call]
