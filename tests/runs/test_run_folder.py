"""What a run's folder says, and what it refuses."""

import dataclasses
import json
import pathlib

import pytest

from hax_jax import errors
from hax_jax.config import convert, schema
from hax_jax.data import text
from hax_jax.model import naming
from hax_jax.runs import origin, restore, run_folder, saved_steps

_SIZES = {'n_layer': 2, 'n_head': 2, 'n_embd': 32, 'n_positions': 64}


@dataclasses.dataclass
class Stub(text.Tokenizer):
    """A tokenizer of which only the size and the fingerprint are asked."""

    vocab_size: int
    fingerprint: str = 'mine'
    eos_id: int = 1
    num_replaced: int = 0


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    """A Hugging Face folder's config.json, without weights."""
    values = {'model_type': 'gpt2', 'vocab_size': 500, **_SIZES}
    (tmp_path / 'config.json').write_text(json.dumps(values))
    return tmp_path


def draft(**model: object) -> schema.Config:
    out = convert.draft()
    out.data.update(path='data', seq_len=32)
    out.train.num_steps = 1
    out.model.update(model)
    return convert.freeze(out)


def test_sizes_come_from_the_pretrained_model(folder: pathlib.Path) -> None:
    resolved, tokenizer_path = origin.resolve(draft(pretrained=str(folder)))
    assert resolved.model.n_layer == 2
    assert resolved.model.n_positions == 64
    assert resolved.model.vocab_size == 500
    assert tokenizer_path == str(folder)


def test_sizes_that_the_pretrained_model_lacks_are_refused_at_once(
    folder: pathlib.Path,
) -> None:
    run = draft(pretrained=str(folder), n_layer=12, n_embd=768)
    run = dataclasses.replace(run, data=dataclasses.replace(run.data, seq_len=128))
    with pytest.raises(errors.InputError) as error:
        origin.resolve(run)
    message = str(error.value)
    assert 'model.n_layer=12' in message
    assert 'model.n_embd=768' in message
    assert 'data.seq_len=128 is over the 64 positions' in message


def test_a_tokenizer_of_another_vocabulary_is_refused(folder: pathlib.Path) -> None:
    resolved, _ = origin.resolve(draft(pretrained=str(folder)))
    assert origin.with_vocab(resolved, Stub(500)).model.vocab_size == 500
    # A table padded up to a multiple of 128 has at most 127 ids too many.
    assert origin.with_vocab(resolved, Stub(373)).model.vocab_size == 500
    for size, says in ((372, 'is not|use the one'), (501, '1 tokens were added')):
        with pytest.raises(errors.InputError, match=rf'has {size} ids.*({says})'):
            origin.with_vocab(resolved, Stub(size))


def test_from_scratch_the_vocabulary_is_the_tokenizers() -> None:
    run = dataclasses.replace(draft(pretrained='x'), model=schema.ModelConfig(**_SIZES))
    assert origin.with_vocab(run, Stub(300)).model.vocab_size == 300
    run = dataclasses.replace(run, model=schema.ModelConfig(**_SIZES, vocab_size=200))
    with pytest.raises(errors.InputError, match=r'model\.vocab_size=200'):
        origin.with_vocab(run, Stub(300))


def test_the_best_step_is_taken_first_then_the_next_best_then_the_latest() -> None:
    def info(step: int, loss: float | None, problem: str = '') -> saved_steps.StepInfo:
        return saved_steps.StepInfo(pathlib.Path(str(step)), loss, problem=problem)

    def order(*steps: saved_steps.StepInfo) -> list[int]:
        return [found.step for found in restore.by_worth(list(steps))]

    assert order(info(5, None), info(9, None)) == [9, 5]
    assert order(info(5, 2.5), info(7, 3.0), info(9, None), info(11, 2.5)) == [
        11,
        5,
        7,
        9,
    ]
    assert order(info(5, 2.5), info(7, None, 'cut')) == [7, 5]
    assert (
        restore.in_words(info(9, None))
        == 'the latest that is whole; it was not evaluated'
    )
    assert restore.in_words(info(5, 2.5)) == 'the best validation loss, 2.5000'


def test_a_path_that_is_nothing_is_refused_by_its_field(tmp_path: pathlib.Path) -> None:
    with pytest.raises(errors.InputError, match=r"model\.pretrained='/no/such'"):
        origin.find_source('/no/such')
    (tmp_path / run_folder.UNSAVED).touch()
    with pytest.raises(errors.InputError, match='has no checkpoint yet'):
        origin.find_source(str(tmp_path))


def test_parameter_shapes_count_gpt2_right() -> None:
    # Source: GPT-2's smallest model has 124,439,808 parameters.
    model = schema.ModelConfig(
        n_layer=12, n_head=12, n_embd=768, n_positions=1024, vocab_size=50257
    )
    shapes = naming.parameter_shapes(model).values()
    total = sum(int(a) if len(s) == 1 else a * s[1] for s in shapes for a in s[:1])
    assert total == 124_439_808
