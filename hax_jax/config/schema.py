"""The sections of a run's config, each a frozen dataclass. Imports no JAX.

A field's type says which values it accepts; `conflicts` gives a
sentence for each group of fields that do not fit each other. `convert` checks both.
"""

import dataclasses
import math
import re
import typing
from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec

from hax_jax.config import ranges

Reader = Literal['tf_data', 'numpy']
Activation = Literal['gelu_new', 'gelu', 'relu']
Schedule = Literal['constant', 'linear', 'cosine', 'inverse_sqrt', 'wsd']
StoredDtype = Literal['float32', 'bfloat16']
READERS = typing.get_args(Reader)
IMPORT_FORMATS = ('hf', 'run')
ACTIVATIONS = typing.get_args(Activation)


@dataclasses.dataclass(frozen=True)
class DataConfig:
    path: str = ''  # folder that data_pipeline.build made
    seq_len: Annotated[  # tokens of a row; longer pairs are shortened, and counted
        int, msgspec.Meta(ge=8, le=ranges.MOST, description='from 8 to 1,048,576')
    ] = 1024
    question_weight: ranges.Share = 0.0  # loss weight of their tokens; answers have 1
    long_answers: Literal['drop', 'split'] = 'drop'  # one that leaves no room in a row
    reader: Reader = 'tf_data'  # NumPy reads the same rows until TensorFlow is imported

    def conflicts(self) -> Iterator[str]:
        if not self.path:
            yield (
                "data.path='' names no dataset; make one with data_pipeline.build and "
                'give its folder.'
            )


@dataclasses.dataclass(frozen=True)
class TokenizerConfig:
    path: str = ''  # folder or hub name; '' the pretrained model's; 'train' makes one
    vocab_size: Annotated[  # of what 'train' makes; small data may give fewer
        int, msgspec.Meta(ge=300, le=ranges.MOST, description='from 300 to 1,048,576')
    ] = 4096
    model_type: Literal['bpe', 'unigram', 'char'] = 'bpe'  # of what 'train' makes
    add_tokens: tuple[str, ...] = ()  # <NAME>,<PLACE>: one id each; a base gets rows


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    pretrained: str = ''  # Hugging Face folder or hub name, or a run's workdir
    n_layer: ranges.LayersOrUnset = 0  # blocks; 0, as below: the pretrained model's
    n_head: ranges.SizeOrUnset = 0  # attention heads of a block
    n_embd: ranges.SizeOrUnset = 0  # width of the residual stream
    n_positions: ranges.SizeOrUnset = 0  # the longest row
    n_inner: ranges.SizeOrUnset = 0  # MLP's width; 0: the pretrained's, or 4 * n_embd
    vocab_size: ranges.SizeOrUnset = 0  # 0: the pretrained's, or the tokenizer's
    activation: Activation = 'gelu_new'  # the MLP's; this one is GPT-2's own
    layer_norm_epsilon: ranges.Positive = 1e-5  # added to the variance
    scale_attn_weights: bool = True  # attention's scores are over sqrt(a head's width)
    scale_attn_by_inverse_layer_idx: bool = False  # and over the block's number, from 1
    tie_embeddings: bool = True  # the head is the table of token embeddings
    embd_pdrop: ranges.UnderOne = 0.0  # dropout of the embeddings
    attn_pdrop: ranges.UnderOne = 0.0  # of attention's weights; few kernels have it
    resid_pdrop: ranges.UnderOne = 0.0  # of what a block adds
    # auto: the device's kernel if it can do the run, else blockwise, or xla for short
    # rows; the plan says which and why.
    attention: Literal['auto', 'xla', 'blockwise', 'cudnn', 'triton', 'splash'] = 'auto'
    pad_vocab_to_multiple_of: ranges.Size = 1  # 128 on accelerators; export undoes it
    scan_layers: bool = False  # one block compiled and looped over; generation never is

    @property
    def mlp_width(self) -> int:
        return self.n_inner or 4 * self.n_embd

    @property
    def num_table_rows(self) -> int:
        """Rows of the embedding table: vocab_size rounded up to that multiple."""
        return self.vocab_size + -self.vocab_size % self.pad_vocab_to_multiple_of

    def conflicts(self) -> Iterator[str]:
        if self.n_head and self.n_embd % self.n_head:
            yield (
                f'model.n_embd={self.n_embd} is not divisible by model.n_head='
                f'{self.n_head}; use a multiple of it.'
            )


