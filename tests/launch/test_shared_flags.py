import inspect
import pathlib
import subprocess

import programs
import pytest
from absl import flags

from data_pipeline import build
from hax_jax import errors
from hax_jax.config import convert, schema
from hax_jax.program import command_line, config_flag, entry
from launch import shared_flags

ROOT = pathlib.Path(__file__).parents[2]
LORA = str(ROOT / 'configs' / 'gpt2_lora.py')


def make_values() -> flags.FlagValues:
    values = flags.FlagValues()
    flags.DEFINE_string('workdir', '', 'Where.', flag_values=values)
    flags.DEFINE_boolean('dry_run', False, 'Plan alone.', flag_values=values)
    flags.DEFINE_boolean('help', False, 'Help.', flag_values=values)
    flags.DEFINE_string('flagfile', '', 'A file of flags.', flag_values=values)
    return values


def check(*arguments: str) -> list[str]:
    argv = ['train', f'--config={LORA}', '--config.data.path=data/advice', *arguments]
    return shared_flags.CONFIG.check(argv, values=make_values())[3:]


def problems(*arguments: str) -> list[str]:
    with pytest.raises(errors.InputError) as caught:
        check(*arguments)
    return str(caught.value).split('\n')


@pytest.mark.parametrize(
    ('given', 'handed_on'),
    [
        (['--config.optimizer.learning_rate=1e-4'], 'optimizer.learning_rate=0.0001'),
        (['--config.optimizer.learning_rate', '1'], 'optimizer.learning_rate=1.0'),
        (['-config.train.batch_size=16'], 'train.batch_size=16'),
        (['--config.mesh.data', '-1'], 'mesh.data=-1'),
        (['--noconfig.model.tie_embeddings'], 'model.tie_embeddings=False'),
        (['--config.model.tie_embeddings'], 'model.tie_embeddings=True'),
        (['--config.model.tie_embeddings=f'], 'model.tie_embeddings=False'),
        (['--config.model.tie_embeddings', 'false'], 'model.tie_embeddings=False'),
        (['--config.model.pretrained=a b=c'], 'model.pretrained=a b=c'),
        (['--config.lora.targets=a.b,c.d'], "lora.targets=('a.b', 'c.d')"),
        (["--config.lora.targets=('a.b', 'c.d')"], "lora.targets=('a.b', 'c.d')"),
        (["--config.lora.targets=['a.b']"], "lora.targets=('a.b',)"),
        (
            ['--config.lora.targets=a.b', '--config.lora.targets', 'c.d'],
            "lora.targets=('a.b', 'c.d')",
        ),
        (['--config.train.seed=2', '--config.train.seed', '2'], 'train.seed=2'),
    ],
)
def test_each_way_to_write_an_override_is_handed_on_in_one_form(
    given: list[str], handed_on: str
) -> None:
    assert check(*given) == [f'--config.{handed_on}']


