"""Let the first of the processes that train together say why another one has failed, in one message."""

import json
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from blurr.config.explain import CRASH, USER_MISTAKE, answer_to
from blurr.errors import BlurrError, InputError, PeerLost, ResourceError
from blurr.process import launched, launching
from blurr.training.distributed import EndedByFirst, is_of_lost_peer, post, posted

# What a process has said that failed; that the first will say it, or has failed itself.
WORDS, HEARD = "last words", "heard"
LISTENS_SECONDS, WAITS_SECONDS = 3.0, 5.0
SILENT = "Another process of this run has died without a word, as when the system runs out of memory."


@contextmanager
def naming_the_lost() -> Iterator[None]:
    """Raise, in place of what torch says where another process does not answer any more, why that one has ended.

    Raises:
        BlurrError: in the first process, which can ask; a PeerLost in the others.
    """
    try:
        yield
    except RuntimeError as error:
        if not is_of_lost_peer(error):
            raise
        raise (_reason() if launched.is_first() else PeerLost(SILENT)) from error


@contextmanager
def failing_once() -> Iterator[None]:
    """Raise in the first process what has ended the training of any, and end the others without a word.

    The block is left once the process has left the others: as long as one is there, they wait for what it does next.

    Raises:
        SystemExit: in the others, if the first says why.
    """
    try:
        with naming_the_lost():
            yield
    except Exception as error:
        if launched.world() > 1 and launched.is_first():
            with suppress(PeerLost):
                post(HEARD, "")
        elif launched.world() > 1:
            _leave(error)
        raise


def _leave(error: Exception) -> None:
    """End this process once the first has heard why; return if it does not listen."""
    answer = answer_to(error)
    code = USER_MISTAKE if isinstance(answer, InputError) else CRASH
    said = str(answer) if answer else "".join(traceback.format_exception(error)).strip()
    with suppress(PeerLost):  # the first has ended, and has said why
        if not isinstance(error, PeerLost | EndedByFirst):
            post(WORDS, json.dumps([launched.name(), code, said]))
            if posted(HEARD, WAITS_SECONDS) is None:
                return
    raise SystemExit(code) from error


def _reason() -> BlurrError:
    """Return why another process has ended."""
    until = time.monotonic() + LISTENS_SECONDS
    while time.monotonic() < until:
        words = posted(WORDS, 0.1)
        if words is not None:
            name, code, said = json.loads(words)
            return InputError(said) if code == USER_MISTAKE else ResourceError(f"{name} has failed: {said}")
        died = launching.death(0.0)
        if died is not None:
            return PeerLost(died)
    return PeerLost(SILENT)
