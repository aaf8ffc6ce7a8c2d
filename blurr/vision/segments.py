"""A class for each pixel as what a task learns to give."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from fastai.learner import Learner
from numpy.typing import NDArray
from torch.nn import functional

from blurr.config.annotations import Natural, NonNegative, Smoothing
from blurr.data.core import RawData
from blurr.errors import InputError
from blurr.loading.dataloader import RowsDL
from blurr.loading.rows import IGNORED, Inputs, Table
from blurr.loading.shown import shown_picture
from blurr.metrics.base import Scored
from blurr.metrics.masks import BOTH, PREDICTED, TRUE, iou_of, overlaps
from blurr.models.heads import named_labels
from blurr.models.losses import CustomLoss, base_loss
from blurr.models.objects import HFObjects
from blurr.models.wrapper import logits_of
from blurr.targets.base import Target, check_alone
from blurr.targets.classes import weights_by_name
from blurr.training.inference import Result, infer
from blurr.training.learner import BaseModelCallback
from blurr.vision.inputs import NAMES, pictures_of
from blurr.vision.masks import IGNORE, MOST_IDS, Colour, Legend, MaskClasses, check_colours, ids_in
from blurr.vision.overlays import as_png, mask_picture, overlay, palette, preview_of_masks, small_mask
from blurr.vision.pixels import Sizing

SIZE = "size"  # the column with height and width of a picture to predict on
MOST_NUMBERS = 32_000_000  # logits of a picture at its own size that are in memory at a time
Loss = Literal["cross_entropy"] | Callable[..., torch.Tensor]


@dataclass
class Segments(Target):
    """A class for each pixel of a picture.

    Args:
        colours: Class to `[red, green, blue]`, if masks are of colours; a colour by the name `ignore` is of no class.
        label_names: Names of the classes in the order of their ids; `None` takes those of `colours`, or the ids.
        ignore_index: Id of pixels that are of no class: they count neither in the loss nor in scores. `None` for none.
        loss: `cross_entropy` of all pixels, at the size of the model's inputs; models upsample their logits to it. Or a
            loss of fastai, torch or your own, see `blurr.models.losses.CustomLoss`. Most models compute the same, some
            with a second head beside it, which this loss leaves alone.
        class_weights: `None`, `balanced` (inversely to the pixels of the classes), a number for each name of a class,
            or a list of numbers in the order of the model's labels.
        label_smoothing: Share of the target that is spread over all classes.
    """

    predicts: ClassVar[tuple[str, ...]] = ("masks",)
    files: ClassVar[Mapping[str, str]] = {"mask": ".png"}

    colours: dict[str, list[int]] | None = None
    label_names: list[str] | None = None
    ignore_index: Natural | None = 255
    loss: Loss = "cross_entropy"
    class_weights: Literal["balanced"] | list[NonNegative] | dict[str, NonNegative] | None = None
    label_smoothing: Smoothing = 0.0

    # -- before training

    def legend(self, names: Sequence[str]) -> Legend:
        """Return what the values of masks mean, for a model with classes of these names."""
        listed = tuple(self.label_names or ())
        is_other = set(listed) == set(names) and listed != tuple(names)  # a checkpoint keeps the order that it has
        return Legend(tuple(names), self._colours(), self.ignore_index, listed if is_other else ())

    def _colours(self) -> dict[str, Colour]:
        return check_colours(self.colours or {}, self.label_names)

    def model_config(self, raw: RawData) -> dict[str, Any]:
        return named_labels(self._names(raw))

    def _names(self, raw: RawData) -> list[str]:
        names = self.label_names or [name for name in self._colours() if name != IGNORE] or self._ids(raw)
        if len(names) < 2:
            raise InputError(
                f"The masks of {raw.source} have one class, {names}: there is nothing to tell apart. If the other one "
                f"is {self.ignore_index}, set task.ignore_index=null; or name the classes: task.label_names=[…]"
            )
        return list(names)

    def _ids(self, raw: RawData) -> list[str]:
        """Return the ids from 0 to the highest that occurs, as names."""
        columns = [rows.select_columns(["mask"]).flatten()["mask.values"][:] for rows in raw.splits.values()]
        found = sorted(ids_in([values for column in columns for values in column]) - {self.ignore_index})
        if found and found[-1] >= MOST_IDS:
            raise InputError(
                f"The masks of {raw.source} have ids up to {found[-1]}, which would be as many classes; {len(found)} "
                "occur. Number them from 0, or name the classes in the order of their ids: task.label_names=[…]"
            )
        if not found:
            raise InputError(
                f"The masks of {raw.source} hold colours, not ids of classes. Say what they mean by task.colours, such "
                "as task.colours={road: [128,64,128], sky: [70,130,180]}"
            )
        return [str(i) for i in range(found[-1] + 1)]

    def vocab(self, hf: HFObjects) -> list[str] | None:
        return hf.label_names

    def loss_func(self, hf: HFObjects, raw: RawData) -> Any:
        if callable(self.loss):
            check_alone(self.class_weights is not None, self.label_smoothing)
            return CustomLoss(self.loss, PixelLoss(), axis=1)
        return PixelLoss(self._weights(hf, raw), self.label_smoothing)

    def _weights(self, hf: HFObjects, raw: RawData) -> torch.Tensor | None:
        names, given = hf.label_names, self.class_weights
        if given is None:
            return None
        if isinstance(given, dict):
            return torch.tensor(weights_by_name(given, names))
        if given == "balanced":
            _, height, width = Sizing(hf.processor).shape
            masks = MaskClasses(raw.train.select_columns(["mask"])["mask"], self.legend(names), (height, width))
            counts = sum(np.bincount(mask[mask >= 0], minlength=len(names)) for mask in masks)
            return torch.from_numpy(np.sum(counts) / (len(names) * np.maximum(counts, 1))).float()
        if len(given) != len(names):
            raise InputError(f"task.class_weights has {len(given)} numbers for {len(names)} classes: {names}.")
        return torch.tensor(given, dtype=torch.float32)

    def resolved(self, learner: Learner) -> dict[str, Any]:
        weights = self.class_weights
        if weights == "balanced":
            weights = base_loss(learner.loss_func).weight.tolist()
        return {"class_weights": weights}

    # -- what the learner has just run

    def scored(self, hf: HFObjects) -> Scored:
        return Scored("masks", hf.label_names)

    def decode(self, learner: Learner) -> tuple[Any, Any]:
        return learner.pred.argmax(1), learner.y

    def describe(self, learner: Learner) -> Table:
        names, colours = list(learner.dls.vocab), palette(list(learner.dls.vocab), self._colours())
        predicted, true = learner.decoded
        counts = overlaps(predicted, true, len(names)).cpu().numpy()
        masks = [[small_mask(each, colours) for each in side.cpu().numpy()] for side in (true, predicted)]
        return [
            {**_described(row, names), "small_true_mask": seen, "small_predicted_mask": said}
            for row, seen, said in zip(counts, *masks, strict=True)
        ]

    def shown_predictions(self, learner: Learner) -> Any:
        return learner.pred.argmax(1).cpu()

    def preview(self, row: Mapping[str, Any], described: Mapping[str, Any]) -> str | None:
        return preview_of_masks(row, described) if described else None

    # -- after training

    def predict(self, learner: Learner, items: Any, **options: Any) -> list[Result]:
        """Predict the mask of one picture or of many.

        Args:
            learner: A learner for semantic segmentation.
            items: A picture as a path, bytes, a picture of Pillow or an array; or a list of them.
            options: `bs`, the number of pictures in a batch.

        Returns:
            One dict per item: `mask`, a PNG of class ids of the picture's own size, as base64 text, see
            `blurr.vision.overlays.mask_of`; `labels`, the share of the pixels of each class that occurs, the largest
            first; `class_labels`, the names by id.
        """
        names = list(learner.dls.vocab)
        result = partial(segments, names=names, colours=palette(names, self._colours()))

        def step(x: Mapping[str, torch.Tensor]) -> list[Result]:
            logits, sizes = logits_of(learner.model(x)), x[SIZE].tolist()
            return [result(classes_at(each, size)) for each, size in zip(logits, sizes, strict=True)]

        return infer(learner, items, step, **options)


def _described(counts: NDArray[np.int64], names: Sequence[str]) -> dict[str, Any]:
    """Describe a row by its counts `(3, classes)`."""
    there = [i for i in range(len(names)) if counts[TRUE, i] or counts[PREDICTED, i]]
    iou, total, right = iou_of(counts.astype(np.float64)), int(counts[TRUE].sum()), int(counts[BOTH].sum())
    return {
        "target": [names[i] for i in there if counts[TRUE, i]],
        "prediction": [names[i] for i in there if counts[PREDICTED, i]],
        "pixel_accuracy": right / total if total else None,
        "iou": {names[i]: float(iou[i]) for i in there},
        "pixels": {names[i]: counts[:, i].tolist() for i in there},
        "target_count": total,
        "right_count": right,
    }


def segments(classes: NDArray[np.int64], *, names: Sequence[str], colours: NDArray[np.uint8]) -> Result:
    """Return a prediction for the class ids of a picture's pixels, `(height, width)`; see `Segments.predict`."""
    shares = np.bincount(classes.ravel(), minlength=len(names)) / classes.size
    found = sorted((i for i in range(len(names)) if shares[i]), key=lambda i: -shares[i])
    return {
        "mask": as_png(mask_picture(classes, colours)),
        "labels": {names[i]: float(shares[i]) for i in found},
        "class_labels": list(names),
    }


