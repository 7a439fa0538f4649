import pytest

from hax_jax.config import convert, schema
from launch import old_variables


def test_without_old_variables_nothing_changes_and_nothing_is_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    argv = ['train', '--config.train.seed=1']
    assert old_variables.with_fields(argv, {'PATH': '/bin'}) == argv
    assert capsys.readouterr().err == ''


def test_a_variable_that_is_set_is_named_with_its_field_and_not_read(
    capsys: pytest.CaptureFixture[str],
) -> None:
    argv = ['train', '--workdir=runs/a']
    variables = {'TRAINING_STEPS': '5000', 'DEVICE': 'cuda'}
    assert old_variables.with_fields(argv, variables) == argv
    said = capsys.readouterr().err
    assert '2 variables of the old project are set and not read' in said
    assert 'TRAINING_STEPS=5000: --config.train.num_steps=5000' in said
    assert 'DEVICE=cuda: give JAX_PLATFORMS' in said
    assert '--from_env takes' in said


def test_from_env_takes_their_fields_but_for_those_that_are_typed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    argv = ['train', '--config.train.batch_size=2', '--from_env']
    variables = {'BATCH_SIZE': '16', 'DROPOUT': '0.1', 'USE_LORA': 'False'}
    assert old_variables.with_fields(argv, variables) == [
        'train',
        '--config.model.embd_pdrop=0.1',
        '--config.model.attn_pdrop=0.1',
        '--config.model.resid_pdrop=0.1',
        '--config.lora.rank=0',
        *argv[1:],
    ]
    said = capsys.readouterr().err
    assert said.startswith('--from_env: 2 of 3 old variables are taken over\n')
    assert '  BATCH_SIZE=16: not taken, its flag is given\n' in said


@pytest.mark.parametrize(
    ('variables', 'added'),
    [
        ({'LORA_RANK': '8'}, []),
        ({'LORA_RANK': '8', 'USE_LORA': 'True'}, ['--config.lora.rank=8']),
        ({'USE_LORA': 'true'}, ['--config.lora.rank=16']),
        ({'LORA_RANK': '8', 'USE_LORA': 'false'}, ['--config.lora.rank=0']),
    ],
)
def test_lora_variables_hold_where_use_lora_is_true(
    variables: dict[str, str], added: list[str]
) -> None:
    assert old_variables.with_fields(['train', '--from_env'], variables) == [
        'train',
        *added,
        '--from_env',
    ]


def test_every_field_that_a_variable_sets_is_there() -> None:
    names = convert.flatten(convert.draft(schema.Config).to_dict())
    mapped = [
        *old_variables._FIELDS.values(),
        *old_variables._LORA_FIELDS.values(),
        *old_variables._DROPOUTS,
    ]
    assert set(mapped) <= names.keys()