@dataclasses.dataclass(frozen=True)
class LoraConfig:
    rank: ranges.SizeOrOff = 0  # 0 disables: every parameter is trained
    alpha: ranges.Positive = 32.0  # the update is scaled by alpha / rank
    rslora: bool = False  # scaled by alpha / sqrt(rank) instead, arXiv:2312.03732
    dora: bool = False  # learns each output's magnitude apart, arXiv:2402.09353
    dropout: ranges.UnderOne = 0.0  # of the adapters' inputs
    targets: tuple[str, ...] = (  # a module's path or its end; 'lm_head' too
        'attn.c_attn',
        'attn.c_proj',
        'mlp.c_fc',
        'mlp.c_proj',
    )

    def conflicts(self) -> Iterator[str]:
        for name in ('rslora', 'dora'):
            if getattr(self, name) and not self.rank:
                yield (
                    f'lora.{name}=True with lora.rank=0, which trains every parameter; '
                    f'give a rank, or leave lora.{name} out.'
                )
        if self.rank and not self.targets:
            yield 'lora.targets=() adapts nothing; name modules or set lora.rank=0.'


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    schedule: Schedule = 'cosine'  # --dry_run plots it
    learning_rate: ranges.Positive = 5e-5  # the peak, after warm-up
    final_learning_rate: ranges.NumberOrOff = 0.0  # after warm-up it is never lower
    warmup_steps: ranges.CountOrOff = 0  # of a linear rise from 0
    warmup_share: ranges.UnderOne = 0.0  # of the run's steps, instead of warmup_steps
    decay_share: ranges.OverZero = 0.1  # of the run's steps, at its end; of 'wsd' alone
    # 'PATTERN=FACTOR' of the learning rate; the first that matches a parameter's path
    # or its end holds, such as 'wte.*=0', 'h.?.*=0.1'. 0 freezes; no match is 1.
    lr_multipliers: tuple[str, ...] = ()
    b1: ranges.UnderOne = 0.9  # what Adam's mean of gradients keeps each step
    b2: ranges.UnderOne = 0.95  # what its mean of squares keeps
    eps: ranges.Positive = 1e-8  # added to the root of the squares
    weight_decay: ranges.NumberOrOff = 0.1  # on matrices; never on biases and norms
    clip_norm: ranges.NumberOrOff = 1.0  # a larger gradient is scaled down to it
    moment_dtype: StoredDtype = 'float32'  # bfloat16: Adam's moments in half the memory

    def conflicts(self) -> Iterator[str]:
        for entry in self.lr_multipliers:
            if lr_multiplier(entry) is None:
                yield (
                    f'optimizer.lr_multipliers: {entry!r} is not PATTERN=FACTOR, such '
                    'as wte.*=0 or h.0.*=0.5, with a factor of 0 (frozen) or more.'
                )
        if self.final_learning_rate > self.learning_rate:
            yield (
                f'optimizer.final_learning_rate={self.final_learning_rate} is over '
                f'optimizer.learning_rate={self.learning_rate}; lower the first or '
                'raise the second.'
            )
        if self.warmup_steps and self.warmup_share:
            yield (
                f'optimizer.warmup_steps={self.warmup_steps} and optimizer.'
                f'warmup_share={self.warmup_share}: set one of them, leave the other 0.'
            )
        # A bfloat16 has 8 bits: it is rounded back to itself where it should lose less
        # than 2**-8 of its size, so such a moment would never fall again.
        for name, value in (('b1', self.b1), ('b2', self.b2)):
            if self.moment_dtype == 'bfloat16' and value > 0.99:
                yield (
                    f'optimizer.{name}={value} with optimizer.moment_dtype=bfloat16: '
                    'such a moment would never fall again; use 0.99 or less, or '
                    'float32.'
                )


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    num_steps: ranges.CountOrUnset = 0  # exactly one of num_steps and num_epochs is set
    num_epochs: ranges.NumberOrUnset = 0.0  # passes over the training rows
    batch_size: ranges.Size = 8  # rows per step, over all devices
    grad_accum_steps: ranges.Size = 1  # microbatches per step
    seed: ranges.Seed = 0  # of new weights, the rows' order, dropout; not of samples
    log_every_steps: ranges.Count = 10  # a line of loss and rates
    eval_every_steps: ranges.Count = 100  # on the whole validation split
    num_sample_questions: ranges.SizeOrOff = 3  # answered at each evaluation
    sample_max_new_tokens: ranges.Size = 256  # in each of these answers
    checkpoint_every_steps: ranges.Count = 500  # and at the end, and on a signal
    keep_last: ranges.Count = 2  # checkpoints
    keep_best: ranges.CountOrOff = 1  # checkpoints with the lowest validation loss
    # auto: bfloat16 on accelerators, float32 on CPU
    compute_dtype: Literal['auto', 'float32', 'bfloat16'] = 'auto'
    # Of the parameters in memory: float32, or bfloat16, which loses small updates (they
    # are counted). Adapters stay float32.
    param_dtype: StoredDtype = 'float32'
    z_loss: ranges.NumberOrOff = 0.0  # times logsumexp(logits)**2, weighted as the loss
    # The backward pass computes again: nothing, whole blocks, or all but the results of
    # the kernels' matrix products.
    remat: Literal['none', 'block', 'dots'] = 'none'
    # A step whose loss or gradient is not finite: stop before it, skip its update, or
    # roll back to the newest checkpoint and leave the rows of that batch out.
    on_bad_step: Literal['stop', 'skip', 'rollback'] = 'stop'
    # A step whose loss or gradient norm is far over those of the last 128 steps; 'note'
    # trains on it. bad_steps.jsonl lists both kinds.
    on_spike: Literal['note', 'stop', 'skip', 'rollback'] = 'note'
    patience: ranges.CountOrOff = 0  # stop after so many evaluations without a better
    patience_min_delta: ranges.NumberOrOff = 0.0  # nats by which one must be better
    max_minutes: ranges.NumberOrOff = 0.0  # of one call; then it saves and exits 75
    # Several processes all end with exit code 75 once no step, batch of an evaluation
    # or save has ended for so long; compiling before the first step does not count.
    hang_timeout_seconds: ranges.NumberOrOff = 1800.0
    tensorboard: bool = True  # scalars in <workdir>/tensorboard
    wandb_project: str = ''  # Weights & Biases; '' disables
    layer_metrics_every_steps: ranges.CountOrOff = 100  # norms by layer
    # A step's gradients are computed twice and compared bit for bit, at a call's first
    # step too: a device that computes wrongly stops the run. Holds gradients twice.
    recheck_every_steps: ranges.CountOrOff = 0
    # The weights' average is evaluated too, and kept at each evaluation where it is
    # better pair by pair: a moving average, or the mean of the run's last steps.
    average: Literal['off', 'ema', 'last_k'] = 'off'
    # last_k: so many steps; ema: its decay is 1 - 1 / average_steps, and until that
    # step it is the mean of all steps.
    average_steps: ranges.Count = 100
    profile_steps: str = ''  # '10:13' traces from step 10 to step 13; '' disables

    def conflicts(self) -> Iterator[str]:
        if (self.num_steps > 0) == (self.num_epochs > 0):
            yield (
                f'train.num_steps={self.num_steps} and train.num_epochs='
                f'{self.num_epochs}: set exactly one of them, leave the other 0.'
            )
        if self.batch_size % self.grad_accum_steps:
            yield (
                f'train.batch_size={self.batch_size} is not divisible by '
                f'train.grad_accum_steps={self.grad_accum_steps}; use a multiple of it.'
            )
        if self.profile_steps and profile_range(self.profile_steps) is None:
            yield (
                f"train.profile_steps={self.profile_steps!r} is not accepted; use '' "
                "(off) or two steps, the first under the last, such as '10:13'."
            )


