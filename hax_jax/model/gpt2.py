"""GPT-2 in Flax NNX, with its KV cache.

Axis letters, here and wherever a shape is written: B batch, T query time, S key time,
D embed, N heads, H head_dim, F mlp, V vocab.

Names and layouts are GPT-2's own: kernels are [in, out], paths are `wte.embedding`,
`h.0.attn.c_attn.kernel`, `ln_f.scale`.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, Key

from hax_jax.config import schema
from hax_jax.devices import mesh
from hax_jax.model import activations, attention, layer_loop, linear, own_rows

_INIT_STDDEV = 0.02  # Source: GPT-2's initializer_range


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=['keys', 'values', 'segment_ids', 'length'],
    meta_fields=[],
)
@dataclasses.dataclass
class Cache:
    """Keys and values of the newest S tokens: one array a layer, each a ring.

    A ring is [B, N, S, H], and [N, S, H] for a batch of one row: XLA on a CPU writes
    and multiplies these where they lie. It transposes [B, S, N, H] for each token, and
    copies [1, N, S, H] to drop its axis.

    `length` counts the tokens written so far, the same for each row; token i lies at
    place i % S. Places of segment 0 hold no token that one of segment 1 sees: padding,
    and what a row's slot held before.
    """

    keys: list[Float[Array, '*B N S H']]
    values: list[Float[Array, '*B N S H']]
    segment_ids: Int[Array, 'B S']
    length: Int[Array, '']


def make_cache(
    model: schema.ModelConfig, *, batch_size: int, length: int, dtype: jnp.dtype
) -> Cache:
    """An empty cache with room for `length` tokens a row."""
    head_dim = model.n_embd // model.n_head
    shape = (batch_size, model.n_head, length, head_dim)[batch_size == 1 :]
    return Cache(
        keys=[jnp.zeros(shape, dtype) for _ in range(model.n_layer)],
        values=[jnp.zeros(shape, dtype) for _ in range(model.n_layer)],
        segment_ids=jnp.zeros((batch_size, length), jnp.int32),
        length=jnp.zeros((), jnp.int32),
    )


class Gpt2(nnx.Module):
    """The transformer without its head: token ids to hidden states.

    `head()` gives the two factors of the logits; loss.py never holds their product.
    """

    def __init__(
        self,
        model: schema.ModelConfig,
        *,
        dtype: jnp.dtype,
        rngs: nnx.Rngs,
        remat: str = 'none',
    ) -> None:
        """A fresh model that computes in `dtype`; parameters are float32.

        `remat` is one of schema.REMATS (layer_loop.py).
        """
        self.model = model
        self.remat = remat
        normal = nnx.initializers.normal(_INIT_STDDEV)
        embed = functools.partial(
            nnx.Embed, dtype=dtype, embedding_init=normal, rngs=rngs
        )
        self.wte = embed(model.num_table_rows, model.n_embd)
        self.wpe = embed(model.n_positions, model.n_embd)
        self.h = nnx.List(
            [Block(model, i, dtype=dtype, rngs=rngs) for i in range(model.n_layer)]
        )
        self.ln_f = _layer_norm(model, dtype, rngs)
        self.lm_head = Head(model, rngs=rngs)

    def __call__(
        self,
        inputs: Int[Array, 'B T'],
        positions: Int[Array, 'B T'],
        segment_ids: Int[Array, 'B T'],
        *,
        dropout_key: Key[Array, ''] | None = None,
        gather_block: Callable[[nnx.State], nnx.State] | None = None,
    ) -> Float[Array, 'B T D']:
        """Hidden states after the last norm. Dropout acts only with a `dropout_key`.

        `gather_block` is layer_loop.py's `gather`.
        """
        x = self.wte(inputs) + self.wpe(positions)  # [B, T, D]
        x = dropout(x, self.model.embd_pdrop, _fold(dropout_key, 0))
        x = layer_loop.run(
            self.h,
            x,
            segment_ids,
            dropout_key,
            scan=self.model.scan_layers,
            remat=self.remat,
            gather=gather_block,
        )
        return mesh.constrain(self.ln_f(x), 'batch', None, None)

    def decode(
        self,
        inputs: Int[Array, 'B T'],
        positions: Int[Array, 'B T'],
        segment_ids: Int[Array, 'B T'],
        cache: Cache,
    ) -> tuple[Float[Array, 'B T D'], Cache]:
        """As a call, for T tokens that follow those in the cache, which they join.

        Several tokens at once must not pass the ring's end; a token alone may go round.
        """
        x = self.wte(inputs) + self.wpe(positions)  # [B, T, D]
        keys, values = [], []
        start = cache.length % cache.segment_ids.shape[1]
        kv_segment_ids = jax.lax.dynamic_update_slice(
            cache.segment_ids, segment_ids, (0, start)
        )
        for block, k, v in zip(self.h, cache.keys, cache.values, strict=True):
            x = mesh.constrain(x, 'batch', None, None)
            past = Past(k, v, kv_segment_ids, start)
            x, (k, v) = block(x, segment_ids, past=past)
            keys.append(k)
            values.append(v)
        x = mesh.constrain(self.ln_f(x), 'batch', None, None)
        length = cache.length + inputs.shape[1]
        return x, Cache(keys, values, kv_segment_ids, length)

    def head(
        self, hidden: Float[Array, '*B D'], *, dropout_key: Key[Array, ''] | None = None
    ) -> tuple[Float[Array, '*B K'], Float[Array, 'V K']]:
        """Features and a table: logits = features @ table.T.

        They are `hidden` and wte itself, or the head's own table where it is not tied;
        an adapter of the head makes both wider (lora.py).
        """
        key = _fold(dropout_key, self.model.n_layer + 1)  # 1 to n_layer are the blocks'
        return self.lm_head(hidden, self.wte.embedding[...], key)


class Head(nnx.Module):
    """The output table: the token embeddings, or one of its own where not tied."""

    def __init__(self, model: schema.ModelConfig, *, rngs: nnx.Rngs) -> None:
        if not model.tie_embeddings:
            init = nnx.initializers.normal(_INIT_STDDEV)
            shape = (model.num_table_rows, model.n_embd)
            self.embedding = nnx.Param(init(rngs.params(), shape))

    def __call__(
        self, hidden: jax.Array, wte: jax.Array, key: jax.Array | None
    ) -> tuple[jax.Array, jax.Array]:
        del key  # `lora.LoraHead`, which may replace it, uses it
        return hidden, self.table(wte)

    def table(self, wte: jax.Array) -> jax.Array:
        return self.embedding[...] if hasattr(self, 'embedding') else wte


class Past(NamedTuple):
    """The cache as one layer sees it; the new tokens are written from `start` on."""

    keys: Float[Array, '*B N S H']
    values: Float[Array, '*B N S H']
    segment_ids: Int[Array, 'B S']  # of the new tokens too
    start: Int[Array, '']


class Block(nnx.Module):
    def __init__(
        self, model: schema.ModelConfig, index: int, *, dtype: jnp.dtype, rngs: nnx.Rngs
    ) -> None:
        self.resid_pdrop = model.resid_pdrop
        self.ln_1 = _layer_norm(model, dtype, rngs)
        self.attn = Attention(model, index, dtype=dtype, rngs=rngs)
        self.ln_2 = _layer_norm(model, dtype, rngs)
        self.mlp = Mlp(model, dtype=dtype, rngs=rngs)

    def __call__(
        self,
        x: Float[Array, 'B T D'],
        segment_ids: Int[Array, 'B T'],
        key: Key[Array, ''] | None = None,
        past: Past | None = None,
    ) -> tuple[Float[Array, 'B T D'], tuple[jax.Array, jax.Array]]:
        """The residual stream after the block, and the keys and values it attended."""
        attended, kept = self.attn(self.ln_1(x), segment_ids, key, past)
        x = x + dropout(attended, self.resid_pdrop, _fold(key, 1))
        fed = self.mlp(self.ln_2(x), key)
        return x + dropout(fed, self.resid_pdrop, _fold(key, 2)), kept


class Attention(nnx.Module):
    def __init__(
        self, model: schema.ModelConfig, index: int, *, dtype: jnp.dtype, rngs: nnx.Rngs
    ) -> None:
        self.n_head = model.n_head
        # Of the scores, beside the 1 / sqrt(H) that each kernel has.
        self.scale = 1.0
        if not model.scale_attn_weights:
            self.scale = (model.n_embd / model.n_head) ** 0.5
        if model.scale_attn_by_inverse_layer_idx:
            self.scale /= index + 1
        self.pdrop = model.attn_pdrop
        self.implementation = model.attention
        self.c_attn = _linear(model.n_embd, 3 * model.n_embd, _INIT_STDDEV, dtype, rngs)
        stddev = _INIT_STDDEV / (2 * model.n_layer) ** 0.5
        self.c_proj = _linear(model.n_embd, model.n_embd, stddev, dtype, rngs)

    def __call__(
        self,
        x: Float[Array, 'B T D'],
        segment_ids: Int[Array, 'B T'],
        key: Key[Array, ''] | None,
        past: Past | None,
    ) -> tuple[Float[Array, 'B T D'], tuple[jax.Array, jax.Array]]:
        B, T, D = x.shape
        # Few tokens to decode cost less to move than kernels do.
        parts = mesh.num_parts('tensor', self.n_head) if past is None else 1
        c_attn = own_rows.heads_together(self.c_attn, parts)
        qkv = c_attn(x, _fold(key, 3)).reshape(B, T, parts, 3, self.n_head // parts, -1)
        q, k, v = (  # each [B, T, N, H]
            mesh.constrain(
                part.reshape(B, T, self.n_head, -1), 'batch', None, 'heads', None
            )
            for part in jnp.split(qkv, 3, axis=3)
        )
        if self.scale != 1:
            q = q * jnp.asarray(self.scale, q.dtype)
        if past is None:
            out = attention.attend(
                q,
                k,
                v,
                segment_ids,
                implementation=self.implementation,
                dropout_rate=self.pdrop,
                dropout_key=_fold(key, 4),
            )
        else:
            k = _put(k, past.keys, past.start)
            v = _put(v, past.values, past.start)
            # Everything in the ring came before a token that is alone.
            start = past.start if T > 1 else k.shape[-2] - 1
            out = attention.attend_cached(
                q,
                k,
                v,
                q_segment_ids=segment_ids,
                kv_segment_ids=past.segment_ids,
                q_start=start,
            )
        return self.c_proj(out.reshape(B, T, D), _fold(key, 5)), (k, v)


def _put(
    new: Float[Array, 'B T N H'], ring: Float[Array, '*B N S H'], start: Int[Array, '']
) -> Float[Array, '*B N S H']:
    new = new.swapaxes(1, 2).reshape(*ring.shape[:-2], new.shape[1], ring.shape[-1])
    place = (0,) * (ring.ndim - 2) + (start, 0)
    return jax.lax.dynamic_update_slice(ring, new, place)


class Mlp(nnx.Module):
    def __init__(
        self, model: schema.ModelConfig, *, dtype: jnp.dtype, rngs: nnx.Rngs
    ) -> None:
        self.activation = activations.BY_NAME[model.activation]
        width = model.mlp_width
        self.c_fc = _linear(model.n_embd, width, _INIT_STDDEV, dtype, rngs)
        stddev = _INIT_STDDEV / (2 * model.n_layer) ** 0.5
        self.c_proj = _linear(width, model.n_embd, stddev, dtype, rngs)

    def __call__(self, x: jax.Array, key: jax.Array | None) -> jax.Array:
        x = self.activation(self.c_fc(x, _fold(key, 6)))  # [B, T, F]
        x = mesh.constrain(x, 'batch', None, 'mlp')
        return self.c_proj(x, _fold(key, 7))


class Linear(nnx.Linear):
    """nnx.Linear; `lora.LoraLinear`, which may replace it, uses the key.

    The kernel is [in, out], or [out, in] with `by_rows`.
    """

    by_rows = False

    def __call__(self, x: jax.Array, key: jax.Array | None = None) -> jax.Array:
        del key
        x = x.astype(self.dtype)
        product = linear.product_by_rows if self.by_rows else linear.product
        y = product(x, self.kernel[...]).astype(x.dtype)
        return linear.add_bias(y, self.bias[...])


def _linear(
    size_in: int, size_out: int, stddev: float, dtype: jnp.dtype, rngs: nnx.Rngs
) -> Linear:
    init = nnx.initializers.normal(stddev)
    return Linear(size_in, size_out, dtype=dtype, kernel_init=init, rngs=rngs)


def _layer_norm(
    model: schema.ModelConfig, dtype: jnp.dtype, rngs: nnx.Rngs
) -> nnx.LayerNorm:
    return nnx.LayerNorm(
        model.n_embd,
        epsilon=model.layer_norm_epsilon,
        dtype=dtype,
        use_fast_variance=False,
        rngs=rngs,
    )


def _fold(key: jax.Array | None, data: int) -> jax.Array | None:
    """The key of one place of dropout; a block's places are numbered 1 to 7."""
    return None if key is None else jax.random.fold_in(key, data)


def dropout(x: jax.Array, rate: float, key: jax.Array | None) -> jax.Array:
    """Zeroes a share `rate` of x and scales up the rest, if there is a key."""
    if rate == 0 or key is None:
        return x
    keep = jax.random.bernoulli(key, 1 - rate, x.shape)
    return jnp.where(keep, x / (1 - rate), 0)
