"""A run whose parameters were made elsewhere goes on here as any other."""

import dataclasses
import pathlib

import numpy as np
import pytest
import tiny_runs

from hax_jax import errors, files
from hax_jax.config import schema
from hax_jax.data import records, text
from hax_jax.doctor import diagnosis
from hax_jax.formats import pretrained
from hax_jax.model import lora, lora_merge, naming
from hax_jax.runs import origin, restore, run_folder
from hax_jax.training import optimizer, run_setup, run_summary, train_loop

STEP = 7
LORA = schema.LoraConfig(rank=3, alpha=6.0, targets=('attn.c_attn', 'lm_head'))


@dataclasses.dataclass
class Stub(text.Tokenizer):
    """A tokenizer of which only the fingerprint is asked."""

    vocab_size: int = tiny_runs.VOCAB
    fingerprint: str = 'none'
    eos_id: int = 1
    num_replaced: int = 0

    def save(self, folder: pathlib.Path) -> None:
        (folder / 'saved').touch()


@pytest.fixture(scope='module')
def cache(tmp_path_factory: pytest.TempPathFactory) -> records.PackedCache:
    made = tiny_runs.write_cache(tmp_path_factory.mktemp('data') / 'cache')
    return dataclasses.replace(
        made, meta={**made.meta, 'template': text.TEMPLATE_VERSION}
    )


def random(shapes: dict[str, tuple[int, ...]], *, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {n: rng.normal(0, 0.1, s).astype(np.float32) for n, s in shapes.items()}


PARAMETERS = random(naming.parameter_shapes(tiny_runs.make_config().model), seed=0)


def imported(workdir: pathlib.Path) -> pathlib.Path:
    with files.new_folder(workdir) as new:
        origin.write_imported(
            new,
            model=tiny_runs.make_config().model,
            lora_settings=schema.LoraConfig(),
            parameters=PARAMETERS,
            base=None,
            tokenizer=Stub(),
            step=STEP,
            origin='old.pt',
        )
    return workdir


def train(
    cache: records.PackedCache, workdir: pathlib.Path, run: schema.Config
) -> run_summary.Summary:
    resolved, _ = origin.resolve(run)
    setup = run_setup.prepare(resolved, cache)
    return train_loop.train(setup, workdir, allow_change=[])


def same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> bool:
    return found.keys() == expected.keys() and all(
        np.array_equal(found[name], value) for name, value in expected.items()
    )


def test_an_imported_run_can_be_read_before_it_is_trained(
    tmp_path: pathlib.Path,
) -> None:
    workdir = imported(tmp_path / 'run')
    assert same(restore.parameters(str(workdir)), PARAMETERS)
    assert restore.parts(str(workdir)).step == STEP
    assert run_folder.read_run(workdir)['imported'] == 'old.pt'
    assert (workdir / 'tokenizer' / 'saved').exists()
    assert origin.find_source(str(workdir)).model.n_embd == 32


def test_training_goes_on_from_the_imported_step(
    cache: records.PackedCache, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    workdir = imported(tmp_path / 'run')
    run = tiny_runs.make_config(
        train__num_steps=12,
        train__keep_last=9,
        train__checkpoint_every_steps=1,
        optimizer__learning_rate=1e-3,
        model__pretrained=str(workdir),
    )
    summary = train(cache, workdir, run)
    assert summary.step == 12
    printed = capsys.readouterr().out
    assert 'continuing from step 7 of 12' in printed
    assert 'those of old.pt; the moments begin at zero' in printed
    assert 'resumed moments' not in printed  # as they begin anew on purpose
    steps = tiny_runs.lines(workdir, 'train')
    assert [row['step'] for row in steps] == [8, 9, 10, 11, 12]
    schedule = optimizer.schedule(run.optimizer, num_steps=12)
    for row in steps:
        assert row['learning_rate'] == pytest.approx(float(schedule(row['step'] - 1)))
    # Adam's first update of fresh moments is the learning rate, whatever the gradient.
    before = restore.parameters(str(workdir), step=STEP)
    assert same(before, PARAMETERS)
    after = restore.parameters(str(workdir), step=STEP + 1)
    moved = after['ln_f.bias'] - before['ln_f.bias']  # which has no decay
    np.testing.assert_allclose(np.abs(moved), float(schedule(STEP)), rtol=1e-2)
    # From now on it is a run like any other, on the dataset that it was given.
    assert run_folder.read_run(workdir)['dataset'] == cache.fingerprint
    other = tiny_runs.write_cache(tmp_path / 'other', num_train=119)
    meta = {**other.meta, 'template': text.TEMPLATE_VERSION}
    with pytest.raises(errors.InputError, match='the dataset is not the one'):
        train(dataclasses.replace(other, meta=meta), workdir, run)
    assert train(cache, workdir, run).step == 12


@pytest.mark.parametrize(('own_base', 'step'), [(True, STEP), (False, 0)])
def test_an_imported_adapter_goes_on_upon_its_base(
    cache: records.PackedCache, tmp_path: pathlib.Path, own_base: bool, step: int
) -> None:
    base = imported(tmp_path / 'base')
    model = tiny_runs.make_config().model
    shapes = lora.adapter_shapes(naming.parameter_shapes(model), LORA)
    adapter = random(shapes, seed=1)
    workdir = tmp_path / 'adapted'
    with files.new_folder(workdir) as new:
        origin.write_imported(
            new,
            model=model,
            lora_settings=LORA,
            parameters=adapter,
            base=pretrained.Base(
                path=str(workdir / 'base' if own_base else base),
                step=STEP,
                model=model,
                parameters=PARAMETERS,
                hash=pretrained.fingerprint(PARAMETERS),
            ),
            tokenizer=Stub(),
            step=step,
            origin='old.pt',
        )
    if own_base:  # and the folder moves afterwards
        base.rename(workdir / 'base')
        workdir = workdir.rename(tmp_path / 'moved')
        base = workdir / 'base'
    assert same(restore.parameters(str(workdir), adapter_only=True), adapter)
    merged = restore.parameters(str(workdir))
    assert same(merged, lora_merge.merge(PARAMETERS, adapter, LORA))
    run = dataclasses.replace(
        tiny_runs.make_config(train__num_steps=9, model__pretrained=str(base)),
        lora=LORA,
    )
    wrong = dataclasses.replace(run, lora=dataclasses.replace(LORA, alpha=3.0))
    with pytest.raises(errors.InputError, match=r'lora\.alpha: 6\.0 -> 3\.0'):
        train(cache, workdir, wrong)
    assert train(cache, workdir, run).step == 9
    moved = restore.parameters(str(workdir), step=9, adapter_only=True)
    assert not np.array_equal(moved['lm_head.lora_b'], adapter['lm_head.lora_b'])
    if not step:  # the doctor looks before a first step: what was learned is no fault
        found = {each.id: each.verdict for each in diagnosis.read(workdir)}
        assert (found['adapters'], found['formula']) == (diagnosis.OK, diagnosis.OK)
