"""Show the rows with the highest losses, and the slices of rows that a model does worse on."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from blurr.data.roles import FIELDS
from blurr.report.parts import BLUE, Part, bars
from blurr.report.spans import with_entities
from blurr.runs.record import Rows

SHOWN = 20  # rows in the table of top losses
CHARACTERS = 400  # of a text in that table
VALUES = 12  # more distinct values make slices that are too small to mean anything
FEWEST = 5  # rows in a slice
HIDDEN = {
    *("probs", "others", "token_count", "target_token_count", "length_seconds", "small_true_mask"),
    *("small_predicted_mask", "boxes", "predicted_boxes", "alignment", "segments"),
}
OF_ANSWERS = {"answers", "start", "end", "windows"}  # the column that is the target, and places in texts


def loss_parts(rows: Rows, kind: str = "") -> list[Part]:
    """Return the parts that show the top losses, and slices by target, length and the columns of the data.

    Args:
        rows: described rows of a split.
        kind: what was predicted, see `blurr.report.rows.predicted`.
    """
    slices_ = slices(rows)
    drawn = slices_[:VALUES]
    note = f"Mean loss of slices of at least {FEWEST} rows; all rows: {pd.Series(_losses(rows)).mean():.3g}."
    parts = [Part("slices", "Slices, the worst first", drawn, note, _slices, (6.0, 0.9 + 0.28 * len(drawn)))]
    return [Part("top_losses", "Top losses", top_losses(rows, kind=kind)), *(parts if len(slices_) else [])]


def top_losses(rows: Rows, k: int = SHOWN, *, kind: str = "") -> pd.DataFrame:
    """Return the rows with the highest losses, long texts cut, tags of words marked in their text."""
    worst = sorted(rows, key=lambda row: -float(row["loss"]))[:k]
    worst = [with_entities(row) for row in worst] if kind == "words" else worst
    hidden = HIDDEN | {"answers": OF_ANSWERS, "chats": {"messages"}}.get(kind, set())
    frame = pd.DataFrame([{k: _short(v) for k, v in row.items() if k not in hidden} for row in worst])
    again = [name for name in frame if name != "target" and frame[name].equals(frame["target"])]  # own column
    frame = frame.drop(columns=again)
    first = [name for name in ("loss", "target", "prediction") if name in frame]
    return frame[[*first, *(name for name in frame if name not in first)]]


def slices(rows: Rows) -> pd.DataFrame:
    """Return the mean loss of slices of the rows, and their accuracy if a row is either right or wrong.

    A slice is all rows with the same target, with the same value of a column (of at most 12 values), or in the same
    quarter of the lengths.

    Returns:
        `slice`, `rows`, `loss`, and `accuracy` if there is one; the highest loss first.
    """
    frame = pd.DataFrame({"loss": _losses(rows)})
    if all(type(row["target"]) is str for row in rows) and "probs" in rows[0]:
        frame["accuracy"] = [float(row["target"] == row["prediction"]) for row in rows]
    elif "exact_match" in rows[0]:
        frame["accuracy"] = [float(row["exact_match"]) for row in rows]
    found = []
    for name, values in keys_of(rows).items():
        for value, part in frame.groupby(pd.Series(values), sort=False):
            if FEWEST <= len(part) < len(frame):
                found.append({"slice": f"{name} = {value}", "rows": len(part), **part.mean().to_dict()})
    if not found:
        return pd.DataFrame(columns=["slice", "rows", "loss"])
    return pd.DataFrame(found).sort_values("loss", ascending=False).reset_index(drop=True)


def keys_of(rows: Rows) -> dict[str, list[Any]]:
    """Return what rows are sliced by: name to the value of each row."""
    columns = {name: [row.get(name) for row in rows] for name in rows[0]}
    keys: dict[str, list[Any]] = {}
    for name, values in columns.items():
        is_ours = name in FIELDS - {"target"}
        plain = all(isinstance(value, str | bool | int) for value in values)
        if not is_ours and plain and 1 < len(set(values)) <= VALUES and values != columns["target"]:
            keys[name] = values
    if "target" in columns and all(isinstance(v, str) for v in columns["target"]):
        keys |= {"target": columns["target"]} if 1 < len(set(columns["target"])) <= VALUES else {}
    counts = [row["token_count"] for row in rows if "token_count" in row]
    if len(set(counts)) > 1:
        keys["tokens"] = _quarters(counts)
    seconds = [row["length_seconds"] for row in rows if "length_seconds" in row]
    if len(set(seconds)) > 1:
        keys["seconds"] = [f"{each.left:.3g}–{each.right:.3g}" for each in pd.qcut(seconds, 4, duplicates="drop")]
    return keys


def _quarters(counts: list[int]) -> list[str]:
    cut = pd.qcut(counts, 4, duplicates="drop", precision=0)
    ends = [(max(int(np.floor(i.left)) + 1, min(counts)), int(np.floor(i.right))) for i in cut.categories]
    names = [str(least) if least == most else f"{least}–{most}" for least, most in ends]
    return [names[code] for code in cut.codes]


def _losses(rows: Rows) -> list[float]:
    return [float(row["loss"]) for row in rows]


def _short(value: Any) -> Any:
    if isinstance(value, list):
        value = " ".join(map(str, value))
    elif isinstance(value, dict):
        value = str(value)
    return f"{value[:CHARACTERS]} …" if isinstance(value, str) and len(value) > CHARACTERS else value


def _slices(axes: Axes, frame: pd.DataFrame) -> None:
    names = [f"{name} ({n})" for name, n in zip(frame["slice"], frame["rows"], strict=True)]
    bars(axes, names, list(frame["loss"]), label="mean loss (rows in brackets)", colour=BLUE)
