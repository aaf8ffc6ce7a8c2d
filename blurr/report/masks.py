"""Show how well the pixels of each class are found, and which share of each picture is right."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from blurr.data.known_labels import sorted_labels
from blurr.metrics.bootstrap import ratio
from blurr.report.parts import Part, bars, grid
from blurr.runs.record import Rows

MOST = 20  # classes in a plot; the table lists all
BINS = 20


def mask_parts(rows: Rows) -> list[Part]:
    """Return the parts that show the errors of a segmentation."""
    frame = per_class(rows)
    drawn = frame.sort_values("iou")[:MOST]
    note = "Intersection over union of all pictures together: the worst classes first."
    accuracies = pd.DataFrame({"pixel accuracy": [row["pixel_accuracy"] for row in rows if row["target_count"]]})
    return [
        Part("iou", "Each class", frame, "Pixels that are of a class, that are predicted to be, and that are both."),
        Part("worst_classes", "Intersection over union", drawn, note, _bars, (6.0, 0.9 + 0.28 * len(drawn))),
        Part("pixel_accuracy", "Right pixels of each picture", accuracies, "", _spread),
    ]


def per_class(rows: Rows) -> pd.DataFrame:
    """Return intersection over union, precision, recall and pixels of each class that occurs."""
    sums: dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]] = {}
    pictures: dict[str, int] = {}
    for row in rows:
        for name, counts in row["pixels"].items():
            sums[name] = sums.get(name, np.zeros(3)) + np.asarray(counts, dtype=np.float64)
            pictures[name] = pictures.get(name, 0) + (counts[0] > 0)
    names = sorted_labels(sums)
    true, predicted, both = np.array([sums[name] for name in names]).T if names else np.zeros((3, 0))
    return pd.DataFrame(
        {
            "class": names,
            "iou": ratio(both, true + predicted - both),
            "precision": ratio(both, predicted),
            "recall": ratio(both, true),
            "pixels": true.astype(int),
            "predicted": predicted.astype(int),
            "pictures": [pictures[name] for name in names],
        }
    )


def _bars(axes: Axes, frame: pd.DataFrame) -> None:
    bars(axes, list(frame["class"]), list(frame["iou"]), label="intersection over union")
    axes.set_xlim(0, 1)


def _spread(axes: Axes, frame: pd.DataFrame) -> None:
    axes.hist(frame["pixel accuracy"], bins=BINS, range=(0, 1))
    axes.set(xlabel="share of the pixels that are right", ylabel="pictures", xlim=(0, 1))
    grid(axes)
