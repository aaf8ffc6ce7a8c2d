"""Show the errors of a regression, and a language model's perplexity by the length of rows."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from blurr.report.parts import BLUE, GREY, ORANGE, Part, grid
from blurr.runs.record import Rows

POINTS = 600  # dots in a plot
GROUPS = 8  # of rows by their length


def number_parts(rows: Rows) -> list[Part]:
    """Return the parts that show the errors of a regression."""
    frame = errors(rows)
    mean, spread = frame["error"].mean(), frame["error"].abs().mean()
    some = frame.iloc[:: max(1, len(frame) // POINTS)]
    note = f"Prediction less target: {mean:+.3g} on average, {spread:.3g} in absolute value."
    return [
        Part("predicted", "Predicted and true", some, "Predictions on the line are right.", _dots, (4.6, 3.6)),
        Part("errors", "Errors", frame[["error"]], note, _spread),
        Part("errors_by_target", "Errors by target", by_target(frame), "Five groups of targets of equal size."),
    ]


def errors(rows: Rows) -> pd.DataFrame:
    """Return target, prediction and their difference."""
    frame = pd.DataFrame([{key: float(row[key]) for key in ("target", "prediction")} for row in rows])
    frame["error"] = frame["prediction"] - frame["target"]
    return frame


def by_target(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the mean and the root mean square of the errors, from low to high targets."""
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


def perplexity_parts(rows: Rows) -> list[Part]:
    """Return the parts that show how well single tokens were predicted."""
    note = "The exponential of the mean loss per predicted token; rows in groups of about equal size."
    losses = [float(row["loss"]) for row in rows]
    frame = by_length(rows)
    lengths = [Part("perplexity", "Perplexity by length", frame, note, _by_length)] if len(frame) > 1 else []
    of_rows = Part("losses_of_rows", "Losses of the rows", pd.DataFrame({"loss": losses}), "Mean per token.", _losses)
    return [*lengths, of_rows]


def by_length(rows: Rows) -> pd.DataFrame:
    """Return perplexity and token accuracy, from the shortest to the longest rows.

    Returns:
        `tokens` (predicted tokens of a row, from–to), `rows`, `perplexity`, `token_accuracy`.
    """
    counts = np.array([row["target_count"] for row in rows])
    parts = pd.qcut(counts, GROUPS, duplicates="drop") if len(set(counts)) > 1 else pd.Categorical(counts)
    frame = pd.DataFrame({"part": parts, "n": counts, "right": [row["right_count"] for row in rows]})
    frame["loss"] = [float(row["loss"]) * row["target_count"] for row in rows]
    grouped = frame.groupby("part", observed=True)
    sums = grouped[["n", "loss", "right"]].sum()
    least, most = grouped["n"].min(), grouped["n"].max()
    return pd.DataFrame(
        {
            "tokens": [str(a) if a == b else f"{a}–{b}" for a, b in zip(least, most, strict=True)],
            "rows": list(grouped.size()),
            "perplexity": np.exp((sums["loss"] / sums["n"]).to_numpy()),
            "token_accuracy": (sums["right"] / sums["n"]).to_numpy(),
        }
    )


def _by_length(axes: Axes, frame: pd.DataFrame) -> None:
    axes.bar(frame["tokens"], frame["perplexity"], color=BLUE, width=0.7)
    for place, value in enumerate(frame["perplexity"]):
        axes.annotate(f"{value:.3g}", (place, value), xytext=(0, 2), textcoords="offset points", ha="center")
    axes.set(xlabel="predicted tokens of a row", ylabel="perplexity")
    axes.tick_params(axis="x", rotation=30 if len(frame) > 5 else 0)
    axes.margins(y=0.12)
    grid(axes)


def _losses(axes: Axes, frame: pd.DataFrame) -> None:
    axes.hist(frame["loss"], bins=30, color=BLUE)
    axes.axvline(frame["loss"].mean(), color=ORANGE, linewidth=1.2, label=f"mean {frame['loss'].mean():.3g}")
    axes.set(xlabel="loss", ylabel="rows")
    axes.legend()
    grid(axes)
