"""The import arrows between folders, read from the source of every file."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]

# Folder of hax_jax -> the folders, and the files beside them, that it imports from.
# None is listed after itself, so no circle is possible; errors, places, files,
# local_copy, digests, sha256sums, json_lines, near_names, counted and hub are files.
LIBRARY = {
    'errors': '',
    'near_names': '',
    'counted': '',
    'store': 'errors',
    'places': 'errors store',
    'files': 'errors places',
    'local_copy': 'errors store places files',
    'digests': 'errors places files',
    'sha256sums': 'errors files digests',
    'json_lines': 'errors places files',
    'hub': 'errors near_names local_copy',
    'config': 'errors',
    'program': 'errors near_names places config',
    'devices': 'errors places config program',
    'data': 'errors near_names files local_copy digests sha256sums hub config',
    'model': 'errors config devices',
    'guards': 'errors json_lines devices data model',
    'formats': 'errors places files sha256sums hub config data model',
    'sampling': 'errors near_names counted files json_lines config devices data model',
    'watch': 'errors places files json_lines config data model program guards',
    'reference': 'config data',
    'measures': 'errors config data devices model sampling watch reference',
    'doctor': 'errors files config data model formats watch reference measures',
    'runs': 'errors near_names places files local_copy digests config '
    'devices data model program formats',
    'evaluation': 'errors counted places files digests config devices data model '
    'program runs',
    'training': 'errors places files json_lines config devices data model program '
    'guards formats sampling watch doctor runs evaluation',
    'planning': 'counted json_lines config devices data model program doctor runs '
    'evaluation training',
    'curves': 'errors places json_lines config data guards watch reference measures '
    'doctor runs evaluation training',
    'report': 'errors places files config watch doctor evaluation training curves',
    'tuning': 'counted files config data guards program runs evaluation training '
    'report',
    'proof': 'errors runs',
    'benchmark': 'errors files config devices data model guards sampling watch runs '
    'evaluation training',
}
# Folder of data_pipeline -> the same; '' is its top.
PIPELINE = {
    'settings': '',
    'quiet_tfds': '',
    'pages': '',
    'faq': 'pages',
    'layouts': 'pages faq',
    'chat_texts': '',
    'fields': '',
    'exports': 'pages chat_texts',
    'rows': 'pages faq layouts chat_texts fields exports',
    'markup': 'pages faq layouts chat_texts fields',
    'copies': 'chat_texts fields exports rows markup',
    'reading': 'quiet_tfds pages faq layouts chat_texts fields exports rows markup '
    'copies',
    'collecting': 'pages rows',
    'dumps': 'collecting',
    'pair_stages': 'settings pages faq layouts',
    'compared': 'settings pages pair_stages',
    'all_pairs': 'settings pages layouts pair_stages compared',
    'preferences': 'settings rows pair_stages all_pairs',
    'preparing': 'settings rows reading pair_stages compared preferences',
    'writing': 'quiet_tfds reading compared preparing',
}
LIBRARY_FOR_PIPELINE = (
    'errors near_names counted files local_copy digests sha256sums json_lines hub '
    'config program data'
)
API = {'hax_jax': LIBRARY, 'data_pipeline': PIPELINE}
# What a program must not import before its flags are read; hax_jax's folders that need
# one of them are found by tests/launch/test_start.py.
LARGE = (
    'jax flax optax orbax tensorstore tensorflow transformers pandas sklearn scipy '
    'datasets'
)
TENSORFLOW = {'tensorflow', 'tensorflow_datasets', 'tensorflow_text'}

FILES = [
    path
    for folder in ('hax_jax', 'data_pipeline', 'configs', 'launch')
    for path in sorted((ROOT / folder).rglob('*.py'))
]


def name_of(path: pathlib.Path) -> str:
    """hax_jax/model/lora.py -> 'hax_jax.model.lora'."""
    return '.'.join(path.relative_to(ROOT).with_suffix('').parts)


def imports(tree: ast.Module) -> list[tuple[str, bool]]:
    """(dotted name, whether it is inside a function) of each import.

    `from hax_jax import hub` is hax_jax.hub, `from a.b import c` is a.b.c.
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


def imported_folders(path: pathlib.Path) -> set[str]:
    """The folders of its own package that a file imports from, beside its own."""
    package, *rest = path.relative_to(ROOT).with_suffix('').parts
    own = rest[0]
    found = {
        dotted.split('.')[1]
        for dotted, _ in imports(ast.parse(path.read_text(encoding='utf-8')))
        if dotted.split('.')[0] == package and '.' in dotted
    }
    return found - {own}