@pytest.mark.parametrize(
    ('typed', 'turned_off', 'said'),
    [
        ('train.num_steps=40', 'train.num_epochs=0.0', 'train.num_epochs=3.0'),
        (
            'optimizer.warmup_share=0.1',
            'optimizer.warmup_steps=0',
            'optimizer.warmup_steps=20',
        ),
    ],
)
def test_a_typed_field_takes_the_place_of_the_one_that_it_excludes(
    typed: str, turned_off: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(f'--config.{typed}') == [f'--config.{typed}', f'--config.{turned_off}']
    assert f'--config.{typed} takes the place of {said}' in capsys.readouterr().err


def test_two_typed_fields_that_exclude_each_other_are_refused() -> None:
    (problem,) = problems('--config.train.num_steps=4', '--config.train.num_epochs=1')
    assert 'set exactly one of them' in problem


def test_the_config_comes_first_wherever_it_stood_and_other_flags_stay() -> None:
    argv = ['train', '--workdir', 'runs/a', '--config.data.path=d', '--dry_run']
    argv += ['--config', LORA, 'left', 'over']
    assert shared_flags.CONFIG.check(argv, values=make_values()) == [
        'train',
        f'--config={LORA}',
        '--config.data.path=d',
        '--workdir',
        'runs/a',
        '--dry_run',
        'left',
        'over',
    ]


def test_everything_wrong_is_reported_at_once() -> None:
    assert problems(
        '--wrkdir=runs/a',
        '--config.optimizer.learnin_rate=1e-4',
        '--config.lr=1e-4',
        '--config.train.batch_size=1e3',
        '--config.optimizer.b1',
        'high',
        '--config.model.tie_embeddings=maybe',
        '--config.lora.targets=(1, 2)',
        '--noconfig.lora.rank',
        '--config.data.seq_len',
        '--config.optimizer.eps=nan',
        '--config.lora.alpha=-1',
    ) == [
        '--wrkdir is not a flag; did you mean --workdir?',
        'optimizer.learnin_rate is not a field; did you mean optimizer.learning_rate?',
        'lr is not a field; did you mean optimizer.learning_rate?',
        "train.batch_size='1e3' is not accepted; use a whole number such as 8.",
        "optimizer.b1='high' is not accepted; use a number such as 0.1 or 1e-4.",
        "model.tie_embeddings='maybe' is not accepted; use true or false.",
        'lora.targets=1, 2 is not accepted; use names joined by commas such as '
        'attn.c_attn,mlp.c_fc.',
        '--noconfig.lora.rank has no value; give --config.lora.rank=VALUE, a whole '
        'number such as 8.',
        '--config.data.seq_len has no value; give --config.data.seq_len=VALUE, a whole '
        'number such as 8.',
        'optimizer.eps=nan is not accepted; use a number such as 0.1 or 1e-4.',
        'lora.alpha=-1.0 is not accepted; use over 0.0.',
    ]


def test_a_field_that_is_given_as_a_flag_gets_its_config() -> None:
    given = ('--batch_size=4', '--lr', '1e-4', '--epochs=2', '--wrkdir=a')
    assert problems(*given, '--data=a', '--lora_rank=4') == [
        '--batch_size is not a flag; did you mean --config.train.batch_size?',
        '--lr is not a flag; did you mean --config.optimizer.learning_rate?',
        '--epochs is not a flag; did you mean --config.train.num_epochs?',
        '--wrkdir is not a flag; did you mean --workdir?',
        '--data is not a flag; did you mean --config.data.path?',
        '--lora_rank is not a flag; did you mean --config.lora.rank?',
    ]


@pytest.mark.parametrize(
    ('wrong', 'right'),
    [
        ('train.lr', 'optimizer.learning_rate'),
        ('optimizer.wd', 'optimizer.weight_decay'),
        ('batch_size', 'train.batch_size'),
        ('train.num_step', 'train.num_steps'),
        ('lora.targts', 'lora.targets'),
        ('data.seq-len', 'data.seq_len'),
    ],
)
def test_an_unknown_field_gets_the_nearest_name(wrong: str, right: str) -> None:
    assert problems(f'--config.{wrong}=1') == [
        f'{wrong} is not a field; did you mean {right}?'
    ]


def test_a_section_is_not_a_field() -> None:
    assert problems("--config.mesh={'data': 1}") == [
        'mesh is a section; set its fields one by one: mesh.data, mesh.fsdp, '
        'mesh.tensor.'
    ]


def test_two_values_for_one_field_or_config_are_refused() -> None:
    two = ['--config.train.seed=1', '--config.train.seed=2', '--config=gpt2_full']
    assert problems(*two, '--config.train.batch_size=x') == [
        f'--config is given twice, as {LORA} and as gpt2_full; give it once.',
        '--config.train.seed is given twice, as 1 and as 2; give it once.',
        "train.batch_size='x' is not accepted; use a whole number such as 8.",
    ]


def test_a_flag_that_may_be_repeated_is_not_empty() -> None:
    values = flags.FlagValues()
    flags.DEFINE_multi_string('workdir', [], 'Where.', flag_values=values)
    arguments = ['--workdir=a', '--workdir=', '--workdir', '', '--workdir', 'b']
    assert command_line.repeated(arguments, values) == 2 * [
        '--workdir is empty; give it a value, or leave it out.'
    ]


def test_what_a_mistake_leads_to_is_not_reported_beside_it() -> None:
    # With the steps unread, num_epochs=0 would leave the run without a length.
    assert problems('--config.train.num_steps=1k', '--config.train.num_epochs=0') == [
        "train.num_steps='1k' is not accepted; use a whole number such as 8."
    ]


def test_values_out_of_range_are_reported_together() -> None:
    assert problems('--config.lora.dropout=1', '--config.train.batch_size=0') == [
        'lora.dropout=1.0 is not accepted; use from 0.0 to under 1.0.',
        'train.batch_size=0 is not accepted; use from 1 to 1,048,576.',
    ]


def test_help_is_asked_for_alone(capsys: pytest.CaptureFixture[str]) -> None:
    argv = ['train', '--config=missing.py', '--config.no=1', '--help']
    with pytest.raises(SystemExit) as ended:
        shared_flags.CONFIG.check(argv, values=make_values())
    assert ended.value.code == 0
    assert 'optimizer.learning_rate=5e-05' in capsys.readouterr().out


def test_overrides_in_a_flagfile_are_checked_too(tmp_path: pathlib.Path) -> None:
    path = tmp_path / 'flags.txt'
    path.write_text('--config.train.seeed=1\n')
    assert problems(f'--flagfile={path}') == [
        'train.seeed is not a field; did you mean train.seed?'
    ]
    assert 'missing.txt' in problems(f'--flagfile={tmp_path}/missing.txt')[0]


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('def get_config(:', 'does not load: SyntaxError: '),
        ('\nraise SystemExit(0)', 'does not load: line 2: SystemExit: 0'),
        ("raise ValueError('a\\nb')", 'does not load: line 1: ValueError: a b. Mend'),
        ('import nothing_of_that_name', 'does not load: line 1: ModuleNotFoundError: '),
        ('\ndef get_config():\n  return 1 / 0', 'does not load: line 3: ZeroDivision'),
        ('draft = 1', 'has no function get_config()'),
        ('def get_config():\n  return {}', 'get_config() returns a dict'),
        ('def get_config():\n  pass', 'get_config() returns a NoneType'),
        (
            'from hax_jax.config import convert\ndef get_config():\n'
            '  draft = convert.draft()\n  draft.train.momentum = 1\n  return draft',
            'does not load: line 4: momentum is not a field; remove it. Mend',
        ),
        (
            'from hax_jax.config import convert\ndef get_config():\n'
            '  draft = convert.draft()\n  draft.trian.num_steps = 1\n  return draft',
            'line 4: trian is not a field; did you mean train? Mend the file.',
        ),
        (
            'from hax_jax.config import convert\ndef get_config():\n'
            '  draft = convert.draft()\n  draft.train.num_steps = "1"\n  return draft',
            'line 4: num_steps is a str; it has to be of type int. Mend the file.',
        ),
        ('None.lr', "AttributeError: 'NoneType' object has no attribute 'lr'. Mend"),
        ('\0', 'does not load: '),
    ],
)
def test_a_file_that_gives_no_config_says_why(
    tmp_path: pathlib.Path, text: str, message: str
) -> None:
    path = tmp_path / 'mine.py'
    path.write_text(text)
    with pytest.raises(errors.InputError) as caught:
        shared_flags.CONFIG.check(
            ['train', f'--config={path}', '--config.lr=1'], values=make_values()
        )
    first, *_, last = str(caught.value).split('\n')
    assert first.startswith(f'--config={path}')
    assert message in first
    # A broken file hides no other mistake.
    assert last == 'lr is not a field; did you mean optimizer.learning_rate?'


