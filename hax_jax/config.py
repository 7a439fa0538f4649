"""What a run is: every schema as a frozen dataclass, validated once. Imports no JAX.

The draft that flags edit is an `ml_collections.ConfigDict` of the same fields:

    draft = config.draft()
    draft.optimizer.learning_rate = 1e-4
    run = config.freeze(draft)      # a validated `Config`
"""

import dataclasses
import math
import re
from typing import Any

import ml_collections

LONG_ANSWERS = ('drop', 'split')
READERS = ('tf_data', 'numpy')
ATTENTIONS = ('auto', 'xla', 'blockwise', 'cudnn', 'splash')
DTYPES = ('auto', 'float32', 'bfloat16')
STORED_DTYPES = ('float32', 'bfloat16')
SCHEDULES = ('constant', 'linear', 'cosine', 'inverse_sqrt', 'wsd')
REMATS = ('none', 'block', 'dots')
ACTIVATIONS = ('gelu_new', 'gelu', 'relu')
SENTENCEPIECE_TYPES = ('bpe', 'unigram', 'char')


class InputError(ValueError):
    """What the user gave is wrong; the message names it, what is accepted, the remedy.

    Programs print it alone, without a traceback, and exit with code 2.
    """


@dataclasses.dataclass(frozen=True)
class DataConfig:
    path: str = ''  # folder that data_pipeline.build made
    seq_len: int = 1024  # positions in a packed row
    question_weight: float = 0.0  # loss weight of question tokens; answers have 1
    long_answers: str = 'drop'  # one of LONG_ANSWERS
    reader: str = 'tf_data'  # one of READERS


@dataclasses.dataclass(frozen=True)
class TokenizerConfig:
    path: str = ''  # folder or hub name; '' the pretrained model's; 'train' makes one
    vocab_size: int = 4096  # at most, of a SentencePiece model made by 'train'
    model_type: str = 'bpe'  # of a SentencePiece model made by 'train'


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    pretrained: str = ''  # Hugging Face folder or hub name, or a run's workdir
    n_layer: int = 0  # this and the next three: 0 takes the pretrained model's
    n_head: int = 0
    n_embd: int = 0
    n_positions: int = 0
    n_inner: int = 0  # width of the MLP; 0: the pretrained model's, else 4 * n_embd
    vocab_size: int = 0  # 0 takes the pretrained model's, else the tokenizer's
    activation: str = 'gelu_new'
    layer_norm_epsilon: float = 1e-5
    tie_embeddings: bool = True
    embd_pdrop: float = 0.0
    attn_pdrop: float = 0.0
    resid_pdrop: float = 0.0
    attention: str = 'auto'  # one of ATTENTIONS
    pad_vocab_to_multiple_of: int = 1  # 128 suits accelerators; export undoes it
    scan_layers: bool = False  # one block compiled and looped over; generation never is

    @property
    def mlp_width(self) -> int:
        return self.n_inner or 4 * self.n_embd

    @property
    def num_table_rows(self) -> int:
        """Rows of the embedding table: vocab_size rounded up to that multiple."""
        return self.vocab_size + -self.vocab_size % self.pad_vocab_to_multiple_of


