import json
import subprocess
import sys

import ml_collections
import ml_dtypes
import numpy as np
import pytest

from data_pipeline import settings
from hax_jax import errors
from hax_jax.config import convert, meanings, schema


def make_draft() -> ml_collections.ConfigDict:
    """A draft of a run from scratch, with nothing wrong in it."""
    draft = convert.draft()
    draft.data.path = 'data/advice'
    draft.data.seq_len = 64
    draft.tokenizer.path = 'train'
    draft.model.update(n_layer=2, n_head=4, n_embd=32, n_positions=64)
    draft.train.num_steps = 10
    return draft


def problems(**sections: dict[str, object]) -> list[str]:
    draft = make_draft()
    for section, values in sections.items():
        draft[section].update(values)
    with pytest.raises(errors.InputError) as caught:
        convert.freeze(draft)
    return str(caught.value).split('\n')


def test_a_draft_freezes_into_the_schema() -> None:
    draft = make_draft()
    draft.optimizer.learning_rate = 1e-3
    run = convert.freeze(draft)
    assert run.optimizer.learning_rate == 1e-3
    assert run.optimizer.b2 == 0.95
    assert run.lora.targets == ('attn.c_attn', 'attn.c_proj', 'mlp.c_fc', 'mlp.c_proj')
    with pytest.raises(AttributeError):
        run.train.seed = 1


def test_a_draft_takes_no_field_of_another_name() -> None:
    with pytest.raises(AttributeError, match='num_stpes'):
        make_draft().train.num_stpes = 1


def test_a_config_file_gives_finite_numbers() -> None:
    said = problems(
        optimizer={'clip_norm': float('inf'), 'weight_decay': float('nan')},
        train={'max_minutes': float('inf')},
    )
    assert said == [
        f'{field} is not accepted; use a number such as 0.1 or 1e-4.'
        for field in (
            'optimizer.clip_norm=inf',
            'optimizer.weight_decay=nan',
            'train.max_minutes=inf',
        )
    ]


def test_a_temperature_without_end_is_refused() -> None:
    with pytest.raises(errors.InputError, match='temperature=inf is not accepted'):
        convert.from_dict({'temperature': float('inf')}, schema.SamplingConfig)


def test_warm_up_is_in_steps_or_a_share_not_both() -> None:
    (said,) = problems(optimizer={'warmup_steps': 3, 'warmup_share': 0.1})
    assert said == (
        'optimizer.warmup_steps=3 and optimizer.warmup_share=0.1: set one of them, '
        'leave the other 0.'
    )


def test_a_warm_up_as_long_as_the_run_is_refused_before_data_is_read() -> None:
    train = {'num_steps': 10, 'num_epochs': 0}
    (said,) = problems(train=train, optimizer={'warmup_steps': 10})
    assert said == (
        'optimizer.warmup_steps=10 is not under train.num_steps=10; lower it, for '
        'example --config.optimizer.warmup_steps=1, or train longer.'
    )
    draft = make_draft()
    draft.train.update(train)
    draft.optimizer.warmup_steps = 9
    assert convert.freeze(draft).optimizer.warmup_steps == 9


def test_a_multiplier_is_a_pattern_and_a_factor() -> None:
    assert schema.lr_multiplier('h.[01].*=0.5') == ('h.[01].*', 0.5)
    assert schema.lr_multiplier('wte.*=0') == ('wte.*', 0.0)
    wrong = ('wte.*', '=0', 'wte.*=', 'h.*=-1', 'h.*=nan', 'h.*=half')
    said = problems(optimizer={'lr_multipliers': (*wrong, 'h.*=2')})
    assert len(said) == len(wrong)
    for line, entry in zip(said, wrong, strict=True):
        assert line.startswith(f'optimizer.lr_multipliers: {entry!r} is not PATTERN=')


