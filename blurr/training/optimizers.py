"""Make torch's and fastai's optimizers fit fastai's loop, and find the learning rate."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fastai.learner import Learner
from fastai.optimizer import OptimWrapper
from torch import nn

from blurr.errors import InputError

LearningRate = float | slice
ParameterGroups = Sequence[Sequence[nn.Parameter]]


class TorchOptimizer(OptimWrapper):  # type: ignore[misc]  # fastai is not typed
    """A torch optimizer behind fastai's interface, without weight decay on biases and norms.

    fastai sees one group per list of parameters, which freezing and discriminative learning rates count by. torch has
    two for each, next to each other: the weights (at least two dimensions), and the biases and norms, whose decay is 0.

    Args:
        params: lists of parameters, as the splitter gives them, or one flat list.
        opt: class of the torch optimizer.
        options: passed to it; `lr`, `weight_decay`, …
    """

    def __init__(self, params: Any, opt: Callable[..., torch.optim.Optimizer], **options: Any) -> None:
        groups = [list(g) for g in params] if isinstance(next(iter(params), None), list | tuple) else [list(params)]
        groups = [list(g) for g in groups]
        pairs: list[dict[str, Any]] = []
        for group in groups:
            pairs.append({"params": [p for p in group if p.ndim >= 2]})
            pairs.append({"params": [p for p in group if p.ndim < 2], "weight_decay": 0.0})
        super().__init__(opt=opt(pairs, **options))
        # fastai's name of each number that torch keeps for a group, and where torch keeps it: `betas__1` is `betas[1]`
        self.places = {name: _place(key) for key, name in self.fwd_map.items() if not isinstance(self._at(key), bool)}

    def _at(self, key: str) -> Any:
        name, index = _place(key)
        value = self.opt.param_groups[0][name]
        return value if index is None else value[index]

    @property
    def hypers(self) -> list[dict[str, Any]]:
        return [
            {name: group[key] if index is None else group[key][index] for name, (key, index) in self.places.items()}
            for group in self.opt.param_groups[::2]
        ]

    @property
    def param_lists(self) -> list[list[nn.Parameter]]:
        groups = self.opt.param_groups
        return [groups[i]["params"] + groups[i + 1]["params"] for i in range(0, len(groups), 2)]

    def set_hyper(self, k: str, v: Any) -> None:
        groups = len(self.opt.param_groups) // 2
        if isinstance(v, list) and len(v) == groups:  # as the schedules set the rates, before every step
            self._set_hyper(k, v)
        else:
            super().set_hyper(k, v)

    def _set_hyper(self, k: str, v: Sequence[Any]) -> None:
        key, index = self.places[k]
        for i, group in enumerate(self.opt.param_groups):
            value = 0.0 if k == "wd" and i % 2 else v[i // 2]
            group[key] = value if index is None else (*group[key][:index], value, *group[key][index + 1 :])


def _place(key: str) -> tuple[str, int | None]:
    name, _, index = key.partition("__")
    return name, int(index) if index else None


def adamw(params: ParameterGroups, lr: LearningRate = 1e-3, **options: Any) -> TorchOptimizer:
    """Make torch's fused AdamW, which takes a fraction of the time of the loops over parameters."""
    return _torch_optimizer(params, lr, partial(torch.optim.AdamW, fused=True, **options))


def as_opt_func(optimizer: Callable[..., Any]) -> Callable[..., Any]:
    """Make fastai's `opt_func` of a class of `torch.optim`, a function of `fastai.optimizer`, or a `partial` of one."""
    inner = optimizer.func if isinstance(optimizer, partial) else optimizer
    if isinstance(inner, type) and issubclass(inner, torch.optim.Optimizer):
        return partial(_torch_optimizer, opt=optimizer)
    return optimizer


def _torch_optimizer(params: Any, lr: LearningRate, opt: Callable[..., torch.optim.Optimizer]) -> TorchOptimizer:
    # the schedule sets the rate of each group before the first step
    first = lr.stop if isinstance(lr, slice) else lr
    return TorchOptimizer(params, opt, lr=first)


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
