"""Whether the weights are those they should be.

Each check is a pure function of `measure_model`'s numbers. `pretrained` says that the
run starts from a model; without `learned_such_texts` nobody knows what it read.
"""

import math

from hax_jax.doctor import diagnosis
from hax_jax.doctor.diagnosis import FAIL, WARN, Finding, Numbers
from hax_jax.measures import measure_model
from hax_jax.watch import verdicts

_KNOWN = 0.5  # nats under token frequencies, from where on a model knows a text
_ANEW = 'compare model.pretrained with where it comes from, and begin anew'
_OTHER_TEXTS = (
    'show it texts like those that it learned: hax doctor --folder=... --data=DATASET; '
    'if it does not know these either, copy or export the folder again'
)
_SIZE = 'times as large'
_NEW = 1.2  # nats by which losses of tokens differ under drawn weights, at most


def finite(n: Numbers) -> Finding | None:
    """Losses and weights are numbers."""
    if 'losses_finite' not in n:
        return None
    if n['losses_finite']:
        return diagnosis.good('finite', 'all losses of the first rows are numbers')
    return Finding(
        'finite',
        FAIL,
        'losses of the first rows are not finite',
        'the weights are damaged: not all of them are numbers',
        _ANEW,
        'a forward pass of whole weights is finite',
    )


def file(n: Numbers) -> Finding | None:
    """The weights in memory are those of the file."""
    if 'file_differences' not in n:
        return None
    told = n['file_differences']
    evidence = (
        f'{len(told)} of {n["file_compared"]} parameters are not as in the file: '
        + ', '.join(f'{name} ({how})' for name, how in list(told.items())[:4])
        if told
        else f'{n["file_compared"]} parameters begin as in the file'
    )
    if not told:
        return diagnosis.good('weights', evidence)
    kinds = set(told.values())
    if len(told) > 0.5 * n['file_compared']:
        cause = 'the pretrained weights were not loaded: they are drawn anew'
    elif 'transposed' in kinds:
        cause = 'a kernel was transposed as it was loaded'
    elif any(name.startswith('lm_head') for name in told):
        cause = 'the head is not that of the pretrained model: untied and drawn anew'
    else:
        cause = f'{", ".join(list(told)[:3])}: not loaded as it is in the file'
    return Finding(
        'weights',
        FAIL,
        evidence,
        cause,
        'load the pretrained model again; the run must begin at its weights',
        "each tensor's first row, compared with the file's",
        (('as in the file', n['file_compared'] - len(told)), ('different', len(told))),
    )


def knowledge(n: Numbers) -> Finding | None:
    """A pretrained model begins below what token frequencies know, a new one above."""
    if 'batch_loss' not in n or 'ln_vocab' not in n:
        return None
    # A run prints the verdict on its validation loss: the doctor's is the same one.
    loss = n.get('validation_loss', n['batch_loss'])
    uniform, unigram = n['ln_vocab'], n['unigram_entropy']
    known = {
        'before training': loss,
        'ln(vocabulary)': uniform,
        'token frequencies': unigram,
        'pairs of tokens': n.get('bigram_entropy'),
    }
    bars = tuple((name, value) for name, value in known.items() if value is not None)
    evidence = 'loss ' + ', '.join(f'{value:.2f} {name}' for name, value in bars)
    source = 'GPT-2 scores 3.1 to 3.9 on English advice; drawn weights ln(vocabulary)'
    if _knows(n, loss):
        return diagnosis.good('start', evidence, source)
    if not n['pretrained']:
        cause = (
            'the new weights are too large'
            if loss > uniform
            else 'the weights are not new, or the model sees its targets'
        )
        return Finding('start', WARN, evidence, cause, _ANEW, source, bars)
    tied = n.get('loss_tied', n['batch_loss'])
    random_head = tied < n['batch_loss'] - 0.5
    if _is_foreign(n, tied) and n['losses_differ_by'] > _NEW:
        return Finding(
            'start',
            WARN,
            evidence,
            'the model learned other texts than English letters, or its weights are '
            'damaged, or the tokenizer is of another model (its ids are permuted)',
            _OTHER_TEXTS,
            source,
            bars,
        )
    if random_head:
        cause = 'the head is untied from the embeddings and was drawn anew'
    elif loss > 1.15 * uniform:
        cause = (
            'the model is sure of wrong tokens: the tokenizer is of another model '
            '(its ids are permuted), labels are shifted wrongly, or weights are damaged'
        )
    else:
        cause = (
            'the model knows nothing of this text: its weights were drawn, not loaded, '
            'or the ids are of another tokenizer'
        )
    return Finding('start', FAIL, evidence, cause, _ANEW, source, bars)


