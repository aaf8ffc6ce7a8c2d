"""Labels: from names to ids, vectors or numbers and back, and the threshold of multi-label tasks."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from fastai.callback.core import Callback
from fastai.losses import BCEWithLogitsLossFlat
from fastai.metrics import ValueMetric

from blurr.data.core import RawData
from blurr.data.distinct import Distinct
from blurr.data.known_labels import NUMBER, label_ids, labels_in, sorted_labels
from blurr.data.spelling import spell
from blurr.errors import InputError, nearest
from blurr.loading.rows import Table
from blurr.models.losses import base_loss
from blurr.models.objects import HFObjects
from blurr.training.callbacks.base import ORDER
from blurr.training.last_validation import weights_checksum


def label_name(value: torch.Tensor, vocab: Sequence[str] | None) -> Any:
    """Return the name of a target or prediction: of a class id, of the ones in a 0/1 vector, or a number itself."""
    if value.ndim:
        chosen = [i for i, x in enumerate(value.tolist()) if x > 0.5]
        return [vocab[i] if vocab else i for i in chosen]
    if value.is_floating_point():
        return round(float(value), 4)
    return vocab[int(value)] if vocab is not None else int(value)


def with_labels(table: Table, vocab: Sequence[str] | None, targets: Any, predictions: Any = None) -> Table:
    """Return the rows of a table with `target` and, where there are any, `prediction`, by the names of the labels.

    Args:
        table: A row for each target.
        vocab: Names of the labels, if they have some.
        targets: Of a batch, as `label_name` takes each; an empty tensor where there are none.
        predictions: In the form of the targets.
    """
    for name, values in (("target", targets), ("prediction", predictions)):
        if values is not None and len(values) and not (torch.is_tensor(values) and not values.numel()):
            table = [{**row, name: label_name(value, vocab)} for row, value in zip(table, values, strict=True)]
    return table


def label_names(raw: RawData, kind: str) -> list[str]:
    """Return the names of the labels: those of the data set where it has them, else those of the training rows, sorted.

    Raises:
        InputError: there is only one class.
    """
    if raw.label_names is not None:
        return raw.label_names
    names = sorted_labels(labels_in(Distinct.of(raw.train, "label").values))
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


log = logging.getLogger(__name__)

KEY = "label_threshold"  # in the model's config, which save_pretrained writes and an export holds
DEFAULT = 0.5


def threshold_of(config: Any) -> float:
    """Return the threshold in a model's config, 0.5 if there is none."""
    value: float = vars(config).get(KEY, DEFAULT)
    return value


def around_threshold(logits: torch.Tensor, config: Any) -> torch.Tensor:
    """Shift logits `(batch, labels)` so that those above 0 are the predicted labels, as metrics expect."""
    return logits - torch.logit(torch.tensor(threshold_of(config), dtype=torch.float64)).to(logits)


def best_threshold(probabilities: torch.Tensor, targets: torch.Tensor) -> float:
    """Find the one threshold for all labels with the highest micro-averaged F1, `2 TP / (predicted + true)`.

    Sorted by probability, the labels above any threshold are the first k, so one running sum gives the F1 of every
    possible threshold. Ties go to the first.

    Args:
        probabilities: `(rows, labels)`, from 0 to 1.
        targets: 0 or 1, `(rows, labels)`.

    Returns:
        The midpoint between the last predicted probability and the next; 0.5 if no row has a label.
    """
    scores, order = probabilities.double().flatten().sort(descending=True, stable=True)
    hits = targets.double().flatten()[order].cumsum(0)
    if not hits[-1]:
        return DEFAULT
    predicted = torch.arange(1, len(scores) + 1, device=scores.device)
    f1 = 2 * hits / (predicted + hits[-1])
    following = torch.cat([scores[1:], scores.new_zeros(1)])
    f1[scores == following] = -1  # no threshold separates equal probabilities
    best = int(f1.argmax())
    return float((scores[best] + following[best]) / 2)


class LabelThreshold(Callback):  # type: ignore[misc]  # fastai is not typed
    """Keep the threshold in the model's config and in the loss; without one, search it after each epoch.

    The search uses the rows of the last loader, which are neither trained nor validated on. It runs again at the end
    of a fit whose last weights are not the ones that are kept.

    Args:
        value: The threshold; `None` searches it and shows it among the metrics as `threshold`.
    """

    order = ORDER["LabelThreshold"]
    start: ClassVar[float] = DEFAULT  # before the first search

    def __init__(self, value: float | None) -> None:
        self.value = value
        self._searched: str | None = None  # checksum of the weights that the threshold is of

    def after_create(self) -> None:
        self._keep(self.start if self.value is None else self.value)
        if self.value is None:
            self.learn.metrics = [*self.learn.metrics, ValueMetric(self.current, "threshold")]

    def current(self) -> float:
        """Return the threshold in use."""
        return threshold_of(self.model.hf_model.config)

    def after_train(self) -> None:
        if self.value is None:
            self._keep(self._found())
            self._searched = weights_checksum(self.model)

    def after_fit(self) -> None:
        """Search again after a training; fastai calls this after `validate()`, too."""
        if self._searched is not None:
            if self._searched != weights_checksum(self.model):  # averages, or those of the best epoch
                self._keep(self._found())
            self._searched = None
            log.info("Threshold: %.4f, by the F1 of rows held out of training.", self.current())

    def _found(self) -> float:
        rows = self.dls.loaders[-1]
        was_training = self.model.training
        self.model.eval()
        with torch.inference_mode():
            seen = [(self.model({k: v for k, v in x.items() if k != "labels"}).logits, y) for x, y in rows]
        self.model.train(was_training)
        logits, targets = (torch.cat(part).cpu() for part in zip(*seen, strict=True))
        return best_threshold(logits.double().sigmoid(), targets)

    def _keep(self, value: float) -> None:
        setattr(self.model.hf_model.config, KEY, value)
        loss = base_loss(self.loss_func)
        if isinstance(loss, BCEWithLogitsLossFlat):  # read by fastai's show_results and get_preds
            loss.thresh = value
