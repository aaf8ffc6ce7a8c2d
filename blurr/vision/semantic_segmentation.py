"""Semantic segmentation: a class for each pixel of a picture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from blurr.config.annotations import Natural, NonNegative, Side, Smoothing
from blurr.data.core import Schema
from blurr.loading.rows import EncodedRows
from blurr.models.objects import HFObjects
from blurr.targets.base import Target
from blurr.tasks.base import Task
from blurr.tasks.notebook import from_data
from blurr.training.learner import Blearner
from blurr.vision import samples
from blurr.vision.images import PICTURES, size_of
from blurr.vision.inputs import PIXELS, PixelInputs, pixel_rows
from blurr.vision.masks import MASKS, MaskClasses, check_masks
from blurr.vision.pixels import Sizing
from blurr.vision.segments import SIZE, Loss, Segments, UpsampleLogits, show_masks
from blurr.vision.sizes import fit_whole, options_of_size


class BlearnerForSemanticSegmentation(Blearner):
    """A `Blearner` for semantic segmentation; `from_data` makes one from rows or a folder in one line."""

    @classmethod
    def from_data(
        cls,
        data: Any,
        pretrained_model_name_or_path: str | Path,
        image_attr: str = "image",
        mask_attr: str = "mask",
        *,
        size: int | None = None,
        colours: Mapping[str, Sequence[int]] | None = None,
        label_names: Sequence[str] | None = None,
        ignore_index: int | None = 255,
        **options: Any,
    ) -> Blearner:
        """Make a learner with a frozen body; see `blurr.tasks.notebook.from_data` for `data` and `options`.

        - `data`: Also a folder with the folders `images` and `masks`, whose files have equal names.
        - `image_attr`: Column of the pictures: paths, bytes, PIL pictures or arrays.
        - `mask_attr`: Column of their masks: the same, or arrays of class ids.
        - `size`: Height and width in pixels; `None` takes the checkpoint's.
        - `colours`: See `vision.segments.Segments`, also for the settings that follow.
        """
        task = SemanticSegmentation(
            size=size,
            colours=None if colours is None else {name: list(colour) for name, colour in colours.items()},
            label_names=None if label_names is None else list(label_names),
            ignore_index=ignore_index,
        )
        columns = {"image": image_attr, "mask": mask_attr}
        return from_data(task, data, pretrained_model_name_or_path, columns=columns, **options)


@dataclass
class SemanticSegmentation(Task):
    """Find the class of each pixel; the settings of masks and loss are those of `vision.segments.Segments`.

    Args:
        size: Height and width in pixels; `None` takes those of the checkpoint's image processor.
    """

    schema: ClassVar[Schema] = Schema(
        required=("image", "mask"),
        optional=("weight",),
        label="mask",
        labels=None,
        sample=samples.scenes,
        sample_rows=6000,
        media={"image": PICTURES, "mask": MASKS},
    )
    model_cls: ClassVar[str] = "AutoModelForSemanticSegmentation"
    inputs: ClassVar[PixelInputs] = PIXELS
    target_cls: ClassVar[type[Target]] = Segments
    learner_cls: ClassVar[type[Blearner]] = BlearnerForSemanticSegmentation
    show_rows = staticmethod(show_masks)

    colours: dict[str, list[int]] | None = None
    label_names: list[str] | None = None
    ignore_index: Natural | None = 255
    size: Side | None = None
    loss: Loss = "cross_entropy"
    class_weights: Literal["balanced"] | list[NonNegative] | dict[str, NonNegative] | None = None
    label_smoothing: Smoothing = 0.0

    def check(self, hf: HFObjects) -> None:
        fit_whole(hf.processor, self.size)

    def learner_options(self, hf: HFObjects) -> dict[str, Any]:
        return {**super().learner_options(hf), **options_of_size(hf, UpsampleLogits)}

    def encode(self, rows: Mapping[str, Sequence[Any]], hf: HFObjects) -> dict[str, list[Any]]:
        if "mask" in rows:
            check_masks(rows["image"], rows["mask"], self._segments.legend(hf.label_names))
        return {}

    def encode_items(self, rows: Mapping[str, Sequence[Any]], hf: HFObjects) -> dict[str, Any]:
        return {SIZE: np.array([size_of(picture) for picture in rows["image"]], dtype=np.int64).reshape(-1, 2)}

    def make_rows(self, columns: Mapping[str, Any], rows: Mapping[str, Sequence[Any]], hf: HFObjects) -> EncodedRows:
        if "mask" in rows and SIZE not in columns:
            height, width = Sizing(hf.processor).shape[1:]
            legend = self._segments.legend(hf.label_names)
            columns = {**columns, "labels": MaskClasses(rows["mask"], legend, (height, width))}
        return pixel_rows(rows["image"], columns, hf, self.target.vocab(hf))

    @property
    def _segments(self) -> Segments:
        return Segments(self.colours, self.label_names, self.ignore_index)