def upsampled(logits: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Return logits `(batch, classes, height, width)` at another height and width."""
    if tuple(logits.shape[-2:]) == tuple(size):
        return logits
    return functional.interpolate(logits, size=tuple(size), mode="bilinear", align_corners=False)


def classes_at(logits: torch.Tensor, size: Sequence[int]) -> NDArray[np.int64]:
    """Return the likeliest class of each pixel of a picture, some classes at a time.

    Args:
        logits: `(classes, height, width)` of any size.
        size: Height and width of the picture.
    """
    at_once = max(1, MOST_NUMBERS // (size[0] * size[1]))
    best, chosen = None, torch.zeros(*size, dtype=torch.long, device=logits.device)
    for first in range(0, len(logits), at_once):
        values, places = upsampled(logits[None, first : first + at_once], size)[0].max(0)
        is_higher = torch.ones_like(chosen, dtype=torch.bool) if best is None else values > best
        best = values if best is None else torch.maximum(best, values)
        chosen = torch.where(is_higher, places + first, chosen)
    return chosen.cpu().numpy()


class PixelLoss:
    """Cross-entropy of logits `(batch, classes, height, width)` and class ids `(batch, height, width)`.

    Pixels without a class, `IGNORED`, do not count; the loss of a batch of these alone is 0.

    Args:
        weight: Of the classes, `(classes,)`.
        label_smoothing: Share of the target that is spread over all classes.
        reduction: `mean`, `sum` or `none`.
    """

    def __init__(
        self, weight: torch.Tensor | None = None, label_smoothing: float = 0.0, *, reduction: str = "mean"
    ) -> None:
        self.weight, self.label_smoothing, self.reduction = weight, label_smoothing, reduction

    def __call__(self, inp: torch.Tensor, targ: torch.Tensor) -> torch.Tensor:
        weight = None if self.weight is None else self.weight.to(inp.device)
        how = "sum" if self.reduction == "mean" else self.reduction
        value = functional.cross_entropy(
            inp, targ, weight, ignore_index=IGNORED, reduction=how, label_smoothing=self.label_smoothing
        )
        if self.reduction != "mean":
            return value
        return value / self.divisor(targ).clamp(min=torch.finfo().tiny)

    least_divisor = 0.0

    def divisor(self, targ: torch.Tensor) -> torch.Tensor:
        """Return what the mean of a batch divides by: its pixels with a class, each by the weight of that."""
        real = targ != IGNORED
        if self.weight is None:
            return real.sum().float()
        return (self.weight.to(targ.device)[targ.clamp(min=0)] * real).sum()

    def activation(self, out: torch.Tensor) -> torch.Tensor:
        """Return probabilities for logits."""
        return out.softmax(1)

    def decodes(self, out: torch.Tensor) -> torch.Tensor:
        """Return the class of each pixel, `(batch, height, width)`."""
        return out.argmax(1)


class UpsampleLogits(BaseModelCallback):
    """Bring the logits of a model to the size of its inputs, which its targets have."""

    def after_pred(self) -> None:
        super().after_pred()
        self.learn.pred = upsampled(self.learn.pred, self.learn.xb[0][NAMES.main].shape[-2:])


def show_masks(dl: RowsDL, inputs: Inputs, targets: Any, predictions: Any = None, **options: Any) -> Table:
    """Return rows of `image` and, where there are any, `true_mask` and `predicted_mask`, over their pictures."""
    pictures = pictures_of(dl.tokenizer, inputs[NAMES.main])
    task = dl.task
    colours = palette(list(dl.vocab), check_colours(task.colours or {}, None) if task is not None else {})
    table: Table = [{"image": shown_picture(each)} for each in pictures]
    for name, masks in (("true_mask", targets), ("predicted_mask", predictions)):
        if masks is not None and torch.is_tensor(masks) and masks.ndim == 3:
            cells = [overlay(each, mask.cpu().numpy(), colours) for each, mask in zip(pictures, masks, strict=True)]
            table = [{**row, name: shown_picture(cell)} for row, cell in zip(table, cells, strict=True)]
    return table