def _knows(n: Numbers, loss: float) -> bool:
    verdict, _ = verdicts.start(
        loss,
        ln_vocab=n['ln_vocab'],
        unigram_entropy=n['unigram_entropy'],
        pretrained=n['pretrained'],
    )
    return verdict in (verdicts.GOOD, verdicts.FAIR)


def _is_foreign(n: Numbers, best: float) -> bool:
    """Whether these texts may be unlike all that the model learned.

    `best` is its loss as it would be with a fault undone: a model that then knows the
    texts has the fault.
    """
    return not n.get('learned_such_texts', True) and not _knows(n, best)


def head(n: Numbers) -> Finding | None:
    """A head of its own is better than the token embeddings in its place."""
    if 'loss_tied' not in n:
        return None
    whole, tied = n['loss_whole'], n['loss_tied']
    evidence = (
        f'loss {whole:.2f} with the own head, {tied:.2f} with the embeddings for it'
    )
    if not n['pretrained'] or tied > whole - 0.1 or _is_foreign(n, tied):
        return diagnosis.good('head', evidence)
    return Finding(
        'head',
        FAIL,
        evidence,
        'the head is untied from the embeddings and random: it was not in the file',
        'set --config.model.tie_embeddings=true, or give a file that has '
        'lm_head.weight',
        "GPT-2's head is its table of token embeddings",
        (('own head', whole), ('tied', tied)),
    )


def blocks(n: Numbers) -> Finding | None:
    """No block of a trained model is better left out."""
    if 'loss_without' not in n or not n['pretrained']:
        return None
    whole, losses = n['loss_whole'], n['loss_without']
    least = min(losses, key=lambda name: losses[name], default='')
    evidence = f'loss {whole:.3f}' + (
        f'; {losses[least]:.3f} or more without any one block' if least else ''
    )
    is_well = not least or losses[least] >= whole - 0.05
    if is_well or _is_foreign(n, losses[least]):
        return diagnosis.good('blocks', evidence)
    return Finding(
        'blocks',
        WARN,
        f'loss {whole:.3f}; {losses[least]:.3f} without {least}',
        f'{least} does harm: its weights are damaged',
        _ANEW,
        'in a trained model each block lowers the loss',
        (('as it is', whole), *((f'without {k}', loss) for k, loss in losses.items())),
    )


def repairs(n: Numbers) -> Finding | None:
    """No change that undoes a known mistake lowers the loss of a trained model."""
    if not n.get('loss_repaired') or not n['pretrained']:
        return None
    whole = n['loss_whole']
    is_known = whole < n.get('unigram_entropy', math.inf) - _KNOWN
    better = {
        name: loss
        for name, (loss, errors) in n['loss_repaired'].items()
        if errors > 3
        and loss < whole - _least_gain(name, is_known=is_known)
        and loss < n['ln_vocab'] - 0.3  # drawn weights know nothing, whatever is done
        and not _is_foreign(n, loss)
    }
    if not better:
        least = min(loss for loss, _ in n['loss_repaired'].values())
        evidence = (
            f'loss {whole:.3f}; {least:.3f} or more with any of '
            f'{len(n["loss_repaired"])} repairs'
        )
        return diagnosis.good('order of weights', evidence)
    named = min(better, key=lambda name: better[name])
    gain = whole - better[named]
    return Finding(
        'order of weights',
        FAIL if gain > (0.1 if _SIZE in named else 0.02) or 'wpe' in named else WARN,
        f'loss {whole:.3f}, and {better[named]:.3f} once this is undone '
        f'({n["loss_repaired"][named][1]:.0f} standard errors)',
        named,
        'mend it where the file is written or read: kernels are [in, out], c_attn has '
        'queries, keys, values, blocks stand in their order',
        'a trained model is at its best as it was trained',
        (('as it is', whole), ('repaired', better[named])),
    )


