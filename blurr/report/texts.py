"""Show generated texts beside their references, and their lengths."""

from collections import Counter
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from blurr.metrics.texts import CHARACTER
from blurr.report.parts import BLUE, GREY, ORANGE, Mark, Part, Passage, grid
from blurr.runs.record import Rows

WORD = CHARACTER  # a word, or a character of a script without spaces
SHOWN = 600  # characters of a source


def text_parts(rows: Rows) -> list[Part]:
    """Return the parts that show texts which a model wrote."""
    note = (
        "Sorted by the F1 of their words, the worst first. Green words are in the reference, red dotted ones not. "
        "The run's own metrics are at the top of the page."
    )
    return [Part("texts", "Texts beside their references", worst_texts(rows), note), *overlap_parts(rows)]


def overlap_parts(rows: Rows) -> list[Part]:
    """Return the parts that show how much texts have in common with their references, and how long they are."""
    frame = overlaps(rows)
    return [
        Part("overlap", "Overlap with the references", frame[["f1"]], "F1 of the words of each text.", _overlap),
        Part("lengths_written", "Lengths", frame.iloc[:, 1:], "Words of each text.", _lengths, (4.6, 3.4)),
    ]


def word_f1(prediction: str, target: str) -> float:
    """Return the F1 of the words that two texts have in common, in any order.

    Source: ROUGE-1 (Lin 2004, aclanthology.org/W04-1013), without stemming.
    """
    written, wanted = Counter(WORD.findall(prediction.lower())), Counter(WORD.findall(target.lower()))
    common = (written & wanted).total()
    return 2 * common / max(1, written.total() + wanted.total())


def overlaps(rows: Rows) -> pd.DataFrame:
    """Return each row's F1 of words, and the number of words written and in the reference."""
    return pd.DataFrame(
        {
            "f1": [word_f1(row["prediction"], row["target"]) for row in rows],
            "written": [len(WORD.findall(row["prediction"])) for row in rows],
            "reference": [len(WORD.findall(row["target"])) for row in rows],
        }
    )


def worst_texts(rows: Rows, k: int = 25) -> pd.DataFrame:
    """Return the rows whose texts have the fewest words in common with their references."""
    scored = sorted(((word_f1(row["prediction"], row["target"]), row) for row in rows), key=lambda each: each[0])
    return pd.DataFrame(
        [
            {
                "written": compared(row["prediction"], row["target"]),
                "reference": row["target"],
                "source": short(source_of(row)),
                "f1": score,
                "loss": row["loss"],
            }
            for score, row in scored[:k]
        ]
    )


def compared(written: str, wanted: str) -> Passage:
    """Mark the words of a text that another has, too, and those that it has not."""
    left = Counter(WORD.findall(wanted.lower()))
    marks = []
    for found in WORD.finditer(written):
        word = found[0].lower()
        marks.append(Mark(found.start(), found.end(), "good" if left[word] > 0 else "bad"))
        left[word] -= 1
    return Passage(written, marks)


def source_of(row: dict[str, Any]) -> str:
    """Return the longest text of a row besides prediction and target: what the model read."""
    texts = [v for k, v in row.items() if isinstance(v, str) and k != "prediction" and v != row["target"]]
    return max(texts, key=len, default="")


def short(text: str) -> str:
    """Cut a text that is too long for a table."""
    return text if len(text) <= SHOWN else f"{text[:SHOWN]} …"


def _overlap(axes: Axes, frame: pd.DataFrame) -> None:
    axes.hist(frame["f1"], bins=20, range=(0, 1), color=BLUE)
    axes.set(xlabel="F1 of words", ylabel="texts", xlim=(0, 1))
    grid(axes)


def _lengths(axes: Axes, frame: pd.DataFrame) -> None:
    longest = max(frame.max())
    axes.plot([0, longest], [0, longest], color=GREY, linestyle="--", linewidth=1)
    axes.scatter(frame["reference"], frame["written"], s=14, alpha=0.35, color=ORANGE, linewidths=0)
    axes.set(xlabel="words of the reference", ylabel="words written")
    grid(axes, "both")
