"""The one error that means: what the user gave is wrong."""


class InputError(ValueError):
    """What the user gave is wrong; the message names it, what is accepted, the remedy.

    Programs print it alone, without a traceback, and exit with code 2.
    """
