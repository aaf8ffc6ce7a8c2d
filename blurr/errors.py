"""The errors that blurr raises on purpose, and the near-miss hint that their messages carry.

    BlurrError               one message, no traceback on the command line; catch it to catch them all
    ├── InputError           the user's mistake: an option, a value, a column, a file; exit code 2; a ValueError, too
    └── ResourceError        the machine or a service failed: memory, disk, MLflow, the network, a worker; exit code 1;
                             `sweep.on_failure=retry` retries it

Every other exception, a bug or one of the user's own code, keeps its traceback and ends with exit code 1.
"""

import difflib
from collections.abc import Iterable


class BlurrError(Exception):
    """The base of the errors that blurr raises on purpose.

    The message says what is wrong, shows the value, says what there is, and says what to do.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message  # fastai puts words of its own before `args[0]` where a callback raises

    def __str__(self) -> str:
        return self.message


class InputError(BlurrError, ValueError):
    """A mistake in what the user gave: an option, a value, a column, a file."""


class ResourceError(BlurrError):
    """Something outside of blurr and of the user's input failed: memory, disk, a service, the network, a worker."""


def nearest(word: object, options: Iterable[object]) -> str:
    """Return ` Did you mean 'bart'?` for the option closest to `word`, or `''` when none is close.

    Args:
        word: what the user wrote.
        options: what there is; compared as text, without regard to case.

    Returns:
        A sentence that starts with a blank, so that it can be put behind another one.
    """
    by_lower = {str(option).lower(): str(option) for option in options}
    close = difflib.get_close_matches(str(word).lower(), by_lower, n=1, cutoff=0.6)
    return f" Did you mean '{by_lower[close[0]]}'?" if close else ""