@dataclasses.dataclass(frozen=True)
class LoraConfig:
    rank: int = 0  # 0 disables: every parameter is trained
    alpha: float = 32.0  # the update is scaled by alpha / rank
    rslora: bool = False  # scaled by alpha / sqrt(rank) instead, arXiv:2312.03732
    dora: bool = False  # learns each output's magnitude apart, arXiv:2402.09353
    dropout: float = 0.0
    targets: tuple[str, ...] = (  # a module's path or its end; 'lm_head' too
        'attn.c_attn',
        'attn.c_proj',
        'mlp.c_fc',
        'mlp.c_proj',
    )


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    schedule: str = 'cosine'  # one of SCHEDULES
    learning_rate: float = 5e-5  # the peak, after warm-up
    final_learning_rate: float = 0.0  # the floor: after warm-up it is never lower
    warmup_steps: int = 0
    warmup_share: float = 0.0  # of the run's steps, in the place of warmup_steps
    decay_share: float = 0.1  # of the run's steps, at its end; of 'wsd' alone
    # 'PATTERN=FACTOR' of the learning rate; the first that matches a parameter's path
    # or its end holds, such as 'wte.*=0', 'h.?.*=0.1'. 0 freezes; no match is 1.
    lr_multipliers: tuple[str, ...] = ()
    b1: float = 0.9
    b2: float = 0.95
    eps: float = 1e-8
    weight_decay: float = 0.1  # on matrices; never on biases and norms
    clip_norm: float = 1.0  # 0.0 disables
    moment_dtype: str = 'float32'  # or bfloat16: Adam's two moments in half the memory


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    num_steps: int = 0  # exactly one of num_steps and num_epochs is set
    num_epochs: float = 0.0
    batch_size: int = 8  # rows per step, over all devices
    grad_accum_steps: int = 1  # microbatches per step
    seed: int = 0
    log_every_steps: int = 10
    eval_every_steps: int = 100
    num_sample_questions: int = 3  # answered at each evaluation; 0 disables
    sample_max_new_tokens: int = 256  # of those answers
    checkpoint_every_steps: int = 500
    keep_last: int = 2  # checkpoints
    keep_best: int = 1  # checkpoints with the lowest validation loss
    compute_dtype: str = 'auto'  # bfloat16 on accelerators, float32 on CPU
    # Of the parameters in memory: float32, or bfloat16, which loses small updates (they
    # are counted). Adapters stay float32.
    param_dtype: str = 'float32'
    z_loss: float = 0.0  # times logsumexp(logits)**2, weighted as the loss; 0.0 is off
    # What the backward pass computes again: nothing, whole blocks, or all but what the
    # kernels' matrix products gave.
    remat: str = 'none'  # one of REMATS
    patience: int = 0  # stop after so many evaluations without a better one; 0 disables
    max_minutes: float = 0.0  # of one call; then it saves and exits 75; 0.0 disables
    tensorboard: bool = True  # scalars in <workdir>/tensorboard
    wandb_project: str = ''  # Weights & Biases; '' disables
    layer_metrics_every_steps: int = 100  # norms by layer; 0 disables
    profile_steps: str = ''  # '10:13' traces from step 10 to step 13; '' disables


@dataclasses.dataclass(frozen=True)
class MeshConfig:
    data: int = -1  # -1: all devices that the others leave
    fsdp: int = 1
    tensor: int = 1


@dataclasses.dataclass(frozen=True)
class Config:
    data: DataConfig = DataConfig()
    tokenizer: TokenizerConfig = TokenizerConfig()
    model: ModelConfig = ModelConfig()
    lora: LoraConfig = LoraConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    train: TrainConfig = TrainConfig()
    mesh: MeshConfig = MeshConfig()


@dataclasses.dataclass(frozen=True)
class SamplingConfig:
    """How text is drawn. temperature 0.0 is greedy; top_k 0 and top_p 1.0 disable."""

    max_new_tokens: int = 300
    temperature: float = 0.7
    top_k: int = 50
    top_p: float = 0.9
    seed: int = 0
    min_p: float = 0.0  # least share of the likeliest token's probability; 0.0 disables
    repetition_penalty: float = 1.0  # on tokens of prompt and answer; 1.0 disables
    no_repeat_ngram: int = 0  # so many tokens in a row never occur twice; 0 disables
    min_new_tokens: int = 0  # neither EOS nor a stop string ends it sooner; 0 disables
    stop: tuple[str, ...] = ()  # the text ends before the first of these


def draft() -> ml_collections.ConfigDict:
    """The default `Config` as a ConfigDict, which flags and config files edit.

    It is locked: a field of another name can't be added to it.
    """
    return ml_collections.ConfigDict(dataclasses.asdict(Config())).lock()


def freeze(draft: ml_collections.ConfigDict) -> Config:
    """The validated `Config` of a draft.

    Raises:
      InputError: names every field that is unknown or out of range.
    """
    return from_dict(draft.to_dict())


