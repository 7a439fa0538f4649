"""Flags that launch.sample and launch.chat share: a SamplingConfig's fields."""

from absl import flags

from hax_jax import config

_DEFAULTS = config.SamplingConfig()
_MAX_NEW_TOKENS = flags.DEFINE_integer(
    'max_new_tokens', _DEFAULTS.max_new_tokens, 'The longest answer, in tokens.'
)
_MIN_NEW_TOKENS = flags.DEFINE_integer(
    'min_new_tokens',
    _DEFAULTS.min_new_tokens,
    'Neither EOS nor a stop string ends an answer before so many tokens.',
)
_TEMPERATURE = flags.DEFINE_float(
    'temperature', _DEFAULTS.temperature, '0.0 takes the likeliest token each time.'
)
_TOP_K = flags.DEFINE_integer(
    'top_k', _DEFAULTS.top_k, 'Draw from so many of the likeliest tokens; 0 from all.'
)
_TOP_P = flags.DEFINE_float(
    'top_p',
    _DEFAULTS.top_p,
    'Draw from the likeliest tokens that have this probability together; 1.0 from all.',
)
_MIN_P = flags.DEFINE_float(
    'min_p',
    _DEFAULTS.min_p,
    "Draw from tokens that have this share of the likeliest one's probability.",
)
_REPETITION_PENALTY = flags.DEFINE_float(
    'repetition_penalty',
    _DEFAULTS.repetition_penalty,
    'Over 1.0 discourages tokens that prompt or answer have had; 1.0 is off.',
)
_NO_REPEAT_NGRAM = flags.DEFINE_integer(
    'no_repeat_ngram',
    _DEFAULTS.no_repeat_ngram,
    'So many tokens in a row never occur twice in prompt and answer; 0 is off.',
)
_STOP = flags.DEFINE_multi_string(
    'stop', [], 'An answer ends before this text. May be repeated.'
)
_SEED = flags.DEFINE_integer(
    'seed',
    _DEFAULTS.seed,
    'An answer follows from its letter and this seed, whatever else is in the file.',
)


def settings() -> config.SamplingConfig:
    """What the flags say, not yet checked."""
    return config.SamplingConfig(
        max_new_tokens=_MAX_NEW_TOKENS.value,
        min_new_tokens=_MIN_NEW_TOKENS.value,
        temperature=_TEMPERATURE.value,
        top_k=_TOP_K.value,
        top_p=_TOP_P.value,
        min_p=_MIN_P.value,
        repetition_penalty=_REPETITION_PENALTY.value,
        no_repeat_ngram=_NO_REPEAT_NGRAM.value,
        stop=tuple(_STOP.value),
        seed=_SEED.value,
    )
