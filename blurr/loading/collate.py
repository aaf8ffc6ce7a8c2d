"""Pad encoded rows to the longest of a batch."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from blurr.loading.rows import IGNORED, Batch, Row


class PaddingCollator:
    """Pad tokenized rows to the longest of the batch; works in any `torch.utils.data.DataLoader`.

    Returns of a call: `(inputs, targets)`; `inputs` holds `input_ids` and `attention_mask`, both `(batch, sequence)`,
    whatever else the rows have, and `labels`, equal to the targets: `(batch,)` or `(batch, sequence)`, padded by -100.

    Args:
        pad_token_id: what pads `input_ids`.
        padding_side: `right` or `left`.
        pad_to_multiple_of: round the padded length up to a multiple of this.
    """

    def __init__(
        self, pad_token_id: int, *, padding_side: str = "right", pad_to_multiple_of: int | None = None
    ) -> None:
        self.pad_values = {"input_ids": pad_token_id, "labels": IGNORED}
        self.left = padding_side == "left"
        self.multiple = pad_to_multiple_of or 1

    def __call__(self, rows: Sequence[Row]) -> Batch:
        inputs = {name: self._stack(name, [row[name] for row in rows]) for name in rows[0]}
        lengths = torch.tensor([len(row["input_ids"]) for row in rows])
        width = inputs["input_ids"].shape[1]
        positions = torch.arange(width)
        mask = positions >= width - lengths[:, None] if self.left else positions < lengths[:, None]
        inputs["attention_mask"] = mask.long()
        if "labels" not in inputs:
            return inputs, torch.empty(len(rows), 0)
        return inputs, inputs["labels"]

    def _stack(self, name: str, values: list[Any]) -> torch.Tensor:
        if np.ndim(values[0]) == 0 or np.asarray(values[0]).dtype.kind == "f":
            return torch.as_tensor(np.asarray(values))
        width = -(-max(len(v) for v in values) // self.multiple) * self.multiple
        padded = np.full((len(values), max(width, 1)), self.pad_values.get(name, 0), dtype=np.int64)
        for i, v in enumerate(values):
            padded[i, len(padded[i]) - len(v) if self.left and name != "labels" else 0 :][: len(v)] = v
        return torch.from_numpy(padded)
