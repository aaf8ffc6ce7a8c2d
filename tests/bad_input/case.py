"""A malformed input: what is given to blurr, what blurr must say to it, and the time and memory that it may take."""

import re
import resource
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import psutil

from blurr.config import explain
from blurr.errors import BlurrError, InputError

HANDLED = "handled"
GIGABYTE = 1 << 30


class TooSlow(BaseException):  # noqa: N818  # no Exception, so that no `except` on the way takes it
    """A case has used up its time."""


@dataclass(frozen=True)
class Case:
    """A malformed input.

    Attributes:
        kind: of input.
        name: what is wrong with it.
        give: hands it to blurr; takes an empty folder to work in, which is the current one.
        says: pattern of the answer, or HANDLED: it is no mistake, and `give` raises where the result is wrong.
        answer: the class of the answer, which decides the exit code.
        seconds: that the answer may take.
        gigabytes: of address space that it may take.
        slow: whether it takes more than a second or two, in making or in reading.
    """

    kind: str
    name: str
    give: Callable[[Path], object]
    says: str
    answer: type[BlurrError] = InputError
    seconds: int = 30
    gigabytes: float = 2.0
    slow: bool = False

    def __str__(self) -> str:
        return f"{self.kind}: {self.name}"

    def outcome(self, folder: Path) -> str:
        """Return 'ok', or what went wrong."""
        began = time.monotonic()
        with bounded(self.seconds, self.gigabytes):
            try:
                self.give(folder)
                said = "ok" if self.says == HANDLED else "silent"
            except TooSlow:
                said = f"no answer in {self.seconds} s"
            except Exception as error:  # noqa: BLE001  # any exception must have an answer
                said = self._verdict(error)
        late = time.monotonic() - began
        return f"took {late:.1f} s" if said == "ok" and late > self.seconds else said

    def _verdict(self, error: Exception) -> str:
        answer = explain.answer_to(error)
        if answer is None:
            return f"traceback: {type(error).__name__}: {error}"
        if type(answer) is not self.answer:
            return f"{type(answer).__name__}: {answer}"
        is_said = self.says != HANDLED and re.search(self.says, str(answer), re.DOTALL)
        return "ok" if is_said and len(str(answer)) < LONGEST else f"says: {answer}"


LONGEST = 3000  # characters of an answer that somebody reads


@contextmanager
def bounded(seconds: int, gigabytes: float) -> Iterator[None]:
    """Limit the time and the address space of a block, as a machine in use would."""

    def end(number: int, frame: FrameType | None) -> None:
        raise TooSlow

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = psutil.Process().memory_info().vms + int(gigabytes * GIGABYTE)
    before = signal.signal(signal.SIGALRM, end)
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        signal.signal(signal.SIGALRM, before)
