"""Modules that load at their first use."""

import pathlib
import sys
import types

import pytest

from hax_jax.program import later


def test_a_module_loads_when_something_of_it_is_asked_for(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / 'heavy_package'
    folder.mkdir()
    (folder / '__init__.py').write_text('')
    (folder / 'part.py').write_text(
        'import sys\nimport heavy_other\nsys.loaded_parts.append(__name__)\nvalue = 3\n'
    )
    (tmp_path / 'heavy_other.py').write_text(
        'sys = __import__("sys")\nsys.loaded_parts.append(__name__)\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    loaded: list[str] = []
    monkeypatch.setattr(sys, 'loaded_parts', loaded, raising=False)
    with later.imports():
        from heavy_package import part
    assert sys.modules['heavy_package.part'] is part
    assert isinstance(part, types.ModuleType)
    assert loaded == []
    assert part.value == 3
    assert loaded == ['heavy_other', 'heavy_package.part']  # what it imports, at once


def test_a_module_that_is_not_there_is_an_error_in_the_block() -> None:
    with pytest.raises(ModuleNotFoundError, match='no_such_module'), later.imports():
        import no_such_module  # noqa: F401
    assert not [f for f in sys.meta_path if isinstance(f, later._Finder)]
