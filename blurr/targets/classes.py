"""Classes, several labels or a number as what a task learns to give."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from datasets import DatasetDict
from fastai.callback.core import Callback
from fastai.learner import Learner
from fastai.losses import BCEWithLogitsLossFlat

from blurr.config.annotations import NonNegative, OpenFraction, Smoothing
from blurr.data.core import RawData
from blurr.data.distinct import Distinct
from blurr.data.labels import LabelOptions, LabelsAre
from blurr.data.splits import Splits, split_rows
from blurr.errors import InputError
from blurr.loading.rows import Table
from blurr.metrics.base import Scored
from blurr.models.heads import named_labels
from blurr.models.losses import CustomLoss, PreCalculatedBCELoss, PreCalculatedMSELoss, base_loss
from blurr.models.objects import HFObjects
from blurr.targets.base import Loss, Target, weighted_cross_entropy
from blurr.targets.labels import (
    DEFAULT,
    LabelThreshold,
    around_threshold,
    encode_labels,
    label_name,
    label_names,
    threshold_of,
)
from blurr.training.inference import Result, infer

log = logging.getLogger(__name__)
Kind = Literal["auto", "multiclass", "multilabel", "regression"]
TUNE = Splits(by="random", valid=0.1)  # the training rows on which a threshold is searched
MOST_PROBS = 20  # classes whose probabilities stand beside a prediction
PROBLEM_TYPES = {
    "multiclass": "single_label_classification",
    "multilabel": "multi_label_classification",
    "regression": "regression",
}


@dataclass
class Classes(Target):
    """One class, several labels or a number for each row.

    Args:
        kind: `multiclass` (one class each), `multilabel` (a list of labels, or several 0/1 columns), `regression` (a
            number), or `auto`: from the labels of all rows, see docs/data.md.
        labels_are: `names`; `ids`, which count from 0 in `label_names`; `multi_hot`, lists with a 0 or 1 for each
            label; or `auto`, which refuses lists that could be either.
        label_names: Names of the labels in the order of their ids; `None` takes those of the data, sorted.
        label_separator: What separates several labels in one text, such as `|`; `None` for one label per text.
        loss: `model` is the Hugging Face model's own, `cross_entropy` fastai's; `auto` is the model's own unless class
            weights or label smoothing are requested. Or a loss of fastai, torch or your own, see
            `blurr.models.losses.CustomLoss`.
        class_weights: `None`, `balanced` (inversely to the classes' frequency), a number for each name of a class, or a
            list of numbers in the order of the model's labels, which is the checkpoint's where it has the same ones.
        label_smoothing: Share of the target that is spread over all classes.
        threshold: For several labels, the probability from which one is predicted; `auto` searches the one with the
            highest micro-F1 on a tenth of the training rows, which are then not trained on. It is kept in the model's
            config as `label_threshold`.
    """

    predicts: ClassVar[tuple[str, ...]] = ("classes", "numbers")
    options: ClassVar[Mapping[str, type]] = {"threshold": float}

    kind: Kind = "auto"
    labels_are: LabelsAre = "auto"
    label_names: list[str] | None = None
    label_separator: str | None = None
    loss: Loss = "auto"
    class_weights: Literal["balanced"] | list[NonNegative] | dict[str, NonNegative] | None = None
    label_smoothing: Smoothing = 0.0
    threshold: OpenFraction | Literal["auto"] = DEFAULT

    def label_options(self) -> LabelOptions:
        names = None if self.label_names is None else tuple(self.label_names)
        separator = self.label_separator
        kind: Any = "multilabel" if self.kind == "auto" and separator is not None else self.kind
        return LabelOptions(kind=kind, are=self.labels_are, separator=separator, names=names)

    def prepare(self, raw: RawData, inputs: Sequence[str]) -> RawData:
        if self.threshold != "auto" or self._kind(raw) != "multilabel":
            return raw
        names = label_names(raw, "multilabel")  # of all training rows, so that a rare label is not lost
        parts = split_rows(raw.train, TUNE, label="label", inputs=inputs)
        return replace(
            raw, splits=DatasetDict(raw.splits, train=parts["train"], tune=parts["valid"]), label_names=names
        )

    def _kind(self, raw: RawData) -> str:
        return self.kind if self.kind != "auto" else raw.kind or "multiclass"

    def predicted(self, raw: RawData) -> str:
        return "numbers" if self._kind(raw) == "regression" else "classes"

    def model_config(self, raw: RawData) -> dict[str, Any]:
        kind = self._kind(raw)
        problem = {"problem_type": PROBLEM_TYPES[kind]}
        if kind == "regression":
            return {**problem, "num_labels": 1}
        return {**problem, **named_labels(label_names(raw, kind))}

    def scored(self, hf: HFObjects) -> Scored:
        kinds = {PROBLEM_TYPES["multilabel"]: "labels", PROBLEM_TYPES["regression"]: "numbers"}
        return Scored(kinds.get(str(hf.config.problem_type), "classes"), self.vocab(hf))

    def vocab(self, hf: HFObjects) -> list[str] | None:
        if hf.config.problem_type == "regression":
            return None
        return hf.label_names

    def loss_func(self, hf: HFObjects, raw: RawData) -> Any:
        kind = hf.config.problem_type
        if kind == "single_label_classification":
            weights = self._weights(hf, raw)
            return weighted_cross_entropy(self.loss, weights, self.label_smoothing)
        if self.class_weights is not None or self.label_smoothing:
            raise InputError(
                f"task.class_weights and task.label_smoothing are for kind=multiclass; these labels are {kind}."
            )
        if callable(self.loss):
            is_number = kind == "regression"
            return CustomLoss(self.loss, PreCalculatedMSELoss() if is_number else BCEWithLogitsLossFlat())
        if kind == "regression":
            return PreCalculatedMSELoss()
        return BCEWithLogitsLossFlat() if self.loss == "cross_entropy" else PreCalculatedBCELoss()

    def _weights(self, hf: HFObjects, raw: RawData) -> torch.Tensor | None:
        if self.class_weights is None:
            return None
        n = len(hf.label_names)
        if isinstance(self.class_weights, dict):
            return torch.tensor(weights_by_name(self.class_weights, hf.label_names))
        if self.class_weights == "balanced":
            counted = Distinct.of(raw.train, "label").counted()
            ids, counts = encode_labels([*counted], hf), torch.zeros(n)
            counts.index_add_(0, torch.tensor(ids), torch.tensor([*counted.values()], dtype=torch.float32))
            return len(raw.train) / (n * counts.clamp(min=1))
        if len(self.class_weights) != n:
            raise InputError(
                f"task.class_weights has {len(self.class_weights)} numbers for {n} classes: {hf.label_names}."
            )
        log.info("task.class_weights: %s.", dict(zip(hf.label_names, self.class_weights, strict=True)))
        return torch.tensor(self.class_weights, dtype=torch.float32)

    def callbacks(self, hf: HFObjects) -> list[Callback]:
        if hf.config.problem_type == PROBLEM_TYPES["multilabel"]:
            return [LabelThreshold(None if self.threshold == "auto" else self.threshold)]
        if self.threshold != DEFAULT:
            raise InputError(
                f"task.threshold={self.threshold} is for several labels; these labels are {hf.config.problem_type}. "
                "Leave it out, or set task.kind=multilabel."
            )
        return []

    def predict(self, learner: Learner, items: Any, **options: Any) -> list[Result]:
        return blurr_predict(learner, items, **options)

    def for_checkpoint(self, hf: HFObjects) -> None:
        """Set the kind of problem that the config leaves open: one number for a single label, else one class each."""
        guess = PROBLEM_TYPES["regression" if hf.config.num_labels == 1 else "multiclass"]
        hf.config.problem_type = PROBLEM_TYPES.get(self.kind, hf.config.problem_type or guess)

    def resolved(self, learner: Learner) -> dict[str, Any]:
        config = learner.model.hf_model.config
        kind: Any = next(kind for kind, problem in PROBLEM_TYPES.items() if problem == config.problem_type)
        weights = self.class_weights
        if weights == "balanced":
            weights = base_loss(learner.loss_func).func.weight.tolist()
        threshold = threshold_of(config) if kind == "multilabel" else DEFAULT
        is_read = kind == "multilabel" and self.labels_are == "auto" and self.label_names is None
        labels_are = "names" if is_read else self.labels_are  # what was clear once is clear in few rows, too
        return {"kind": kind, "labels_are": labels_are, "class_weights": weights, "threshold": threshold}

    def decode(self, learner: Learner) -> tuple[Any, Any]:
        logits = learner.pred.detach().float()
        return around_threshold(logits, learner.model.hf_model.config) if learner.y.ndim == 2 else logits, learner.y

    def describe(self, learner: Learner) -> Table:
        logits, targets = learner.pred.detach().float().cpu(), learner.y.cpu()
        vocab = learner.dls.vocab
        if targets.ndim == 2:
            above, probs = around_threshold(logits, learner.model.hf_model.config) > 0, logits.sigmoid()
            chosen = above.float()
        elif targets.is_floating_point():
            return [{"target": float(t), "prediction": float(p)} for t, p in zip(targets, logits[:, 0], strict=True)]
        else:
            probs = logits.softmax(1)
            chosen = probs.argmax(1)
        return [
            {"target": label_name(t, vocab), "prediction": label_name(c, vocab), "score": max(p.values()), "probs": p}
            for t, c, p in zip(targets, chosen, likeliest(probs, vocab), strict=True)
        ]


def blurr_predict(learn: Learner, items: Any, *, threshold: float | None = None, bs: int | None = None) -> list[Result]:
    """Classify one item or many.

    Args:
        learn: a learner for sequence classification.
        items: a text, a pair of texts as a tuple, a dict of the columns; or a list, DataFrame, Series, Dataset of them.
        threshold: lowest probability of a predicted label, for several labels; `None` takes the model's own.
        bs: rows in a batch.

    Returns:
        One dict per item: `label`, `score`, `class_index`, `class_labels`, `probs`; for several labels `labels`,
        `scores`, `class_indices`, `class_labels`, `probs`; for regression `value`.
    """
    config = learn.model.hf_model.config
    names = list(learn.dls.vocab) if getattr(learn.dls, "vocab", None) is not None else list(config.id2label.values())
    kind = config.problem_type or _kind_of(learn.loss_func)
    least = threshold_of(config) if threshold is None else threshold
    classify = partial(classification_results, names=names, kind=kind, threshold=least)
    return infer(learn, items, lambda x: classify(learn.model(x).logits), bs=bs)


def _kind_of(loss_func: Any) -> str:
    loss_func = base_loss(loss_func)
    if isinstance(loss_func, BCEWithLogitsLossFlat):
        return "multi_label_classification"
    return "regression" if isinstance(loss_func, PreCalculatedMSELoss) else "single_label_classification"


def classification_results(
    logits: torch.Tensor, names: Sequence[Any], *, kind: str, threshold: float = 0.5
) -> list[Result]:
    """Turn logits `(batch, classes)` into one result per row; see `blurr_predict`."""
    logits = logits.float().cpu()
    if kind == "regression":
        return [{"value": float(value)} for value in logits[:, 0]]
    if kind == "multi_label_classification":
        return [_several_labels(p, names, threshold) for p in logits.sigmoid().tolist()]
    return [_one_label(p, names) for p in logits.softmax(-1).tolist()]


def _one_label(probs: list[float], names: Sequence[Any]) -> Result:
    best = max(range(len(probs)), key=probs.__getitem__)
    return {
        "label": names[best],
        "score": probs[best],
        "class_index": best,
        "class_labels": list(names),
        "probs": probs,
    }


def _several_labels(probs: list[float], names: Sequence[Any], threshold: float) -> Result:
    chosen = [i for i, p in enumerate(probs) if p >= threshold]
    return {
        "labels": [names[i] for i in chosen],
        "scores": [probs[i] for i in chosen],
        "class_indices": chosen,
        "class_labels": list(names),
        "probs": probs,
    }


def weights_by_name(weights: Mapping[str, float], names: Sequence[str]) -> list[float]:
    """Return the weights in the order of the classes.

    Raises:
        InputError: a class has none, or a weight is of no class.
    """
    if set(weights) != set(names):
        raise InputError(f"task.class_weights has weights for {sorted(weights)}; the classes are {list(names)}.")
    return [float(weights[name]) for name in names]


def likeliest(probs: torch.Tensor, vocab: Sequence[str]) -> list[dict[str, float]]:
    """Return the probabilities `(batch, classes)` by name, at most the twenty highest."""
    best, places = probs.topk(min(MOST_PROBS, probs.shape[1]))
    return [
        {vocab[i]: p for i, p in zip(which, values, strict=True)}
        for which, values in zip(places.tolist(), best.tolist(), strict=True)
    ]