def from_dict(values: dict[str, Any]) -> Config:
    """As `freeze`, of nested plain dictionaries (a run's config.json)."""
    problems = []
    sections = {}
    for section in dataclasses.fields(Config):
        given = dict(values.get(section.name, {}))
        fields = {f.name: f for f in dataclasses.fields(section.type)}
        for name in sorted(given.keys() - fields.keys()):
            problems.append(f'{section.name}.{name} is not a field; remove it.')
            del given[name]
        for name, value in given.items():
            default = fields[name].default
            if isinstance(default, tuple) and isinstance(value, (list, tuple)):
                given[name] = tuple(value)
            elif isinstance(default, float) and type(value) is int:
                given[name] = float(value)
            elif type(value) is not type(default):
                problems.append(
                    f'{section.name}.{name}={value!r} is of type '
                    f'{type(value).__name__}; it must be {type(default).__name__}.'
                )
                given[name] = default
        sections[section.name] = section.type(**given)
    for name in sorted(values.keys() - sections.keys()):
        problems.append(f'{name} is not a section of the config; remove it.')
    run = Config(**sections)
    _raise_all(problems + _problems(run))
    return run


def to_dict(run: Config) -> dict[str, dict[str, Any]]:
    """Nested plain dictionaries, JSON's types alone; `from_dict` takes them back."""
    values = dataclasses.asdict(run)
    values['lora']['targets'] = list(run.lora.targets)
    values['optimizer']['lr_multipliers'] = list(run.optimizer.lr_multipliers)
    return values


def profile_range(text: str) -> tuple[int, int] | None:
    """'10:13' -> (10, 13); None if it is written otherwise or holds no step."""
    match = re.fullmatch(r'(\d+):(\d+)', text)
    if not match or int(match[1]) >= int(match[2]):
        return None
    return int(match[1]), int(match[2])


def check_sampling(sampling: SamplingConfig) -> None:
    """Raises InputError, naming every setting that is out of range."""
    problems = _out_of_range(
        {
            'max_new_tokens': (sampling.max_new_tokens >= 1, 'an integer from 1 on'),
            'temperature': (sampling.temperature >= 0.0, '0.0 (greedy) or more'),
            'top_k': (sampling.top_k >= 0, '0 (off) or more'),
            'top_p': (0.0 < sampling.top_p <= 1.0, 'over 0.0 and up to 1.0 (off)'),
            'seed': (0 <= sampling.seed < 2**32, 'from 0 to 2**32 - 1'),
            'min_p': (0.0 <= sampling.min_p <= 1.0, '0.0 (off) and up to 1.0'),
            'repetition_penalty': (
                0.0 < sampling.repetition_penalty < math.inf,
                'over 0.0; 1.0 is off, more discourages repetition',
            ),
            'no_repeat_ngram': (sampling.no_repeat_ngram >= 0, '0 (off) or more'),
            'min_new_tokens': (
                0 <= sampling.min_new_tokens <= max(sampling.max_new_tokens, 1),
                '0 (off) and up to max_new_tokens',
            ),
            'stop': (
                all(stop and '\ufffd' not in stop for stop in sampling.stop),
                'texts that are not empty and hold no U+FFFD',
            ),
        },
        dataclasses.asdict(sampling),
    )
    _raise_all(problems)


