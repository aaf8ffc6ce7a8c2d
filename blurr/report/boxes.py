"""Show how well the objects of each class are found, and which classes are taken for others."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from blurr.data.known_labels import sorted_labels
from blurr.metrics.bootstrap import ratio
from blurr.metrics.boxes import Objects, curves, matched, overlap
from blurr.report.parts import Part, bars
from blurr.runs.record import Rows

MOST = 20  # classes in a plot; the table lists all
HALF = 0.5  # intersection over union from which two boxes are of one object
NOTHING = "nothing"


def box_parts(rows: Rows) -> list[Part]:
    """Return the parts that show the errors of an object detection."""
    frame = per_class(rows)
    drawn = frame.sort_values("average precision")[:MOST]
    note = (
        "Average precision over overlaps from 0.5 to 0.95, of all objects whatever their score; precision and recall "
        "at an overlap of a half, of those that are predicted (task.threshold)."
    )
    of_pairs = "Objects that overlap by half at least, whatever their classes: missed ones are predicted as nothing."
    size = (6.0, 0.9 + 0.28 * len(drawn))
    return [
        Part("average_precision", "Each class", frame, note),
        Part("worst_classes", "Average precision", drawn, "The worst classes first.", _bars, size),
        Part("confused_objects", "What was confused", confused(rows), of_pairs),
    ]


def per_class(rows: Rows) -> pd.DataFrame:
    """Return average precision, precision, recall and the objects of each class."""
    sides = ("boxes", "predicted_boxes")
    names = sorted_labels({each["label"] for row in rows for side in sides for each in row[side]})
    true, found = ([_objects(row[side], names) for row in rows] for side in sides)
    of_class = curves(matched(found, true))
    shown = matched([_objects(predicted(row), names) for row in rows], true)
    right = np.bincount(shown.labels[shown.hits[:, 0]], minlength=len(names)).astype(np.float64)
    said, there = (np.bincount(ids, minlength=len(names)) for ids in (shown.labels, shown.true[:, 1]))
    averages = [float(of_class[i].precision.mean()) if i in of_class else np.nan for i in range(len(names))]
    at_half = [float(of_class[i].precision[0, 0]) if i in of_class else np.nan for i in range(len(names))]
    return pd.DataFrame(
        {
            "class": names,
            "average precision": averages,
            "at an overlap of 0.5": at_half,
            "precision": ratio(right, said.astype(np.float64)),
            "recall": ratio(right, there.astype(np.float64)),
            "objects": there,
            "predicted": said,
        }
    )


def predicted(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the objects of a described row that are predicted: those whose score is at least the threshold."""
    return list(row["predicted_boxes"][: len(row["prediction"])])


def confused(rows: Rows) -> pd.DataFrame:
    """Return how often objects of a class are predicted as another, missed, or made up; the most frequent first."""
    counts: Counter[tuple[str, str]] = Counter()
    for row in rows:
        counts.update(_pairs(row["boxes"], predicted(row)))
    wrong = [(true, said, count) for (true, said), count in counts.most_common() if true != said]
    return pd.DataFrame(wrong, columns=["true", "predicted", "objects"])


def _pairs(true: Sequence[Mapping[str, Any]], found: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Pair objects by their boxes alone, the largest overlap first, and return the classes of each pair."""
    boxes = [np.array([each["box"] for each in side], dtype=np.float64).reshape(-1, 4) for side in (true, found)]
    overlaps = overlap(*boxes)
    pairs, left, rest = [], set(range(len(true))), set(range(len(found)))
    for place in np.argsort(-overlaps, axis=None, kind="stable"):
        one, other = divmod(int(place), len(found))
        if overlaps[one, other] >= HALF and one in left and other in rest:
            pairs.append((true[one]["label"], found[other]["label"]))
            left.remove(one)
            rest.remove(other)
    missed = [(true[one]["label"], NOTHING) for one in sorted(left)]
    return [*pairs, *missed, *((NOTHING, found[other]["label"]) for other in sorted(rest))]


def _objects(listed: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Objects:
    return {
        "labels": np.array([names.index(each["label"]) for each in listed], dtype=np.int64),
        "boxes": np.array([each["box"] for each in listed], dtype=np.float64).reshape(-1, 4),
        "scores": np.array([each.get("score", 1.0) for each in listed]),
    }


def _bars(axes: Axes, frame: pd.DataFrame) -> None:
    bars(axes, list(frame["class"]), list(frame["average precision"]), label="average precision")
    axes.set_xlim(0, 1)
