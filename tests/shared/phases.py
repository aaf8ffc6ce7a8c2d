"""Parts of a run that wait in one phase of it, for somebody to stop the process there."""

import os
import time
from functools import partial
from pathlib import Path
from typing import Any

from fastai.callback.core import Callback

from blurr.text.sequence_classification.task import SequenceClassification
from blurr.tracking.mlflow_sink import MLflowSink
from blurr.tracking.trackers import MLflowTracker

SECONDS = {"train": 5, "upload": 10}  # a step is finished, and what is being sent is waited for


def reached(phase: str) -> None:
    """Say that a phase is reached, where it is the one that is asked for, and stay in it."""
    if os.environ.get("STAY_IN") == phase:
        Path("reached").touch()
        time.sleep(SECONDS.get(phase, 120))


class Waiting(SequenceClassification):
    def prepare(self, *given: Any) -> Any:
        reached("load")
        return super().prepare(*given)

    def encode(self, *given: Any) -> Any:
        reached("tokenize")
        return super().encode(*given)

    def evaluate(self, *given: Any) -> Any:
        reached("evaluate")
        return super().evaluate(*given)


class WaitingCallback(Callback):
    def after_pred(self) -> None:
        if self.training and (self.epoch, self.iter) == (1, 2):
            reached("train")


class WaitingTracker(MLflowTracker):
    def open(self, *, run_id: str | None = None, tags: Any = None) -> MLflowSink:
        sink: Any = super().open(run_id=run_id, tags=tags)
        send = sink.model

        def model(*given: Any) -> None:
            send(*given)
            sink._spool.put(partial(reached, "upload"))

        sink.model = model
        return sink
