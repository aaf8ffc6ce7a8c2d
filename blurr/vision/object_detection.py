"""Object detection: the objects of a picture, a class and a box for each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from fastai.data.core import DataLoaders

from blurr.config.annotations import OpenFraction, Side
from blurr.data.core import Schema
from blurr.loading.dataloader import RowsDL
from blurr.loading.loader import Loader
from blurr.loading.rows import Batch, EncodedRows
from blurr.models.objects import HFObjects
from blurr.models.wrapper import logits_of
from blurr.targets.base import Target
from blurr.tasks.base import Task
from blurr.tasks.notebook import from_data
from blurr.training.learner import Blearner
from blurr.vision import samples
from blurr.vision.augment import check_boxes
from blurr.vision.box_batches import LABELS, BoxCollator, BoxColumn
from blurr.vision.box_loss import DetectionCallback
from blurr.vision.boxes import BadBoxes, BoxFormat, BoxReader
from blurr.vision.detections import BOXES, SIZE, Boxes, show_boxes, shown_objects
from blurr.vision.images import PICTURES, size_of
from blurr.vision.inputs import PIXELS, PixelInputs, pixel_rows
from blurr.vision.sizes import fit_whole, options_of_size


class BlearnerForObjectDetection(Blearner):
    """A `Blearner` for object detection; `from_data` makes one from rows, a folder or a file in one line."""

    @classmethod
    def from_data(
        cls,
        data: Any,
        pretrained_model_name_or_path: str | Path,
        image_attr: str = "image",
        boxes_attr: str = "boxes",
        *,
        size: int | None = None,
        box_format: BoxFormat = "auto",
        bad_boxes: BadBoxes = "refuse",
        label_names: Sequence[str] | None = None,
        threshold: float = 0.5,
        **options: Any,
    ) -> Blearner:
        """Make a learner with a frozen body; see `blurr.tasks.notebook.from_data` for `data` and `options`.

        - `data`: Also a json file of COCO, or a folder with the folders `images` and `labels`, as YOLO has them.
        - `image_attr`: Column of the pictures: paths, bytes, PIL pictures or arrays.
        - `boxes_attr`: Column of their objects: dicts of `label` and `box`, or lists of boxes beside a column `labels`.
        - `size`: Height and width in pixels; `None` takes the checkpoint's.
        - `box_format`: See `ObjectDetection`, also for the settings that follow.
        """
        task = ObjectDetection(
            size=size,
            box_format=box_format,
            bad_boxes=bad_boxes,
            label_names=None if label_names is None else list(label_names),
            threshold=threshold,
        )
        columns = {"image": image_attr, "boxes": boxes_attr}
        return from_data(task, data, pretrained_model_name_or_path, columns=columns, **options)

    def shown_predictions(self, batch: Any, dl: RowsDL, **options: Any) -> Any:
        """Return the objects that the model finds in a batch, boxes as shares."""
        inputs = {name: values.to(self.dls.device) for name, values in batch[0].items() if name != LABELS}
        was_training = self.model.training
        self.model.eval()
        try:
            with torch.inference_mode():
                output = self.model(inputs)
        finally:
            self.model.train(was_training)
        return shown_objects(logits_of(output), output[BOXES], dl.vocab, dl.task.threshold)


@dataclass
class ObjectDetection(Task):
    """Find objects; their classes and scores are those of `vision.detections.Boxes`.

    Args:
        box_format: What four numbers of a box mean, see `vision.boxes.BoxReader`.
        bad_boxes: `refuse` boxes that cannot be used, or `drop` them.
        size: Height and width in pixels; `None` takes those of the checkpoint's image processor.
    """

    schema: ClassVar[Schema] = Schema(
        required=("image",),
        optional=("boxes", "labels"),
        label="boxes",
        blank=("labels",),
        labels=None,
        sample=samples.boxed_scenes,
        sample_rows=6000,
        media={"image": PICTURES},
    )
    model_cls: ClassVar[str] = "AutoModelForObjectDetection"
    inputs: ClassVar[PixelInputs] = PIXELS
    target_cls: ClassVar[type[Target]] = Boxes
    learner_cls: ClassVar[type[Blearner]] = BlearnerForObjectDetection
    show_rows = staticmethod(show_boxes)

    box_format: BoxFormat = "auto"
    bad_boxes: BadBoxes = "refuse"
    label_names: list[str] | None = None
    threshold: OpenFraction = 0.5
    size: Side | None = None

    def row_schema(self, hf: HFObjects | None = None) -> Schema:
        names = None if self.label_names is None else tuple(self.label_names)
        known = None if hf is None else tuple(hf.label_names)
        return replace(self.schema, reader=BoxReader(self.box_format, self.bad_boxes, names, known))

    def check(self, hf: HFObjects) -> None:
        fit_whole(hf.processor, self.size)

    def dataloaders(self, *args: Any, augment: Any = None, **options: Any) -> DataLoaders:
        check_boxes(augment)
        return super().dataloaders(*args, augment=augment, **options)

    def learner_options(self, hf: HFObjects) -> dict[str, Any]:
        return {**super().learner_options(hf), **options_of_size(hf, DetectionCallback)}

    def collator(self, hf: HFObjects, loader: Loader, *, train: bool) -> Callable[..., Batch]:
        return BoxCollator()

    def encode(self, rows: Mapping[str, Sequence[Any]], hf: HFObjects) -> dict[str, list[Any]]:
        return {}

    def make_rows(self, columns: Mapping[str, Any], rows: Mapping[str, Sequence[Any]], hf: HFObjects) -> EncodedRows:
        sizes = np.array([size_of(picture) for picture in rows["image"]], dtype=np.int64).reshape(-1, 2)
        columns = {**columns, SIZE: sizes}
        if "boxes" in rows:
            columns |= {LABELS: BoxColumn.of(rows["boxes"], sizes, hf.label_names)}
        return pixel_rows(rows["image"], columns, hf, self.target.vocab(hf))
