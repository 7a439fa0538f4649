"""The old project's .pt files, made here by torch in their exact layout."""

import argparse
import collections
import pathlib
import sys
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from hax_jax import errors
from hax_jax.config import schema
from hax_jax.formats import old_checkpoint

NEEDS_TORCH = 'torch makes and reads these files, a development tool: not installed'
N_EMBD, N_POSITIONS, VOCAB, RANK = 32, 24, 64, 4
LINEAR = {
    'attn.c_attn': (N_EMBD, 3 * N_EMBD),
    'attn.c_proj': (N_EMBD, N_EMBD),
    'mlp.c_fc': (N_EMBD, 4 * N_EMBD),
    'mlp.c_proj': (4 * N_EMBD, N_EMBD),
}
SAID = {'learning_rate': 1e-5, 'N_HEAD': 4, 'max_steps': 2000, 'device': None}
LORA_SAID = {**SAID, 'LORA_RANK': RANK, 'LORA_ALPHA': 8}
Tensors = dict[str, Any]
Change = Callable[[Tensors], Any]


def full(*, n_layer: int = 2, dtype: str = 'float32') -> Tensors:
    """A model_state_dict of full fine-tuning: random, the head tied."""
    torch = pytest.importorskip('torch', reason=NEEDS_TORCH)
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> Any:
        return torch.randn(shape, generator=generator).to(getattr(torch, dtype))

    tensors = collections.OrderedDict()
    tensors['model.transformer.wte.weight'] = random(VOCAB, N_EMBD)
    tensors['model.transformer.wpe.weight'] = random(N_POSITIONS, N_EMBD)
    for i in range(n_layer):
        block = f'model.transformer.h.{i}'
        for norm in ('ln_1', 'ln_2'):
            tensors[f'{block}.{norm}.weight'] = random(N_EMBD)
            tensors[f'{block}.{norm}.bias'] = random(N_EMBD)
        for layer, (size_in, size_out) in LINEAR.items():
            tensors[f'{block}.{layer}.weight'] = random(size_in, size_out)
            tensors[f'{block}.{layer}.bias'] = random(size_out)
    tensors['model.transformer.ln_f.weight'] = random(N_EMBD)
    tensors['model.transformer.ln_f.bias'] = random(N_EMBD)
    tensors['model.lm_head.weight'] = tensors['model.transformer.wte.weight']
    return tensors


def lora(*, rank: int = RANK, dtype: str = 'float32') -> Tensors:
    """A model_state_dict of LoRA: the kernels of each block and the head adapted."""
    import torch

    generator = torch.Generator().manual_seed(1)
    tensors = collections.OrderedDict()
    for name, tensor in full(dtype=dtype).items():
        module, _, kind = name.rpartition('.')
        last = module.rpartition('.')[2]
        if not last.startswith('c_') and last != 'lm_head':
            tensors[name] = tensor
            continue
        tensors[f'{module}.base_layer.{kind}'] = tensor
        if kind == 'weight':
            size_in, size_out = (
                tensor.shape[::-1] if last == 'lm_head' else tensor.shape
            )
            for end, shape in (('A', (size_in, rank)), ('B', (rank, size_out))):
                random = torch.randn(shape, generator=generator)
                tensors[f'{module}.lora_{end}'] = random.to(tensor.dtype)
    return tensors


def write(path: pathlib.Path, tensors: Tensors, **changes: Any) -> str:
    """A file with all the keys of the old project; a change to None takes a key out."""
    import torch

    named = [torch.nn.Parameter(t.float()) for t in tensors.values()]
    optimizer = torch.optim.AdamW(named, lr=1e-5)
    sum(parameter.sum() for parameter in named).backward()
    optimizer.step()
    stored = {
        'step': 2000,
        'model_state_dict': tensors,
        'optimizer_state_dict': optimizer.state_dict(),
        'hyperparameters': SAID,
        'vocab_size': VOCAB,
        'block_size': 16,
        'batch_size': 8,
    } | changes
    kept = {key: value for key, value in stored.items() if value is not None}
    torch.save(kept, path)
    return str(path)


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    pytest.importorskip('torch', reason=NEEDS_TORCH)
    return tmp_path / 'old.pt'


def read(path: str | pathlib.Path, **given: Any) -> old_checkpoint.OldCheckpoint:
    return old_checkpoint.read(str(path), **({'alpha': None, 'n_head': None} | given))


def refusal(path: str | pathlib.Path, **given: Any) -> str:
    with pytest.raises(errors.InputError) as caught:
        read(path, **given)
    return str(caught.value)


