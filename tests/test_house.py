"""The import arrows of the house, read from the source of every file."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]

# Who may import whom: a module of hax_jax imports from rows above its own, and in its
# own row from the left.
ROWS = [
    'config_schema config_checks config files hub allocator',
    'records text prompt_markdown prompts prompt_names answer_file answer_table '
    'chat_settings tensor_files torch_file runtime stopping mesh optimizer sampling '
    'checks stopwatch throughput tracking profiling history linear activations loss '
    'blockwise attention diversity',
    'layouts packing layer_loop gpt2',
    'lora pretrained peft_config peft_adapter old_checkpoint input_pipeline decode '
    'batching stops engine fitting generate chat',
    'train_state',
    'layer_metrics metrics train_step checkpoint',
    'runs restore resume',
    'evaluate paired scorer preflight run_samples fast_tokenizer model_card export '
    'run_export',
    'memory planner schedule_plot run_start outcome between_steps trainer timing '
    'benchmark',
    'doctor report',
]
NOT_YET = {'doctor', 'report'}
PLACES = {
    name: (row, column)
    for row, names in enumerate(ROWS)
    for column, name in enumerate(names.split())
}
# Folder -> what of the project it may import, beside itself.
HAX_JAX_FOR_DATA = {'config', 'files', 'hub', 'text', 'records', 'packing'}
# Folders of data_pipeline, each importing from those before it; its top is last, but
# for what all of them share.
DATA_FOLDERS = ['reading', 'collecting', 'preparing', 'writing']
DATA_SHARED = {'settings', 'quiet_tfds'}
TENSORFLOW = {'tensorflow', 'tensorflow_datasets', 'tensorflow_text'}
NO_JAX = {'config', 'config_checks', 'config_schema'}
ONLY_WITH_TENSORFLOW = {'input_pipeline'}

FILES = [
    path
    for folder in ('hax_jax', 'data_pipeline', 'configs', 'launch')
    for path in sorted((ROOT / folder).rglob('*.py'))
]


def name_of(path: pathlib.Path) -> str:
    """hax_jax/lora.py -> 'hax_jax.model.lora'."""
    return '.'.join(path.relative_to(ROOT).with_suffix('').parts)


def imports(tree: ast.Module) -> list[tuple[str, bool]]:
    """(dotted name, whether it is inside a function) of each import.

    `from hax_jax import lora` is hax_jax.lora, `from a.b import c` is a.b.c.
    """
    found = []

    def visit(node: ast.AST, inside: bool) -> None:
        if isinstance(node, ast.Import):
            found.extend((alias.name, inside) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'line {node.lineno}: a relative import'
            found.extend((f'{node.module}.{a.name}', inside) for a in node.names)
        inside = inside or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for child in ast.iter_child_nodes(node):
            visit(child, inside)

    visit(tree, False)
    return found


def room(dotted: str) -> str:
    """'hax_jax.model.lora' or 'hax_jax.model.lora.add_lora' -> 'lora'."""
    return dotted.split('.')[1]


def problems(path: pathlib.Path) -> list[str]:
    package, *_ = path.relative_to(ROOT).parts
    out = []
    for dotted, inside in imports(ast.parse(path.read_text(encoding='utf-8'))):
        root = dotted.split('.')[0]
        if root in ('launch', 'configs') and not package == root == 'launch':
            out.append(f'{dotted}: nothing imports launch or configs')
        # A file of configs/data begins with the draft that data_pipeline has for it.
        drafts = package == 'configs' and dotted == 'data_pipeline.settings'
        if (
            root == 'data_pipeline'
            and package not in ('data_pipeline', 'launch')
            and not drafts
        ):
            out.append(f'{dotted}: only launch composes both packages')
        if root == 'data_pipeline' and path.parent.name in DATA_FOLDERS:
            of = room(dotted) if '.' in dotted else ''
            before = DATA_FOLDERS[: DATA_FOLDERS.index(path.parent.name) + 1]
            if of not in before and of not in DATA_SHARED:
                out.append(f'{dotted}: {path.parent.name} does not import that')
        if root == 'hax_jax':
            allowed = {
                'hax_jax': set(PLACES),
                'data_pipeline': HAX_JAX_FOR_DATA,
                'configs': {'config'},
                'launch': set(PLACES),
            }[package]
            if room(dotted) not in allowed:
                out.append(f'{dotted}: {package} does not import that room')
            elif package == 'hax_jax' and PLACES[room(dotted)] >= PLACES[path.stem]:
                out.append(f'{dotted}: against the arrows')
        if package == 'hax_jax' and root in TENSORFLOW:
            if path.stem not in ONLY_WITH_TENSORFLOW:
                out.append(f'{dotted}: only input_pipeline imports TensorFlow')
            if not inside:
                out.append(f'{dotted}: TensorFlow is imported inside a function')
        if package == 'hax_jax' and root == 'absl' and dotted != 'absl.logging':
            out.append(f'{dotted}: the library takes no flags')
        if path.stem in NO_JAX and root in ('jax', 'flax', 'optax'):
            out.append(f'{dotted}: the config imports no JAX')
    return out


def test_every_room_of_hax_jax_has_its_place_in_the_table() -> None:
    there = {path.stem for path in (ROOT / 'hax_jax').glob('*.py')} - {'__init__'}
    assert there - set(PLACES) == set()
    assert set(PLACES) - there <= NOT_YET


def is_package(path: pathlib.Path) -> bool:
    return path.is_dir() and any(path.glob('*.py'))


@pytest.mark.parametrize('path', FILES, ids=name_of)
def test_imports_go_one_way(path: pathlib.Path) -> None:
    if path.stem != '__init__':
        assert problems(path) == []


@pytest.mark.parametrize(
    ('file', 'line', 'message'),
    [
        ('hax_jax/mesh.py', 'from hax_jax import attention', 'against the arrows'),
        ('hax_jax/loss.py', 'import hax_jax.trainer', 'against the arrows'),
        ('hax_jax/lora.py', 'from hax_jax.generate import f', 'against the arrows'),
        ('hax_jax/lora.py', 'from hax_jax import lora', 'against the arrows'),
        ('hax_jax/text.py', 'from hax_jax import utils', 'does not import that room'),
        ('hax_jax/text.py', 'import data_pipeline.pack', 'composes both'),
        ('hax_jax/text.py', 'import launch.train', 'nothing imports launch'),
        ('hax_jax/text.py', 'from absl import flags', 'takes no flags'),
        (
            'hax_jax/loss.py',
            'def f():\n  import tensorflow as tf',
            'only input_pipeline',
        ),
        ('hax_jax/input_pipeline.py', 'import tensorflow.data', 'inside a function'),
        ('hax_jax/config.py', 'import jax.numpy', 'no JAX'),
        ('data_pipeline/pack.py', 'from hax_jax import gpt2', 'that room'),
        ('data_pipeline/pack.py', 'def f():\n  import configs.a', 'nothing imports'),
        (
            'data_pipeline/reading/chats.py',
            'from data_pipeline.all_pairs import facts',
            'reading does not import that',
        ),
        ('data_pipeline/writing/a.py', 'from data_pipeline import build', 'not import'),
        ('configs/a.py', 'from hax_jax import optimizer', 'that room'),
        ('configs/data/a.py', 'from data_pipeline import build', 'composes both'),
        ('launch/train.py', 'from configs import gpt2_full', 'nothing imports'),
    ],
)
def test_a_wrong_import_is_found(
    file: str, line: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pathlib.Path, 'read_text', lambda *_, **__: line)
    (problem,) = problems(ROOT / file)
    assert message in problem
