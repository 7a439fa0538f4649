"""What the losses of a model depend on, and what they must not depend on.

Each check is a pure function of `measure_model.probe`'s numbers.
"""

from hax_jax.doctor import diagnosis
from hax_jax.doctor.diagnosis import FAIL, Finding, Numbers
from hax_jax.measures import measure_model

_ANEW = 'compare model.pretrained with where it comes from, and begin anew'
# Of the loss's change: rounding alone moved losses by under 1e-6 of it in healthy runs.
_LEAK = 1e-3


def causality(n: Numbers) -> Finding | None:
    """A change of a later token moves no earlier loss."""
    if 'leak_backwards' not in n or not n['later_effect']:
        return None
    share = n['leak_backwards'] / n['later_effect']
    evidence = (
        f'other tokens in the second half of a pair moved losses before them by '
        f'{n["leak_backwards"]:.2g} nats, and their own by {n["later_effect"]:.2g}'
    )
    if share <= _LEAK:
        return diagnosis.good('causality', evidence)
    return Finding(
        'causality',
        FAIL,
        evidence,
        'attention has no causal mask: the model sees the tokens that it should '
        'predict',
        'mend the mask in model/attention.attend (or take '
        '--config.model.attention=xla)',
        'logits at t depend on inputs up to t alone',
        (('before', n['leak_backwards']), ('after', n['later_effect'])),
    )


def isolation(n: Numbers) -> Finding | None:
    """A change in one pair moves no loss of another pair of its row."""
    if 'leak_between' not in n or not n['later_effect']:
        return None
    share = n['leak_between'] / n['later_effect']
    evidence = (
        f"other tokens in a row's first pair moved the losses of its other pairs by "
        f'{n["leak_between"]:.2g} nats, and its own by {n["later_effect"]:.2g}'
    )
    if share <= _LEAK:
        return diagnosis.good('isolation', evidence)
    return Finding(
        'isolation',
        FAIL,
        evidence,
        'pairs of one row see each other: their segment ids are equal, or attention '
        'does not heed them',
        "delete the dataset's packed/ folder; else mend model/attention.attend",
        'attention stays inside a segment',
        (('other pairs', n['leak_between']), ('own', n['later_effect'])),
    )


def context(n: Numbers) -> Finding | None:
    """Losses depend on the tokens before."""
    if 'context_effect' not in n:
        return None
    evidence = (
        f'other tokens in the first third of a pair move the losses after it by '
        f'{n["context_effect"]:.2g} nats'
    )
    if n['context_effect'] > 1e-5:
        return diagnosis.good('context', evidence)
    return Finding(
        'context',
        FAIL,
        evidence,
        'the model does not look at earlier tokens: attention gives nothing',
        _ANEW,
        'a language model depends on its context',
    )


def places(n: Numbers) -> Finding | None:
    """Losses depend on positions, and the position embeddings are not zero."""
    if 'position_effect' not in n:
        return None
    rms = n.get('rms', {}).get('wpe.embedding')
    evidence = f'other positions move losses by {n["position_effect"]:.2g} nats' + (
        f'; position embeddings have a root mean square of {rms:.2g}'
        if rms is not None
        else ''
    )
    if n['position_effect'] > 1e-5 and (rms is None or rms > 1e-6):
        return diagnosis.good('position embeddings', evidence)
    return Finding(
        'position embeddings',
        FAIL,
        evidence,
        'the position embeddings (wpe) are zero: the model does not know the order of '
        'its tokens',
        _ANEW,
        "GPT-2's wpe has a root mean square of 0.12, a new one of 0.02",
        (('wpe', rms or 0.0),),
    )


def alignment(n: Numbers) -> Finding | None:
    """Another target moves the loss at its own place alone."""
    if not n.get('target_effect'):
        return None
    own, others = n['target_effect'], n['target_leak']
    evidence = (
        f'other targets moved the losses at their places by {own:.2g} nats, and those '
        f'at other places by {others:.2g}'
    )
    if others <= _LEAK * own:
        return diagnosis.good('alignment', evidence)
    return Finding(
        'alignment',
        FAIL,
        evidence,
        'the loss shifts its targets again: labels that packing shifted once are '
        'shifted twice',
        'give loss.weighted_sum hidden states and targets of the same places',
        'the nll at t is of the target at t',
        (('own place', own), ('other places', others)),
    )


def repeatable(n: Numbers) -> Finding | None:
    """Scoring the same rows twice gives the same losses."""
    if 'repeat_difference' not in n:
        return None
    evidence = f'two scorings of the same rows differ by {n["repeat_difference"]:.2g}'
    if n['repeat_difference'] <= 1e-4:
        return diagnosis.good('repeatable', evidence)
    return Finding(
        'repeatable',
        FAIL,
        evidence,
        'evaluation is not repeatable: dropout acts in it, or the device computes '
        'wrongly',
        'score without a dropout key; --config.train.recheck_every_steps looks at the '
        'device',
        'evaluation has no random numbers',
    )


def formula(n: Numbers) -> Finding | None:
    """The losses are those of GPT-2's formula with these weights."""
    if 'formula_off' not in n:
        return None
    off = n['formula_off']
    evidence = f'losses are {off:.2g} nats a token from those of GPT-2 in NumPy'
    if measure_model.is_by_formula(n):
        return diagnosis.good('formula', evidence)
    wrong = n.get('formula_wrong', {})
    nearest = min(wrong, key=lambda name: wrong[name], default='')
    cause = (
        'the model does not compute what GPT-2 computes with these weights: dropout '
        'acts in evaluation, or a layer is changed'
    )
    if nearest and wrong[nearest] < 0.2 * off:
        cause = nearest
        evidence += f', and {wrong[nearest]:.2g} from those of this mistake'
    return Finding(
        'formula',
        FAIL,
        evidence,
        cause,
        'mend model/gpt2.py or model/attention.py, or set the model.* field as the '
        'pretrained model has it',
        'reference/numpy_gpt2.py, which shares no code with the model',
        (('right', off), *(((nearest, wrong[nearest]),) if nearest else ())),
    )


CHECKS = (causality, isolation, context, places, alignment, repeatable, formula)
