"""A weight that can be reduced to some of its rows: the decays of the others are noted, and applied later."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from blurr.training.callbacks.ema import EMA

log = logging.getLogger(__name__)

BLOCK = 1 << 17  # numbers that stay in a core's cache while the decays of many steps are applied to them
WORTHWHILE = 0.9  # above this share of rows, mapping costs as much as it saves
CHECKED = 4096  # rows at a time
Change = Callable[[torch.Tensor, torch.Tensor], object]  # what a step does to numbers of the weight and of its average


def only_decays(optimizer: Optimizer, group: dict[str, Any]) -> bool:
    """Does an optimizer do nothing to a weight without gradient and state but multiply it by a factor?"""
    kind = type(optimizer)
    if kind is AdamW:
        return bool(group["eps"] > 0)
    if kind is Adam:
        return bool(group["eps"] > 0 and not group["weight_decay"])  # its decay is a gradient, of which it has moments
    return kind is SGD and not (group["weight_decay"] and group["momentum"])


def decay_of(optimizer: Optimizer, group: dict[str, Any]) -> Change | None:
    """Return what a step does to a weight that it only decays; `None` if that is nothing."""
    lr, decay = float(group["lr"]), float(group["weight_decay"])
    if not lr * decay:
        return None
    if type(optimizer) is SGD:
        return lambda weight, _: weight.add_(weight * decay, alpha=-lr)
    return lambda weight, _: weight.mul_(1 - lr * decay)


def group_of(weight: torch.Tensor, optimizer: Optimizer) -> dict[str, Any] | None:
    """Return the group of an optimizer that a weight belongs to."""
    return next((group for group in optimizer.param_groups if any(p is weight for p in group["params"])), None)


class CompactWeight:
    """The weight of an embedding, which can be reduced to some of its rows and made whole again.

    The parameter stays the same object, under the same name; gradient, optimizer state and average change with it.

    Args:
        modules: that hold the weight.
        optimizer: that trains it.
        is_read: which rows the training reads.
        ema: keeps an average of the weight; `None` if nothing does.

    Attributes:
        is_compact: the weight holds only some of its rows.
    """

    def __init__(
        self, modules: Sequence[nn.Embedding], optimizer: Optimizer, is_read: torch.Tensor, ema: EMA | None
    ) -> None:
        self.modules, self.optimizer, self.ema, self.is_read = modules, optimizer, ema, is_read
        self.weight = modules[0].weight
        self.paddings = [module.padding_idx for module in modules]
        self.is_read[[row for row in self.paddings if row is not None]] = True
        self.is_compact = False
        self.changes: list[Change] = []  # of the rows set aside, since the weight was whole

    def reduce(self) -> bool:
        """Keep the rows that a step may move for another reason than decay; return False if these are nearly all."""
        state, gradient = self.optimizer.state.get(self.weight, {}), self.weight.grad
        moved = [*self._of_weight(state).values(), *([] if gradient is None else [gradient])]
        rows = torch.stack([self.is_read, *map(_rows_in_use, moved)]).any(0).nonzero().flatten()
        if len(rows) > WORTHWHILE * len(self.weight):
            return False
        self.rows, self.full, self.average = rows, self.weight.data, self.weight.data
        self.lookup = torch.full((len(self.full),), -1).index_copy_(0, rows, torch.arange(len(rows)))
        state.update({name: value[rows] for name, value in self._of_weight(state).items()})
        if self.ema is not None:
            self.average = self.ema.exchange(self.weight, self.ema.average_of(self.weight)[rows])
        self._put(self.full[rows], None if gradient is None else gradient[rows])
        self._pad([None if row is None else int(self.lookup[row]) for row in self.paddings])
        self.is_compact = True
        log.debug("%d of %d rows of the input embedding are trained; the others decay.", len(rows), len(self.full))
        return True

    def restore(self) -> None:
        """Make the weight whole again, and all that has its size."""
        if not self.is_compact:
            return
        self.is_compact = False
        with torch.inference_mode(False), torch.no_grad():
            self._catch_up()
            state, gradient = self.optimizer.state.get(self.weight, {}), self.weight.grad
            state.update({name: self._whole(value) for name, value in self._of_weight(state).items()})
            if self.ema is not None:
                self.average[self.rows] = self.ema.average_of(self.weight)
                self.ema.exchange(self.weight, self.average)
            self.full[self.rows] = self.weight.data
            self._put(self.full, None if gradient is None else self._whole(gradient))
        self._pad(self.paddings)
        del self.full, self.average

    def map(self, ids: torch.Tensor) -> torch.Tensor | None:
        """Return the numbers of the rows of these ids; `None` if some are not there."""
        # as the embedding, `index_select` refuses ids that the vocabulary does not have
        numbers = self.lookup.index_select(0, ids.flatten()).view(ids.shape)
        return None if bool((numbers < 0).any()) else numbers

    def _of_weight(self, state: dict[str, Any]) -> dict[str, torch.Tensor]:
        """Return what an optimizer keeps for each number of the weight."""
        shape = self.weight.shape
        return {k: v for k, v in state.items() if isinstance(v, torch.Tensor) and v.shape == shape}

    def _put(self, weight: torch.Tensor, gradient: torch.Tensor | None) -> None:
        self.weight.grad = None  # torch refuses one of another size
        # while the graph of the last batch is alive, torch remembers the size of gradients until the dtype changes
        self.weight.data = weight.new_empty(0, dtype=torch.float16 if weight.dtype == torch.float32 else torch.float32)
        self.weight.data = weight
        self.weight.grad = gradient

    def _pad(self, paddings: Sequence[int | None]) -> None:
        for module, row in zip(self.modules, paddings, strict=True):
            module.padding_idx = row

    def _whole(self, compact: torch.Tensor) -> torch.Tensor:
        """Put rows back among those that are zero, which take no memory until they are written."""
        size = len(self.full) * compact[0].nbytes
        zeros = torch.from_numpy(np.zeros(size, dtype=np.uint8)).view(compact.dtype).view(self.full.shape)
        zeros[self.rows] = compact
        return zeros

    def _catch_up(self) -> None:
        """Apply the noted changes to the rows set aside; that it does so to the others, too, changes nothing."""
        weight, average = self.full.view(-1), self.average.view(-1)
        for part, its_average in zip(torch.split(weight, BLOCK), torch.split(average, BLOCK), strict=True):
            for change in self.changes:
                change(part, its_average)
        self.changes.clear()


def _rows_in_use(values: torch.Tensor) -> torch.Tensor:
    """Return which rows are not all zero."""
    return torch.cat([(part != 0).any(1) for part in torch.split(values, CHECKED)])
