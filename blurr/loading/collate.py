"""Collate encoded rows into batches of tensors."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch

from blurr.loading.rows import IGNORED, Batch, InputNames, Row


class PaddingCollator:
    """Pad encoded rows to the longest of the batch; works in any `torch.utils.data.DataLoader`.

    A call returns `(inputs, targets)`: `inputs` holds each column, padded, the mask of the main input, both
    `(batch, sequence)`, and `labels`, equal to the targets: `(batch,)` or `(batch, sequence)`, padded by -100.

    Args:
        pad_values: Column to the value that pads it; 0 pads the others.
        padding_side: `right` or `left`; labels are padded on the right.
        pad_to_multiple_of: Round the padded length up to a multiple of this.

    Attributes:
        names: What the inputs are called; each modality has a subclass with its own.
    """

    names: ClassVar[InputNames]

    def __init__(
        self, pad_values: Mapping[str, int], *, padding_side: str = "right", pad_to_multiple_of: int | None = None
    ) -> None:
        self.pad_values = {**pad_values, "labels": IGNORED}
        self.left = padding_side == "left"
        self.multiple = pad_to_multiple_of or 1

    def __call__(self, rows: Sequence[Row]) -> Batch:
        main, mask = self.names.main, self.names.mask
        inputs = {name: self._stack(name, [row[name] for row in rows]) for name in rows[0]}
        lengths = torch.tensor([len(row[main]) for row in rows])
        width = inputs[main].shape[1]
        positions = torch.arange(width)
        is_real = positions >= width - lengths[:, None] if self.left else positions < lengths[:, None]
        inputs[mask] = is_real.long()
        if "labels" not in inputs:
            return inputs, torch.empty(len(rows), 0)
        return inputs, inputs["labels"]

    def _stack(self, name: str, values: list[Any]) -> torch.Tensor:
        left = self.left and name != "labels"
        return stacked(values, self.pad_values.get(name, 0), left=left, multiple=self.multiple)


def stacked(values: Sequence[Any], pad: int, *, left: bool = False, multiple: int = 1) -> torch.Tensor:
    """Stack numbers or vectors of floats, or pad sequences of integers to the longest: `(batch, sequence)`, int64.

    Args:
        values: One of each row.
        pad: Pads sequences.
        left: Pad on the left.
        multiple: Round the padded length up to a multiple of this.
    """
    if np.ndim(values[0]) == 0 or np.asarray(values[0]).dtype.kind == "f":
        return torch.as_tensor(np.asarray(values))
    width = -(-max(len(v) for v in values) // multiple) * multiple
    padded = np.full((len(values), max(width, 1)), pad, dtype=np.int64)
    for i, v in enumerate(values):
        padded[i, len(padded[i]) - len(v) if left else 0 :][: len(v)] = v
    return torch.from_numpy(padded)
