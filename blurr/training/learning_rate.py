"""Resolve `optimizer.lr`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from fastai.learner import Learner

from blurr.errors import InputError

LearningRate = float | slice


LR_OF_WEIGHTS = {"pretrained": 5e-5, "scratch": 1e-3}


def learning_rate(wish: Any, learner: Learner, *, weights: str, folder: Path) -> LearningRate:
    """Give the learning rate that `optimizer.lr` asks for.

    Args:
        wish: a number; a pair, the rates of the first and the last parameter group, those between spread evenly on a
            log scale; `auto`, which runs the learning rate finder and leaves its curve in the folder; or `None`: 5e-5
            for a pretrained checkpoint, 1e-3 for a model from scratch.
        learner: what the finder runs on; it is left as it was.
        weights: `pretrained` or `scratch`: what is trained.
        folder: where the curve goes.

    Raises:
        InputError: anything else.
    """
    if wish is None:
        return LR_OF_WEIGHTS[weights]
    if wish == "auto":
        return _find_lr(learner, folder)
    rates = list(wish) if isinstance(wish, Sequence) and not isinstance(wish, str) else [wish]
    if all(isinstance(rate, int | float) and not isinstance(rate, bool) and rate > 0 for rate in rates):
        if len(rates) == 1:
            return float(rates[0])
        if len(rates) == 2:
            return slice(float(rates[0]), float(rates[1]))
    raise InputError(
        f"optimizer.lr is {wish!r}; give a number above 0, a pair such as [1e-5,1e-3] (first and last parameter "
        "group), or auto."
    )


def as_numbers(lr: LearningRate) -> list[float]:
    """Give a learning rate as numbers: one, or those of the first and the last parameter group."""
    return [lr.start, lr.stop] if isinstance(lr, slice) else [lr]


def rate_of(numbers: Sequence[float]) -> LearningRate:
    """Give the learning rate that `as_numbers` made numbers of."""
    return slice(*numbers) if len(numbers) == 2 else numbers[0]


def _find_lr(learner: Learner, folder: Path) -> float:
    """Run fastai's finder (Smith 2015, arXiv:1506.01186) and take the middle of the longest valley of the loss."""
    import json

    from fastai.callback.schedule import valley

    with learner.no_bar(), learner.no_logging():
        suggested = learner.lr_find(show_plot=False, suggest_funcs=(valley,))
    rates, values = learner.recorder.lrs, [float(x) for x in learner.recorder.losses]
    found = float(suggested.valley)
    text = json.dumps({"lr": found, "rates": [float(r) for r in rates], "losses": values})
    (folder / "lr_find.json").write_text(text)
    _plot(rates, values, found, folder / "lr_find.png")
    return found


def _plot(rates: Sequence[float], values: Sequence[float], found: float, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4))
    axes = figure.subplots()
    axes.semilogx(rates, values)
    axes.axvline(found, linestyle="--", color="tab:red", label=f"chosen: {found:.2e}")
    axes.set(xlabel="learning rate", ylabel="loss", ylim=(None, np.percentile(values, 95)))
    axes.legend()
    figure.savefig(path, dpi=110, bbox_inches="tight")