def same(found: dict[str, np.ndarray], expected: dict[str, Any]) -> None:
    """`expected` is by our names, of torch's tensors."""
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        np.testing.assert_array_equal(found[name], tensor.float().numpy())
        assert found[name].dtype == np.float32


def by_our_names(tensors: Tensors) -> Tensors:
    """The base's parameters of a state dict, renamed by a table of this test's own."""
    out = {}
    for name, tensor in tensors.items():
        if 'lora_' in name or 'lm_head' in name:
            continue
        name = name.removeprefix('model.transformer.').replace('.base_layer', '')
        for theirs, ours in (
            ('wte.weight', 'wte.embedding'),
            ('wpe.weight', 'wpe.embedding'),
            ('ln_1.weight', 'ln_1.scale'),
            ('ln_2.weight', 'ln_2.scale'),
            ('ln_f.weight', 'ln_f.scale'),
            ('.weight', '.kernel'),
        ):
            if name.endswith(theirs):
                name = name.removesuffix(theirs) + ours
                break
        out[name] = tensor
    return out


MODEL = schema.ModelConfig(
    n_layer=2, n_head=4, n_embd=N_EMBD, n_positions=N_POSITIONS, vocab_size=VOCAB
)


def test_a_fully_trained_model_comes_in_bit_for_bit(path: pathlib.Path) -> None:
    tensors = full()
    found = read(write(path, tensors))
    same(found.parameters, by_our_names(tensors))
    assert len(found.parameters) == 2 + 2 * 12 + 2
    assert found.model == MODEL
    assert found.step == 2000
    assert found.adapter == {}
    assert found.lora == schema.LoraConfig()
    assert found.hyperparameters == SAID


def test_a_lora_model_comes_in_as_its_base_and_its_adapter(path: pathlib.Path) -> None:
    tensors = lora()
    found = read(write(path, tensors, hyperparameters=LORA_SAID))
    same(found.parameters, by_our_names(tensors))
    assert found.model == MODEL
    adapter = {}
    for name, tensor in tensors.items():
        if 'lora_' in name:
            name = name.removeprefix('model.').removeprefix('transformer.')
            adapter[name.lower()] = tensor
    assert len(adapter) == 2 * (2 * 4 + 1)
    assert adapter['h.1.mlp.c_fc.lora_a'].shape == (N_EMBD, RANK)
    assert adapter['lm_head.lora_b'].shape == (RANK, VOCAB)
    same(found.adapter, adapter)
    assert found.lora == schema.LoraConfig(
        rank=RANK,
        alpha=8.0,
        targets=('attn.c_attn', 'attn.c_proj', 'mlp.c_fc', 'mlp.c_proj', 'lm_head'),
    )


@pytest.mark.parametrize('dtype', ['float16', 'bfloat16', 'float64'])
def test_weights_of_any_precision_become_float32(
    path: pathlib.Path, dtype: str
) -> None:
    tensors = lora(dtype=dtype)
    found = read(write(path, tensors, hyperparameters=LORA_SAID))
    same(found.parameters, by_our_names(tensors))
    b = tensors['model.lm_head.lora_B'].float().numpy()
    np.testing.assert_array_equal(found.adapter['lm_head.lora_b'], b)


def test_a_compressed_file_is_one_without_the_optimizer(path: pathlib.Path) -> None:
    tensors = full()
    whole = read(write(path, tensors))
    small = read(write(path, tensors, optimizer_state_dict=None))
    same(small.parameters, by_our_names(tensors))
    moments = 'the optimizer state of 29 tensors is not taken over: AdamW begins anew'
    assert moments in whole.notes
    assert not [note for note in small.notes if 'optimizer' in note]


def test_the_block_size_is_the_length_it_trained_at_not_the_positions(
    path: pathlib.Path,
) -> None:
    found = read(write(path, full(), block_size=16))
    assert found.model.n_positions == N_POSITIONS
    assert [note for note in found.notes if 'block_size=16' in note]


def test_mask_buffers_are_left_out(path: pathlib.Path) -> None:
    import torch

    tensors = full()
    masks = {
        'model.transformer.h.0.attn.bias': torch.ones(1, 1, 24, 24, dtype=torch.uint8),
        'model.transformer.h.1.attn.masked_bias': torch.tensor(-1e4),
    }
    same(read(write(path, tensors | masks)).parameters, by_our_names(tensors))


