"""Send calls to MLflow in order, keep those that fail for later, and never stop a training for them.

This module loads MLflow; import it only where a run is opened.
"""

import logging
import time
from collections import deque
from collections.abc import Callable

from blurr.tracking.masking import mask_text
from blurr.tracking.store import STORE_ERRORS, request_limits

log = logging.getLogger(__name__)

RETRY_SECONDS = 30.0
MAX_LAST_FAILURES = 3  # at the end of a run: a server that hangs costs three time-outs, not hundreds


class Spool:
    """A queue of calls that outlives the failures of what it calls.

    Args:
        clock: gives seconds; only differences matter.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._waiting: deque[Callable[[], object]] = deque()
        self._clock = clock
        self._retry_at = 0.0
        self._has_warned = False

    def put(self, call: Callable[[], object]) -> None:
        """Queue a call; `send` makes it."""
        self._waiting.append(call)

    def send(self) -> None:
        """Make the waiting calls; after a failure wait half a minute before the next try."""
        if not self._waiting or self._clock() < self._retry_at:
            return
        with request_limits(retries=1, seconds=30):
            while self._waiting:
                if not self._succeeds(self._waiting[0]):
                    self._retry_at = self._clock() + RETRY_SECONDS
                    return
                self._waiting.popleft()

    def send_last(self) -> None:
        """Try everything that waits once more, pass over what fails, and give up where nothing succeeds."""
        lost = 0
        with request_limits(retries=1, seconds=30):
            while self._waiting and lost < MAX_LAST_FAILURES:
                lost += not self._succeeds(self._waiting.popleft())
        lost += len(self._waiting)
        self._waiting.clear()
        if lost:
            log.warning("%d calls never reached MLflow; the run's folder has everything.", lost)

    def _succeeds(self, call: Callable[[], object]) -> bool:
        try:
            call()
        except STORE_ERRORS as error:
            self._warn(error)
            return False
        return True

    def _warn(self, error: Exception) -> None:
        if not self._has_warned:
            self._has_warned = True
            reason = mask_text(str(error).partition("\n")[0])[:300]
            log.warning("MLflow does not take this run's values; files are kept and sending is retried: %s", reason)
