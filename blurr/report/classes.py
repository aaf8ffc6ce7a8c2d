"""Show the errors of a classifier: confused classes, precision and recall, and the calibration of probabilities."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap

from blurr.data.known_labels import sorted_labels
from blurr.metrics.bootstrap import ratio
from blurr.report.parts import COLOURS, GREY, INK, LINE, ORANGE, Part, bars, grid
from blurr.runs.record import Rows

BINS = 10
MOST = 12  # classes in a plot; tables list all
SHADES = LinearSegmentedColormap.from_list("shades", [(0.24, 0.5, 0.76, 0.0), (0.24, 0.5, 0.76, 0.8)])


def class_parts(rows: Rows) -> list[Part]:
    """Return the parts that show a classifier's errors: of one class per row, or of several labels."""
    several = isinstance(rows[0]["target"], list)
    parts = [] if several else [_confusion(rows)]
    table = per_class(rows)
    note = "Average precision is the area under the curve of precision over recall."
    calibrated = calibration(rows)
    ece = f"Expected calibration error {expected_calibration_error(calibrated):.3f} (Guo et al. 2017, arXiv:1706.04599)"
    return [
        *parts,
        Part("classes", "Each class", table, note),
        Part("precision_recall", "Precision and recall", curves(rows), "At every threshold.", _curves),
        Part("calibration", "Calibration", calibrated, f"{ece}, in {BINS} bins of equal width.", _calibration),
    ]


def confusion(rows: Rows) -> pd.DataFrame:
    """Count predictions (columns) for each target (index)."""
    names = sorted_labels({str(row[key]) for row in rows for key in ("target", "prediction")})
    true, predicted = ([str(row[key]) for row in rows] for key in ("target", "prediction"))
    return pd.crosstab(pd.Series(true, name="target"), pd.Series(predicted, name="prediction")).reindex(
        index=names, columns=names, fill_value=0
    )


def confused(rows: Rows) -> pd.DataFrame:
    """Return the pairs of classes that were confused, the most frequent first."""
    frame = confusion(rows).reset_index().melt("target", var_name="prediction", value_name="rows")
    wrong = frame[(frame["target"] != frame["prediction"]) & (frame["rows"] > 0)]
    return wrong.sort_values("rows", ascending=False).reset_index(drop=True)


def per_class(rows: Rows) -> pd.DataFrame:
    """Return precision, recall, F1, average precision and the number of true rows for each class."""
    names, true, predicted, scores = _arrays(rows)
    right, of_predicted, of_true = ((true * predicted).sum(0), predicted.sum(0), true.sum(0))
    areas = [_average_precision(true[:, i], scores[:, i]) if true[:, i].any() else 0.0 for i in range(len(names))]
    figures = {
        "precision": ratio(right, of_predicted),
        "recall": ratio(right, of_true),
        "f1": ratio(2 * right, of_predicted + of_true),
        "average precision": areas,
        "rows": of_true,
    }
    return pd.DataFrame({"class": names, **figures})


def _precision_recall(true: Any, scores: Any) -> tuple[Any, Any]:
    """Return precision and recall at every threshold, the lowest first, as scikit-learn's function of that name does.

    That loads half of scipy. The last point is precision 1 at recall 0.
    """
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)  # of each score
    right = np.cumsum(true[order])[last]
    precision, recall = right / (last + 1), right / right[-1]
    return np.append(precision[::-1], 1.0), np.append(recall[::-1], 0.0)


def _average_precision(true: Any, scores: Any) -> float:
    precision, recall = _precision_recall(true, scores)
    return max(0.0, float(-np.sum(np.diff(recall) * precision[:-1])))


def curves(rows: Rows) -> pd.DataFrame:
    """Return precision and recall at every threshold for the twelve most frequent classes."""
    names, true, _, scores = _arrays(rows)
    chosen = np.argsort(-true.sum(0), kind="stable")[:MOST]
    frames = []
    for i in chosen[true[:, chosen].any(0)]:
        precision, recall = _precision_recall(true[:, i], scores[:, i])
        keep = np.unique(np.linspace(0, len(recall) - 1, 100).astype(int))
        frames.append(pd.DataFrame({"class": names[i], "recall": recall[keep], "precision": precision[keep]}))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=["class", "recall", "precision"])


