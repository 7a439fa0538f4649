"""What a curve of losses says by itself, and why: one check, one pure function.

A check needs no other run. Each finding has the numbers it stands on, a cause and a
remedy; a curve that says nothing gives no finding.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence

from hax_jax.doctor import diagnosis
from hax_jax.watch import verdicts

# GPT-2 (124M) on English advice before training: 3.1 to 3.9 nats a token.
_GPT2_AT_MOST = 4.5
_GPT2_VOCABULARY = 50_257
_SHIFTED = 'labels shifted twice, or the weights were not loaded'
_ANEW = 'train anew from the pretrained model, with labels shifted once'
_COMPARE = 'compare tokenizer and weights with the model that they are of'
_RISE = 0.03  # of the best loss: a rise that costs answers little
_ROSE = 0.5  # nats over the start: more than training rows differ from validation
_LITTLE = 0.01  # of a loss: a gain that is not worth going on for
_OF_UNIGRAM = 0.05  # of the entropy: by so much another split's may differ
_VERDICTS = {verdicts.BAD: diagnosis.FAIL, verdicts.SUSPECT: diagnosis.WARN}
_BY_HEART = 1.0  # nats: a trained loss below it is memory, not language


@dataclasses.dataclass(frozen=True)
class Curve:
    """Losses in nats per token, by step. `train` and `validation` may be empty.

    `noise` is how far two evaluations of one model may differ. `vocab_size` is 0 if it
    is not known. `rates` are learning rates by step, where they are known;
    `unigram_entropy` is what token frequencies alone cost, 0 if it is not known.
    `start_verdict` is that of the doctor's finding at step 0, '' if it had none.
    `steps_left` are those of the plan that a run was stopped before.
    """

    train: Sequence[tuple[int, float]]
    validation: Sequence[tuple[int, float]]
    pretrained: bool
    vocab_size: int
    noise: float
    rates: Sequence[tuple[int, float]] = ()
    unigram_entropy: float = 0.0
    start_verdict: str = ''
    steps_left: int = 0

    @property
    def judged(self) -> Sequence[tuple[int, float]]:
        return self.validation or self.train


def check(curve: Curve) -> list[diagnosis.Finding]:
    """The findings of all checks, the worst first.

    A curve of wrong labels or weights says nothing else: then it is the only finding,
    or none is if the doctor has it.
    """
    if curve.start_verdict == diagnosis.FAIL:
        return []
    found = {each.__name__: each(curve) for each in CHECKS}
    for name in ('start', 'high_plateau'):
        finding = found[name]
        if finding is not None and finding.verdict == diagnosis.FAIL:
            return [finding]
    return diagnosis.ordered(filter(None, found.values()))


def start(curve: Curve) -> diagnosis.Finding | None:
    """The loss before training, against what the weights should know."""
    if curve.start_verdict or not curve.judged or curve.judged[0][0] != 0:
        return None
    if not curve.vocab_size:
        return None
    loss, uniform = curve.judged[0][1], math.log(curve.vocab_size)
    said, why = verdicts.start(
        loss,
        ln_vocab=uniform,
        unigram_entropy=curve.unigram_entropy,
        pretrained=curve.pretrained,
    )
    verdict = _VERDICTS.get(said, diagnosis.OK)
    bad = curve.pretrained and verdict == diagnosis.FAIL
    good = verdict == diagnosis.OK
    return diagnosis.Finding(
        id='start',
        verdict=verdict,
        evidence=f'loss {loss:.2f} before training; ln(vocabulary) = {uniform:.2f}',
        cause=_SHIFTED if bad else why.rstrip('.'),
        remedy=_ANEW if bad else 'none' if good else _COMPARE,
        source='GPT-2 scores 3.1 to 3.9 on English advice; with labels shifted twice '
        '9.4 to 9.6',
    )


def high_plateau(curve: Curve) -> diagnosis.Finding | None:
    """A GPT-2 that ends above where it should begin; other vocabularies differ."""
    other = 0 < curve.vocab_size < _GPT2_VOCABULARY
    if not curve.pretrained or not curve.judged or other:
        return None
    best_step, best = min(curve.judged, key=lambda point: point[1])
    if best <= _GPT2_AT_MOST:
        return None
    return diagnosis.Finding(
        id='high plateau',
        verdict=diagnosis.FAIL,
        evidence=f'the best loss is {best:.2f}, at step {best_step}; GPT-2 untrained '
        'scores 3.1 to 3.9 on such text',
        cause=f'{_SHIFTED}: more data would not help',
        remedy=_ANEW,
        source="hax_jax checks the shift on each run's first batch (data/shift_check)",
    )


def gain(curve: Curve) -> diagnosis.Finding | None:
    """Training lowers the validation loss, to less than token frequencies cost."""
    if len(curve.validation) < 2 or curve.validation[0][0] != 0:
        return None
    before, floor = curve.validation[0][1], curve.unigram_entropy
    best_step, best = min(curve.validation[1:], key=lambda point: point[1])
    evidence = (
        f'validation {before:.2f} before training, {best:.2f} at best, at step '
        f'{best_step}'
        + (f'; token frequencies alone cost {floor:.2f}' if floor else '')
    )
    source = 'evaluations of the same rows, and the entropy of the training tokens'
    if best >= before:
        judged = max(loss for _, loss in curve.validation[1:])
        trained = max((loss for _, loss in curve.train), default=before)
        rose = judged > before + 2 * curve.noise or trained > before + _ROSE
        return diagnosis.Finding(
            'gain',
            diagnosis.FAIL,
            evidence,
            'nothing was gained: no step was better than the start; the rate is too '
            + ('high' if rose else 'low, or nothing is trained'),
            f'{"divide" if rose else "multiply"} --config.optimizer.learning_rate by '
            '10; hax doctor --config=... tries rates',
            source,
        )
    if not floor or best < (1 + _OF_UNIGRAM) * floor:
        return None
    return diagnosis.Finding(
        'gain',
        diagnosis.FAIL if curve.pretrained else diagnosis.WARN,
        evidence,
        'nothing is learned of the order of tokens yet: too few steps, or too low a '
        'rate',
        'go on with a larger --config.train.num_steps, or train anew with a higher '
        '--config.optimizer.learning_rate',
        source,
    )


def overfitting(curve: Curve) -> diagnosis.Finding | None:
    """Validation that rises while training goes on falling."""
    if len(curve.validation) < 3 or not curve.train:
        return None
    best_step, best = min(curve.validation, key=lambda point: point[1])
    last_step, last = curve.validation[-1]
    if last - best <= max(2 * curve.noise, _RISE * best):
        return None
    evidence = (
        f'validation is {best:.2f} at step {best_step} and {last:.2f} at step '
        f'{last_step}; training is {curve.train[-1][1]:.2f}'
    )
    if _fall(curve, since=best_step) < 0:  # nothing is learned by heart
        return None if gain(curve) else _rising(evidence, best_step)
    return diagnosis.Finding(
        id='overfitting',
        verdict=diagnosis.WARN,
        evidence=evidence,
        cause='the model learns the training text by heart: too many epochs of too '
        'little text',
        remedy=f'take step {_flat_from(curve)}, or set --config.train.patience; more '
        'pairs, LoRA, or a lower rate let it go on longer',
        source='validation that rises by more than two evaluations of one model differ',
    )


def _rising(evidence: str, best_step: int) -> diagnosis.Finding:
    return diagnosis.Finding(
        id='rising loss',
        verdict=diagnosis.WARN,
        evidence=evidence,
        cause=f'training has risen with validation since step {best_step}: the rate is '
        'too high to keep what was learned',
        remedy=f'take step {best_step}, or train anew with a third of '
        '--config.optimizer.learning_rate',
        source='text that is learned by heart lowers the training loss',
    )


def shared_text(curve: Curve) -> diagnosis.Finding | None:
    """Training learned by heart, and a validation loss that does not mind."""
    if len(curve.validation) < 3 or not curve.train or overfitting(curve):
        return None
    trained, judged = curve.train[-1][1], curve.validation[-1][1]
    if trained >= _BY_HEART or judged - trained < 1.0:
        return None
    return diagnosis.Finding(
        id='shared text',
        verdict=diagnosis.FAIL,
        evidence=f'training is at {trained:.2f} nats, learned by heart, and validation '
        f'at {judged:.2f} has not risen since step {_flat_from(curve)}',
        cause='validation shares text with training: honest validation rises once the '
        'training text is learned by heart, and copies in it hide that',
        remedy='split by whole stories, without copies (data_pipeline.build does, and '
        'measures what is shared), and take the step that is best then',
        source='a loss under 1 nat a token is below what unseen text leaves open',
    )


def unfinished(curve: Curve) -> diagnosis.Finding | None:
    """Validation that still fell when training ended, with all its steps."""
    return None if curve.steps_left else _falling(curve)


def _falling(curve: Curve) -> diagnosis.Finding | None:
    if len(curve.validation) < 3:
        return None
    losses = [loss for _, loss in curve.validation]
    gain = losses[-2] - losses[-1]
    little = max(2 * curve.noise, _LITTLE * losses[-1])
    if losses[-1] > min(losses) or gain <= little or shared_text(curve):
        return None
    return diagnosis.Finding(
        id='unfinished',
        verdict=diagnosis.WARN,
        evidence=f'validation fell by {gain:.2f} in the last interval, to '
        f'{losses[-1]:.2f}, its best',
        cause='training ended before the model had learned what it could',
        remedy='go on with a larger --config.train.num_steps',
        source=f'two evaluations of one model differ by up to {curve.noise:.2f} here',
    )


def standstill(curve: Curve) -> diagnosis.Finding | None:
    """A validation loss that has stopped moving, by no more than its own noise."""
    explained = (gain, _falling, overfitting, shared_text)
    if len(curve.validation) < 4 or any(check(curve) for check in explained):
        return None
    half = [loss for _, loss in curve.validation[len(curve.validation) // 2 - 1 :]]
    moved = max(half) - min(half)
    if moved > 3 * curve.noise:
        return None
    total = curve.validation[0][1] - min(half)
    losses = [loss for _, loss in curve.validation]
    # Noise alone orders five evaluations or more so once in 120 times or less.
    is_falling = len(losses) >= 5 and losses == sorted(losses, reverse=True)
    learned = total > (2 if is_falling else 4) * curve.noise
    cause, remedy = _why_still(curve, learned)
    return diagnosis.Finding(
        id='standstill',
        verdict=diagnosis.OK if learned else diagnosis.WARN,
        evidence=f'the last {len(half)} evaluations lie within {moved:.2f}, and two of '
        f'one model may differ by {curve.noise:.2f}; in that time training fell by '
        f'{_fall(curve, since=_late(curve)):.2f}'
        + (f', at {_rate_share(curve):.0%} of the peak rate' if curve.rates else ''),
        cause=cause,
        remedy=remedy,
        source='differences under the noise of an evaluation mean nothing',
    )


def _why_still(curve: Curve, learned: bool) -> tuple[str, str]:
    """(cause, remedy) of a plateau: data, rate, the model's size, or noise."""
    fell = _fall(curve, since=_late(curve))
    if fell > max(3 * curve.noise, _LITTLE * curve.validation[-1][1]):
        return (
            'data: training falls on and validation does not, so this text has taught '
            'what it can about letters that it does not hold',
            'hax saturation says what more data would give; stop here otherwise',
        )
    if not learned:
        return (
            'learning rate: it is too low to teach anything, or nothing is trained, or '
            'all that was learned is under the noise of the evaluation',
            'hax doctor --config=... tries rates; evaluate on more validation pairs',
        )
    if curve.rates and _rate_share(curve) < 0.1:
        return (
            'learning rate: it has come down to almost nothing, so nothing moves',
            'train again with more steps, not on from here',
        )
    return (
        'capacity: training has stopped falling too, at a rate that still moves the '
        'weights; the model, or the rank of its adapters, holds no more, or the rate '
        'is too high to settle',
        'lower --config.optimizer.learning_rate for the last steps (a decaying '
        'schedule), then a larger model or --config.lora.rank',
    )


def _late(curve: Curve) -> int:
    """The step from which a plateau is judged."""
    return curve.validation[len(curve.validation) // 2 - 1][0]


def _fall(curve: Curve, *, since: int) -> float:
    """How far the training loss fell from a step on, by means of its ends."""
    losses = [loss for step, loss in curve.train if step >= since]
    part = max(1, len(losses) // 4)
    if len(losses) < 2:
        return 0.0
    return sum(losses[:part]) / part - sum(losses[-part:]) / part


def _rate_share(curve: Curve) -> float:
    """The mean rate over the plateau, by the highest of the run."""
    rates = [rate for step, rate in curve.rates if step >= _late(curve)]
    highest = max((rate for _, rate in curve.rates), default=0.0)
    return sum(rates) / len(rates) / highest if rates and highest else 1.0


CHECKS: tuple[Callable[[Curve], diagnosis.Finding | None], ...] = (
    start,
    high_plateau,
    gain,
    overfitting,
    shared_text,
    unfinished,
    standstill,
)


def _flat_from(curve: Curve) -> int:
    """The first step whose validation loss is the best one but for noise."""
    best = min(loss for _, loss in curve.validation)
    return next(s for s, loss in curve.validation if loss - best <= curve.noise)
