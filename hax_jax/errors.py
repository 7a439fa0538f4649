"""InputError, for what the user gave; MismatchError, for what we wrote."""


class InputError(ValueError):
    """The user's input is wrong; the message names it, the accepted values, a remedy.

    Programs print it alone, without a traceback, and exit with code 2.
    """


class MismatchError(Exception):
    """A written file differs from its source: a defect of ours, not a user's error."""
