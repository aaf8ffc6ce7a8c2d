"""Send calls to MLflow in order from a separate thread, so that no training waits for a server.

This module loads MLflow; import it only when a run is opened.
"""

import logging
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from threading import Condition, Thread

from mlflow.exceptions import MlflowException

from blurr.process.terminal import quiet
from blurr.runs.secrets import mask_text
from blurr.tracking.store import DATABASES, STORE_ERRORS, request_limits

log = logging.getLogger(__name__)

LAST_RETRY_SECONDS = 1.0  # between two tries while the end of a run waits
REQUEST_SECONDS = 20
REFUSED = 400  # MLflow's status for a value that it will never accept


class Spool:
    """A queue of calls that survives failures of the store.

    A call that the store refuses is skipped with a warning. A call that fails is retried until it succeeds, before any
    later call. The thread starts with the first call, so that an open run without calls can be forked.

    Args:
        retry_seconds: seconds between two tries while nobody waits.

    Attributes:
        left: number of skipped calls and, once the spool is closed, of those still waiting.
    """

    def __init__(self, retry_seconds: float) -> None:
        self.left = 0
        self._retry_seconds = retry_seconds
        self._waiting: deque[Callable[[], object]] = deque()
        self._changed = Condition()
        self._thread: Thread | None = None
        self._limits = ExitStack()
        self._is_last = self._is_given_up = self._has_warned = False
        self._moved_at = 0.0  # when a call last succeeded

    def put(self, call: Callable[[], object]) -> None:
        """Queue a call; another thread makes it later, so its arguments must not change."""
        with self._changed:
            self._waiting.append(call)
            self._changed.notify_all()
        if self._thread is None:
            # set here rather than in the thread, which would change the environment at any moment
            self._limits.enter_context(request_limits(retries=0, seconds=REQUEST_SECONDS))
            self._limits.enter_context(quiet(DATABASES, level=logging.CRITICAL))
            # a daemon, because a server that hangs must not keep the process alive
            self._thread = Thread(target=self._work, name="blurr tracking", daemon=True)
            self._thread.start()

    def settle(self, seconds: float) -> bool:
        """Wait until all calls are made; give up after `seconds` in which none succeeds.

        Returns:
            Whether all calls were made.
        """
        with self._changed:
            self._moved_at = time.monotonic()
            self._is_last = True
            self._changed.notify_all()
            while self._waiting and time.monotonic() < self._moved_at + seconds:
                self._changed.wait(0.1)  # in short steps, between which signals are handled
            self._is_last = False
            return not self._waiting

    def close(self, seconds: float) -> None:
        """Wait as `settle` does, and drop the rest."""
        self.settle(seconds)
        with self._changed:
            self._is_given_up = True
            self.left += len(self._waiting)
            self._waiting.clear()
            self._changed.notify_all()
        self._limits.close()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._is_given_up)
                if self._is_given_up:
                    return
                call = self._waiting[0]
            if self._is_done(call):
                with self._changed:
                    self._moved_at = time.monotonic()
                    if self._waiting:  # else `close` has emptied the queue
                        self._waiting.popleft()
                    self._changed.notify_all()
            else:
                self._pause()

    def _pause(self) -> None:
        with self._changed:
            until = time.monotonic() + self._retry_seconds
            while not self._is_given_up and time.monotonic() < until:
                self._changed.wait(min(LAST_RETRY_SECONDS, self._retry_seconds))
                if self._is_last:
                    return

    def _is_done(self, call: Callable[[], object]) -> bool:
        """Make a call; return False if it has to be retried."""
        try:
            call()
        except FileNotFoundError as error:  # the file was deleted in the meantime
            self._pass_over(error)
        except STORE_ERRORS as error:
            if not _is_refusal(error):
                self._warn(error)
                return False
            self._pass_over(error)
        return True

    def _pass_over(self, error: Exception) -> None:
        self.left += 1
        log.warning("MLflow refused a record of this run, which stays in the run's folder: %s", _reason(error))

    def _warn(self, error: Exception) -> None:
        if not self._has_warned:
            self._has_warned = True
            said = "MLflow does not accept this run's values; they are kept in its folder, and sending is retried: %s"
            log.warning(said, _reason(error))


def _is_refusal(error: Exception) -> bool:
    if not isinstance(error, MlflowException):
        return False
    status: int = error.get_http_status_code()  # type: ignore[no-untyped-call]
    return status == REFUSED


def _reason(error: Exception) -> str:
    return mask_text(str(error).partition("\n")[0])[:300]
