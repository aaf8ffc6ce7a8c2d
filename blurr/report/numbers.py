"""Errors of a regression: predictions against targets, and how the errors are spread."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from blurr.report.parts import BLUE, GREY, ORANGE, Part, grid
from blurr.report.record import Rows

POINTS = 600  # dots in a plot


def number_parts(rows: Rows) -> list[Part]:
    """Give what there is to say of rows whose targets and predictions are numbers."""
    if not all(isinstance(rows[0][key], int | float) for key in ("target", "prediction")):
        return []
    frame = errors(rows)
    mean, spread = frame["error"].mean(), frame["error"].abs().mean()
    some = frame.iloc[:: max(1, len(frame) // POINTS)]
    return [
        Part("predicted", "Predicted and true", some, "On the line a prediction is right.", _dots, (4.6, 3.6)),
        Part(
            "errors",
            "Errors",
            frame[["error"]],
            f"Prediction less target: {mean:+.3g} on the average, {spread:.3g} without the sign.",
            _spread,
        ),
        Part("errors_by_target", "Errors by target", by_target(frame), "Targets in five parts of equal size."),
    ]


def errors(rows: Rows) -> pd.DataFrame:
    """Give target, prediction and their difference."""
    frame = pd.DataFrame([{key: float(row[key]) for key in ("target", "prediction")} for row in rows])
    frame["error"] = frame["prediction"] - frame["target"]
    return frame


def by_target(frame: pd.DataFrame) -> pd.DataFrame:
    """Give the errors' mean and root mean square for low and high targets."""
    parts = pd.qcut(frame["target"], 5, duplicates="drop")
    grouped = frame.groupby(parts, observed=True)["error"]
    found = pd.DataFrame({"rows": grouped.size(), "mean error": grouped.mean()})
    found["root mean square"] = grouped.apply(lambda each: float(np.sqrt((each**2).mean())))
    return found.rename_axis("target").reset_index().astype({"target": str})


def _dots(axes: Axes, frame: pd.DataFrame) -> None:
    ends = [frame["target"].min(), frame["target"].max()]
    axes.plot(ends, ends, color=GREY, linestyle="--", linewidth=1)
    axes.scatter(frame["target"], frame["prediction"], color=BLUE, s=12, alpha=0.5, linewidths=0)
    axes.set(xlabel="target", ylabel="prediction")
    grid(axes, "both")


def _spread(axes: Axes, frame: pd.DataFrame) -> None:
    axes.hist(frame["error"], bins=30, color=BLUE)
    axes.axvline(0, color=ORANGE, linewidth=1)
    axes.set(xlabel="prediction less target", ylabel="rows")
    grid(axes)
