"""The errors that end a run which goes wrong, with the facts that advice needs."""

from hax_jax.guards import bad_steps


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
        self, found: bad_steps.Found, *, saved: int | None, tried: str = ''
    ) -> None:
        """`tried` says what did not help: the steps skipped, the times rolled back."""
        self.found, self.tried = found, tried
        self.step, self.saved = found.step - 1, saved
        tried = f', {tried}' if tried else ''
        super().__init__(
            f'{found}{tried}. Its update was not applied, {bad_steps.FILE} names its '
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


class RollBackError(Exception):
    """The run goes on from step `saved`, without the rows of a bad one.

    `skip` are all rows of the stream that it leaves out then, those last; `start` is
    the step that the call had gone on from.
    """

    def __init__(
        self,
        found: bad_steps.Found,
        skip: tuple[tuple[int, int], ...],
        *,
        saved: int | None,
        start: int,
    ) -> None:
        self.found, self.skip, self.saved, self.start = found, skip, saved, start
        super().__init__(f'{found}; the run is rolled back')
