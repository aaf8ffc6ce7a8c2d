"""Compare runs: their configs, scores and predictions, and whether a difference may be chance."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from blurr.errors import InputError
from blurr.metrics.alignment import edits
from blurr.metrics.base import MINIMIZE
from blurr.metrics.rouge import Rouge
from blurr.report.chats import question_of
from blurr.report.leaderboard import Directions, better_of, directions_of
from blurr.report.previews import FileCell, Line, name_of, previews_of_either, spoken
from blurr.report.rows import checked
from blurr.report.spans import entities_named
from blurr.report.texts import source_of, word_f1
from blurr.runs.jsonlines import flatten
from blurr.runs.record import Record, Rows

SAMPLES = 2000  # draws of the bootstrap
OWN = ("output_dir", "resume", "overwrite", "tracking.run_name")  # always differ, and mean nothing


def config_differences(records: Sequence[Record]) -> pd.DataFrame:
    """Return the config keys whose values differ: `key`, and a column for each run."""
    flat = [flatten(record.config) for record in records]
    keys = sorted({key for each in flat for key in each if key not in OWN})
    rows = [{"key": key, **{r.name: f.get(key, "—") for r, f in zip(records, flat, strict=True)}} for key in keys]
    return pd.DataFrame([row for row in rows if len({v for k, v in row.items() if k != "key"}) > 1])


def metric_differences(records: Sequence[Record]) -> pd.DataFrame:
    """Return the final metrics: `metric`, a column for each run, and `best`, the run with the best value.

    `best` is empty if all values are equal, or if it is unknown which way the metric is better.
    """
    names = dict.fromkeys(name for record in records for name in record.scores)
    directions = {name: said for record in records for name, said in directions_of(record).items()}
    return pd.DataFrame(
        [
            {"metric": n, **{r.name: r.scores.get(n) for r in records}, "best": _best(n, records, directions)}
            for n in names
        ]
    )


def _best(name: str, records: Sequence[Record], directions: Directions) -> str:
    better = better_of(name, directions)
    values = {r.name: r.scores[name] for r in records if name in r.scores and not math.isnan(r.scores[name])}
    if better is None or len(set(values.values())) < 2:
        return ""
    return (min if better == MINIMIZE else max)(values, key=lambda run: values[run])


def changed_predictions(first: Record, second: Record, split: str = "valid") -> pd.DataFrame:
    """Return the rows of a split that two runs predict differently, sorted by how much the loss rose.

    Returns:
        `row`, `text` (or the role that holds files, such as `image`), `target`, the prediction of each run, and how
        much the score of the row (see `row_scores`) and its `loss` rose from the first run to the second.

    Raises:
        InputError: the runs were not evaluated on the same rows.
    """
    a, b, kind = paired(first, second, split)
    name, one = row_scores(a, kind)
    _, other = row_scores(b, kind)
    previews = previews_of_either(first, second, split)
    found = [
        {
            "row": i,
            **_what_is_read(x, kind, previews.get(i)),
            "target": shown(x, "target", kind),
            f"{first.name}": shown(x, "prediction", kind),
            f"{second.name} ": shown(y, "prediction", kind),
            name: other[i] - one[i],
            "loss": float(y["loss"]) - float(x["loss"]),
        }
        for i, (x, y) in enumerate(zip(a, b, strict=True))
        if x["prediction"] != y["prediction"]
    ]
    frame = pd.DataFrame(found)
    return frame.sort_values("loss", ascending=False).reset_index(drop=True) if found else frame


def row_scores(rows: Rows, kind: str) -> tuple[str, list[float]]:
    """Return the name and the values of the score that tells which of two predictions of a row is the better one."""
    if kind == "numbers":
        return "nearer", [-abs(float(row["prediction"]) - float(row["target"])) for row in rows]
    scores = measures(rows, kind)
    name = next(
        name for name in ("right", "exact_match", "token_accuracy", "rougeL", "word_accuracy") if name in scores
    )
    return name, scores[name]


def _what_is_read(row: dict[str, Any], kind: str, preview: Line | None) -> dict[str, Any]:
    if preview is None:
        return {"text": text_of(row, kind)}
    return {preview["role"]: FileCell([preview], [f"{shown(row, 'target', kind)}: {name_of(preview)}"])}


def text_of(row: dict[str, Any], kind: str) -> str:
    """Return what a row asks of a model."""
    if kind == "answers":
        return f"{row['question']} — {row['context']}"
    if kind == "chats":
        return question_of(row)
    return " ".join(row["tokens"]) if kind == "words" else source_of(row)


def shown(row: dict[str, Any], key: str, kind: str) -> str:
    """Return the target or the prediction of a row as a text."""
    value = row[key]
    if kind == "words":
        return entities_named(row["tokens"], value)
    return " / ".join(map(str, value)) or "none" if isinstance(value, list) else str(value) or "none"


def significance(first: Record, second: Record, split: str = "valid", *, seed: int = 0) -> pd.DataFrame:
    """Test with a paired bootstrap whether the difference of two runs may be chance.

    Source: Koehn 2004, Statistical Significance Tests for Machine Translation Evaluation (aclanthology.org/W04-3250):
    rows are drawn with replacement 2000 times, the same ones for both runs; `p` is the share of draws in which the
    difference does not have the sign that it has on all rows.

    Args:
        first: the run to compare with.
        second: the run that is compared.
        split: the split whose rows are drawn, of both runs.
        seed: seeds the draws.

    Returns:
        `measure` (see `measures`), `difference` (second less first), its 95 % interval `from` and `to`, and `p`.

    Raises:
        InputError: the runs were not evaluated on the same rows.
    """
    a, b, kind = paired(first, second, split)
    one, other = measures(a, kind), measures(b, kind)
    drawn = np.random.default_rng(seed).integers(0, len(a), (SAMPLES, len(a)))
    found = []
    for name, values in one.items():
        gaps = np.array(other[name]) - np.array(values)
        difference, means = gaps.mean(), gaps[drawn].mean(axis=1)
        low, high = np.quantile(means, [0.025, 0.975])
        p = float((means * np.sign(difference) <= 0).mean()) if difference else 1.0
        found.append({"measure": name, "difference": difference, "from": low, "to": high, "p": p})
    return pd.DataFrame(found)


def measures(rows: Rows, kind: str) -> dict[str, list[float]]:
    """Score each row by itself.

    Args:
        rows: described rows of a split.
        kind: what was predicted, see `blurr.report.rows.predicted`.

    Returns:
        `loss`, and for answers `exact_match` and `f1`, for tokens the share of right ones (`token_accuracy`), for texts
        `word_f1` and `rougeL`, for chats all three of these, for transcripts `word_accuracy`, 1 less the word error
        rate, and for all else whether the row is `right`.
    """
    found = {"loss": [float(row["loss"]) for row in rows]}
    if kind == "answers":
        return found | {name: [float(row[name]) for row in rows] for name in ("exact_match", "f1")}
    if kind in ("tokens", "chats"):
        found["token_accuracy"] = [row["right_count"] / max(1, row["target_count"]) for row in rows]
    if kind in ("texts", "chats"):
        pairs = [(row["prediction"], row["target"]) for row in rows]
        rouge = list(Rouge("rougeL").scores(*zip(*pairs, strict=True)))  # the run's own metric
        return found | {"word_f1": [word_f1(*pair) for pair in pairs], "rougeL": rouge}
    if kind == "tokens":
        return found
    if kind == "transcripts":
        words = [(edits(row["alignment"]), spoken(row)) for row in rows]
        return found | {"word_accuracy": [1 - wrong / max(1, said) for wrong, said in words]}
    return found | {"right": [float(row["prediction"] == row["target"]) for row in rows]}


def paired(first: Record, second: Record, split: str) -> tuple[Rows, Rows, str]:
    """Return the described rows of two runs, and what they are predictions of.

    Raises:
        InputError: a row is broken, or they are not the same rows in the same order.
    """
    found = [checked(record.tables.get(split, []), first.predicts) for record in (first, second)]
    (a, kind), (b, other) = found
    if kind is None or kind != other or [row["target"] for row in a] != [row["target"] for row in b]:
        raise InputError(
            f"{first.name} and {second.name} cannot be compared row by row: they have {len(a)} and {len(b)} rows of "
            f"the split {split}, which are not the same. Compare runs on the same data and seed."
        )
    return a, b, kind
