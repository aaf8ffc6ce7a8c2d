"""Objects and their boxes as what a task learns to give."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from fastai.learner import Learner
from numpy.typing import NDArray

from blurr.config.annotations import OpenFraction
from blurr.data.core import RawData
from blurr.data.known_labels import sorted_labels
from blurr.errors import InputError, listed
from blurr.loading.dataloader import RowsDL
from blurr.loading.rows import Inputs, Table
from blurr.loading.shown import shown_picture
from blurr.metrics.base import Scored
from blurr.metrics.boxes import Detected
from blurr.models.heads import named_labels
from blurr.models.objects import HFObjects
from blurr.targets.base import Target
from blurr.training.inference import Result, infer
from blurr.vision.box_batches import real
from blurr.vision.box_loss import DetectionLoss, shares_of
from blurr.vision.inputs import NAMES, pictures_of
from blurr.vision.outlined import outlined, preview_of_boxes

SIZE = "size"  # the column with height and width of a picture
MOST = 100  # objects that a picture may have, as in the scores of COCO
BOXES = "pred_boxes"  # of the output of a model


@dataclass
class Boxes(Target):
    """Objects: a class, a box and a score each.

    Args:
        label_names: Names of the classes, in the order of their ids; `None` takes those of the training rows.
        threshold: Score from which an object is predicted; metrics read all, whatever their score.
    """

    predicts: ClassVar[tuple[str, ...]] = ("boxes",)
    options: ClassVar[Mapping[str, type]] = {"threshold": float}

    label_names: list[str] | None = None
    threshold: OpenFraction = 0.5

    # -- before training

    def prepare(self, raw: RawData, inputs: Sequence[str]) -> RawData:
        names = self._names(raw)
        for split, rows in raw.splits.items():
            unknown = sorted(_labels(rows) - set(names))
            if unknown:
                raise InputError(
                    f"{raw.where(split)} has objects of the classes {listed(unknown)}, of which no training row has "
                    "one. Name all classes: task.label_names=[…]; or take these objects out."
                )
        return raw

    def model_config(self, raw: RawData) -> dict[str, Any]:
        return named_labels(self._names(raw))

    def _names(self, raw: RawData) -> list[str]:
        names = list(self.label_names or sorted_labels(_labels(raw.train)))
        if not names:
            raise InputError(f"{raw.where('train')} has no object at all: there is nothing to learn.")
        return names

    def vocab(self, hf: HFObjects) -> list[str] | None:
        return hf.label_names

    def loss_func(self, hf: HFObjects, raw: RawData) -> Any:
        return DetectionLoss(len(hf.label_names))

    # -- what the learner has just run

    def scored(self, hf: HFObjects) -> Scored:
        return Scored("boxes", hf.label_names)

    def decode(self, learner: Learner) -> tuple[Any, Any]:
        sizes = learner.xb[0][SIZE].cpu().numpy()
        found = detections(learner.pred, learner.blurr_model_outputs[BOXES], len(learner.dls.vocab))
        predicted = [in_pixels(each, size) for each, size in zip(found, sizes, strict=True)]
        true = [in_pixels(each, size) for each, size in zip(true_objects(learner.y), sizes, strict=True)]
        return Detected(predicted), true

    def describe(self, learner: Learner) -> Table:
        names = list(learner.dls.vocab)
        predicted, true = learner.decoded
        return [_described(*pair, names, self.threshold) for pair in zip(predicted, true, strict=True)]

    def shown_predictions(self, learner: Learner) -> Any:
        return shown_objects(learner.pred, learner.blurr_model_outputs[BOXES], learner.dls.vocab, self.threshold)

    def preview(self, row: Mapping[str, Any], described: Mapping[str, Any]) -> str | None:
        return preview_of_boxes(row, described) if described else None

    # -- after training

    def predict(self, learner: Learner, items: Any, *, threshold: float | None = None, **options: Any) -> list[Result]:
        """Find the objects of one picture or of many.

        Args:
            learner: A learner for object detection.
            items: A picture as a path, bytes, a picture of Pillow or an array; or a list of them.
            threshold: Least score of an object, from 0 to 1; `None` takes that of the task.
            options: `bs`, the number of pictures in a batch.

        Returns:
            One dict per item: `boxes`, a dict for each object with `label`, `score` and `box` (left, top, right and
            bottom in pixels of the picture), the highest score first; `class_labels`, the names by id.

        Raises:
            InputError: the threshold is not between 0 and 1.
        """
        least = self.threshold if threshold is None else threshold
        if not 0 <= least <= 1:
            raise InputError(f"threshold={least}: a score is a number from 0 to 1.")
        names = list(learner.dls.vocab)

        def step(x: Mapping[str, torch.Tensor]) -> list[Result]:
            output = learner.model(x)
            found = detections(output["logits"].float(), output[BOXES], len(names))
            sizes = x[SIZE].cpu().numpy()
            boxes = [listed_objects(in_pixels(*pair), names) for pair in zip(found, sizes, strict=True)]
            kept = [[each for each in objects if each["score"] >= least] for objects in boxes]
            return [{"boxes": objects, "class_labels": names} for objects in kept]

        return infer(learner, items, step, **options)


def _labels(rows: Any) -> set[str]:
    return {each["label"] for objects in rows.with_format(None)["boxes"][:] for each in objects}


Objects = dict[str, NDArray[Any]]
"""The objects of a picture: `labels` and maybe `scores` `(objects,)`, and `boxes` `(objects, 4)`: left, top, right and
bottom, as shares or in pixels."""


def detections(logits: torch.Tensor, boxes: torch.Tensor, classes: int) -> list[Objects]:
    """Return what a model finds in each picture, the highest score first, boxes as shares.

    As the image processors of the models do: where one output more than classes stands for nothing (DETR, YOLOS), each
    query is of its likeliest class; else each class of each query has a score of its own, and the highest count.

    Args:
        logits: `(batch, queries, outputs)`.
        boxes: Centre x, centre y, width and height as shares, `(batch, queries, 4)`.
        classes: Number of classes.
    """
    shares = shares_of(logits, classes)
    if logits.shape[-1] > classes:
        scores, labels = shares.max(-1)
        scores, queries = scores.sort(dim=1, descending=True, stable=True)
        scores, queries = scores[:, :MOST], queries[:, :MOST]
        labels = labels.gather(1, queries)
    else:
        flat = shares.flatten(1)
        scores, places = flat.topk(min(MOST, flat.shape[1]), dim=1)
        queries, labels = places // shares.shape[-1], places % shares.shape[-1]
    found = boxes.float().gather(1, queries[..., None].expand(-1, -1, 4))
    corners = torch.cat([found[..., :2] - found[..., 2:] / 2, found[..., :2] + found[..., 2:] / 2], dim=-1).clamp(0, 1)
    columns = (each.detach().cpu().numpy() for each in (labels, scores, corners))
    return [{"labels": a, "scores": b, "boxes": c} for a, b, c in zip(*columns, strict=True)]


def true_objects(targets: torch.Tensor) -> list[Objects]:
    """Return the objects of a batch of targets, boxes as shares; see `box_batches.BoxCollator`."""
    found = [real(objects).cpu().numpy() for objects in targets]
    return [{"labels": each[:, 0].astype(np.int64), "boxes": each[:, 1:]} for each in found]


def in_pixels(objects: Objects, size: NDArray[np.int64]) -> Objects:
    """Return objects with boxes in pixels of a picture of this height and width."""
    return {**objects, "boxes": objects["boxes"].astype(np.float64) * size[[1, 0, 1, 0]]}


def listed_objects(objects: Objects, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return objects as dicts of `label`, maybe `score`, and `box`."""
    scores = objects.get("scores")
    made = []
    for i, (label, box) in enumerate(zip(objects["labels"], objects["boxes"], strict=True)):
        score = {} if scores is None else {"score": float(scores[i])}
        made.append({"label": names[int(label)], **score, "box": [float(x) for x in box]})
    return made


