"""Faults that no limit of a check was set on: they show what the doctor generalises to.

`table.py --unseen` plants them as it plants those of faults.py.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import plants
from faults import Fault
from plants import Plant

from hax_jax.data import input_pipeline, packing, row_stream, text
from hax_jax.model import activations, attention, gpt2, linear
from hax_jax.model import lora as lora_lib
from hax_jax.training import optimizer, train_step

Parameters = dict[str, np.ndarray]


def _config(**changes: object) -> Callable[[Plant], None]:
    return lambda plant: plant.set(**changes)


def _rows(edit: Callable[[plants.Rows], None]) -> Callable[[Plant], None]:
    return lambda plant: plant.edit_rows.append(lambda rows, *_: edit(rows))


def _weights(edit: Callable[[Parameters], None]) -> Callable[[Plant], None]:
    return lambda plant: plants.parameters(plant, edit)


def _pairs(change: Callable[[int, Any], Any]) -> Callable[[Plant], None]:
    """`change`, (number, pair) -> pair, for all pairs of all splits."""

    def plant_it(plant: Plant) -> None:
        for name, content in plant.made.items():
            plant.made[name] = [change(i, pair) for i, pair in enumerate(content)]

    return plant_it


def _encoded(change: Callable[[list[int], int], list[int]]) -> Callable[[Plant], None]:
    """`change`, (answer with EOS, EOS) -> answer, as packing encodes."""

    def plant_it(plant: Plant) -> None:
        plain = packing._encode

        def encode(pairs: Any, tokenizer: text.Tokenizer) -> Iterator[Any]:
            for pair, turns in plain(pairs, tokenizer):
                yield (
                    pair,
                    [
                        (q, change(a, tokenizer.eos_id), weight)
                        for q, a, weight in turns
                    ],
                )

        plant.patch.setattr(packing, '_encode', encode)

    return plant_it


def _patched(
    place: Any, name: str, wrap: Callable[[Any], Any]
) -> Callable[[Plant], None]:
    return lambda plant: plant.patch.setattr(place, name, wrap(getattr(place, name)))


def _backwards(plant: Plant) -> None:
    plant.patch.setattr(packing, 'shifted', lambda ids: (ids[1:], ids[:-1]))


def _noisy_targets(rows: plants.Rows) -> None:
    chosen = np.random.default_rng(2).random(rows['targets'].shape) < 0.2
    rows['targets'][chosen & (rows['segment_ids'] > 0)] = 40


def _padding(rows: plants.Rows) -> None:
    rows['loss_weights'][rows['segment_ids'] == 0] = 1


def _from_one(rows: plants.Rows) -> None:
    rows['positions'] += (rows['segment_ids'] > 0).astype(rows['positions'].dtype)


def _ids_off(plant: Plant) -> None:
    def edit(rows: plants.Rows, _: int, size: int) -> None:
        for name in ('inputs', 'targets'):
            moved = (rows[name].astype(np.int64) + 1) % size
            rows[name][:] = np.where(rows['segment_ids'] > 0, moved, 0)

    plant.edit_rows.append(edit)


def _early_eos(answer: list[int], eos: int) -> list[int]:
    parts = [answer[i : i + 20] for i in range(0, len(answer), 20)]
    return list(
        itertools.chain(*(([eos] if i else []) + p for i, p in enumerate(parts)))
    )


def _validation_inverted(plant: Plant) -> None:
    splits = itertools.count()

    def edit(rows: plants.Rows, *_: int) -> None:
        if next(splits) > 0:
            used = rows['segment_ids'] > 0
            rows['loss_weights'][used] = 1.0 - rows['loss_weights'][used]

    plant.set(data__question_weight=0.0)
    plant.edit_rows.append(edit)


def _swapped_blocks(parameters: Parameters) -> None:
    for name in [n for n in parameters if n.startswith('h.0.')]:
        other = name.replace('h.0.', 'h.1.')
        parameters[name], parameters[other] = parameters[other], parameters[name]


def _copied_block(parameters: Parameters) -> None:
    for name in [n for n in parameters if n.startswith('h.0.')]:
        parameters[name.replace('h.0.', 'h.1.')] = parameters[name].copy()


def _times(name: str, factor: float) -> Callable[[Parameters], None]:
    return lambda parameters: parameters.update({name: parameters[name] * factor})


def _all_times(ending: str, factor: float) -> Callable[[Parameters], None]:
    def edit(parameters: Parameters) -> None:
        for name in [n for n in parameters if n.endswith(ending)]:
            parameters[name] = parameters[name] * np.float32(factor)

    return edit


def _new_norm(parameters: Parameters) -> None:
    parameters['ln_f.scale'] = np.ones_like(parameters['ln_f.scale'])
    parameters['ln_f.bias'] = np.zeros_like(parameters['ln_f.bias'])


def _rolled(parameters: Parameters) -> None:
    parameters['wpe.embedding'] = np.roll(parameters['wpe.embedding'], 1, axis=0)


def _turned(parameters: Parameters) -> None:
    for name in [n for n in parameters if '.attn.c_attn.' in n]:
        q, k, v = np.split(parameters[name], 3, axis=-1)
        parameters[name] = np.concatenate([k, v, q], axis=-1)


def _other_table(parameters: Parameters) -> None:
    order = np.random.default_rng(6).permutation(len(parameters['wte.embedding']))
    parameters['wte.embedding'] = parameters['wte.embedding'][order]


def _unscaled(plain: Any) -> Any:
    return lambda q, k, v, **more: plain(q * q.shape[-1] ** 0.5, k, v, **more)


def _wide_norm(plain: Any) -> Any:
    def norm(model: Any, dtype: Any, rngs: Any) -> Any:
        return plain(dataclasses.replace(model, layer_norm_epsilon=0.1), dtype, rngs)

    return norm


def _activation(name: str) -> Callable[[Plant], None]:
    def plant_it(plant: Plant) -> None:
        plant.patch.setitem(activations.BY_NAME, 'gelu_new', activations.BY_NAME[name])

    return plant_it


def _always_dropout(plain: Any) -> Any:
    def dropout(x: Any, rate: float, key: Any) -> Any:
        return plain(x, rate, jax.random.key(1) if key is None else key)

    return dropout


def _eval_dropout(plant: Plant) -> None:
    plant.set(model__resid_pdrop=0.3)
    plant.patch.setattr(gpt2, 'dropout', _always_dropout(gpt2.dropout))


def _gradients_times(factor: float) -> Callable[[Plant], None]:
    def wrap(plain: Any) -> Any:
        def make(*arguments: Any, **more: Any) -> Any:
            gradients = plain(*arguments, **more)

            def scaled(state: Any, batch: Any) -> Any:
                grads, losses = gradients(state, batch)
                return jax.tree.map(lambda leaf: leaf * factor, grads), losses

            return scaled

        return make

    # Without clipping, which brings gradients of any size to one.
    def plant_it(plant: Plant) -> None:
        _patched(train_step, 'gradients_function', wrap)(plant)

    return plant_it


def _leaking_step(plain: Any) -> Any:
    @functools.wraps(plain)
    def loss_sum(*arguments: Any) -> Any:
        *before, batch, key = arguments
        ids = (batch['segment_ids'] > 0).astype(jnp.int32)
        return plain(*before, {**batch, 'segment_ids': ids}, key)

    return loss_sum


def _upwards(plain: Any) -> Any:
    def make(*arguments: Any, **more: Any) -> Any:
        return optax.chain(plain(*arguments, **more), optax.scale(-1.0))

    return make


def _held_table(plain: Any) -> Any:
    def make(*arguments: Any, **more: Any) -> Any:
        tx = plain(*arguments, **more)

        def update(grads: Any, state: Any, params: Any) -> Any:
            updates, after = tx.update(grads, state, params)
            return jax.tree_util.tree_map_with_path(
                lambda path, leaf: leaf * 0 if 'wte' in str(path) else leaf, updates
            ), after

        return optax.GradientTransformation(tx.init, update)

    return make


def _short_cosine(plain: Any) -> Any:
    return lambda settings, *, num_steps: plain(settings, num_steps=num_steps // 3)


def _from_the_top(plain: Any) -> Any:
    def schedule(settings: Any, *, num_steps: int) -> optax.Schedule:
        rate = plain(settings, num_steps=num_steps)
        return lambda step: (
            rate(step) + 5 * settings.learning_rate * jnp.maximum(0.0, 1 - step / 10)
        )

    return schedule


def _weights_lost(plain: Any) -> Any:
    def batches(*arguments: Any, **more: Any) -> Iterator[Any]:
        for batch in plain(*arguments, **more):
            yield {**batch, 'loss_weights': jnp.ones_like(batch['loss_weights'])}

    return batches


def _stuck(plain: Any) -> Any:
    def batches(*arguments: Any, **more: Any) -> Iterator[Any]:
        made = list(plain(*arguments, **more))
        yield from made[:1] * len(made)

    return batches


def _of_train(plain: Any) -> Any:
    def batches(cache: Any, split: str, **more: Any) -> Iterator[Any]:
        return plain(cache, 'train', **more)

    return batches


def _one_row(plain: Any) -> Any:
    def batches(*arguments: Any, **more: Any) -> Iterator[Any]:
        for batch in plain(*arguments, **more):
            yield {name: jnp.repeat(x[:1], len(x), axis=0) for name, x in batch.items()}

    return batches


def _held_weights(plain: Any) -> Any:
    def attend(q: jax.Array, k: jax.Array, v: jax.Array, **more: Any) -> jax.Array:
        held = jax.lax.stop_gradient
        return plain(held(q), held(k), v, **more)

    return attend


def _no_dropout(plant: Plant) -> None:
    plant.set(model__resid_pdrop=0.1)
    plant.patch.setattr(gpt2, 'dropout', lambda x, rate, key: x)


def _thrice(plant: Plant) -> None:
    plant.made['train'] *= 3


def _drawn_b(plant: Plant) -> None:
    plain = lora_lib._pair

    def pair(size_in: int, size_out: int, rank: int, rngs: Any) -> Any:
        a, b = plain(size_in, size_out, rank, rngs)
        return a, type(b)(jax.random.normal(rngs.params(), b.shape) * 0.02)

    plant.patch.setattr(lora_lib, '_pair', pair)


def _added(change: Callable[[Any, Any], Any]) -> Callable[[Plant], None]:
    """`change`, (what an adapter adds, its layer) -> what it adds."""

    def plant_it(plant: Plant) -> None:
        plain = lora_lib.LoraLinear.__call__

        def call(self: Any, x: jax.Array, key: Any = None) -> jax.Array:
            base = linear.product(x.astype(self.dtype), self.kernel[...])
            base = linear.add_bias(base, self.bias[...])
            return base + change(plain(self, x, key) - base, self)

        plant.patch.setattr(lora_lib.LoraLinear, '__call__', call)

    return plant_it


def _any_order(pair: Any) -> str:
    words = pair.answer.split()
    return ' '.join(np.random.default_rng(len(words)).permutation(words))


_ROT13 = str.maketrans(
    'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ',
    'nopqrstuvwxyzabcdefghijklmNOPQRSTUVWXYZABCDEFGHIJKLM',
)


def _with(**changes: Callable[[Any], str]) -> Callable[[int, Any], Any]:
    return lambda _, pair: dataclasses.replace(
        pair, **{name: make(pair) for name, make in changes.items()}
    )


def _half_echo(number: int, pair: Any) -> Any:
    return dataclasses.replace(pair, answer=pair.question) if number % 2 else pair


# The columns: name, plant, words of the cause, kind of run.
_TABLE: tuple[tuple[str, Callable[[Plant], None], tuple[str, ...], str], ...] = (
    ('targets are the tokens before', _backwards, ('backwards',), 'full'),
    (
        'a fifth of the targets damaged',
        _rows(_noisy_targets),
        ('not the next',),
        'full',
    ),
    ('padding has a loss weight', _rows(_padding), ('padding has',), 'full'),
    (
        'template twice',
        _pairs(_with(question=lambda each: f'{text.HEAD}{each.question}{text.TAIL}')),
        ('template stands twice',),
        'full',
    ),
    ('EOS inside answers', _encoded(_early_eos), ('inside answers',), 'full'),
    ('no EOS', _encoded(lambda a, _: a[:-1]), ('do not end with EOS',), 'full'),
    ('positions from 1', _rows(_from_one), ('begin at 1',), 'full'),
    ('ids off by one', _ids_off, ('not those of this tokenizer',), 'full'),
    (
        'validation rows inverted',
        _validation_inverted,
        ('validation rows: the loss weights',),
        'full',
    ),
    (
        'loss weights lost on the way',
        _patched(input_pipeline, 'train_batches', _weights_lost),
        ('loss_weights were changed',),
        'full',
    ),
    (
        'one batch again and again',
        _patched(input_pipeline, 'train_batches', _stuck),
        ('the first comes again',),
        'full',
    ),
    (
        'a stream that stands',
        _patched(
            row_stream.RowStream, 'batch', lambda plain: lambda s, _, n: plain(s, 0, n)
        ),
        ('rows come again',),
        'full',
    ),
    (
        'evaluated on training rows',
        _patched(input_pipeline, 'eval_batches', _of_train),
        ('other rows than those of the validation',),
        'full',
    ),
    ('wpe shifted by one', _weights(_rolled), ('(wpe) are shifted',), 'full'),
    ('blocks swapped', _weights(_swapped_blocks), ('are swapped',), 'full'),
    ('a block copied', _weights(_copied_block), ('the same weights',), 'full'),
    (
        'a kernel zero',
        _weights(_times('h.1.mlp.c_fc.kernel', 0.0)),
        ('all zeros',),
        'full',
    ),
    (
        'a kernel x30',
        _weights(_times('h.1.attn.c_proj.kernel', 30.0)),
        ('times as large as in',),
        'full',
    ),
    ('ln_f lost', _weights(_new_norm), ('ln_f: as new',), 'full'),
    (
        'token embeddings x10',
        _weights(_times('wte.embedding', 10.0)),
        ('(wte) are 10 times',),
        'full',
    ),
    ('q, k, v in another order', _weights(_turned), ('c_attn has its',), 'full'),
    (
        'embeddings permuted',
        _weights(_other_table),
        ('another tokenizer', 'of another model'),
        'full',
    ),
    (
        'epsilon of norms 0.1',
        _patched(gpt2, '_layer_norm', _wide_norm),
        ('epsilon of the layer norms is 0.1',),
        'full',
    ),
    (
        'attention not scaled',
        _patched(attention, 'attend', _unscaled),
        ('are not divided',),
        'full',
    ),
    ('ReLU for GELU', _activation('relu'), ('activation is relu',), 'full'),
    ('exact GELU (harmless)', _activation('gelu'), ('activation is gelu',), 'full'),
    ('dropout in evaluation', _eval_dropout, ('dropout acts',), 'full'),
    (
        'lower-cased',
        _pairs(
            _with(
                question=lambda p: p.question.lower(), answer=lambda p: p.answer.lower()
            )
        ),
        ('lower-cased',),
        'full',
    ),
    (
        'answers of one word',
        _pairs(_with(answer=lambda p: p.answer.split()[0])),
        ('empty or cut off',),
        'full',
    ),
    (
        'one answer for all',
        _pairs(_with(answer=lambda _: 'Talk to each other about it, and be kind.')),
        ('one answer',),
        'full',
    ),
    (
        'words of answers in any order',
        _pairs(_with(answer=_any_order)),
        ('no order',),
        'full',
    ),
    (
        'questions and answers exchanged',
        _pairs(_with(question=lambda p: p.answer, answer=lambda p: p.question)),
        ('exchanged',),
        'full',
    ),
    (
        'ln_1 a tenth',
        _weights(_all_times('.ln_1.scale', 0.1)),
        ('ln_1.scale is',),
        'full',
    ),
    (
        'c_fc ten times',
        _weights(_all_times('.c_fc.kernel', 10)),
        ('c_fc.kernel is',),
        'full',
    ),
    ('no biases', _weights(_all_times('.bias', 0)), ('all biases',), 'full'),
    (
        'no biases of the MLP',
        _weights(_all_times('.c_fc.bias', 0)),
        ('h.0.mlp.c_fc.bias',),
        'full',
    ),
    ('half the answers repeat', _pairs(_half_echo), ('repeat their question',), 'full'),
    (
        'answers cut at 24 tokens',
        _encoded(lambda a, eos: a if len(a) <= 24 else [*a[:24], eos]),
        ('cut at', 'answer is cut'),
        'full',
    ),
    (
        'another language',
        _pairs(
            _with(
                question=lambda p: p.question.translate(_ROT13),
                answer=lambda p: p.answer.translate(_ROT13),
            )
        ),
        ('not English',),
        'full',
    ),
    ('all pairs three times', _thrice, ('each pair is shown',), 'full'),
    (
        'rows not shuffled',
        _patched(
            row_stream, 'permutation', lambda _: lambda seed, epoch, n: np.arange(n)
        ),
        ('unshuffled',),
        'full',
    ),
    (
        'one order for all epochs',
        _patched(
            row_stream,
            'permutation',
            lambda plain: lambda seed, epoch, n: plain(seed, 0, n),
        ),
        ('same order',),
        'full',
    ),
    (
        'bfloat16 parameters, low rate',
        _config(train__param_dtype='bfloat16', optimizer__learning_rate=1e-6),
        ('bfloat16 parameters',),
        'full',
    ),
    ('b2 0.5', _config(optimizer__b2=0.5), ('noisy',), 'full'),
    ('eps 1', _config(optimizer__eps=1.0), ('eps of 1',), 'full'),
    (
        'updates upwards',
        _patched(optimizer, 'make_optimizer', _upwards),
        ('flipped',),
        'full',
    ),
    ('gradient of the wrong sign', _gradients_times(-1.0), ('flipped',), 'full'),
    ('gradient divided twice', _gradients_times(0.02), ('gradient is',), 'full'),
    (
        'table of embeddings held',
        _patched(optimizer, 'make_optimizer', _held_table),
        ('no update',),
        'full',
    ),
    (
        'pairs seen by each other in training',
        _patched(train_step, '_loss_sum', _leaking_step),
        ('other labels, tokens',),
        'full',
    ),
    (
        'cosine ends early',
        _patched(optimizer, 'schedule', _short_cosine),
        ('falls too early', 'not that of the config'),
        'full',
    ),
    (
        'warm-up from above',
        _patched(optimizer, 'schedule', _from_the_top),
        ('not that of the config',),
        'full',
    ),
    (
        'one row again in a batch',
        _patched(input_pipeline, 'train_batches', _one_row),
        ('one of them twice',),
        'full',
    ),
    (
        'attention weights under stop_gradient',
        _patched(attention, 'attend', _held_weights),
        ('queries and keys',),
        'full',
    ),
    ('dropout that does not act', _no_dropout, ('does not act',), 'full'),
    ('dropout 0.9', _config(model__resid_pdrop=0.9), ('dropout is so high',), 'full'),
    (
        'LoRA alpha x1000',
        lambda plant: setattr(
            plant,
            'run',
            dataclasses.replace(
                plant.run, lora=dataclasses.replace(plant.run.lora, alpha=16_000.0)
            ),
        ),
        ('the scale of',),
        'lora',
    ),
    (
        'LoRA B held',
        _config(optimizer__lr_multipliers=('*.lora_b=0',)),
        ('B of every adapter',),
        'lora',
    ),
    ('LoRA B drawn', _drawn_b, ('B is not zero',), 'lora'),
    (
        'LoRA scaled by alpha',
        _added(lambda low, layer: low * layer.lora_a[...].shape[1]),
        ('by alpha, not',),
        'lora',
    ),
    (
        'LoRA not scaled',
        _added(lambda low, layer: low / layer.scale),
        ('not scaled',),
        'lora',
    ),
    ('LoRA subtracted', _added(lambda low, _: -low), ('subtracted',), 'lora'),
)
FAULTS = tuple(
    Fault(
        name,
        plant,
        expected,
        False,
        kind=kind,
        data='*.md' if name == 'all pairs three times' else 'column_*.md',
    )
    for name, plant, expected, kind in _TABLE
)
