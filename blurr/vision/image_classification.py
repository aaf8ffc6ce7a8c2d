"""Image classification: one class, several labels or a number for a picture."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from fastai.data.core import DataLoaders

from blurr.config.annotations import Copies, NonNegative, OpenFraction, Side, Smoothing
from blurr.data.core import Schema
from blurr.data.labels import LabelsAre
from blurr.loading.rows import EncodedRows
from blurr.models.objects import HFObjects
from blurr.targets.base import Loss, Target
from blurr.targets.classes import Classes, Kind
from blurr.targets.labels import DEFAULT, encode_labels
from blurr.tasks.base import Task
from blurr.tasks.notebook import from_data
from blurr.training.learner import Blearner
from blurr.vision import samples
from blurr.vision.images import PICTURES
from blurr.vision.inputs import PIXELS, PixelInputs, pixel_rows, show_pictures
from blurr.vision.readable import check_readable
from blurr.vision.sheets import augmented_png
from blurr.vision.sizes import fit_size, options_of_size
from blurr.vision.tta import AveragingWrapper

log = logging.getLogger(__name__)


class BlearnerForImageClassification(Blearner):
    """A `Blearner` for image classification; `from_data` makes one from rows or a folder in one line."""

    @classmethod
    def from_data(
        cls,
        data: Any,
        pretrained_model_name_or_path: str | Path,
        image_attr: str = "image",
        label_attr: str | list[str] = "label",
        *,
        size: int | None = None,
        kind: Kind = "auto",
        labels_are: LabelsAre = "auto",
        label_names: Sequence[str] | None = None,
        label_separator: str | None = None,
        threshold: float | Literal["auto"] = DEFAULT,
        tta: int = 0,
        **options: Any,
    ) -> Blearner:
        """Make a learner with a frozen body; see `blurr.tasks.notebook.from_data` for `data` and `options`.

        - `data`: Also a folder of pictures, with a folder for each class.
        - `image_attr`: Column of the pictures: paths, bytes, PIL pictures or arrays.
        - `label_attr`: Column of the label; a list of 0/1 columns for several labels.
        - `tta`: See `ImageClassification`.
        - `size`: Height and width in pixels; `None` takes the checkpoint's.
        - `kind`: See `targets.classes.Classes`, also for the settings that follow.
        """
        task = ImageClassification(
            size=size,
            kind=kind,
            labels_are=labels_are,
            label_names=None if label_names is None else list(label_names),
            label_separator=label_separator,
            threshold=threshold,
            tta=tta,
        )
        columns = {"image": image_attr, "label": label_attr}
        return from_data(task, data, pretrained_model_name_or_path, columns=columns, **options)


@dataclass
class ImageClassification(Task):
    """Classify pictures; the settings of labels and loss are those of `targets.classes.Classes`.

    Args:
        size: Height and width in pixels; `None` takes those of the checkpoint's image processor.
        tta: Changed copies of each picture over which its prediction is a mean, see `blurr.vision.tta`; 0 for none.
    """

    schema: ClassVar[Schema] = Schema(
        required=("image", "label"),
        optional=("weight",),
        label="label",
        sample=samples.shapes,
        media={"image": PICTURES},
    )
    model_cls: ClassVar[str] = "AutoModelForImageClassification"
    inputs: ClassVar[PixelInputs] = PIXELS
    target_cls: ClassVar[type[Target]] = Classes
    learner_cls: ClassVar[type[Blearner]] = BlearnerForImageClassification
    show_rows = staticmethod(show_pictures)

    kind: Kind = "auto"
    labels_are: LabelsAre = "auto"
    label_names: list[str] | None = None
    label_separator: str | None = None
    size: Side | None = None
    loss: Loss = "auto"
    class_weights: Literal["balanced"] | list[NonNegative] | dict[str, NonNegative] | None = None
    label_smoothing: Smoothing = 0.0
    threshold: OpenFraction | Literal["auto"] = DEFAULT
    tta: Copies = 0

    def check(self, hf: HFObjects) -> None:
        check_readable(hf.config)
        fit_size(hf.processor, self.size)

    def learner(self, dls: DataLoaders, hf: HFObjects, **options: Any) -> Blearner:
        made = super().learner(dls, hf, **options)
        if self.tta:
            log.info(
                "task.tta=%d: a prediction is the mean over a picture and copies changed by augment=light.", self.tta
            )
            made.model = AveragingWrapper(hf.model, hf.processor, self.tta, hf_model_kwargs=made.model.options)
        return made

    def learner_options(self, hf: HFObjects) -> dict[str, Any]:
        return {**super().learner_options(hf), **options_of_size(hf)}

    def augmented_sheet(self, dls: DataLoaders) -> bytes | None:
        return augmented_png(dls)

    def encode(self, rows: Mapping[str, Sequence[Any]], hf: HFObjects) -> dict[str, list[Any]]:
        return {"labels": encode_labels(rows["label"], hf)} if "label" in rows else {}

    def make_rows(self, columns: Mapping[str, Any], rows: Mapping[str, Sequence[Any]], hf: HFObjects) -> EncodedRows:
        return pixel_rows(rows["image"], columns, hf, self.target.vocab(hf))
