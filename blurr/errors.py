"""The errors that blurr raises on purpose, and the near-miss hint that their messages carry.

    BlurrError               one message, no traceback on the command line; catch it to catch them all
    ├── InputError           the user's mistake: an option, a value, a column, a file; exit code 2; a ValueError, too
    └── ResourceError        the machine or a service failed: memory, disk, MLflow, the network, a worker; exit code 1;
        │                    `sweep.on_failure=retry` retries it
        └── PeerLost         another of the processes that train together has ended

Every other exception, a bug or one of the user's own code, keeps its traceback and ends with exit code 1.
"""

import difflib
import errno
import logging
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType

from blurr import DISTRIBUTION

log = logging.getLogger(__name__)

# What the operating system says where a disk cannot take (more of) a file, whatever is written there.
DISK_CODES = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO})
# Libraries that write by themselves pass on the system's words, or SQLite's and torch's, in errors of their own.
DISK_WORDS = (
    *(os.strerror(code) for code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)),
    *("database or disk is full", "disk I/O error", "iostream error", "PytorchStreamWriter failed", "unexpected pos"),
)
# CUDA's error is a class of its own, Python's and NumPy's are MemoryErrors; allocators in C++ say it in words.
MEMORY_WORDS = ("can't allocate memory", "not enough memory", "out of memory", "bad_alloc", "_STATUS_ALLOC_FAILED")
NO_ANSWER_CODES = frozenset({408, 429, *range(500, 600)})  # of HTTP: the server is busy or broken, the request is not
# Bases of what HTTP libraries raise where nothing answers: requests', urllib3's, httpx's and its successors'.
NO_ANSWER_NAMES = frozenset({"ConnectionError", "Timeout", "TransportError", "LocalEntryNotFoundError", "URLError"})
LONGEST_SHOWN = 200  # letters of a value in a message
MOST_SHOWN = 20  # values of a list in a message
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")  # and those that turn a text round
MAKE_ROOM = "Make room on the disk, or write to another one."


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


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception, then what it was raised from or while handling, as a traceback shows them."""
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def is_out_of_memory(error: BaseException) -> bool:
    """Is this what Python, the system, a device or an allocator in C++ raises when the memory does not suffice?"""
    if isinstance(error, MemoryError) or "OutOfMemoryError" in _bases(error):
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in MEMORY_WORDS)


def is_full_disk(error: BaseException) -> bool:
    """Is this what a disk causes that is full, read-only or broken?"""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in DISK_CODES
    # a ValueError is about a value, whatever its words
    return not isinstance(error, BlurrError | ValueError) and any(words in str(error) for words in DISK_WORDS)


def is_no_answer(error: BaseException) -> bool:
    """Is this what a service causes that does not answer, or answers that it cannot at the moment?"""
    response = vars(error).get("response")
    if response is not None:  # of an HTTP library's error, whatever its class
        return response.status_code in NO_ANSWER_CODES
    return isinstance(error, ConnectionError | TimeoutError) or not NO_ANSWER_NAMES.isdisjoint(_bases(error))


def resource_error(error: BaseException) -> ResourceError | None:
    """Return the answer to a failure of memory or disk, None for anything else.

    Args:
        error: the exception; what it was raised from counts, too.
    """
    for cause in chain(error):
        if is_out_of_memory(cause):
            return ResourceError(
                f"Out of memory: {_first_line(cause)}. Lower the batch size (loader.batch_size, --batch-size) or "
                "task.max_length, take a smaller model, or end what else runs on this machine."
            )
        if is_full_disk(cause):
            file = cause.filename if isinstance(cause, OSError) and cause.filename else "A file"
            return ResourceError(f"{file} cannot be written or read: {_reason(cause)}. {MAKE_ROOM}")
    return None


class PeerLost(ResourceError):  # noqa: N818  # named for what has happened
    """Another of the processes that train together has ended, so that this one cannot go on."""


class writing:  # noqa: N801  # used as a function is, in `with writing(path):`
    """Answers a file that cannot be written in one message.

    Args:
        path: what is written in the `with` block.
        remedy: what to do.

    Raises:
        ResourceError: the disk is full, or the folder is read-only or gone.
    """

    def __init__(self, path: Path | str, remedy: str = MAKE_ROOM) -> None:
        self.path, self.remedy = path, remedy

    def __enter__(self) -> None:
        """Begin to listen."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Raise a ResourceError in place of what the system, or a library that writes, says of the disk."""
        if error is not None and (isinstance(error, OSError) or is_full_disk(error)):
            raise ResourceError(f"{self.path} cannot be written: {_reason(error)}. {self.remedy}") from error


class dispensable:  # noqa: N801  # used as a function is, in `with dispensable("The report", "…"):`
    """Turns a failure of what a run that has come to its end can do without into a warning.

    Args:
        what: is made in the `with` block.
        remedy: what to do to have it.
    """

    def __init__(self, what: str, remedy: str) -> None:
        self.what, self.remedy = what, remedy

    def __enter__(self) -> None:
        """Begin to listen."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Log any exception, whatever it is about; what ends the process, such as a signal, passes."""
        if not isinstance(error, Exception):
            return False
        said = str(error) if isinstance(error, BlurrError) else f"{type(error).__name__}: {_first_line(error)}."
        log.warning("%s was not made: %s %s", self.what, said, self.remedy)
        return True


def _bases(error: BaseException) -> set[str]:
    return {base.__name__ for base in type(error).__mro__}


def _reason(error: BaseException) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or _first_line(error)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().partition("\n")[0] or type(error).__name__).rstrip(".")


def shortened(value: object) -> str:
    """Return a value as text for a message: its beginning, where it is longer than anybody reads."""
    text = str(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}… ({len(text)} letters)"


def listed(values: Iterable[object]) -> str:
    """Return values as a list for a message: the first of them, where there are more than anybody reads."""
    texts = [shortened(repr(value)) for value in values]
    more = f", … and {len(texts) - MOST_SHOWN} more" if len(texts) > MOST_SHOWN else ""
    return f"[{', '.join(texts[:MOST_SHOWN])}{more}]"


def nearest(word: object, options: Iterable[object]) -> str:
    """Return ` Did you mean 'bart'?` for the option closest to `word`, or `''` when none is close.

    Args:
        word: what the user wrote.
        options: what there is; compared as text, without regard to case.

    Returns:
        A sentence that starts with a blank, so that it can be put behind another one.
    """
    if len(str(word)) > LONGEST_SHOWN:
        return ""
    by_lower = {text.lower(): text for text in map(str, options) if len(text) <= LONGEST_SHOWN}
    close = difflib.get_close_matches(str(word).lower(), by_lower, n=1, cutoff=0.6)
    return f" Did you mean '{by_lower[close[0]]}'?" if close else ""


def how_to_install(extra: str) -> str:
    """Return the command that installs the libraries of an extra."""
    return f"pip install '{DISTRIBUTION}[{extra}]'"


def visible(text: str) -> str:
    """Return a text with its control characters as escapes: those of a record could change what a terminal shows."""
    return CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)
