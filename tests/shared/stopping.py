"""A callback that stops its own process in the middle of a training, as a cluster or a user would."""

import os
from typing import ClassVar

from fastai.callback.core import Callback


class StopAt(Callback):
    """Send a signal while the training works on a batch.

    Attributes:
        batch: which, over all fits, from 1; 0 lets the training be.
        signum: the signal; `None` raises an exception instead, which leaves no time to write anything.
    """

    batch: ClassVar[int] = 0
    signum: ClassVar[int | None] = None

    def __init__(self) -> None:
        self.seen = 0

    def after_pred(self) -> None:
        self.seen += self.training
        if self.training and self.seen == self.batch:
            if self.signum is None:
                raise RuntimeError("the power is gone")
            os.kill(os.getpid(), self.signum)