def test_bfloat16_moments_that_would_never_fall_are_refused() -> None:
    said = problems(optimizer={'moment_dtype': 'bfloat16', 'b1': 0.995, 'b2': 0.999})
    assert [line.split(' ')[0] for line in said] == [
        'optimizer.b1=0.995',
        'optimizer.b2=0.999',
    ]
    # What the message says of bfloat16, by numpy: 0.99 always falls, 0.999 need not.
    values = np.arange(1, 2, 2**-7).astype(ml_dtypes.bfloat16)  # all of one power of 2
    after = {
        b: (values.astype(np.float32) * b).astype(values.dtype) for b in (0.99, 0.999)
    }
    assert np.all(after[0.99] < values)
    assert np.any(after[0.999] == values)


def test_a_config_survives_json() -> None:
    run = convert.freeze(make_draft())
    text = json.dumps(convert.to_dict(run))
    assert convert.from_dict(json.loads(text)) == run


def test_a_whole_number_is_taken_for_a_float_and_for_nothing_else() -> None:
    values = convert.to_dict(convert.freeze(make_draft()))
    values['optimizer']['clip_norm'] = 2
    values['lora']['alpha'] = 16
    run = convert.from_dict(values)
    assert (run.optimizer.clip_norm, run.lora.alpha) == (2.0, 16.0)
    assert isinstance(run.optimizer.clip_norm, float)
    values['train']['seed'] = 1.0
    values['model']['tie_embeddings'] = 1
    with pytest.raises(errors.InputError) as caught:
        convert.from_dict(values)
    assert str(caught.value).split('\n') == [
        'model.tie_embeddings=1 is not accepted; use true or false.',
        'train.seed=1.0 is not accepted; use a whole number such as 8.',
    ]


def test_fields_and_sections_that_do_not_exist_are_named_together() -> None:
    values = convert.to_dict(convert.freeze(make_draft()))
    values['train']['momentum'] = 0.9
    values['train']['sed'] = 1
    values['lora']['bias'] = True
    values['wandb'] = {'project': 'x'}
    with pytest.raises(errors.InputError) as caught:
        convert.from_dict(values)
    assert str(caught.value).split('\n') == [
        'lora.bias is not a field; remove it.',
        'train.momentum is not a field; remove it.',
        'train.sed is not a field; did you mean train.seed?',
        'wandb.project is not a field; did you mean train.wandb_project?',
    ]


@pytest.mark.parametrize(
    ('name', 'value', 'accepted'),
    [
        ('data.seq_len', 7, 'from 8 to 1,048,576'),
        ('model.n_layer', 10**9, '0 (unset) to 512'),
        ('model.n_embd', 2**20 + 1, '0 (unset) or up to 1,048,576'),
        ('tokenizer.vocab_size', 10**9, 'from 300 to 1,048,576'),
        ('data.question_weight', 1.5, 'from 0.0 to 1.0'),
        ('data.long_answers', 'keep', 'one of drop, split.'),
        ('data.reader', 'torch', 'one of tf_data, numpy.'),
        ('tokenizer.model_type', 'word', 'one of bpe, unigram, char.'),
        ('model.attention', 'flash', 'one of auto, xla, blockwise'),
        ('model.activation', 'silu', 'one of gelu_new, gelu, relu.'),
        ('model.resid_pdrop', 1.0, 'from 0.0 to under 1.0'),
        ('lora.rank', -1, '0 (off) or up to 1,048,576'),
        ('lora.alpha', 0.0, 'over 0.0'),
        ('optimizer.learning_rate', 0.0, 'over 0.0'),
        ('optimizer.final_learning_rate', -1.0, '0.0 (off) or more'),
        ('optimizer.schedule', 'step', 'one of constant, linear, cosine, '),
        ('optimizer.warmup_share', 1.0, 'from 0.0 to under 1.0'),
        ('optimizer.decay_share', 0.0, 'over 0.0 and up to 1.0'),
        ('optimizer.moment_dtype', 'float16', 'one of float32, bfloat16.'),
        ('train.param_dtype', 'auto', 'one of float32, bfloat16.'),
        ('train.z_loss', -1e-4, '0.0 (off) or more'),
        ('train.remat', 'full', 'one of none, block, dots.'),
        ('optimizer.b2', 1.0, 'from 0.0 to under 1.0'),
        ('optimizer.clip_norm', -1.0, '0.0 (off) or more'),
        ('train.batch_size', 0, 'from 1 to 1,048,576'),
        ('train.seed', 2**32, 'from 0 to 2**32 - 1'),
        ('train.log_every_steps', 0, '1 or more'),
        ('train.keep_last', 0, '1 or more'),
        ('train.compute_dtype', 'float16', 'one of auto, float32, bfloat16.'),
        ('mesh.data', 0, '-1 (the rest) or 1 or more'),
    ],
)
def test_a_value_out_of_range_says_what_is_accepted(
    name: str, value: object, accepted: str
) -> None:
    section, field = name.split('.')
    said = [p for p in problems(**{section: {field: value}}) if p.startswith(name)]
    assert said[0].startswith(f'{name}={value!r} is not accepted; use {accepted}')