def test_a_draft_of_another_kind_is_named_by_its_fields(tmp_path: pathlib.Path) -> None:
    path = tmp_path / 'mine.py'
    path.write_text(
        'import ml_collections\ndef get_config():\n'
        "  return ml_collections.ConfigDict({'lr': 1})"
    )
    with pytest.raises(errors.InputError, match=r'^lr is not a field; did you mean'):
        shared_flags.CONFIG.check(['train', f'--config={path}'], values=make_values())


def test_a_wrong_value_stays_wrong_beside_a_right_one() -> None:
    assert problems('--config.lora.targets=(a', '--config.lora.targets=b') == [
        "lora.targets='(a' is not accepted; use names joined by commas such as "
        'attn.c_attn,mlp.c_fc.'
    ]


def test_a_missing_config_names_those_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(errors.InputError, match=r'there are gpt2_full, gpt2_lora,'):
        shared_flags.CONFIG.check(
            ['train', '--config=configs/gpt3.py'], values=make_values()
        )
    with pytest.raises(errors.InputError, match='--config is missing'):
        shared_flags.CONFIG.check(['train', '--workdir=runs/a'], values=make_values())


PROGRAM = """
from absl import flags
from hax_jax.program import command_line, config_flag, entry
from launch import shared_flags

shared_flags.CONFIG.define()
flags.DEFINE_string('workdir', '', 'Where.')


def main():
    run = shared_flags.CONFIG.value()
    print(run.lora.targets, run.optimizer.learning_rate, flags.FLAGS.workdir)


entry.run(main, prepare=shared_flags.CONFIG.check)
"""


