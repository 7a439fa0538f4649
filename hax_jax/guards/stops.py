"""The errors that end a run which goes wrong, with the facts that advice needs."""

from hax_jax.guards import bad_steps, judge


class StoppedError(FloatingPointError):
    """Training has ended by itself, after step `step`.

    `saved` is the newest good step on disk, None if there is none.
    """

    step: int
    saved: int | None

    def __str__(self) -> str:
        kept = 'no step is saved yet'
        if self.saved is not None:
            kept = f'the newest good step on disk is {self.saved}'
        return f'{super().__str__()}; {kept}.'


class BadStepError(StoppedError):
    """Step `found.step` was bad: neither its update nor any after it was applied."""

    def __init__(
        self, found: bad_steps.Found, *, skipping: bool, saved: int | None
    ) -> None:
        """`skipping`: bad steps are skipped, and this is the last of too many."""
        self.found, self.skipping = found, skipping
        self.step, self.saved = found.step - 1, saved
        row = f', the {judge.MOST_IN_A_ROW}th bad one in a row' if skipping else ''
        super().__init__(
            f'{found}{row}. Its update was not applied, {bad_steps.FILE} names its '
            'rows and pairs'
        )


class DivergedError(StoppedError):
    """The state after step `step` is not worth going on from.

    It was not saved, unless an older version did: `is_on_disk`.
    """

    def __init__(
        self, step: int, problem: str, *, saved: int | None, is_on_disk: bool
    ) -> None:
        self.step, self.saved, self.is_on_disk = step, saved, is_on_disk
        kept = 'is damaged' if is_on_disk else 'was not saved'
        super().__init__(
            f'training has diverged: the state of step {step}, which {kept}: {problem}'
        )