def test_nan_is_in_no_range() -> None:
    assert problems(optimizer={'learning_rate': float('nan'), 'eps': float('nan')})


@pytest.mark.parametrize(
    ('steps', 'epochs'), [(0, 0.0), (10, 1.0)], ids=['neither', 'both']
)
def test_a_run_has_exactly_one_length(steps: int, epochs: float) -> None:
    assert problems(train={'num_steps': steps, 'num_epochs': epochs}) == [
        f'train.num_steps={steps} and train.num_epochs={epochs}: set exactly one of '
        'them, leave the other 0.'
    ]


def test_fields_that_do_not_fit_each_other_are_named_together() -> None:
    assert problems(
        data={'path': '', 'seq_len': 128},
        model={'n_head': 5},
        optimizer={'final_learning_rate': 1.0},
        train={'batch_size': 8, 'grad_accum_steps': 3},
        lora={'rank': 4, 'targets': ()},
    ) == [
        "data.path='' names no dataset; make one with data_pipeline.build and give its "
        'folder.',
        'model.n_embd=32 is not divisible by model.n_head=5; use a multiple of it.',
        'lora.targets=() adapts nothing; name modules or set lora.rank=0.',
        'optimizer.final_learning_rate=1.0 is over optimizer.learning_rate=5e-05; '
        'lower the first or raise the second.',
        'train.batch_size=8 is not divisible by train.grad_accum_steps=3; use a '
        'multiple of it.',
        'data.seq_len=128 is over model.n_positions=64; lower the first or raise the '
        'second.',
    ]


def test_kinds_of_lora_without_a_rank_are_refused() -> None:
    assert problems(lora={'rank': 0, 'dora': True, 'rslora': True}) == [
        'lora.rslora=True with lora.rank=0, which trains every parameter; give a rank, '
        'or leave lora.rslora out.',
        'lora.dora=True with lora.rank=0, which trains every parameter; give a rank, '
        'or leave lora.dora out.',
    ]


def test_a_model_from_scratch_needs_its_sizes_and_a_tokenizer() -> None:
    found = problems(tokenizer={'path': ''}, model={'n_layer': 0, 'n_embd': 0})
    assert [problem.split(' ')[0] for problem in found] == [
        'model.n_layer=0',
        'model.n_embd=0',
        "tokenizer.path=''",
    ]


def test_a_pretrained_model_brings_sizes_and_tokenizer() -> None:
    draft = convert.draft()
    draft.data.path = 'data/advice'
    draft.model.pretrained = 'gpt2'
    draft.train.num_epochs = 1.5
    assert convert.freeze(draft).model.n_layer == 0


def test_sampling_settings_are_checked_together() -> None:
    good = {'temperature': 0, 'top_k': 0, 'top_p': 1.0, 'stop': ['a', 'b\n']}
    assert convert.from_dict(good, schema.SamplingConfig) == schema.SamplingConfig(
        temperature=0.0, top_k=0, top_p=1.0, stop=('a', 'b\n')
    )
    wrong = {'max_new_tokens': 0, 'temperature': -1.0, 'top_p': 0.0, 'stop': ('',)}
    assert convert.problems(wrong, schema.SamplingConfig) == [
        'max_new_tokens=0 is not accepted; use from 1 to 1,048,576.',
        'temperature=-1.0 is not accepted; use 0.0 (greedy) or more.',
        'top_p=0.0 is not accepted; use over 0.0 and up to 1.0 (off).',
        "stop='' is not accepted; use texts that are not empty and hold no U+FFFD.",
    ]
    assert convert.problems({'min_new_tokens': 400}, schema.SamplingConfig) == [
        'min_new_tokens=400 is over max_new_tokens=300; lower the first or raise the '
        'second.'
    ]


