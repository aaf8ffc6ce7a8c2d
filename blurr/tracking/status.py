"""Tell from what ended a run how it ended."""

from typing import Literal

from blurr.process.signals import Interrupted

Status = Literal["FINISHED", "FAILED", "KILLED"]


class StoppedRun(Exception):  # noqa: N818  # no error
    """Raised to end a run on purpose before its end; it counts as KILLED."""


def status_of(error: BaseException | None) -> Status:
    """Return the status of a run that this exception has ended."""
    if error is None or (isinstance(error, SystemExit) and not error.code):
        return "FINISHED"
    if isinstance(error, KeyboardInterrupt | GeneratorExit | StoppedRun | Interrupted):
        return "KILLED"
    return "FAILED"