def problems(path: pathlib.Path) -> list[str]:
    package, *rest = path.relative_to(ROOT).with_suffix('').parts
    folder = rest[0] if rest else ''
    out = []
    for dotted, inside in imports(ast.parse(path.read_text(encoding='utf-8'))):
        root, _, below = dotted.partition('.')
        to = below.split('.')[0]
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
        arrows = API.get(package, {}).get(folder)
        known = root == package and arrows is not None
        if known and to not in (folder, *arrows.split()):
            out.append(f'{dotted}: {folder} does not import that')
        allowed = {'data_pipeline': LIBRARY_FOR_PIPELINE, 'configs': 'config'}
        if root == 'hax_jax' and to not in allowed.get(package, to).split():
            out.append(f'{dotted}: {package} does not import that')
        if package == 'hax_jax' and root in TENSORFLOW:
            if folder not in ('data', 'formats'):
                out.append(f'{dotted}: only data and formats import TensorFlow')
            if not inside:
                out.append(f'{dotted}: TensorFlow is imported inside a function')
        if package == 'hax_jax' and root == 'absl' and folder != 'program':
            out.append(f'{dotted}: only program takes flags')
        if folder in ('config', 'program') and root in ('jax', 'flax', 'optax'):
            out.append(f'{dotted}: {folder} imports no JAX')
    return out


def test_arrows_go_one_way() -> None:
    for arrows in API.values():
        before: set[str] = set()
        for folder, wanted in arrows.items():
            assert set(wanted.split()) <= before, folder
            before.add(folder)


@pytest.mark.parametrize('package', API)
def test_every_arrow_is_in_the_table_and_used(package: str) -> None:
    found: dict[str, set[str]] = {}
    for path in (ROOT / package).rglob('*.py'):
        folder = path.relative_to(ROOT / package).with_suffix('').parts[0]
        if path.name != '__init__.py' and folder in API[package]:
            found.setdefault(folder, set()).update(imported_folders(path))
    assert found == {name: set(to.split()) for name, to in API[package].items()}


@pytest.mark.parametrize('package', API)
def test_every_folder_is_small_and_says_what_it_is(package: str) -> None:
    for folder in sorted((ROOT / package).iterdir()):
        files = sorted(path.name for path in folder.glob('*.py'))
        if not folder.is_dir() or not files:
            continue
        assert folder.name in API[package]
        assert 3 <= len(files) - 1 <= 14, f'{folder.name}: {files}'
        tree = ast.parse((folder / '__init__.py').read_text(encoding='utf-8'))
        said = ast.get_docstring(tree) or ''
        assert said.count('\n') >= 2, f'{folder.name}/__init__.py says too little'
        assert len(tree.body) == 1, f'{folder.name}/__init__.py has code'


@pytest.mark.parametrize('path', FILES, ids=name_of)
def test_imports_go_one_way(path: pathlib.Path) -> None:
    if path.stem != '__init__':
        assert problems(path) == []


def put_off(tree: ast.Module) -> set[str]:
    """The names in the blocks `with later.imports():`."""
    blocks = [
        node
        for node in tree.body
        if isinstance(node, ast.With)
        and ast.unparse(node.items[0].context_expr) == 'later.imports()'
    ]
    return {
        dotted
        for block in blocks
        for dotted, _ in imports(ast.Module(block.body, type_ignores=[]))
    }


@pytest.mark.parametrize('path', FILES, ids=name_of)
def test_a_program_puts_large_imports_off_and_modules_alone(path: pathlib.Path) -> None:
    source = path.read_text(encoding='utf-8')
    tree = ast.parse(source)
    later = put_off(tree)
    if path.relative_to(ROOT).parts[0] == 'hax_jax':
        assert not later  # the library imports what it needs as it is imported
    for dotted in later:
        own = ROOT.joinpath(*dotted.split('.'))
        is_module = own.with_suffix('.py').exists() or '.' not in dotted
        assert is_module, f'{dotted}: asking for a name loads its module'
    if '\n    entry.run(' in source:
        at_once = {dotted for dotted, inside in imports(tree) if not inside} - later
        assert not {dotted.split('.')[0] for dotted in at_once} & set(LARGE.split())


@pytest.mark.parametrize(
    ('file', 'line', 'message'),
    [
        ('hax_jax/devices/mesh.py', 'from hax_jax.model import attention', 'not impo'),
        ('hax_jax/model/loss.py', 'import hax_jax.training.train_loop', 'not import'),
        ('hax_jax/model/lora.py', 'from hax_jax.sampling.decode import f', 'not impor'),
        ('hax_jax/data/text.py', 'from hax_jax import utils', 'does not import that'),
        ('hax_jax/data/text.py', 'import data_pipeline.pack', 'composes both'),
        ('hax_jax/data/text.py', 'import launch.train', 'nothing imports launch'),
        ('hax_jax/data/text.py', 'from absl import flags', 'only program takes'),
        ('hax_jax/model/loss.py', 'def f():\n  import tensorflow as tf', 'only data'),
        ('hax_jax/data/records.py', 'import tensorflow.data', 'inside a function'),
        ('hax_jax/config/schema.py', 'import jax.numpy', 'no JAX'),
        ('data_pipeline/pack.py', 'from hax_jax.model import gpt2', 'does not import'),
        ('data_pipeline/pack.py', 'def f():\n  import configs.a', 'nothing imports'),
        (
            'data_pipeline/pages/chat.py',
            'from data_pipeline.all_pairs import facts',
            'pages does not import that',
        ),
        ('data_pipeline/writing/a.py', 'from data_pipeline import build', 'not import'),
        ('configs/a.py', 'from hax_jax.training import optimizer', 'does not import'),
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
