"""The training logs of the PyTorch project that hax_jax replaces.

A section HYPERPARAMETERS of `name = value`, then lines of any kind, among them

    Vocabulary size: 50,257 tokens
    step 500/3000 (16.7%): train loss 2.2125, val loss 2.5317 | LR: 1.00e-05 | ...
    Final eval - train loss 0.4723, val loss 2.2059
"""

import pathlib
import re

from hax_jax import errors
from hax_jax.curves import curve_checks

_SETTING = re.compile(r'^\s*(\w+) = (.*?)\s*$', re.MULTILINE)
_NUMBER = r'(\d+(?:\.\d+)?(?:e[+-]?\d+)?|nan|inf)'
_LOSSES = re.compile(
    rf'^\s*(?:step (\d+)/(\d+) .*?|Final eval - )train loss {_NUMBER}, val loss '
    rf'{_NUMBER}',
    re.MULTILINE | re.IGNORECASE,
)
_VOCABULARY = re.compile(r'^\s*Vocabulary size: ([\d,]+)', re.MULTILINE)
# An evaluation there drew 20 batches by the generator of training: +-0.04 for 16 rows
# of 128 positions, and by the root of their number for others.
_NOISE, _TOKENS = 0.04, 20 * 16 * 128


def read(path: pathlib.Path) -> curve_checks.Curve:
    """The curve of a log.

    Raises:
      InputError: the file can't be read, or has no line with both losses.
    """
    try:
        content = path.read_text(encoding='utf-8', errors='replace')
    except OSError as error:
        raise errors.InputError(
            f'--legacy_log={path} can not be read ({error.strerror}); give a log file '
            'of the old project.'
        ) from error
    points: dict[int, tuple[float, float]] = {}
    last = 0
    for match in _LOSSES.finditer(content):
        step, total, train, validation = match.groups()
        last = int(total) if total else last
        points[int(step) if step else last] = float(train), float(validation)
    if not points:
        raise errors.InputError(
            f'--legacy_log={path} has no line such as "step 0/2000 (0.0%): train loss '
            '3.61, val loss 3.83"; give a log file of the old project.'
        )
    settings = dict(_SETTING.findall(content))
    vocabulary = _VOCABULARY.search(content)
    pretrained = settings.get('model_type', 'gpt2').lower() == 'gpt2'
    return curve_checks.Curve(
        train=[(step, train) for step, (train, _) in sorted(points.items())],
        validation=[(step, value) for step, (_, value) in sorted(points.items())],
        pretrained=pretrained,
        vocab_size=int(vocabulary[1].replace(',', '')) if vocabulary else 0,
        noise=_NOISE * (_TOKENS / _tokens(settings)) ** 0.5,
    )


def _tokens(settings: dict[str, str]) -> int:
    """The tokens of one evaluation."""
    product = 1
    for name, usual in (('eval_iters', 20), ('batch_size', 16), ('block_size', 128)):
        value = settings.get(name, '')
        product *= int(value) if value.isdecimal() and int(value) else usual
    return product