def _least_gain(name: str, *, is_known: bool) -> float:
    """Nats that a repair must give.

    Where a model knows little more of the text than how often tokens occur, what a part
    of it adds is chance, and a little less of it may be better: half a text in mojibake
    gave a model that is whole 0.026. A mistake that matters gives more. In healthy
    runs on known text no repair of an order gave any.
    """
    if not is_known or 'they were' in name:  # embeddings, whose size is chance too
        return 0.1
    if _SIZE in name:
        return 0.04
    return 0.003 if 'shifted' in name else 0.01


def contents(n: Numbers) -> Finding | None:
    """The arrays of a trained model are not flat, not as new and not copies."""
    if 'flat_arrays' not in n or not n['pretrained']:
        return None
    flat, new, norms = n['flat_arrays'], n['new_norms'], n['norms']
    zero = [name for name, value in flat.items() if not value]
    biases, no_bias = n.get('biases', 0), n.get('zero_biases', [])
    odd = {name: times for name, times in n['sizes'].items() if not 0.1 <= times <= 10}
    evidence = (
        f'{len(zero)} matrices are zero, {len(new)} of {norms} norms are as new ones, '
        f'{len(n["same_blocks"])} blocks are copies, {len(odd)} kernels are of another '
        f'size than those of other blocks, {len(no_bias)} of {biases} biases are zero'
    )
    verdict = FAIL
    if 'wpe.embedding' in zero:
        cause = 'the position embeddings (wpe) are zero'
    elif zero:
        cause = f'{", ".join(zero[:3])}: all zeros, so they were not in the file'
    elif flat:
        cause = f'{", ".join(list(flat)[:3])}: one number all over'
    elif norms and len(new) == norms:
        cause = 'no norm was ever trained: the weights were drawn, not loaded'
    elif new:
        cause = (
            f'{", ".join(new[:3])}: as new, with scales of 1 and biases of 0, so they '
            'were not in the file'
        )
    elif n['same_blocks']:
        cause = f'blocks {", ".join(n["same_blocks"][0])} have the same weights'
    elif odd:
        name = max(odd, key=lambda each: abs(math.log(max(odd[each], 1e-30))))
        cause = f'{name} is {odd[name]:.2g} times as large as in other blocks'
    elif no_bias:
        verdict = WARN
        said = ', '.join(no_bias[:3]) if len(no_bias) < biases else 'all biases'
        cause = f'{said}: zero, so they were not in the file, or it has none'
    else:
        return diagnosis.good('arrays', evidence)
    return Finding(
        'arrays',
        verdict,
        evidence,
        cause,
        _ANEW,
        'training moves every array, each in its own way',
    )


def labels_by_loss(n: Numbers) -> Finding | None:
    """A pretrained model's loss is lowest where targets are shifted once."""
    if 'loss_shift' not in n or not n['pretrained']:
        return None
    losses = {int(shift): loss for shift, loss in n['loss_shift'].items()}
    evidence = 'loss of the first rows by shift of the labels: ' + ', '.join(
        f'{shift}: {loss:.2f}' for shift, loss in sorted(losses.items())
    )
    best = min(losses, key=lambda shift: losses[shift])
    if losses[best] > n['ln_vocab'] - 1 or _is_foreign(n, losses[best]):
        return None  # it knows this text at no shift: the start says so
    if best == 1 or losses[1] - losses[best] < 0.2:
        return diagnosis.good('loss by shift', evidence)
    if measure_model.is_by_formula(n):
        return None  # the loss shifts nothing, so the rows do: their checks say so
    return Finding(
        'loss by shift',
        FAIL,
        evidence,
        f'the loss shifts its targets again: it is lowest at shift {best}, not 1',
        'loss.weighted_sum takes targets that are aligned with the hidden states',
        'labels are shifted once, when they are packed',
        tuple((f'shift {shift}', loss) for shift, loss in sorted(losses.items())),
    )


CHECKS = (finite, file, contents, head, blocks, repairs, labels_by_loss, knowledge)
