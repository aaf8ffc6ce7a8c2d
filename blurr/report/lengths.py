"""Tokens of the rows of each split: how many, how many were cut off, and how many are padding."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from blurr.report.parts import BLUE, COLOURS, Part, grid
from blurr.report.record import Record

QUANTILES = (0.0, 0.25, 0.5, 0.75, 0.95, 1.0)
BINS = 30
PASS = (
    "Of one pass; padding as a share of what is computed on. A row at the limit has lost its end, unless the task cuts "
    "rows into windows or blocks."
)


def token_figures(
    lengths: NDArray[np.int64], batches: Sequence[NDArray[np.int64]], limit: int | None
) -> dict[str, Any]:
    """Sum up how long the tokenized rows of a split are, and what it costs to make batches of them.

    Args:
        lengths: tokens, `(rows,)`; `(rows, 2)` where the target is padded apart from the source.
        batches: the numbers of the rows of each batch of one pass.
        limit: tokens at which a row ends, if there is such a limit.

    Returns:
        `rows`, `tokens` and `padding` (tokens of one pass, of pads), `quantiles` and `histogram` of the sources'
        lengths, and `at_limit`: rows with exactly `limit` tokens, most of which have lost their end.
    """
    columns = lengths.reshape(len(lengths), -1)
    source = columns[:, 0]
    padded = sum(int(len(batch) * columns[batch].max(axis=0).sum()) for batch in batches)
    real = sum(int(columns[batch].sum()) for batch in batches)
    counts, edges = np.histogram(source, bins=min(BINS, max(1, int(np.ptp(source)))))
    return {
        "rows": len(columns),
        "tokens": int(columns.sum()),
        "padding": padded - real,
        "batches": len(batches),
        "limit": limit,
        "at_limit": int((source == limit).sum()) if limit else 0,
        "quantiles": dict(zip(map(str, QUANTILES), np.quantile(source, QUANTILES).tolist(), strict=True)),
        "histogram": {"edges": edges.tolist(), "counts": counts.tolist()},
    }


def length_parts(record: Record) -> list[Part]:
    """Give what is known of the tokens of a run's splits."""
    if "tokens" not in record.facts:
        return []
    return [
        Part("token_lengths", "Tokens of a row", histogram(record), "Of the source, where a target is apart.", _drawn),
        Part("tokens", "Tokens and padding", lengths(record), PASS),
    ]


def lengths(record: Record) -> pd.DataFrame:
    """Give each split's rows, tokens, share of padding, rows at the limit, and quantiles of the rows' lengths."""
    rows = []
    for split, figures in record.facts["tokens"].items():
        whole = figures["tokens"] + figures["padding"]
        named = {"0.0": "shortest", "0.5": "median", "0.95": "95 %", "1.0": "longest"}
        rows.append(
            {
                "split": split,
                "rows": figures["rows"],
                "batches": figures["batches"],
                "tokens": figures["tokens"],
                "padding": figures["padding"] / max(1, whole),
                "limit": "—" if figures["limit"] is None else str(figures["limit"]),
                "rows at the limit": figures["at_limit"],
                **{name: figures["quantiles"][key] for key, name in named.items()},
            }
        )
    return pd.DataFrame(rows)


def histogram(record: Record) -> pd.DataFrame:
    """Give, for each split, the share of its rows between two lengths: `split`, `from`, `to`, `share`."""
    frames = []
    for split, figures in record.facts["tokens"].items():
        edges, counts = (np.array(figures["histogram"][key]) for key in ("edges", "counts"))
        share = counts / max(1, counts.sum())
        frames.append(pd.DataFrame({"split": split, "from": edges[:-1], "to": edges[1:], "share": share}))
    return pd.concat(frames, ignore_index=True)


def _drawn(axes: Axes, frame: pd.DataFrame) -> None:
    for (split, part), colour in zip(frame.groupby("split", sort=False), COLOURS, strict=False):
        density = part["share"] / (part["to"] - part["from"])  # splits may have bins of different widths
        edges = [*part["from"], part["to"].iloc[-1]]
        axes.stairs(
            density, edges, color=colour, fill=colour == BLUE, alpha=0.6 if colour == BLUE else 1, label=str(split)
        )
    axes.set(xlabel="tokens", ylabel="share of the rows")
    axes.set_yticks([])
    axes.legend()
    grid(axes)