def test_a_head_of_its_own_makes_an_untied_model(path: pathlib.Path) -> None:
    tensors = full()
    head = tensors['model.lm_head.weight'] + 1
    tensors['model.lm_head.weight'] = head
    found = read(write(path, tensors))
    assert not found.model.tie_embeddings
    np.testing.assert_array_equal(found.parameters['lm_head.embedding'], head.numpy())
    assert 'the head differs from the embeddings: it is untied' in found.notes


def test_a_head_that_is_not_stored_is_tied(path: pathlib.Path) -> None:
    tensors = full()
    del tensors['model.lm_head.weight']
    assert read(write(path, tensors)).model == MODEL


def test_only_some_layers_may_be_adapted(path: pathlib.Path) -> None:
    tensors, adapted = full(), lora()
    layer = 'model.transformer.h.1.attn.c_proj'
    for kind in ('weight', 'bias'):
        tensors[f'{layer}.base_layer.{kind}'] = tensors.pop(f'{layer}.{kind}')
    for kind in ('lora_A', 'lora_B'):
        tensors[f'{layer}.{kind}'] = adapted[f'{layer}.{kind}']
    found = read(write(path, tensors, hyperparameters=LORA_SAID))
    assert found.lora.targets == ('h.1.attn.c_proj',)
    assert found.adapter.keys() == {'h.1.attn.c_proj.lora_a', 'h.1.attn.c_proj.lora_b'}


def test_what_was_read_stays_when_the_file_is_written_anew(path: pathlib.Path) -> None:
    tensors = full()
    found = read(write(path, tensors))
    with open(path, 'r+b') as file:
        file.write(bytes(path.stat().st_size))
    same(found.parameters, by_our_names(tensors))


# Numbers that no tensor shows.


@pytest.mark.parametrize('name', ['lora_alpha', 'LORA_ALPHA', 'alpha', 'Lora_Alpha'])
def test_alpha_is_what_the_hyperparameters_say(path: pathlib.Path, name: str) -> None:
    write(path, lora(), hyperparameters={**SAID, name: 12})
    assert read(path).lora.alpha == 12.0
    assert read(path, alpha=12.0).lora.alpha == 12.0
    said = refusal(path, alpha=8.0)
    assert f'contradictory: {name}=12, --alpha=8.0' in said


def test_alpha_is_asked_for_where_the_file_lacks_it(path: pathlib.Path) -> None:
    write(path, lora())
    said = refusal(path)
    assert 'give --alpha as it was' in said
    assert 'another one makes another model' in said
    found = read(path, alpha=32.0)
    assert (found.lora.rank, found.lora.alpha) == (RANK, 32.0)


def test_alpha_for_a_model_without_an_adapter_is_refused(path: pathlib.Path) -> None:
    assert '--alpha=32, but there is no adapter' in refusal(
        write(path, full()), alpha=32.0
    )


def test_a_full_model_may_carry_the_settings_of_a_lora_that_was_off(
    path: pathlib.Path,
) -> None:
    found = read(write(path, full(), hyperparameters=LORA_SAID))
    assert found.lora.rank == 0


@pytest.mark.parametrize('name', ['LORA_RANK', 'lora_r', 'rank', 'r'])
def test_a_rank_that_the_tensors_contradict_is_refused(
    path: pathlib.Path, name: str
) -> None:
    write(path, lora(), hyperparameters={'N_HEAD': 4, 'alpha': 8, name: 16})
    assert 'rank 16 in hyperparameters, 4 in the tensors' in refusal(path)


def test_tensors_of_two_ranks_are_named(path: pathlib.Path) -> None:
    tensors, narrow = lora(), lora(rank=2)
    for kind in ('lora_A', 'lora_B'):
        name = f'model.transformer.h.0.mlp.c_fc.{kind}'
        tensors[name] = narrow[name]
    said = refusal(write(path, tensors, hyperparameters=LORA_SAID))
    assert (
        'rank 2 in model.transformer.h.0.mlp.c_fc.lora_A, '
        'model.transformer.h.0.mlp.c_fc.lora_B, 4 elsewhere' in said
    )


def test_dropout_of_lora_is_kept(path: pathlib.Path) -> None:
    write(path, lora(), hyperparameters={**LORA_SAID, 'LORA_DROPOUT': 0.05})
    assert read(path).lora.dropout == 0.05


def test_n_head_is_asked_for_where_nothing_tells_it(path: pathlib.Path) -> None:
    write(path, full(), hyperparameters={})
    assert 'n_embd=32 is of no published GPT-2; give --n_head' in refusal(path)
    assert read(path, n_head=8).model.n_head == 8
    assert 'n_head=5 does not divide n_embd=32' in refusal(path, n_head=5)


