"""Show a training in the terminal: a progress bar, and one line per epoch."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastai.callback.core import Callback
from fastai.callback.progress import ProgressCallback
from fastai.learner import Learner
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from blurr.process.terminal import terminal
from blurr.training.callbacks.base import ORDER

WIDTH = 11


class TerminalProgress(Callback):  # type: ignore[misc]  # fastai is not typed
    """Draw a bar for each pass over the rows, and print the metrics of each epoch.

    If the output is not a terminal, there is no bar.
    """

    order = ORDER["TerminalProgress"]

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or terminal()
        self.bar: Progress | None = None

    @staticmethod
    @contextmanager
    def shown(learner: Learner) -> Iterator[None]:
        """Replace fastai's progress bar, which is made for notebooks, in a `with` block."""
        learner.remove_cbs(learner._grab_cbs(ProgressCallback))
        progress = TerminalProgress()
        logger, learner.logger = learner.logger, progress.write
        learner.add_cb(progress)
        try:
            yield
        finally:
            progress.stop()  # of a training that is interrupted, too
            learner.remove_cb(progress)
            learner.logger = logger

    def before_fit(self) -> None:
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=self.console,
            transient=True,
            refresh_per_second=4,
            disable=not self.console.is_terminal,
        )
        self.bar.start()
        self.line = self.bar.add_task("", total=1, note="")
        self.shown_at = 0.0
        self.learn.logger(self.recorder.metric_names)  # a no-op in the learning rate finder

    def before_train(self) -> None:
        self._start("train")

    def before_validate(self) -> None:
        self._start("valid")

    def after_batch(self) -> None:
        now, learn = time.monotonic(), self.learn
        if self.bar is None or (now < self.shown_at + 0.25 and learn.iter + 1 < learn.n_iter):
            return  # reading the loss waits for the device, so four times a second must do
        self.__dict__["shown_at"] = now  # past fastai's slow __setattr__, see TrainingCallback
        note = f"loss {float(learn.smooth_loss):.4f}" if learn.training else ""
        self.bar.update(self.line, completed=learn.iter + 1, total=learn.n_iter, note=note)

    def after_fit(self) -> None:
        self.stop()

    def stop(self) -> None:
        """Remove the bar, if one is there."""
        bar, self.bar = self.bar, None
        if bar is not None:
            bar.stop()

    def write(self, values: Any) -> None:
        """Print one line of the table of epochs."""
        self.console.print("".join(_cell(value) for value in values), soft_wrap=True)

    def _start(self, what: str) -> None:
        name = f"epoch {self.epoch + 1}/{self.n_epoch} {what}"
        if self.bar is not None:
            self.bar.reset(self.line, total=len(self.dl), description=name, note="")


@contextmanager
def unseen(learner: Learner) -> Iterator[None]:
    """Train without a progress bar and without lines, in a `with` block."""
    with learner.no_bar(), learner.no_logging():
        yield


def _cell(value: Any) -> str:
    text = f"{value:.4f}" if isinstance(value, float) else str(value)
    return text.ljust(max(WIDTH, len(text) + 2))
