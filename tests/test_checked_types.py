import pathlib
import re

import beartype.roar
import jax.numpy as jnp
import jaxtyping
import pytest

from hax_jax import near_names
from hax_jax.model import loss

_ROOT = pathlib.Path(__file__).parents[1]


def test_shapes_are_checked_wherever_a_signature_has_them() -> None:
    settings = (_ROOT / 'pyproject.toml').read_text('utf-8')
    named = re.search(r'--jaxtyping-packages=([\w.,]+)', settings)[1].split(',')
    importing = re.compile(r'^(from|import) jaxtyping\b', re.M)
    found = [
        '.'.join(path.relative_to(_ROOT).with_suffix('').parts)
        for path in (_ROOT / 'hax_jax').rglob('*.py')
        if importing.search(path.read_text('utf-8'))
    ]
    assert len(found) > 8
    for module in found:
        assert any(f'{module}.'.startswith(f'{each}.') for each in named), module


def test_a_wrong_type_and_a_wrong_shape_are_refused() -> None:
    with pytest.raises(beartype.roar.BeartypeCallHintParamViolation):
        near_names.steps('many', [1])
    rows, ids = jnp.zeros((2, 3, 4)), jnp.zeros((2, 5), jnp.int32)
    with pytest.raises(jaxtyping.TypeCheckError):
        loss.token_nll(rows, jnp.zeros((9, 4)), ids)