def test_n_head_that_is_said_twice_must_be_the_same(path: pathlib.Path) -> None:
    write(path, full())
    assert read(path, n_head=4).model.n_head == 4
    assert 'contradictory: N_HEAD=4, --n_head=8' in refusal(path, n_head=8)


@pytest.mark.parametrize(('n_embd', 'n_head'), [(768, 12), (1024, 16), (1600, 25)])
def test_a_width_of_gpt2s_family_has_its_heads(
    path: pathlib.Path, n_embd: int, n_head: int
) -> None:
    import torch

    shapes = {f'h.0.{n}.weight': (i, o) for n, (i, o) in LINEAR.items()}
    shapes |= {f'h.0.{n}.bias': (o,) for n, (_, o) in LINEAR.items()}
    shapes |= {
        f'{norm}.{kind}': (N_EMBD,)
        for norm in ('h.0.ln_1', 'h.0.ln_2', 'ln_f')
        for kind in ('weight', 'bias')
    }
    tensors = {
        f'model.transformer.{name}': torch.zeros(
            [size * n_embd // N_EMBD for size in shape]
        )
        for name, shape in shapes.items()
    }
    tensors['model.transformer.wte.weight'] = torch.zeros(VOCAB, n_embd)
    tensors['model.transformer.wpe.weight'] = torch.zeros(N_POSITIONS, n_embd)
    torch.save(
        {
            'step': 1,
            'model_state_dict': tensors,
            'hyperparameters': {},
            'vocab_size': VOCAB,
        },
        path,
    )
    found = read(path)
    assert (found.model.n_layer, found.model.n_head) == (1, n_head)
    assert [note for note in found.notes if f'n_head={n_head}: not in the file' in note]


def test_hyperparameters_that_json_lacks_become_text(path: pathlib.Path) -> None:
    import torch

    said = {'n_head': 4, 'dtype': torch.float16, 'betas': (0.9, 0.95), 'x': np.inf}
    found = read(write(path, full(), hyperparameters=said)).hyperparameters
    assert found == {
        'n_head': 4,
        'dtype': 'torch.float16',
        'betas': [0.9, 0.95],
        'x': 'inf',
    }


def test_a_number_that_is_none_is_named(path: pathlib.Path) -> None:
    write(path, lora(), hyperparameters={'N_HEAD': '4', 'ALPHA': True})
    said = refusal(path)
    assert "hyperparameters: N_HEAD='4' is not a number" in said
    assert 'hyperparameters: ALPHA=True is not a number' in said


# Files that are not what they should be.


def test_every_wrong_tensor_is_listed_by_the_name_in_the_file(
    path: pathlib.Path,
) -> None:
    tensors = lora()
    block = 'model.transformer.h.'
    del tensors[f'{block}0.ln_1.bias']
    del tensors[f'{block}1.mlp.c_fc.base_layer.weight']
    del tensors['model.lm_head.lora_A']
    tensors[f'{block}0.attn.c_attn.lora_B'] = tensors[f'{block}0.attn.c_proj.lora_B']
    tensors[f'{block}0.mlp.c_fc.base_layer.bias'] = tensors[f'{block}0.ln_2.bias']
    tensors['model.transformer.h.0.attn.rotary'] = tensors[f'{block}0.ln_2.bias']
    tensors['model.transformer.wte.lora_A'] = tensors[f'{block}0.attn.c_proj.lora_A']
    said = refusal(write(path, tensors, vocab_size=65)).splitlines()
    for line in (
        f'missing: {block}0.ln_1.bias',
        f'missing: {block}1.mlp.c_fc.base_layer.weight',
        'missing: model.lm_head.lora_A',
        f'{block}0.attn.c_attn.lora_B has shape (4, 32), the model (4, 96)',
        f'{block}0.mlp.c_fc.base_layer.bias has shape (32,), the model (128,)',
        'extra: model.transformer.h.0.attn.rotary',
        'extra: model.transformer.wte.lora_A',
        'vocab_size=65 in the file, but model.transformer.wte.weight has 64 rows',
    ):
        assert line in said
    assert [line for line in said if 'give --alpha' in line]


def test_adapters_that_are_gone_are_missing_not_a_full_model(
    path: pathlib.Path,
) -> None:
    tensors = {name: t for name, t in lora().items() if 'lora_' not in name}
    said = refusal(write(path, tensors, hyperparameters={'N_HEAD': 4, 'alpha': 8}))
    assert 'missing: model.lm_head.lora_A' in said
    assert 'missing: model.transformer.h.1.mlp.c_proj.lora_B' in said


def test_a_block_that_is_gone_is_missing(path: pathlib.Path) -> None:
    tensors = {n: t for n, t in full(n_layer=3).items() if '.h.1.' not in n}
    said = refusal(write(path, tensors))
    assert 'missing: model.transformer.h.1.attn.c_attn.weight' in said
    assert 'extra: model.transformer.h.2.attn.c_attn.weight' in said


def test_a_model_without_embeddings_is_refused(path: pathlib.Path) -> None:
    tensors = full()
    del tensors['model.transformer.wpe.weight']
    tensors['model.transformer.wte.weight'] = tensors['model.transformer.ln_f.bias']
    said = refusal(write(path, tensors))
    assert 'missing: model.transformer.wpe.weight' in said
    assert 'model.transformer.wte.weight has shape (32,), not two axes' in said


def test_keys_that_are_missing_or_of_another_type_are_named(path: pathlib.Path) -> None:
    import torch

    torch.save({'model': full(), 'step': '7', 'hyperparameters': [1]}, path)
    said = refusal(path)
    missing = 'missing: the keys model_state_dict, vocab_size (the file has model, step'
    assert missing in said
    assert "'step' is of type str, not int" in said
    assert "'hyperparameters' is of type list, not dict" in said


def test_a_key_that_is_not_taken_over_is_noted(path: pathlib.Path) -> None:
    found = read(write(path, full(), scaler={'scale': 1.0}))
    assert "the key 'scaler' is not taken over" in found.notes


@pytest.mark.parametrize(
    'value', [argparse.Namespace(lr=1), pathlib.Path('x'), np.float64(1e-5)]
)
def test_objects_of_classes_are_refused_unrun(path: pathlib.Path, value: Any) -> None:
    write(path, full(), hyperparameters={'args': value})
    said = refusal(path)
    assert 'reading that would run code of the file' in said
    assert len(said.splitlines()) == 1


class _Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return (pathlib.Path.touch, (pathlib.Path('trap-was-sprung'),))


def test_code_in_a_file_is_not_run(
    path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    write(path, full(), hyperparameters={'trap': _Trap()})
    refusal(path)
    assert not (path.parent / 'trap-was-sprung').exists()


def test_what_is_no_dense_tensor_is_named(path: pathlib.Path) -> None:
    tensors = full()
    name = 'model.transformer.ln_f.bias'
    tensors[name] = tensors[name].to_sparse()
    import torch

    torch.save({'step': 1, 'model_state_dict': tensors, 'vocab_size': VOCAB}, path)
    assert f'{name} in model_state_dict is a Tensor, not a dense' in refusal(path)


def test_a_file_that_is_cut_short_is_named(path: pathlib.Path) -> None:
    write(path, full())
    path.write_bytes(path.read_bytes()[:20_000])
    assert f'{path} is cut short; copy it again' in refusal(path)


def test_a_file_with_a_wrong_byte_is_named(path: pathlib.Path) -> None:
    write(path, full())
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert f'{path} is damaged' in refusal(path)


def test_a_file_of_an_older_torch_is_named(path: pathlib.Path) -> None:
    import torch

    torch.save({'step': 1}, path, _use_new_zipfile_serialization=False)
    assert 'no file of torch.save (since torch 1.6 that is a zip)' in refusal(path)


def test_another_zip_is_named(path: pathlib.Path) -> None:
    with zipfile.ZipFile(path, 'w') as file:
        file.writestr('word/document.xml', '<a/>')
    assert 'is a zip, but not of torch.save' in refusal(path)


def test_a_file_that_holds_no_dictionary_is_named(path: pathlib.Path) -> None:
    import torch

    torch.save([1, 2], path)
    assert 'holds a list, not a dictionary' in refusal(path)


def test_a_file_that_is_not_there_is_named(tmp_path: pathlib.Path) -> None:
    assert f'{tmp_path}/no.pt is not a file' in refusal(tmp_path / 'no.pt')
    assert 'is not a file' in refusal(tmp_path)


def test_torch_is_asked_for_where_it_is_absent(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tmp_path / 'old.pt', 'w') as file:
        file.writestr('old/data.pkl', b'')
    monkeypatch.setitem(sys.modules, 'torch', None)
    assert 'needs torch to be read: pip install torch' in refusal(tmp_path / 'old.pt')
