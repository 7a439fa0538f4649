"""The trials of a sweep's stages, one after the other, each with the values so far."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

from hax_jax.config import schema
from hax_jax.data import records
from hax_jax.evaluation import paired
from hax_jax.tuning import sweep
from hax_jax.tuning import trials as trials_lib

_STAYS = 'the config stays as it is: no value tried is surely better'
_AS_IS = 'the config as it is'


@dataclasses.dataclass(frozen=True)
class Found:
    """`values` are those that differ from the config's, by field.

    `tried` has the last rung of each stage, value -> trial. `gain` is of all `values`
    together, in nats per answer token; `sentence` says how sure it is.
    """

    values: dict[str, float]
    decisions: list[sweep.Decision]
    tried: list[tuple[str, dict[float, trials_lib.Result]]]
    noise: float
    gain: float
    sentence: str


@dataclasses.dataclass(frozen=True)
class Search:
    """What the stages share. `steps` are of a full trial, `full_steps` of the run.

    `train` is `Trials.run`, `rows_of` gives the packed rows of data settings, `groups`
    maps a validation pair's id to its group.
    """

    train: Callable[[str, schema.Config, records.PackedCache], trials_lib.Result]
    run: schema.Config
    rows_of: Callable[[schema.DataConfig], records.PackedCache]
    groups: Mapping[str, str]
    steps: int
    full_steps: int

    def over(self, stages: Sequence[sweep.Stage]) -> Found:
        """Trains all stages' trials; the first has the learning rates.

        Raises:
          StoppedEarlyError: the trials so far are kept.
        """
        first = self._train({}, 1.0, _AS_IS)
        second = self._train({}, 1.0, 'second seed', seed=self.run.train.seed + 1)
        noise = abs(first.loss - second.loss)
        noise = noise if math.isfinite(noise) else 0.0
        trials_lib.say(f'two seeds are {noise:.4f} nats apart')
        values: dict[str, float] = {}
        decisions, tried = [], []
        for stage in stages:
            before = self._own(stage.field)

            def train(
                value: float, share: float, field: str = stage.field
            ) -> trials_lib.Result:
                return self._train({**values, field: value}, share)

            decision, last = sweep.run_stage(
                stage, before, train, groups=self.groups, noise=noise
            )
            trials_lib.say(decision.sentence)
            decisions.append(decision)
            tried.append((stage.field, last))
            if decision.value != before:
                values[stage.field] = decision.value
        gain, sentence = self._gain(first, values)
        return Found(values, decisions, tried, noise, gain, sentence)

    def _gain(
        self, first: trials_lib.Result, values: Mapping[str, float]
    ) -> tuple[float, str]:
        """(nats that all values together give, a sentence)."""
        if not values:
            return 0.0, _STAYS
        if not first.pairs:
            return 0.0, f'{_AS_IS} diverged, what is recommended does not'
        end = self._train(values, 1.0)
        found = paired.compare(
            first.pairs, end.pairs, same_tokenizer=True, groups=self.groups
        ).by['all']
        return max(found.mean, 0.0), paired.verdict(found, _AS_IS, 'the recommended')

    def _own(self, field: str) -> float:
        """The config's own value of a stage's field."""
        if field == sweep.EPOCHS:
            return 1.0
        section, _, name = field.partition('.')
        return getattr(getattr(self.run, section), name)

    def _train(
        self,
        values: Mapping[str, float],
        share: float,
        name: str = '',
        *,
        seed: int | None = None,
    ) -> trials_lib.Result:
        """The trial of the config with `values`, at that share of the full length."""
        made, factor = sweep.with_values(self.run, values)
        if not name:
            other = {k: v for k, v in values.items() if v != self._own(k)}
            said = [f'{k.partition(".")[2]} {v:g}' for k, v in other.items()]
            name = ', '.join(said) or _AS_IS
        config = trials_lib.config_of(
            made,
            num_steps=max(1, round(self.steps * share * factor)),
            full_steps=self.full_steps,
            train__seed=made.train.seed if seed is None else seed,
        )
        return self.train(name, config, self.rows_of(made.data))
