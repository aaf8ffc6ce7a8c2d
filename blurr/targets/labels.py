"""Labels as numbers: names to ids, 0/1 vectors or numbers for the model, and back to names for people."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from blurr.data.core import RawData
from blurr.data.known_labels import NUMBER, label_ids, labels_in, sorted_labels
from blurr.data.spelling import spell
from blurr.errors import InputError, nearest
from blurr.models.objects import HFObjects


def label_name(value: torch.Tensor, vocab: Sequence[str] | None) -> Any:
    """Return the name of a target or prediction: of a class id, of the ones in a 0/1 vector, or a number itself."""
    if value.ndim:
        chosen = [i for i, x in enumerate(value.tolist()) if x > 0.5]
        return [vocab[i] if vocab else i for i in chosen]
    if value.is_floating_point():
        return round(float(value), 4)
    return vocab[int(value)] if vocab is not None else int(value)


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
