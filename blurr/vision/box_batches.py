"""Boxes of objects in batches: padded for the loop, as lists for models, moved with their pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from blurr.loading.columns import Made
from blurr.loading.rows import IGNORED, Batch, Row
from blurr.vision.inputs import PixelCollator

LABELS = "labels"
WIDTH = 5  # numbers of an object: its class, then left, top, right and bottom as shares of the picture
LEFT_OVER = 0.25  # share of a box that must stay within a picture that is moved, for the box to count


@dataclass(frozen=True)
class BoxColumn(Made):
    """The objects of pictures; row `i` is `(objects, 5)`, float32: class, left, top, right, bottom as shares.

    Args:
        rows: One array for each picture.
    """

    rows: Sequence[NDArray[np.float32]]

    @classmethod
    def of(cls, boxes: Sequence[Any], sizes: NDArray[np.int64], names: Sequence[str]) -> Self:
        """Return the objects of rows.

        Args:
            boxes: For each row, dicts of `label` and `box`, corners in pixels.
            sizes: Height and width of the pictures, `(rows, 2)`.
            names: Of the classes, in the order of their ids.
        """
        ids = {name: number for number, name in enumerate(names)}
        return cls([_array(objects, size, ids) for objects, size in zip(boxes, sizes, strict=True)])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> NDArray[np.float32]:
        return self.rows[index]

    def take(self, numbers: Sequence[int]) -> Self:
        return type(self)([self.rows[number] for number in numbers])


def _array(objects: Sequence[Mapping[str, Any]], size: NDArray[np.int64], ids: Mapping[str, int]) -> NDArray[Any]:
    made = np.array([[ids[each["label"]], *each["box"]] for each in objects], dtype=np.float64).reshape(-1, WIDTH)
    made[:, 1:] /= size[[1, 0, 1, 0]]
    return made.astype(np.float32)


class BoxCollator(PixelCollator):
    """Stack the pixels of rows, and pad their objects to the most of the batch.

    A call returns `(inputs, targets)`: the targets, and `labels` of the inputs, are float32 `(batch, objects, 5)`, see
    `BoxColumn`, padded by -100; a batch without any object has one that is padding.
    """

    def __call__(self, rows: Sequence[Row]) -> Batch:
        inputs, none = super().__call__([{name: row[name] for name in row if name != LABELS} for row in rows])
        if LABELS not in rows[0]:
            return inputs, none
        most = max(1, *(len(row[LABELS]) for row in rows))
        targets = torch.full((len(rows), most, WIDTH), float(IGNORED))
        for target, row in zip(targets, rows, strict=True):
            target[: len(row[LABELS])] = torch.from_numpy(row[LABELS])
        return {**inputs, LABELS: targets}, targets


def real(objects: torch.Tensor) -> torch.Tensor:
    """Return the objects that are not padding, of `(objects, 5)`."""
    return objects[objects[:, 0] != IGNORED]


def as_lists(targets: torch.Tensor) -> list[dict[str, torch.Tensor]]:
    """Return the objects of a batch as transformers' models take them.

    Args:
        targets: `(batch, objects, 5)`, see `BoxCollator`.

    Returns:
        For each picture `class_labels` `(objects,)` and `boxes` `(objects, 4)`: centre x, centre y, width and height as
        shares.
    """
    made = []
    for objects in map(real, targets):
        low, high = objects[:, 1:3], objects[:, 3:5]
        made.append({"class_labels": objects[:, 0].long(), "boxes": torch.cat([(low + high) / 2, high - low], dim=1)})
    return made


def moved_boxes(targets: torch.Tensor, zoom: torch.Tensor, shift: torch.Tensor, mirror: torch.Tensor) -> torch.Tensor:
    """Return objects where they are in pictures that are zoomed, shifted and mirrored, see `augment.Places`.

    What lies outside is cut off; an object of which little is left does not count any more.

    Args:
        targets: `(batch, objects, 5)`.
        zoom: Factor, `(batch,)`.
        shift: Share of width and height, `(batch, 2)`.
        mirror: -1 for left to right, else 1, `(batch,)`.
    """
    signs = torch.stack([mirror, torch.ones_like(mirror)], dim=1)
    # a pixel at p, from -1 to 1, is taken from p · mirror / zoom + 2 · shift
    low, high = (
        (((2 * ends - 1 - 2 * shift[:, None]) * (zoom[:, None] * signs)[:, None]) + 1) / 2
        for ends in (targets[..., 1:3], targets[..., 3:5])
    )
    corners = torch.cat([torch.minimum(low, high), torch.maximum(low, high)], dim=-1)
    cut = corners.clamp(0, 1)
    left = _area(cut) >= LEFT_OVER * _area(corners)
    counts = (targets[..., :1] != IGNORED) & left[..., None]
    return torch.where(counts, torch.cat([targets[..., :1], cut], dim=-1), float(IGNORED))


def _area(corners: torch.Tensor) -> torch.Tensor:
    width, height = (corners[..., 2:] - corners[..., :2]).unbind(-1)
    return width * height
