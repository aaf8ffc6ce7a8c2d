"""Check what a learner predicts, and that it predicts the same for an item alone, and once exported and loaded."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastai.learner import load_learner

from blurr.data.core import RawData
from blurr.errors import InputError
from blurr.tasks.base import Task
from blurr.training.learner import Blearner

FIELDS = {
    "audio_classification": {"label", "score", "class_index", "class_labels", "probs"},
    "causal_lm": {"generated_texts"},
    "chat": {"answer"},
    "image_classification": {"label", "score", "class_index", "class_labels", "probs"},
    "masked_lm": {"filled_texts", "scores", "masks"},
    "object_detection": {"boxes", "class_labels"},
    "question_answering": {"answer", "start", "end", "score"},
    "semantic_segmentation": {"mask", "labels", "class_labels"},
    "sequence_classification": {"label", "score", "class_index", "class_labels", "probs"},
    "speech_recognition": {"transcript", "segments"},
    "summarization": {"summary_texts"},
    "token_classification": {"entity_group", "score", "word", "start", "end"},
    "translation": {"translation_texts"},
}
ROUNDING = 1e-4  # by which a probability may differ in a batch
Item = dict[str, Any]
PREPARED: dict[str, Callable[[Item, Any], Item]] = {
    "chat": lambda item, _: {"messages": item["messages"][:-1]},
    "masked_lm": lambda item, tokenizer: {"text": f"{tokenizer.mask_token} {item['text']}"},
}


class CheckError(Exception):
    """Something fails at a stage."""


class RefusedError(CheckError):
    """blurr refuses, with a message that says why."""


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Say where it was that something failed."""
    try:
        yield
    except CheckError:
        raise
    except InputError as e:
        raise RefusedError(f"{name}: {e}") from e
    except Exception as e:  # noqa: BLE001  # whatever a library may raise is what a table is to tell
        raise CheckError(f"{name}: {type(e).__name__}: {' '.join(str(e).split())[:300]}") from e


def items_of(task_name: str, task: Task, raw: RawData, tokenizer: Any) -> list[Item]:
    """Make items to predict on of the validation rows: what the model may see of them."""
    rows = [{k: v for k, v in row.items() if k != task.schema.label} for row in raw.splits["valid"].to_list()]
    prepare = PREPARED.get(task_name, lambda item, _: item)
    return [prepare(row, tokenizer) for row in rows]


def check_predictions(learner: Blearner, items: list[Any], fields: set[str]) -> list[Any]:
    """Predict, and refuse predictions that are not one for each item, or lack a field.

    Raises:
        CheckError: names what is wrong.
    """
    with stage("predict"):
        predicted = learner.predict(items)
    if len(predicted) != len(items):
        raise CheckError(f"predict: {len(predicted)} predictions for {len(items)} items")
    for each in (part for item in predicted for part in (item if isinstance(item, list) else [item])):
        if not fields <= set(each):
            raise CheckError(f"predict: a prediction has {sorted(each)}, not {sorted(fields)}")
    return predicted


def check_alone(learner: Blearner, items: list[Any], predicted: list[Any], rounding: float = ROUNDING) -> None:
    """Predict each item by itself, and refuse an answer that it does not have in a batch.

    Args:
        learner: Predicts.
        items: What it has predicted on.
        predicted: What it has predicted.
        rounding: By which a number may differ.

    Raises:
        CheckError: shows the first that differs.
    """
    with stage("alone"):
        alone = [learner.predict([item])[0] for item in items]
    for one, other in zip(alone, predicted, strict=True):
        if not alike(one, other, rounding):
            raise CheckError(f"alone: {str(one)[:100]}, but in a batch {str(other)[:100]}")


def alike(one: Any, other: Any, rounding: float = ROUNDING) -> bool:
    """Are two predictions the same, but for what rounding does to their numbers?"""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=rounding, abs_tol=rounding)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(alike(one[name], other[name], rounding) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(alike(*pair, rounding) for pair in zip(one, other, strict=True))
    return bool(one == other)


def check_export(
    learner: Blearner, items: list[Any], predicted: list[Any], folder: Path, rounding: float = 0.0
) -> None:
    """Export, load, predict again.

    Args:
        learner: Is exported.
        items: What it has predicted on.
        predicted: What it has predicted.
        folder: Where the export goes.
        rounding: By which a number may differ: where weights lie in memory decides how convolutions add up.

    Raises:
        CheckError: it cannot, or predicts something else.
    """
    file = folder / "learner.pkl"
    with stage("export"):
        learner.export(file)
    with stage("load"):
        again = load_learner(file).predict(items)
    if not alike(again, predicted, rounding):
        raise CheckError("load: the loaded learner predicts something else")
