"""The environment variables that set the project before this one.

One that is set is named with its flag, and read only with `--from_env`.
"""

import itertools
import os
import sys
from collections.abc import Mapping, Sequence

from absl import flags

_FIELDS = {  # variable -> the config's field of the same meaning
    'TRAINING_STEPS': 'train.num_steps',
    'BATCH_SIZE': 'train.batch_size',
    'BLOCK_SIZE': 'data.seq_len',
    'LEARNING_RATE': 'optimizer.learning_rate',
    'EVAL_INTERVAL': 'train.eval_every_steps',
    'CHECKPOINT_INTERVAL': 'train.checkpoint_every_steps',
    'MAX_NEW_TOKENS': 'train.sample_max_new_tokens',
    'GPT2_MODEL_NAME': 'model.pretrained',
    'N_EMBD': 'model.n_embd',
    'N_HEAD': 'model.n_head',
    'N_LAYER': 'model.n_layer',
    'CUSTOM_VOCAB_SIZE': 'tokenizer.vocab_size',
}
_LORA_FIELDS = {  # read where USE_LORA is true
    'LORA_RANK': 'lora.rank',
    'LORA_ALPHA': 'lora.alpha',
    'LORA_DROPOUT': 'lora.dropout',
}
_DROPOUTS = ('model.embd_pdrop', 'model.attn_pdrop', 'model.resid_pdrop')
_OTHERWISE = {  # variable -> what to give in its place
    'MODEL_TYPE': '--config=configs/gpt2_full.py, or configs/scratch_small.py',
    'TRAINING_DATA_SOURCE': 'data_pipeline.build --input=FILE --output=FOLDER, then '
    '--config.data.path=FOLDER',
    'TOKENIZATION_METHOD': '--config.tokenizer.path=train with '
    '--config.tokenizer.model_type=char or bpe',
    'USE_LR_WARMUP': '--config.optimizer.warmup_steps=N, 0 without warm-up',
    'CHECKPOINT_DIR': '--workdir=FOLDER',
    'LOG_DIR': '--workdir=FOLDER',
    'OUTPUT_DIR': '--workdir=FOLDER',
    'CHECKPOINT_PATH': 'the same --workdir again',
    'RESUME_STEPS': '--config.train.num_steps=N, the total',
    'ENABLE_CHECKPOINTS': 'nothing: checkpoints are always written',
    'EVAL_ITERS': 'nothing: the whole validation split is evaluated',
    'DEVICE': 'JAX_PLATFORMS=cpu, cuda or tpu before the command',
    'TEST_MODE': '--quick',
    'GENERATION_TEMPERATURE': '--temperature of launch.sample',
    'GENERATION_TOP_K': '--top_k of launch.sample',
}

FLAG = flags.DEFINE_bool(
    'from_env',
    False,
    "Take the old project's environment variables (TRAINING_STEPS, ...) as fields.",
)


def with_fields(
    argv: Sequence[str], environment: Mapping[str, str] = os.environ
) -> list[str]:
    """`argv`, with `--from_env` the variables' fields but for those that are typed.

    Says on standard error which variables are set, what each became, or what to give
    in its place.
    """
    fields, others = _read(environment)
    found = len(fields) + len(others)
    if not found:
        return list(argv)
    takes = '--from_env' in argv or '--from_env=true' in argv
    typed = {argument.partition('=')[0] for argument in argv}
    added = {
        name: [each for each in overrides if each.partition('=')[0] not in typed]
        for name, overrides in fields.items()
    }
    said = [
        f'  {name}={environment[name]}: '
        + (' '.join(overrides) or 'not taken, its flag is given')
        for name, overrides in added.items()
    ]
    said += [f'  {name}={environment[name]}: give {text}' for name, text in others]
    if takes:
        count = sum(map(bool, added.values()))
        head = f'--from_env: {count} of {found} old variables are taken over'
    else:
        head = f'note: {found} variables of the old project are set and not read'
        said.append('  --from_env takes those that are fields.' if fields else '')
    print('\n'.join([head, *filter(None, said)]), file=sys.stderr)
    taken = itertools.chain.from_iterable(added.values()) if takes else ()
    return [argv[0], *taken, *argv[1:]]


def _read(
    environment: Mapping[str, str],
) -> tuple[dict[str, list[str]], list[tuple[str, str]]]:
    """(variable -> its overrides, (variable, what to give) of those that are none)."""

    def override(name: str, *names: str) -> list[str]:
        return [f'--config.{field}={environment[name]}' for field in names]

    fields = {
        name: override(name, field)
        for name, field in _FIELDS.items()
        if name in environment
    }
    others = [(name, text) for name, text in _OTHERWISE.items() if name in environment]
    if 'DROPOUT' in environment:
        fields['DROPOUT'] = override('DROPOUT', *_DROPOUTS)
    lora = {
        name: override(name, field)
        for name, field in _LORA_FIELDS.items()
        if name in environment
    }
    if environment.get('USE_LORA', '').lower() in ('true', '1', 'yes'):
        fields |= lora or {'USE_LORA': ['--config.lora.rank=16']}
    elif 'USE_LORA' in environment:
        fields['USE_LORA'] = ['--config.lora.rank=0']
    else:
        others += [(name, 'USE_LORA=true beside it') for name in lora]
    return fields, others
