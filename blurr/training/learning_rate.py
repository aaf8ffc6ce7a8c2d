"""Resolve `optimizer.lr`: a number, a pair, `auto`, or the default of schedule and weights."""

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from fastai.callback.schedule import valley
from fastai.learner import Learner

from blurr.errors import InputError
from blurr.runs.folder import LR_FIND, LR_PLOT

LearningRate = float | slice


def learning_rate(requested: Any, *, default: LearningRate, find: Callable[[], LearningRate]) -> LearningRate:
    """Return the learning rate that `optimizer.lr` requests.

    Args:
        requested: a number; a pair, the rates of the first and the last parameter group, with those in between spread
            evenly on a log scale; `auto`, which calls `find`; or `None`: the default.
        default: see `blurr.training.default_rates`.
        find: runs the learning rate finder.

    Raises:
        InputError: `requested` is none of these.
    """
    if requested is None:
        return default
    if requested == "auto":
        return find()
    rates = list(requested) if isinstance(requested, Sequence) and not isinstance(requested, str) else [requested]
    if all(isinstance(rate, int | float) and not isinstance(rate, bool) and rate > 0 for rate in rates):
        if len(rates) == 1:
            return float(rates[0])
        if len(rates) == 2:
            return slice(float(rates[0]), float(rates[1]))
    raise InputError(
        f"optimizer.lr is {requested!r}; give a number above 0, a pair such as [1e-5,1e-3] (first and last parameter "
        "group), or auto."
    )


def as_numbers(lr: LearningRate) -> list[float]:
    """Return the one or two numbers of a learning rate, which `learning_rate` turns back into it."""
    return [lr.start, lr.stop] if isinstance(lr, slice) else [lr]


def recorded_rate(text: str) -> float | list[float]:
    """Return a recorded learning rate, such as `slice(1e-05, 0.001, None)`, as `optimizer.lr` takes it."""
    numbers = [float(number) for number in re.findall(r"\d[\d.]*(?:e-?\d+)?", text)]
    return numbers if len(numbers) > 1 else numbers[0]


def found_rate(learner: Learner, folder: Path) -> float:
    """Run fastai's learning rate finder (Smith 2015, arXiv:1506.01186), and write its curve into a folder.

    The learner is left as it was.

    Returns:
        The middle of the longest valley of the loss.
    """
    with learner.no_bar(), learner.no_logging():
        suggested = learner.lr_find(show_plot=False, suggest_funcs=(valley,))
    rates, values = learner.recorder.lrs, [float(x) for x in learner.recorder.losses]
    found = float(suggested.valley)
    text = json.dumps({"lr": found, "rates": [float(r) for r in rates], "losses": values})
    (folder / LR_FIND).write_text(text)
    _plot(rates, values, found, folder / LR_PLOT)
    return found


def _plot(rates: Sequence[float], values: Sequence[float], found: float, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4))
    axes = figure.subplots()
    axes.semilogx(rates, values)
    axes.axvline(found, linestyle="--", color="tab:red", label=f"chosen: {found:.2e}")
    axes.set(xlabel="learning rate", ylabel="loss", ylim=(None, np.percentile(values, 95)))  # the last losses diverge
    axes.legend()
    figure.savefig(path, dpi=110, bbox_inches="tight")
