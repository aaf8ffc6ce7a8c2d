"""Find reasons why a result may be worthless: the model always answers the same, or is not better than that."""

import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

Rows = Sequence[Mapping[str, Any]]


def doubts(predicts: Collection[str], rows: Rows, scores: Mapping[str, float]) -> list[str]:
    """Return a line for each sign that the scores of a split are worthless.

    Args:
        predicts: What the task predicts, see `Target.predicts`.
        rows: Described rows, with `target` and `prediction`.
        scores: Scores of the split, by metric.
    """
    found = [f"{name} is not a number" for name, value in scores.items() if math.isnan(value)]
    if not rows or not {"target", "prediction"} <= set(rows[0]):
        return found
    judges: dict[str, Callable[[Rows], str | None]] = {
        "words": partial(_of_words, scores=scores),
        "answers": _of_answers,
        "texts": _of_texts,
        "tokens": _of_tokens,
        "masks": _of_masks,
        "boxes": _of_boxes,
    }
    judge = _of_choices if {"classes", "numbers"} & set(predicts) else judges.get(next(iter(predicts), ""))
    said = judge(rows) if judge else None  # nothing is known here about what a user's own task predicts
    return [*found, *([said] if said else [])]


def _of_choices(rows: Rows) -> str | None:
    """Judge classes, sets of labels or numbers, whichever the targets are."""
    targets = [row["target"] for row in rows]
    if all(isinstance(target, list) for target in targets):
        return _of_labels(rows)
    if all(isinstance(target, float) for target in targets):
        return _of_numbers(targets, [row["prediction"] for row in rows])
    return _of_classes(targets, [row["prediction"] for row in rows])


def _of_classes(targets: Sequence[Any], predictions: Sequence[Any]) -> str | None:
    (most, count), *others = Counter(targets).most_common()
    share = count / len(targets)
    accuracy = sum(t == p for t, p in zip(targets, predictions, strict=True)) / len(targets)
    if not others:
        return f"all {len(targets)} rows are of the class {most}, so that no score tells what the model can tell apart"
    if len(set(predictions)) == 1:
        return f"all {len(targets)} rows are predicted to be {predictions[0]}, which {_percent(accuracy)} are"
    if accuracy <= share:
        return f"{_percent(accuracy)} of the rows are right, and {_percent(share)} are of the class {most} anyway"
    return None


def _of_labels(rows: Rows) -> str | None:
    predicted = {tuple(row["prediction"]) for row in rows}
    if len(rows) > 1 and len(predicted) == 1 and len({tuple(row["target"]) for row in rows}) > 1:
        (labels,) = predicted
        return f"all {len(rows)} rows are predicted to have {', '.join(map(str, labels)) or 'no label'}"
    return None


def _of_numbers(targets: Sequence[float], predictions: Sequence[float]) -> str | None:
    mean = math.fsum(targets) / len(targets)
    spread = math.fsum((t - mean) ** 2 for t in targets)
    error = math.fsum((t - p) ** 2 for t, p in zip(targets, predictions, strict=True))
    if len(targets) > 1 and len(set(predictions)) == 1:
        return f"all {len(targets)} rows are predicted to be {predictions[0]:.4g}"
    if len(targets) > 1 and error >= spread:
        ours, means = (f"{math.sqrt(each / len(targets)):.4g}" for each in (error, spread))
        return f"the predictions are no nearer (RMSE {ours}) than the mean of the targets is ({means})"
    return None


def _of_texts(rows: Rows) -> str | None:
    texts = [str(row["prediction"]).strip() for row in rows]
    empty = sum(not text for text in texts)
    if empty:
        return f"{empty} of {len(rows)} written texts are empty"
    if len(rows) > 1 and len(set(texts)) == 1 and len({row["target"] for row in rows}) > 1:
        return f"all {len(rows)} written texts are the same"
    return None


def _of_words(rows: Rows, scores: Mapping[str, float]) -> str | None:
    labels = {key: Counter(label for row in rows for label in row[key]) for key in ("target", "prediction")}
    if len(labels["prediction"]) == 1 and len(labels["target"]) > 1:
        (label,) = labels["prediction"]
        return f"all {labels['prediction'].total()} words are predicted to be {label}"
    return "no entity is right: f1 is 0" if scores.get("f1") == 0 else None


def _of_answers(rows: Rows) -> str | None:
    if any(row["target"] for row in rows) and not any(row["prediction"] for row in rows):
        return f"all {len(rows)} questions are said to have no answer"
    if not any(row.get("f1") for row in rows):
        return "no answer has a word in common with a true one"
    return None


def _of_tokens(rows: Rows) -> str | None:
    return "no token is predicted right" if not any(row.get("right_count", 1) for row in rows) else None


def _of_masks(rows: Rows) -> str | None:
    if "pixels" not in rows[0]:  # masks of a user's own task
        return None
    true: Counter[str] = Counter()
    predicted: Counter[str] = Counter()
    for row in rows:
        for name, (of_class, said, _) in row["pixels"].items():
            true[name] += of_class
            predicted[name] += said
    said_at_all = +predicted
    if len(said_at_all) == 1 and len(+true) > 1:
        (name,) = said_at_all
        share = _percent(true[name] / true.total())
        return f"all {said_at_all.total()} pixels are predicted to be {name}, which {share} are"
    return None


def _of_boxes(rows: Rows) -> str | None:
    true, said = (Counter(label for row in rows for label in row[key]) for key in ("target", "prediction"))
    if true and not said:
        return "no object has a score of task.threshold or more"
    if len(said) == 1 and len(true) > 1:
        (label,) = said
        share = _percent(true[label] / true.total())
        return f"all {said.total()} predicted objects are said to be {label}, which {share} are"
    return None


def _percent(share: float) -> str:
    return f"{100 * share:.4g} %"