def _problems(run: Config) -> list[str]:
    data, model, lora, train = run.data, run.model, run.lora, run.train
    optimizer, mesh = run.optimizer, run.mesh
    problems = []
    accepted = {
        'data.seq_len': (data.seq_len >= 8, '8 or more'),
        'data.question_weight': (0 <= data.question_weight <= 1, 'from 0.0 to 1.0'),
        'data.long_answers': (data.long_answers in LONG_ANSWERS, LONG_ANSWERS),
        'data.reader': (data.reader in READERS, READERS),
        'tokenizer.vocab_size': (run.tokenizer.vocab_size >= 300, '300 or more'),
        'tokenizer.model_type': (
            run.tokenizer.model_type in SENTENCEPIECE_TYPES,
            SENTENCEPIECE_TYPES,
        ),
        'model.activation': (model.activation in ACTIVATIONS, ACTIVATIONS),
        'model.attention': (model.attention in ATTENTIONS, ATTENTIONS),
        'model.layer_norm_epsilon': (model.layer_norm_epsilon > 0, 'over 0.0'),
        'model.pad_vocab_to_multiple_of': (
            model.pad_vocab_to_multiple_of >= 1,
            '1 (off) or more',
        ),
        'lora.rank': (lora.rank >= 0, '0 (off) or more'),
        'lora.alpha': (lora.alpha > 0, 'over 0.0'),
        'lora.dropout': (0 <= lora.dropout < 1, 'from 0.0 to under 1.0'),
        'optimizer.learning_rate': (optimizer.learning_rate > 0, 'over 0.0'),
        'optimizer.final_learning_rate': (
            0 <= optimizer.final_learning_rate <= optimizer.learning_rate,
            'from 0.0 to optimizer.learning_rate',
        ),
        'optimizer.schedule': (optimizer.schedule in SCHEDULES, SCHEDULES),
        'optimizer.warmup_steps': (optimizer.warmup_steps >= 0, '0 or more'),
        'optimizer.warmup_share': (
            0 <= optimizer.warmup_share < 1,
            'from 0.0 (off) to under 1.0',
        ),
        'optimizer.decay_share': (
            0 < optimizer.decay_share <= 1,
            'over 0.0 and up to 1.0',
        ),
        'optimizer.b1': (0 <= optimizer.b1 < 1, 'from 0.0 to under 1.0'),
        'optimizer.b2': (0 <= optimizer.b2 < 1, 'from 0.0 to under 1.0'),
        'optimizer.eps': (optimizer.eps > 0, 'over 0.0'),
        'optimizer.weight_decay': (optimizer.weight_decay >= 0, '0.0 or more'),
        'optimizer.clip_norm': (optimizer.clip_norm >= 0, '0.0 (off) or more'),
        'optimizer.moment_dtype': (
            optimizer.moment_dtype in STORED_DTYPES,
            STORED_DTYPES,
        ),
        'train.num_steps': (train.num_steps >= 0, '0 (unset) or more'),
        'train.num_epochs': (train.num_epochs >= 0, '0.0 (unset) or more'),
        'train.batch_size': (train.batch_size >= 1, '1 or more'),
        'train.grad_accum_steps': (train.grad_accum_steps >= 1, '1 or more'),
        'train.seed': (0 <= train.seed < 2**32, 'from 0 to 2**32 - 1'),
        'train.num_sample_questions': (
            train.num_sample_questions >= 0,
            '0 (off) or more',
        ),
        'train.sample_max_new_tokens': (train.sample_max_new_tokens >= 1, '1 or more'),
        'train.keep_last': (train.keep_last >= 1, '1 or more'),
        'train.keep_best': (train.keep_best >= 0, '0 (off) or more'),
        'train.compute_dtype': (train.compute_dtype in DTYPES, DTYPES),
        'train.param_dtype': (train.param_dtype in STORED_DTYPES, STORED_DTYPES),
        'train.z_loss': (train.z_loss >= 0, '0.0 (off) or more'),
        'train.remat': (train.remat in REMATS, REMATS),
        'train.patience': (train.patience >= 0, '0 (off) or more'),
        'train.max_minutes': (train.max_minutes >= 0, '0.0 (off) or more'),
        'train.layer_metrics_every_steps': (
            train.layer_metrics_every_steps >= 0,
            '0 (off) or more',
        ),
        'train.profile_steps': (
            not train.profile_steps or profile_range(train.profile_steps) is not None,
            "'' (off) or two steps, the first under the last, such as '10:13'",
        ),
        'mesh.data': (mesh.data == -1 or mesh.data >= 1, '-1 (the rest) or 1 or more'),
        'mesh.fsdp': (mesh.fsdp >= 1, '1 or more'),
        'mesh.tensor': (mesh.tensor >= 1, '1 or more'),
    }
    for name in ('n_layer', 'n_head', 'n_embd', 'n_positions', 'n_inner', 'vocab_size'):
        accepted[f'model.{name}'] = (getattr(model, name) >= 0, '0 (unset) or more')
    for name in ('embd_pdrop', 'attn_pdrop', 'resid_pdrop'):
        in_range = 0 <= getattr(model, name) < 1
        accepted[f'model.{name}'] = (in_range, 'from 0.0 to under 1.0')
    for name in ('log_every_steps', 'eval_every_steps', 'checkpoint_every_steps'):
        accepted[f'train.{name}'] = (getattr(train, name) >= 1, '1 or more')
    flat = flatten(to_dict(run))
    problems += _out_of_range(accepted, flat)
    if not data.path:
        problems.append(
            "data.path='' names no dataset; make one with data_pipeline.build and "
            'give its folder.'
        )
    if (train.num_steps > 0) == (train.num_epochs > 0):
        problems.append(
            f'train.num_steps={train.num_steps} and train.num_epochs='
            f'{train.num_epochs}: set exactly one of them, leave the other 0.'
        )
    if train.batch_size % max(train.grad_accum_steps, 1):
        problems.append(
            f'train.batch_size={train.batch_size} is not divisible by '
            f'train.grad_accum_steps={train.grad_accum_steps}; use a multiple of it.'
        )
    problems += _problems_of_optimizer(optimizer)
    if not model.pretrained:
        problems += _problems_from_scratch(run)
    if model.n_head and model.n_embd % model.n_head:
        problems.append(
            f'model.n_embd={model.n_embd} is not divisible by '
            f'model.n_head={model.n_head}; use a multiple of it.'
        )
    for name in ('rslora', 'dora'):
        if getattr(lora, name) and not lora.rank:
            problems.append(
                f'lora.{name}=True with lora.rank=0, which trains every parameter; '
                f'give a rank, or leave lora.{name} out.'
            )
    if lora.rank and not lora.targets:
        problems.append(
            'lora.targets=() adapts nothing; name modules or set lora.rank=0.'
        )
    return problems