@dataclasses.dataclass(frozen=True)
class MeshConfig:
    data: int = -1  # devices that share the rows; -1: all that the others leave
    fsdp: ranges.Size = 1  # devices that share rows and parameters
    tensor: ranges.Size = 1  # devices that share each matrix

    def conflicts(self) -> Iterator[str]:
        if self.data < 1 and self.data != -1:
            yield (
                f'mesh.data={self.data} is not accepted; use -1 (the rest) or 1 or '
                'more.'
            )


# Fields of which one says what the other says too. Where a person types one of a pair,
# the other, which the config file set, is off.
ONE_OF_TWO = (
    ('train.num_steps', 'train.num_epochs'),
    ('optimizer.warmup_steps', 'optimizer.warmup_share'),
)


@dataclasses.dataclass(frozen=True)
class Config:
    data: DataConfig = DataConfig()
    tokenizer: TokenizerConfig = TokenizerConfig()
    model: ModelConfig = ModelConfig()
    lora: LoraConfig = LoraConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    train: TrainConfig = TrainConfig()
    mesh: MeshConfig = MeshConfig()

    def conflicts(self) -> Iterator[str]:
        sections = (self.data, self.model, self.lora, self.optimizer, self.train)
        for section in (*sections, self.mesh):
            yield from section.conflicts()
        warmup, steps = self.optimizer.warmup_steps, self.train.num_steps
        if 0 < steps <= warmup and not self.train.num_epochs:
            yield (
                f'optimizer.warmup_steps={warmup} is not under train.num_steps={steps};'
                f' lower it, for example --config.optimizer.warmup_steps={steps // 10},'
                ' or train longer.'
            )
        rounded = self.train.param_dtype == 'bfloat16' and not self.lora.rank
        if self.train.average != 'off' and rounded:
            yield (
                f'train.average={self.train.average!r} with train.param_dtype='
                "'bfloat16', which would round the average; use float32, adapters "
                "(lora.rank), or train.average='off'."
            )
        if self.model.pretrained:
            if self.tokenizer.add_tokens and self.tokenizer.path:
                yield (
                    f'tokenizer.path={self.tokenizer.path!r} with '
                    "tokenizer.add_tokens: tokens are added to the pretrained model's "
                    'own tokenizer; leave tokenizer.path out.'
                )
            return
        for name in ('n_layer', 'n_head', 'n_embd', 'n_positions'):
            if getattr(self.model, name) == 0:
                yield (
                    f'model.{name}=0 without model.pretrained; give the size or a '
                    'pretrained model.'
                )
        if not self.tokenizer.path:
            yield (
                "tokenizer.path='' without model.pretrained; give a folder, a hub name "
                "such as 'gpt2', or 'train' to make one from the dataset."
            )
        if 0 < self.model.n_positions < self.data.seq_len:
            yield (
                f'data.seq_len={self.data.seq_len} is over model.n_positions='
                f'{self.model.n_positions}; lower the first or raise the second.'
            )


