"""The one error that answers a mistake in what the user gave, and the near-miss hint its messages carry."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """A mistake in what the user gave: an option, a value, a column, a file.

    Its message says what is wrong, shows the value, says what there is, and says what to do.
    The command line prints it without a traceback and exits with code 2.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message  # fastai puts words of its own before `args[0]` where a callback raises

    def __str__(self) -> str:
        return self.message


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
