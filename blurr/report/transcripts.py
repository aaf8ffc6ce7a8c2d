"""Show what was heard beside what was said: words taken for others, error rates of slices, the worst sounds."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from blurr.metrics.alignment import edits
from blurr.report.losses import FEWEST, VALUES, keys_of
from blurr.report.parts import Mark, Part, Passage, bars
from blurr.report.previews import FILES, FileCell, Line, error_rate, name_of, spoken
from blurr.runs.record import Rows

MOST = 40  # edits in the table
WORST = 20  # sounds
Pair = Sequence[str | None]
EDITS = ("substituted", "inserted", "deleted")


def transcript_parts(rows: Rows) -> list[Part]:
    """Return the parts that show the errors of transcripts."""
    words, counts = sum(map(spoken, rows)), _counts(rows)
    rate = sum(counts.values()) / max(words, 1)
    told = ", ".join(f"{counts[kind]} {kind}" for kind in EDITS)
    note = (
        f"Of {words:,} words, {told}: a word error rate of {rate:.3g}. After the normalizer of the run, task.normalize."
    )
    slices, size = error_rates(rows), (6.0, 0.9 + 0.28 * min(VALUES, len(error_rates(rows))))
    drawn = slices[:VALUES]
    of_slices = Part("error_rates", "Word error rate of slices, the worst first", drawn, "", _bars, size)
    return [Part("edits", "Words that were heard wrong", frequent(rows), note), *([of_slices] if len(slices) else [])]


def kind_of(pair: Pair) -> str:
    """Return what became of a word: nothing, if it was heard right."""
    true, heard = pair
    if true == heard:
        return ""
    return "inserted" if true is None else "deleted" if heard is None else "substituted"


def _counts(rows: Rows) -> Counter[str]:
    return Counter(kind_of(pair) for row in rows for pair in row["alignment"] if kind_of(pair))


def frequent(rows: Rows) -> pd.DataFrame:
    """Return the most frequent errors: what was said, what was heard, and how often."""
    counts = Counter((kind_of(pair), *pair) for row in rows for pair in row["alignment"] if kind_of(pair))
    found = [(kind, true or "", heard or "", count) for (kind, true, heard), count in counts.most_common(MOST)]
    return pd.DataFrame(found, columns=["error", "said", "heard", "times"])


def error_rates(rows: Rows) -> pd.DataFrame:
    """Return the word error rate of rows with the same value of a column, such as a speaker; the highest first."""
    found = []
    for name, values in keys_of(rows).items():
        for value, numbers in pd.Series(range(len(rows))).groupby(pd.Series(values), sort=False):
            if FEWEST <= len(numbers) < len(rows):
                rate = error_rate([rows[number] for number in numbers])
                found.append({"slice": f"{name} = {value}", "rows": len(numbers), "word error rate": rate})
    frame = pd.DataFrame(found, columns=["slice", "rows", "word error rate"])
    return frame.sort_values("word error rate", ascending=False).reset_index(drop=True)


def worst_part(rows: Rows, previews: Mapping[int, Line]) -> Part:
    """Return the part that shows the sounds with the most errors for their words, to listen to."""
    rates = {number: error_rate([row]) for number, row in enumerate(rows) if edits(row["alignment"])}
    found = []
    for number in sorted(rates, key=lambda number: -rates[number])[:WORST]:
        row, line = rows[number], previews.get(number, {"row": number, "split": "", "name": ""})
        told: dict[str, Any] = {
            FILES: FileCell([line], [f"{row['target']}, heard as {row['prediction']}: {name_of(line)}"])
        }
        told |= {"heard": heard(row["alignment"]), "said": row["target"]}
        found.append({**told, "word error rate": rates[number]})
    note = "Red words were not said, and what was said stands behind them; words marked as missing were not heard."
    return Part("worst_transcripts", "Sounds with the most errors", pd.DataFrame(found), note, is_sheet=True)


def heard(pairs: Sequence[Pair]) -> Passage:
    """Return what was heard, with its errors marked, and the words that were not heard."""
    text, marks = "", []
    for pair in pairs:
        true, said = pair
        word, kind = (true if said is None else said) or "", kind_of(pair)
        start = len(text) + bool(text)
        text = f"{text} {word}" if text else word
        if kind:
            label = {"deleted": "missing", "inserted": "not said"}.get(kind, str(true))
            marks.append(Mark(start, len(text), "true" if kind == "deleted" else "bad", label))
    return Passage(text, marks)


def _bars(axes: Axes, frame: pd.DataFrame) -> None:
    names = [f"{name} ({n})" for name, n in zip(frame["slice"], frame["rows"], strict=True)]
    bars(axes, names, list(frame["word error rate"]), label="word error rate (rows in brackets)")
    axes.set_xlim(0, max(1.0, float(np.max(frame["word error rate"]))))