def calibration(rows: Rows) -> pd.DataFrame:
    """Compare probabilities with the share of right predictions, in ten bins.

    With one class per row, the probability of the predicted class counts; with several labels, that of every label.

    Returns:
        `from`, `to`, the means of `confidence` and `accuracy`, and `rows`; bins without rows are left out.
    """
    if isinstance(rows[0]["target"], list):
        _, true, _, scores = _arrays(rows)
        confidence, right = scores.ravel(), true.ravel().astype(float)
    else:
        confidence = np.array([max(row["probs"].values()) for row in rows])
        right = np.array([float(row["target"] == row["prediction"]) for row in rows])
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    frame = pd.DataFrame({"bin": place, "confidence": confidence, "accuracy": right, "rows": 1})
    found = frame.groupby("bin").agg({"confidence": "mean", "accuracy": "mean", "rows": "sum"}).reset_index()
    found.insert(0, "from", found["bin"] / BINS)
    found.insert(1, "to", (found["bin"] + 1) / BINS)
    return found.drop(columns="bin")


def expected_calibration_error(bins: pd.DataFrame) -> float:
    """Return the mean distance between confidence and accuracy, weighted by the rows of each bin.

    Source: Guo et al. 2017, On Calibration of Modern Neural Networks (arXiv:1706.04599), equation 3.

    Args:
        bins: see `calibration`.
    """
    gaps = (bins["confidence"] - bins["accuracy"]).abs()
    return float((gaps * bins["rows"]).sum() / bins["rows"].sum())


def _arrays(rows: Rows) -> tuple[list[str], Any, Any, Any]:
    """Return the class names, and as `(rows, classes)` the targets and predictions (0/1) and the probabilities."""
    seen = {name for row in rows for name in (*_several(row["target"]), *_several(row["prediction"]), *row["probs"])}
    names = sorted_labels(seen)
    true, predicted = (
        np.array([[n in _several(r[key]) for n in names] for r in rows]) for key in ("target", "prediction")
    )
    scores = np.array([[row["probs"].get(name, 0.0) for name in names] for row in rows])
    return names, true.astype(int), predicted.astype(int), scores


def _several(value: Any) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else [str(value)]


def _confusion(rows: Rows) -> Part:
    frame = confusion(rows)
    if len(frame) > MOST:
        return Part("confusion", "Confused classes", confused(rows)[: 2 * MOST], "", _pairs, (6.0, 4.5))
    note = "Rows, shaded by their share of the true class."
    side = 1.6 + 0.5 * len(frame)
    return Part("confusion", "Confusion matrix", frame, note, _squares, (max(3.4, side + 1), max(2.6, side)))


def _squares(axes: Axes, frame: pd.DataFrame) -> None:
    across_names, down_names = [str(name) for name in frame.columns], [str(name) for name in frame.index]
    counts = frame.to_numpy()
    shares = counts / counts.sum(axis=1, keepdims=True).clip(min=1)
    axes.pcolormesh(shares, cmap=SHADES, vmin=0, vmax=1, edgecolors=LINE, linewidth=0.5)
    axes.invert_yaxis()
    for i, j in ((i, j) for i in range(len(frame)) for j in range(len(frame.columns))):
        if counts[i, j]:
            axes.text(j + 0.5, i + 0.5, f"{counts[i, j]:g}", ha="center", va="center", color=INK)
    for setter, names in ((axes.set_xticks, across_names), (axes.set_yticks, down_names)):
        setter([i + 0.5 for i in range(len(names))], [name[:18] for name in names])
    if max(map(len, across_names)) * len(across_names) > 60:
        axes.tick_params(axis="x", rotation=90)
    axes.set(xlabel="predicted", ylabel="true")


def _pairs(axes: Axes, frame: pd.DataFrame) -> None:
    names = [f"{true} → {predicted}" for true, predicted in zip(frame["target"], frame["prediction"], strict=True)]
    bars(axes, names, list(frame["rows"]), label="rows (true → predicted)", colour=ORANGE)


def _curves(axes: Axes, frame: pd.DataFrame) -> None:
    names = list(dict.fromkeys(frame["class"]))
    for name, colour in zip(names, [*COLOURS, *[GREY] * len(names)], strict=False):
        part = frame[frame["class"] == name]
        axes.plot(part["recall"], part["precision"], color=colour, linewidth=1.4, label=str(name)[:20])
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1.02), ylim=(0, 1.02))
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    grid(axes, "both")


def _calibration(axes: Axes, frame: pd.DataFrame) -> None:
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="perfect")
    axes.bar(frame["from"], frame["accuracy"], width=0.1, align="edge", color=COLOURS[0], alpha=0.55, label="right")
    axes.plot(frame["confidence"], frame["accuracy"], color=ORANGE, marker="o", markersize=4, label="mean of the bin")
    axes.set(xlabel="probability", ylabel="share that is right", xlim=(0, 1), ylim=(0, 1.02))
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    grid(axes)