@pytest.mark.parametrize(
    ('text', 'default', 'value'),
    [
        ('1e-4', 0.1, 0.0001),
        ('1', 0.1, 1.0),
        ('8', 1, 8),
        ('-1', 1, -1),
        ('T', False, True),
        ('no', True, False),
        ('a b', '', 'a b'),
        ('a, b,', (), ('a', 'b')),
        ("('a', 'b')", (), ('a', 'b')),
        ("'a'", (), ('a',)),
        ('(1, 2)', (), (1, 2)),
        # These can't be read, so the config says what is wrong with them.
        ('1e3', 1, '1e3'),
        ('maybe', True, 'maybe'),
        ('(a', (), '(a'),
    ],
)
def test_a_text_becomes_a_value_of_its_field(
    text: str, default: object, value: object
) -> None:
    read = convert.from_text(text, default)
    assert (read, type(read)) == (value, type(value))


def test_a_conflict_that_follows_from_a_mistake_is_not_reported_beside_it() -> None:
    # Without num_steps the run would have no length; data.path may be meant by pth.
    wrong = {'train': {'num_steps': '1k'}, 'data': {'pth': 'data/advice'}}
    assert [line.split(' ')[0] for line in convert.problems(wrong)] == [
        "train.num_steps='1k'",
        'data.pth',
        'model.n_layer=0',
        'model.n_head=0',
        'model.n_embd=0',
        'model.n_positions=0',
        "tokenizer.path=''",
    ]


def test_flatten_joins_names_by_dots() -> None:
    assert convert.flatten({'train': {'seed': 0}, 'mesh': {'data': -1}}) == {
        'train.seed': 0,
        'mesh.data': -1,
    }


def test_the_config_imports_no_jax() -> None:
    code = "import sys, hax_jax.config.convert; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, '-c', code], timeout=60).returncode == 0


def test_a_text_that_can_be_no_path_is_refused_by_its_field() -> None:
    for section, values, said in (
        ('data', {'path': 'a\0b'}, 'data.path='),
        ('model', {'pretrained': '/tmp/\udcff'}, 'model.pretrained='),
        ('lora', {'targets': ('attn\0',)}, 'lora.targets='),
    ):
        [problem] = convert.wrong_fields({section: values})
        assert problem.startswith(said)
        assert 'zero byte' in problem or 'not UTF-8 text' in problem


@pytest.mark.parametrize(
    'kind', [schema.Config, schema.SamplingConfig, settings.Settings]
)
def test_every_field_has_a_meaning(kind: type) -> None:
    told = meanings.of(kind)
    assert list(told) == list(convert.fields(kind))
    assert [name for name, text in told.items() if not text] == []


def test_a_meaning_is_the_comment_above_or_beside_its_field() -> None:
    told = meanings.of(schema.Config)
    assert told['lora.alpha'] == 'the update is scaled by alpha / rank'
    assert told['data.seq_len'].startswith('tokens of a row')
    assert told['train.on_spike'].startswith('A step whose loss')
    assert told['train.on_spike'].endswith('bad_steps.jsonl lists both kinds.')


@pytest.mark.parametrize(
    ('given', 'names', 'meant'),
    [
        ('--config.data.path', ['--data', '--workdir'], '--data'),
        (
            '--data',
            ['--workdir', '--config.mesh.data', '--config.data.path'],
            '--config.data.path',
        ),
        ('--config.train.batch_size', ['--batch_size', '--data'], '--batch_size'),
        ('--colour', ['--workdir', '--config.mesh.data'], ''),
    ],
)
def test_flags_and_fields_are_taken_for_each_other(
    given: str, names: list[str], meant: str
) -> None:
    assert convert.nearest(given, names) == meant