@dataclasses.dataclass(frozen=True)
class SamplingConfig:
    """How text is drawn; launch.sample's and launch.chat's flags."""

    max_new_tokens: ranges.Size = 300  # The longest answer, in tokens.
    temperature: Annotated[  # 0.0 takes the likeliest token each time.
        float, msgspec.Meta(ge=0, description='0.0 (greedy) or more')
    ] = 0.7
    top_k: ranges.CountOrOff = 50  # Draw from so many of the likeliest tokens; 0: all.
    # Draw from the likeliest tokens that have this probability together; 1.0: all.
    top_p: ranges.OverZeroOrOff = 0.9
    # An answer follows from its letter and this seed, whatever else is in the file.
    seed: ranges.Seed = 0
    # Draw from tokens that have this share of the likeliest one's probability.
    min_p: Annotated[
        float, msgspec.Meta(ge=0, le=1, description='0.0 (off) and up to 1.0')
    ] = 0.0
    # Over 1.0 discourages tokens that prompt or answer have had; 1.0 is off.
    repetition_penalty: Annotated[
        float,
        msgspec.Meta(
            gt=0, description='over 0.0; 1.0 is off, more discourages repetition'
        ),
    ] = 1.0
    # No run of so many tokens occurs twice in prompt and answer; 0 is off.
    no_repeat_ngram: ranges.CountOrOff = 0
    # An answer has so many tokens before EOS or a stop string can end it.
    min_new_tokens: ranges.CountOrOff = 0
    stop: Annotated[  # An answer ends before this text. May be repeated.
        tuple[Annotated[str, msgspec.Meta(pattern='^[^\ufffd]+$')], ...],
        msgspec.Meta(description='texts that are not empty and hold no U+FFFD'),
    ] = ()

    def conflicts(self) -> Iterator[str]:
        if self.min_new_tokens > self.max_new_tokens:
            yield (
                f'min_new_tokens={self.min_new_tokens} is over max_new_tokens='
                f'{self.max_new_tokens}; lower the first or raise the second.'
            )


def profile_range(text: str) -> tuple[int, int] | None:
    """'10:13' -> (10, 13); None if it is written otherwise or holds no step."""
    match = re.fullmatch(r'(\d+):(\d+)', text)
    if not match or int(match[1]) >= int(match[2]):
        return None
    return int(match[1]), int(match[2])


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
