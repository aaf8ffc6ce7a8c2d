"""Normalize by the rows of a batch that several processes share, as one process does by all of them."""

from collections.abc import Callable
from functools import partial

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from blurr.training.distributed import summed


class SharedNorms:
    """Has the batch norms of a model normalize by all shares of a batch, until `end`.

    torch's SyncBatchNorm does so on GPUs alone.

    Args:
        model: Those of its batch norms that are in training mode are changed, by a `forward` of their own.
        is_spare: Tells whether the share at hand is a row that does not count.
    """

    def __init__(self, model: nn.Module, is_spare: Callable[[], bool]) -> None:
        self.norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
        self.is_spare = is_spare
        for norm in self.norms:
            norm.forward = partial(self._normalized, norm)  # type: ignore[method-assign]

    def end(self) -> None:
        """Have them work by themselves again."""
        for norm in self.norms:
            del norm.forward

    def _normalized(self, norm: _BatchNorm, x: torch.Tensor) -> torch.Tensor:
        """Return what a batch norm makes of `(batch, channels, …)`."""
        if not norm.training:
            return type(norm).forward(norm, x)
        values, others = x.float(), [0, *range(2, x.ndim)]
        is_real = 0.0 if self.is_spare() else 1.0
        rows = values.new_tensor([is_real * x.numel() / x.shape[1]])
        sums, count = summed(torch.cat([values.sum(others) * is_real, rows])).tensor_split([x.shape[1]])
        shape = [1, -1, *[1] * (x.ndim - 2)]
        mean = sums / count
        centred = values - mean.view(shape)
        variance = summed(centred.square().sum(others) * is_real) / count
        _remember(norm, mean.detach(), (variance * count / (count - 1)).detach())
        made = centred * (variance + norm.eps).rsqrt().view(shape)
        if norm.weight is not None:
            made = made * norm.weight.view(shape) + norm.bias.view(shape)
        normalized: torch.Tensor = made.to(x.dtype)
        return normalized


def _remember(norm: _BatchNorm, mean: torch.Tensor, variance: torch.Tensor) -> None:
    """Move the running statistics of a batch norm, as torch does."""
    if norm.running_mean is None or norm.running_var is None or norm.num_batches_tracked is None:
        return
    norm.num_batches_tracked.add_(1)
    share = 1.0 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
    norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), share)
    norm.running_var.lerp_(variance.to(norm.running_var.dtype), share)
