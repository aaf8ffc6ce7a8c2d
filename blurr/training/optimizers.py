"""Make torch's and fastai's optimizers fit fastai's loop, and find the learning rate."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from fastai.optimizer import OptimWrapper
from torch import nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from blurr.training.learning_rate import LearningRate
from blurr.training.sharding import whole_value

EPS_OF_NORM = 1e-6  # which `clip_grad_norm_` adds to the norm before it divides by it
CLEARLY = 1 - 1e-6  # below this share of the highest norm, rounding to float32 makes no difference
ParameterGroups = Sequence[Sequence[nn.Parameter]]


class TorchOptimizer(OptimWrapper):  # type: ignore[misc]  # fastai is not typed
    """A torch optimizer with fastai's interface, without weight decay on biases and norms.

    fastai sees one group per list of parameters, by which it freezes and sets learning rates. torch has two adjacent
    groups for each: the weights (two or more dimensions), and the biases and norms, whose decay is 0.

    Args:
        params: lists of parameters, as the splitter returns them, or one flat list.
        opt: class of the torch optimizer.
        options: arguments of `opt`, such as `lr` and `weight_decay`.
    """

    def __init__(self, params: Any, opt: Callable[..., torch.optim.Optimizer], **options: Any) -> None:
        groups = [list(g) for g in params] if isinstance(next(iter(params), None), list | tuple) else [list(params)]
        groups = [list(g) for g in groups]
        pairs: list[dict[str, Any]] = []
        for group in groups:
            pairs.append({"params": [p for p in group if p.ndim >= 2]})
            pairs.append({"params": [p for p in group if p.ndim < 2], "weight_decay": 0.0})
        super().__init__(opt=opt(pairs, **options))
        # fastai's name of each hyperparameter, and where torch keeps it in a group: `betas__1` is `betas[1]`
        self.places = {name: _place(key) for key, name in self.fwd_map.items() if not isinstance(self._at(key), bool)}

    def _at(self, key: str) -> Any:
        name, index = _place(key)
        value = self.opt.param_groups[0][name]
        return value if index is None else value[index]

    @property
    def hypers(self) -> Sequence[dict[str, Any]]:
        return Hypers(self.opt.param_groups, self.places)

    @property
    def param_lists(self) -> list[list[nn.Parameter]]:
        groups = self.opt.param_groups
        return [groups[i]["params"] + groups[i + 1]["params"] for i in range(0, len(groups), 2)]

    def set_hyper(self, k: str, v: Any) -> None:
        groups = len(self.opt.param_groups) // 2
        if isinstance(v, list) and len(v) == groups:  # the schedules set the rates like this before every step
            self._set_hyper(k, v)
        else:
            super().set_hyper(k, v)

    def _set_hyper(self, k: str, v: Sequence[Any]) -> None:
        key, index = self.places[k]
        for i, group in enumerate(self.opt.param_groups):
            value = 0.0 if k == "wd" and i % 2 else v[i // 2]
            group[key] = value if index is None else (*group[key][:index], value, *group[key][index + 1 :])


class Hypers(Sequence[dict[str, Any]]):
    """The hyperparameters of each of fastai's groups; those of one are read when it is asked for, at every step.

    Args:
        groups: torch's.
        places: fastai's name of each hyperparameter to where torch keeps it in a group.
    """

    def __init__(self, groups: Sequence[Mapping[str, Any]], places: Mapping[str, tuple[str, int | None]]) -> None:
        self.groups, self.places = groups, places

    def __len__(self) -> int:
        return len(self.groups) // 2

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return list(self)[index]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        group = self.groups[2 * (index % len(self))]
        return {name: group[key] if at is None else group[key][at] for name, (key, at) in self.places.items()}


def _place(key: str) -> tuple[str, int | None]:
    name, _, index = key.partition("__")
    return name, int(index) if index else None


def clip_gradients(parameters: Sequence[nn.Parameter], max_norm: float) -> None:
    """Scale gradients down to a norm, bit by bit as torch's `clip_grad_norm_` does.

    On a CPU, where reading the norm waits for nothing, gradients that are small enough are not multiplied by 1.

    Args:
        parameters: those without a gradient are left out.
        max_norm: highest Euclidean norm of all gradients taken as one vector.
    """
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norm = whole_value(get_total_norm(gradients))
    if norm.device.type == "cpu" and norm.item() < CLEARLY * max_norm - EPS_OF_NORM:
        return
    clip_grads_with_norm_(parameters, max_norm, norm)


def adamw(params: ParameterGroups, lr: LearningRate = 1e-3, **options: Any) -> TorchOptimizer:
    """Return torch's fused AdamW, which is several times faster than a loop over parameters."""
    return _torch_optimizer(params, lr, partial(torch.optim.AdamW, fused=True, **options))


def as_opt_func(optimizer: Callable[..., Any]) -> Callable[..., Any]:
    """Return fastai's `opt_func` of a class of `torch.optim` or a function of `fastai.optimizer`, bare or `partial`."""
    inner = optimizer.func if isinstance(optimizer, partial) else optimizer
    if isinstance(inner, type) and issubclass(inner, torch.optim.Optimizer):
        return partial(_torch_optimizer, opt=optimizer)
    return optimizer


def _torch_optimizer(params: Any, lr: LearningRate, opt: Callable[..., torch.optim.Optimizer]) -> TorchOptimizer:
    # the schedule sets the rate of each group before the first step
    first = lr.stop if isinstance(lr, slice) else lr
    return TorchOptimizer(params, opt, lr=first)
