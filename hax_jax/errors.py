"""InputError, for what the user gave; MismatchError, for what we wrote."""


class InputError(ValueError):
    """What the user gave is wrong; the message names it, what is accepted, the remedy.

    Programs print it alone, without a traceback, and exit with code 2.
    """


class MismatchError(Exception):
    """A written file differs from its source: a defect of ours, not a user's error."""