def lr_multiplier(entry: str) -> tuple[str, float] | None:
    """'h.0.*=0.5' -> ('h.0.*', 0.5); None where it is not of that form, or under 0."""
    pattern, equals, number = entry.rpartition('=')
    try:
        factor = float(number)
    except ValueError:
        return None
    if not (pattern and equals and math.isfinite(factor) and factor >= 0):
        return None
    return pattern.strip(), factor


def _problems_of_optimizer(optimizer: OptimizerConfig) -> list[str]:
    problems = [
        f'optimizer.lr_multipliers: {entry!r} is not PATTERN=FACTOR, such as wte.*=0 '
        'or h.0.*=0.5, with a factor of 0 (frozen) or more.'
        for entry in optimizer.lr_multipliers
        if not isinstance(entry, str) or lr_multiplier(entry) is None
    ]
    if optimizer.warmup_steps and optimizer.warmup_share:
        problems.append(
            f'optimizer.warmup_steps={optimizer.warmup_steps} and optimizer.'
            f'warmup_share={optimizer.warmup_share}: set one of them, leave the other '
            '0.'
        )
    for name in ('b1', 'b2'):
        # A bfloat16 has 8 bits: it is rounded back to itself where it should lose less
        # than 2**-8 of its size, so such a moment would never fall again.
        value = getattr(optimizer, name)
        if optimizer.moment_dtype == 'bfloat16' and 0.99 < value < 1:
            problems.append(
                f'optimizer.{name}={value} with optimizer.moment_dtype=bfloat16: such '
                'a moment would never fall again; use 0.99 or less, or float32.'
            )
    return problems


def _problems_from_scratch(run: Config) -> list[str]:
    problems = [
        f'model.{name}=0 without model.pretrained; give the size or a pretrained model.'
        for name in ('n_layer', 'n_head', 'n_embd', 'n_positions')
        if getattr(run.model, name) == 0
    ]
    if not run.tokenizer.path:
        problems.append(
            "tokenizer.path='' without model.pretrained; give a folder, a hub name "
            "such as 'gpt2', or 'train' to make one from the dataset."
        )
    if 0 < run.model.n_positions < run.data.seq_len:
        problems.append(
            f'data.seq_len={run.data.seq_len} is over model.n_positions='
            f'{run.model.n_positions}; lower the first or raise the second.'
        )
    return problems


def _out_of_range(
    accepted: dict[str, tuple[bool, Any]], values: dict[str, Any]
) -> list[str]:
    return [
        f'{name}={values[name]!r} is not accepted; use '
        + (f'one of {what}.' if isinstance(what, tuple) else f'{what}.')
        for name, (good, what) in accepted.items()
        if not good
    ]


def flatten(values: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """{'train': {'seed': 0}} -> {'train.seed': 0}."""
    return {
        f'{section}.{name}': value
        for section, fields in values.items()
        for name, value in fields.items()
    }


def _raise_all(problems: list[str]) -> None:
    if problems:
        raise InputError('\n'.join(problems))
