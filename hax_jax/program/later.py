"""Imports that load at their first use: flags are read and checked before JAX is there.

    with later.imports():
        import jax
        from hax_jax.training import train_loop

Both names are real modules, whose code runs when something of theirs is first asked
for; a package that is not installed is still an error in the block. A block imports
modules alone, because asking for a name of a module loads it; annotations that use them
need `from __future__ import annotations`. A second `import jax` in another file loads
it; `from hax_jax.training import train_loop` may stand in several files.

For programs: the library imports what it needs as it is imported.

Source: docs.python.org/3/library/importlib.html, "Implementing lazy imports".
"""

import contextlib
import importlib.abc
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType


@contextlib.contextmanager
def imports() -> Iterator[None]:
    """Modules that are first imported in the block load at their first use."""
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds what the other finders find, and puts its loading off."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        for finder in sys.meta_path:
            if isinstance(finder, _Finder):
                continue
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = importlib.util.LazyLoader(spec.loader)
                return spec
        return None
