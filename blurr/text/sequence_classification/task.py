"""Sequence classification: one class, several labels or a number for a text or a pair of texts."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Ge, Lt
from datasets import DatasetDict
from fastai.callback.core import Callback
from fastai.learner import Learner
from fastai.losses import BCEWithLogitsLossFlat
from transformers import PretrainedConfig

from blurr.config.annotations import Count, NonNegative, OpenFraction
from blurr.text.sequence_classification import samples
from blurr.data.core import RawData, Schema
from blurr.data.known_labels import NUMBER, label_ids, labels_in, sorted_labels
from blurr.data.labels import LabelOptions, LabelsAre
from blurr.data.spelling import spell
from blurr.data.splits import Splits, split_rows
from blurr.errors import InputError, nearest
from blurr.loading.rows import Table
from blurr.metrics.base import Metric, Scored
from blurr.metrics.classification import F1, Accuracy
from blurr.metrics.regression import Pearson, Spearman
from blurr.models.losses import PreCalculatedBCELoss, PreCalculatedMSELoss
from blurr.models.objects import HFObjects
from blurr.targets.threshold import DEFAULT, LabelThreshold, around_threshold, threshold_of
from blurr.tasks.base import Loss, Task, from_data, weighted_cross_entropy
from blurr.text.inputs import label_name, show_classification, tokenize_texts
from blurr.training.learner import Blearner

log = logging.getLogger(__name__)
Kind = Literal["auto", "multiclass", "multilabel", "regression"]
TUNE = Splits(by="random", valid=0.1)  # the training rows on which a threshold is searched
MOST_PROBS = 20  # classes whose probabilities stand beside a prediction
PROBLEM_TYPES = {
    "multiclass": "single_label_classification",
    "multilabel": "multi_label_classification",
    "regression": "regression",
}


class BlearnerForSequenceClassification(Blearner):
    """A `Blearner` for sequence classification; `from_data` makes one of rows in one line."""

    @classmethod
    def from_data(
        cls,
        data: Any,
        pretrained_model_name_or_path: str | Path,
        text_attr: str | Sequence[str] = "text",
        label_attr: str | list[str] = "label",
        *,
        kind: Kind = "auto",
        labels_are: LabelsAre = "auto",
        label_names: Sequence[str] | None = None,
        label_separator: str | None = None,
        max_length: int | None = None,
        threshold: float | Literal["auto"] = DEFAULT,
        **options: Any,
    ) -> Blearner:
        """Make a learner with a frozen body.

        Args:
            data: a DataFrame, Dataset, DatasetDict, list of dicts, or the path of a file; a column `is_valid` marks the
                validation rows.
            pretrained_model_name_or_path: Hub id or local folder.
            text_attr: column of the text; two columns for pairs.
            label_attr: column of the label; a list of 0/1 columns for several labels.
            kind: see `SequenceClassification`, as for the next three.
            labels_are: what a label is.
            label_names: names of the labels in the order of their ids.
            label_separator: what stands between several labels in one text.
            max_length: longest text in tokens.
            threshold: see `SequenceClassification`.
            options: `dblock_splitter`, `dl_kwargs`, `learner_kwargs`, `hf_kwargs`, as for
                `blurr.tasks.base.from_data`.
        """
        texts = [text_attr] if isinstance(text_attr, str) else list(text_attr)
        columns = {**dict(zip(("text", "text_pair"), texts, strict=False)), "label": label_attr}
        task = SequenceClassification(
            kind=kind,
            labels_are=labels_are,
            label_names=None if label_names is None else list(label_names),
            label_separator=label_separator,
            max_length=max_length,
            threshold=threshold,
        )
        return from_data(
            task, data, pretrained_model_name_or_path, columns=columns, metrics=_default_metrics, **options
        )


def _default_metrics(config: PretrainedConfig) -> dict[str, Metric]:
    if config.problem_type == "regression":
        return {"pearson": Pearson(), "spearman": Spearman()}
    return {"f1": F1(), "accuracy": Accuracy()}


@dataclass
class SequenceClassification(Task):
    """Classify texts or pairs of texts.

    Args:
        kind: `multiclass` (one class each), `multilabel` (a list of labels, or several 0/1 columns), `regression` (a
            number), or `auto`: from the labels of all rows, see docs/data.md.
        labels_are: `names`; `ids`, which count from 0 in `label_names`; `multi_hot`, lists with a 0 or 1 for each
            label; or `auto`, which refuses lists that could be either.
        label_names: names of the labels in the order of their ids; `None` takes those of the data, sorted.
        label_separator: what stands between several labels in one text, such as `|`; `None` for one label per text.
        max_length: longest text in tokens; `None` takes the model's limit.
        loss: `model` is the Hugging Face model's own, `cross_entropy` fastai's; `auto` is the model's own unless class
            weights or label smoothing are asked for.
        class_weights: `None`, `balanced` (inversely to the classes' frequency), a number for each name of a class, or a
            list of numbers in the order of the model's labels, which is the checkpoint's where it has the same ones.
        label_smoothing: share of the target that is spread over all classes.
        threshold: of several labels, the probability from which one is predicted; `auto` searches the one with the
            highest micro-F1 on a tenth of the training rows, which are then not trained on. It is kept in the model's
            config as `label_threshold`.
    """

    schema: ClassVar[Schema] = Schema(
        required=("text", "label"), optional=("text_pair",), label="label", sample=samples.reviews
    )
    model_cls: ClassVar[str] = "AutoModelForSequenceClassification"
    predicts: ClassVar[str] = "classes or numbers"
    learner_cls: ClassVar[type[Blearner]] = BlearnerForSequenceClassification
    show_rows = staticmethod(show_classification)
    options: ClassVar[Mapping[str, type]] = {"threshold": float}

    kind: Kind = "auto"
    labels_are: LabelsAre = "auto"
    label_names: list[str] | None = None
    label_separator: str | None = None
    max_length: Count | None = None
    loss: Loss = "auto"
    class_weights: Literal["balanced"] | list[NonNegative] | dict[str, NonNegative] | None = None
    label_smoothing: Annotated[float, Ge(0), Lt(1)] = 0.0
    threshold: OpenFraction | Literal["auto"] = 0.5

    def label_options(self) -> LabelOptions:
        names = None if self.label_names is None else tuple(self.label_names)
        separator = self.label_separator
        kind: Any = "multilabel" if self.kind == "auto" and separator is not None else self.kind
        return LabelOptions(kind=kind, are=self.labels_are, separator=separator, names=names)

    def prepare(self, raw: RawData) -> RawData:
        if self.threshold != "auto" or self._kind(raw) != "multilabel":
            return raw
        names = label_names(raw, "multilabel")  # of all training rows, so that a rare label is not lost
        inputs = [role for role in ("text", "text_pair") if role in raw.train.column_names]
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
        names = label_names(raw, kind)
        return {
            **problem,
            "num_labels": len(names),
            "id2label": dict(enumerate(names)),
            "label2id": {name: i for i, name in enumerate(names)},
        }

    def scored(self, hf: HFObjects) -> Scored:
        kinds = {PROBLEM_TYPES["multilabel"]: "labels", PROBLEM_TYPES["regression"]: "numbers"}
        return Scored(kinds.get(str(hf.config.problem_type), "classes"), self.vocab(hf))

    def vocab(self, hf: HFObjects) -> list[str] | None:
        if hf.config.problem_type == "regression":
            return None
        return hf.label_names

    def tokenize(self, rows: Mapping[str, Sequence[Any]], hf: HFObjects) -> dict[str, list[Any]]:
        pairs = rows.get("text_pair")
        columns: dict[str, list[Any]] = dict(
            tokenize_texts(
                hf.tokenizer, rows["text"], pairs, max_length=self.max_length, special_tokens=self.special_tokens
            )
        )
        if "label" in rows:
            columns["labels"] = encode_labels(rows["label"], hf)
        return columns

    def row_of(self, item: Any) -> dict[str, Any]:
        if isinstance(item, tuple) and len(item) == 2:
            item = {"text": item[0], "text_pair": item[1]}
        return super().row_of(item)

    def loss_func(self, hf: HFObjects, raw: RawData) -> Any:
        kind = hf.config.problem_type
        if kind == "single_label_classification":
            weights = self._weights(hf, raw)
            return weighted_cross_entropy(hf, self.loss, weights, self.label_smoothing)
        if self.class_weights is not None or self.label_smoothing:
            raise InputError(
                f"task.class_weights and task.label_smoothing are for kind=multiclass; these labels are {kind}."
            )
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
            counts = torch.bincount(torch.tensor(encode_labels(raw.train["label"][:], hf)), minlength=n)
            return len(raw.train) / (n * counts.clamp(min=1).float())
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

    def for_checkpoint(self, hf: HFObjects) -> Task:
        """Set the kind of problem that the config leaves open: one number for a single label, else one class each."""
        guess = PROBLEM_TYPES["regression" if hf.config.num_labels == 1 else "multiclass"]
        hf.config.problem_type = PROBLEM_TYPES.get(self.kind, hf.config.problem_type or guess)
        return self

    def settled(self, learner: Learner) -> Task:
        config = learner.model.hf_model.config
        kind: Any = next(kind for kind, problem in PROBLEM_TYPES.items() if problem == config.problem_type)
        weights = self.class_weights
        if weights == "balanced":
            weights = learner.loss_func.func.weight.tolist()
        threshold = threshold_of(config) if kind == "multilabel" else DEFAULT
        is_read = kind == "multilabel" and self.labels_are == "auto" and self.label_names is None
        labels_are: LabelsAre = "names" if is_read else self.labels_are  # what was clear once is clear in few rows, too
        return replace(self, kind=kind, labels_are=labels_are, class_weights=weights, threshold=threshold)

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


def weights_by_name(weights: Mapping[str, float], names: Sequence[str]) -> list[float]:
    """Return the weights in the order of the classes.

    Raises:
        InputError: a class has none, or a weight is of no class.
    """
    if set(weights) != set(names):
        raise InputError(f"task.class_weights has weights for {sorted(weights)}; the classes are {list(names)}.")
    return [float(weights[name]) for name in names]


def likeliest(probs: torch.Tensor, vocab: Sequence[str]) -> list[dict[str, float]]:
    """Name the probabilities of the classes, of the twenty likeliest where there are more; `(batch, classes)`."""
    best, places = probs.topk(min(MOST_PROBS, probs.shape[1]))
    return [
        {vocab[i]: p for i, p in zip(which, values, strict=True)}
        for which, values in zip(places.tolist(), best.tolist(), strict=True)
    ]


def label_names(raw: RawData, kind: str) -> list[str]:
    """Return the names of the labels: those of the data set where it has them, else those of the training rows, sorted.

    Raises:
        InputError: there is only one class.
    """
    if raw.label_names is not None:
        return raw.label_names
    names = sorted_labels(labels_in(raw.train["label"][:]))
    if len(names) < 2 and kind == "multiclass":
        raise InputError(
            f"The training rows of {raw.source} have one class, {names}: there is nothing to tell apart. Give rows of "
            "at least two classes, or set data.columns.label to the right column."
        )
    return names


def encode_labels(labels: Sequence[Any], hf: HFObjects) -> list[Any]:
    """Turn labels into what the model learns: class ids, 0/1 vectors, or numbers.

    Raises:
        InputError: a label that the model does not know.
    """
    if hf.config.problem_type == "regression":
        return [_number(label) for label in labels]
    ids = label_ids(hf.label_names)
    if hf.config.problem_type == "multi_label_classification":
        return [_vector(label, ids, len(hf.label_names)) for label in labels]
    return [_class_id(label, ids) for label in labels]


def _number(label: Any) -> float:
    text = str(spell(label, whole=False))
    if not NUMBER.fullmatch(text):
        raise InputError(f"The label {label!r} is not a finite number; for classes, set task.kind=multiclass.")
    return float(text)


def _class_id(label: Any, ids: Mapping[str, int]) -> int:
    name = str(spell(label))
    if name not in ids:
        raise InputError(f"The label {label!r} is unknown; the labels are {list(ids)}.{nearest(name, ids)}")
    return ids[name]


def _vector(label: Any, ids: Mapping[str, int], size: int) -> list[float]:
    if not isinstance(label, list):
        raise InputError(f"The label {label!r} is not a list; kind=multilabel needs a list of labels per row.")
    chosen = {_class_id(x, ids) for x in label}
    return [float(i in chosen) for i in range(size)]
