"""A dozen cases of fuzz_corruption.py, of which each was a way to be fooled."""

import everything_on_disk
import fuzz_corruption
import pytest


@pytest.fixture(scope='module')
def fuzz(tmp_path_factory: pytest.TempPathFactory) -> fuzz_corruption.Fuzz:
    folder = tmp_path_factory.mktemp('disk')
    return fuzz_corruption.Fuzz(everything_on_disk.make(folder, short=True), seed=0)


@pytest.mark.parametrize(
    ('unit', 'use', 'file', 'damage', 'verdict'),
    [
        ('full', 'restore', 'checkpoints/4/params/d/*', 'flipped', 'back'),
        ('full', 'restore', 'checkpoints/4', 'folder swapped', 'back'),
        ('full', 'restore', 'metrics.jsonl', 'cut', 'equal'),
        ('full', 'sample', 'tokenizer/tokenizer.model', 'emptied', 'refused'),
        ('full', 'export', 'run.json', 'flipped', 'refused'),
        ('full', 'resume', 'config.json', 'flipped', 'refused'),
        ('cache', 'evaluate', 'meta.json', 'zeroed', 'refused'),
        ('cache', 'evaluate', 'validation/inputs.npy', 'flipped', 'refused'),
        ('cache', 'train', 'tokenizer/tokenizer.json', 'added', 'refused'),
        ('hf', 'pretrained', 'model.safetensors', 'flipped', 'refused'),
        ('hf', 'pretrained', 'tokenizer.model', 'deleted', 'refused'),
        ('hf', 'pretrained', 'SHA256SUMS', 'cut', 'refused'),
        ('hf', 'pretrained', 'README.md', 'flipped', 'equal'),
    ],
)
def test_damage_is_refused_or_changes_nothing(
    fuzz: fuzz_corruption.Fuzz,
    unit: str,
    use: str,
    file: str,
    damage: str,
    verdict: str,
) -> None:
    case = fuzz_corruption.Case(0, unit, use, fuzz.find(unit, file), damage)
    outcome = fuzz.run(case)
    assert outcome.verdict == verdict, outcome.said
