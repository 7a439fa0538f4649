"""peft's adapter_config.json: the fields that hax_jax knows, and their values.

Source: peft 0.21, tuners/lora/config.py.
"""

import pathlib
import re
from typing import Any

from hax_jax import errors, files
from hax_jax.config import ranges

FILE = 'adapter_config.json'
# Initialisations that leave the base as it is. The others (pissa, olora, corda, loftq,
# lora_ga) change it, so that the adapter does not fit the base that the folder names.
_INITIALISATIONS = (True, False, 'gaussian', 'eva', 'orthogonal', 'mica')
# Fields with no effect beyond the tensors, and on the last two lines the fields read.
_KNOWN = (
    'auto_mapping corda_config ensure_weight_tying eva_config exclude_modules '
    'fan_in_fan_out inference_mode layers_pattern layers_to_transform loftq_config '
    'lora_ga_config megatron_config megatron_core peft_version qalora_group_size '
    'revision runtime_config target_modules task_type '
    'alpha_pattern base_model_name_or_path bias init_lora_weights lora_alpha '
    'lora_dropout peft_type r rank_pattern use_dora use_rslora'
)


def read(folder: pathlib.Path) -> dict[str, Any]:
    """The fields of a folder's file; InputError if it is absent or damaged."""
    path = folder / FILE
    if not path.exists() and (folder / 'config.json').exists():
        raise errors.InputError(
            f'{folder} has a whole model (config.json) and no {FILE}; give the folder '
            'of an adapter, or this one as a model by itself.'
        )
    try:
        return files.read_json_object(path)
    except (OSError, ValueError) as error:
        raise errors.InputError(
            f'{path} is not readable JSON ({errors.cause(error)}); give a folder '
            'that peft saved with save_pretrained.'
        ) from error


def of_layer(values: dict[str, Any], name: str, layer: str) -> Any:
    """`rank_pattern`'s or `alpha_pattern`'s value of a layer, else that of all.

    `layer` is such as 'h.0.attn.c_attn'. Source: peft's get_pattern_key: the first
    pattern that is the module's path or its end.
    """
    path = layer if layer == 'lm_head' else f'transformer.{layer}'
    for pattern, value in (values.get(name) or {}).items():
        if re.fullmatch(rf'(.*\.)?({pattern})', path):
            return value
    return values['r' if name == 'rank_pattern' else 'lora_alpha']


def _pattern_problems(values: dict[str, Any]) -> list[str]:
    found = []
    for name, whole in (('rank_pattern', True), ('alpha_pattern', False)):
        patterns = values.get(name) or {}
        if not isinstance(patterns, dict):
            found.append(f'{name}={patterns!r}, not patterns with numbers')
            continue
        for pattern, value in patterns.items():
            try:
                re.compile(pattern)
            except re.error as error:
                found.append(f'{name}: {pattern!r} is no pattern ({error})')
            kinds = (int,) if whole else (int, float)
            if type(value) not in kinds or not 0 < value <= ranges.MOST:
                found.append(f'{name}: {pattern!r} has {value!r}, not a number over 0')
    return found


def remedy(values: dict[str, Any]) -> str:
    """What to do with a folder that is refused."""
    kind = str(values.get('peft_type'))
    if 'PROMPT' in kind or kind in ('PREFIX_TUNING', 'P_TUNING'):
        return (
            f'{kind} adds tokens and changes no weight, so it can be neither taken '
            'over nor merged; train an adapter anew, with configs/gpt2_lora.py.'
        )
    return (
        'Give the base that it was trained on; or merge it into that with peft '
        '(merge_and_unload, save_pretrained; with an adapter of the head, untie the '
        "base's head first) and give the merged folder as model.pretrained."
    )


def problems(values: dict[str, Any]) -> list[str]:
    """The fields that no `schema.LoraConfig` can express."""
    rank, alpha = values.get('r'), values.get('lora_alpha')
    dropout = values.get('lora_dropout') or 0.0
    initialisation = values.get('init_lora_weights', True)
    found = []
    if values.get('peft_type') != 'LORA':
        found.append(f"peft_type={values.get('peft_type')!r}, not 'LORA'")
    if type(rank) is not int or not 1 <= rank <= ranges.MOST:
        found.append(f'r={rank!r}, not an integer from 1 to {ranges.MOST:,}')
    if type(alpha) not in (int, float) or not alpha > 0:
        found.append(f'lora_alpha={alpha!r}, not a number over 0')
    if type(dropout) not in (int, float) or not 0 <= dropout < 1:
        found.append(f'lora_dropout={dropout!r}, not from 0.0 to under 1.0')
    if values.get('bias', 'none') != 'none':
        found.append(f"bias={values['bias']!r}, not 'none': biases were trained too")
    if initialisation not in _INITIALISATIONS:
        found.append(
            f'init_lora_weights={initialisation!r} changed the base as it began; save '
            'it with path_initial_model_for_weight_conversion, or merge it'
        )
    found += _pattern_problems(values)
    for name in ('use_dora', 'use_rslora'):
        if not isinstance(values.get(name), bool | None):
            found.append(f'{name}={values[name]!r}, not true or false')
    found += [
        f'{name}={values[name]!r}, which hax_jax does not have'
        for name in sorted(values.keys() - set(_KNOWN.split()))
        if values[name]
    ]
    return found
