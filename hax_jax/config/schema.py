"""The sections of a run's config, each a frozen dataclass. Imports no JAX.

value_checks.py says which values a field accepts.
"""

import dataclasses
import math
import re

LONG_ANSWERS = ('drop', 'split')
READERS = ('tf_data', 'numpy')
ATTENTIONS = ('auto', 'xla', 'blockwise', 'cudnn', 'splash')
DTYPES = ('auto', 'float32', 'bfloat16')
STORED_DTYPES = ('float32', 'bfloat16')
SCHEDULES = ('constant', 'linear', 'cosine', 'inverse_sqrt', 'wsd')
REMATS = ('none', 'block', 'dots')
ACTIVATIONS = ('gelu_new', 'gelu', 'relu')
SENTENCEPIECE_TYPES = ('bpe', 'unigram', 'char')


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
