"""A callback that takes the time of a training, for what measures it from outside."""

import threading
import time
from typing import ClassVar

from fastai.callback.core import Callback


class Clock(Callback):
    """Takes the time of each pass over the training rows.

    Attributes:
        seconds: of each pass: by the clock, of this thread's computing, and of the whole process's.
        runs: whether a training is under way.
    """

    seconds: ClassVar[list[tuple[float, float, float]]] = []
    runs: ClassVar[threading.Event] = threading.Event()

    def before_fit(self) -> None:
        self.runs.set()

    def before_train(self) -> None:
        self.began = now()

    def after_train(self) -> None:
        ended = now()
        self.seconds.append((ended[0] - self.began[0], ended[1] - self.began[1], ended[2] - self.began[2]))

    def after_fit(self) -> None:
        self.runs.clear()


def now() -> tuple[float, float, float]:
    """Read the three clocks."""
    return time.monotonic(), time.thread_time(), time.process_time()