def _described(predicted: Objects, true: Objects, names: Sequence[str], threshold: float) -> dict[str, Any]:
    found, there = listed_objects(predicted, names), listed_objects(true, names)
    return {
        "target": sorted(each["label"] for each in there),
        "prediction": sorted(each["label"] for each in found if each["score"] >= threshold),
        "boxes": there,
        "predicted_boxes": found,
    }


def shown_objects(
    logits: torch.Tensor, boxes: torch.Tensor, names: Sequence[str], threshold: float
) -> list[list[dict[str, Any]]]:
    """Return the objects to show of each picture of a batch, boxes as shares."""
    found = [listed_objects(each, list(names)) for each in detections(logits.float(), boxes, len(names))]
    return [[each for each in objects if each["score"] >= threshold] for objects in found]


def show_boxes(dl: RowsDL, inputs: Inputs, targets: Any, predictions: Any = None, **options: Any) -> Table:
    """Return rows of `image` and, where there are any, of `true_objects` and `predicted_objects`, drawn on pictures."""
    pictures, names = pictures_of(dl.tokenizer, inputs[NAMES.main]), list(dl.vocab)
    table: Table = [{"image": shown_picture(each)} for each in pictures]
    true = [listed_objects(each, names) for each in true_objects(targets)] if targets.numel() else None
    for name, found in (("true_objects", true), ("predicted_objects", predictions)):
        if found is not None:
            cells = [outlined(*pair, is_of_shares=True) for pair in zip(pictures, found, strict=True)]
            table = [{**row, name: shown_picture(cell)} for row, cell in zip(table, cells, strict=True)]
    return table
