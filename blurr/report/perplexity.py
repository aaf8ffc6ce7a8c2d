"""How a language model fares with rows of different lengths."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from blurr.report.parts import BLUE, ORANGE, Part, grid
from blurr.report.record import Rows

PARTS = 8


def perplexity_parts(rows: Rows) -> list[Part]:
    """Give what there is to say of rows of which single tokens were predicted."""
    if not {"target_count", "right_count"} <= set(rows[0]):
        return []
    note = "The exponential of the mean loss per predicted token; rows in parts of about equal size."
    return [
        Part("perplexity", "Perplexity by length", by_length(rows), note, _by_length),
        Part(
            "losses_of_rows",
            "Losses of the rows",
            pd.DataFrame({"loss": _losses(rows)}),
            "Mean per token.",
            _losses_drawn,
        ),
    ]


def by_length(rows: Rows) -> pd.DataFrame:
    """Give perplexity and share of right tokens, from the shortest to the longest rows.

    Returns:
        `tokens` (predicted ones in a row: from–to), `rows`, `perplexity`, `token_accuracy`.
    """
    counts = np.array([row["target_count"] for row in rows])
    parts = pd.qcut(counts, PARTS, duplicates="drop") if len(set(counts)) > 1 else pd.Categorical(counts)
    frame = pd.DataFrame({"part": parts, "n": counts, "loss": _losses(rows) * counts})
    frame["right"] = [row["right_count"] for row in rows]
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


def _losses(rows: Rows) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    return np.array([float(row["loss"]) for row in rows])


def _by_length(axes: Axes, frame: pd.DataFrame) -> None:
    axes.bar(frame["tokens"], frame["perplexity"], color=BLUE, width=0.7)
    for place, value in enumerate(frame["perplexity"]):
        axes.annotate(f"{value:.3g}", (place, value), xytext=(0, 2), textcoords="offset points", ha="center")
    axes.set(xlabel="predicted tokens of a row", ylabel="perplexity")
    axes.tick_params(axis="x", rotation=30 if len(frame) > 5 else 0)
    axes.margins(y=0.12)
    grid(axes)


def _losses_drawn(axes: Axes, frame: pd.DataFrame) -> None:
    axes.hist(frame["loss"], bins=30, color=BLUE)
    axes.axvline(frame["loss"].mean(), color=ORANGE, linewidth=1.2, label=f"mean {frame['loss'].mean():.3g}")
    axes.set(xlabel="loss", ylabel="rows")
    axes.legend()
    grid(axes)