def run_program(*arguments: str) -> subprocess.CompletedProcess[str]:
    return programs.run('-c', PROGRAM, *arguments)


def test_a_program_gets_the_config_with_its_overrides() -> None:
    done = run_program(
        '--workdir=w',
        '--config.data.path=d',
        '--config=configs/gpt2_lora.py',
        '--config.lora.targets=attn.c_attn,mlp.c_fc',
        '--config.optimizer.learning_rate',
        '1e-4',
    )
    assert done.stderr == ''
    assert done.stdout == "('attn.c_attn', 'mlp.c_fc') 0.0001 w\n"
    assert done.returncode == 0


def test_a_program_prints_an_error_and_exits_with_2() -> None:
    done = run_program('--config=configs/gpt2_lora.py', '--config.lora.rnk=1')
    assert done.stderr == (
        'error: lora.rnk is not a field; did you mean lora.rank?\n'
        "data.path='' names no dataset; make one with data_pipeline.build and give its "
        'folder.\nTry --help.\n'
    )
    assert done.stdout == ''
    assert done.returncode == 2


def test_help_is_one_screen_of_flags_and_common_fields() -> None:
    text = run_program('--help').stdout
    assert len(text.splitlines()) <= 60
    assert max(map(len, text.splitlines())) <= 100
    told = ' '.join(text.split())
    count = len(convert.fields(schema.Config))
    listed = f'as --config.SECTION.FIELD=VALUE (--help_config lists all {count})'
    assert listed in told
    assert 'train.batch_size=8 rows per step, over all devices' in told
    assert '--workdir Where.' in told


def test_help_config_lists_every_field_with_what_it_accepts() -> None:
    told = ' '.join(run_program('--help_config').stdout.split())
    assert all(f' {name}' in told for name in convert.fields(schema.Config))
    assert "lora.dropout=0.0 of the adapters' inputs [from 0.0 to under 1.0]" in told


def test_the_help_of_sampling_has_the_flags_of_sampling() -> None:
    done = programs.run('-m', 'launch.sample', '--help')
    assert '--temperature=0.7' in done.stdout
    assert '--workdir' in done.stdout


def test_a_program_without_a_config_parses_its_flags_as_they_are() -> None:
    taken = inspect.signature(entry.run).parameters
    assert taken['prepare'].default is list
    assert taken['positional'].default is False


@pytest.mark.parametrize(
    ('flag', 'given', 'says'),
    [
        (build.CONFIG, 'configs/gpt2_lora.py', 'how pairs are prepared: it is a config '
         'of training; give one such as --config=configs/data/advice.py.'),
        (build.CONFIG, 'gpt2_lora', 'how pairs are prepared: it is a config of '
         'training; give one such as --config=configs/data/advice.py.'),
        (shared_flags.CONFIG, 'advice', 'what to train: its sections are clean, '),
    ],
)  # fmt: skip
def test_a_config_of_another_kind_is_named_in_one_line(
    flag: config_flag.ConfigFlag, given: str, says: str
) -> None:
    with pytest.raises(errors.InputError) as caught:
        flag.check(['program', f'--config={given}'], values=make_values())
    said = str(caught.value)
    assert f'.py does not say {says}' in said
    assert '\n' not in said


@pytest.mark.parametrize(
    ('least', 'most', 'given', 'says'),
    [
        (0, None, '-1', 'a number, 0 or more'),
        (None, 2, '3', 'a number, 2 or less'),
        (0, 1, 'x', 'a number from 0 to 1'),
        (None, None, 'x', 'a number such as 0.1 or 1e-4'),
    ],
)
def test_a_value_out_of_a_flags_range_is_refused_with_the_range(
    least: float | None, most: float | None, given: str, says: str
) -> None:
    values = make_values()
    flags.DEFINE_float('gb', 1.0, 'Size.', least, most, flag_values=values)
    with pytest.raises(flags.IllegalFlagValueError) as caught:
        values(['program', f'--gb={given}'])
    said = command_line.in_words(caught.value, values)
    assert said == f'--gb={given} is not accepted; use {says}.'
