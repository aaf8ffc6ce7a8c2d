"""Errors in answering questions: what was answered, marked in its context, beside what is true."""

import pandas as pd
from matplotlib.axes import Axes

from blurr.report.parts import GREEN, RED, Mark, Part, Passage, framed, grid
from blurr.report.record import Rows

AROUND = 160  # characters of the context to show on each side of what is marked


def answer_parts(rows: Rows) -> list[Part]:
    """Give what there is to say of rows with a context and the answer found in it."""
    if not {"context", "question", "start", "end", "exact_match"} <= set(rows[0]):
        return []
    outcomes_ = outcomes(rows)
    said = "The worst first. Green is right, red wrong, underlined a true answer; `others` are the next best."
    return [
        Part("outcomes", "Answers", outcomes_, "Questions with and without an answer.", _outcomes, (6.0, 2.4)),
        Part("questions", "Questions", worst_answers(rows), said),
        Part("first_words", "By the question's first word", by_first_word(rows)),
    ]


def outcomes(rows: Rows) -> pd.DataFrame:
    """Count what came of questions that have an answer, and of those that have none."""
    kinds = []
    for row in rows:
        asked = "with an answer" if row["target"] else "without"
        said = "nothing said" if not row["prediction"] else "exact" if row["exact_match"] else "overlaps"
        if said == "overlaps" and not row["f1"]:
            said = "wrong"
        if said == "nothing said" and not row["target"]:
            said = "exact"
        kinds.append({"question": asked, "outcome": said})
    frame = pd.DataFrame(kinds)
    return pd.crosstab(frame["question"], frame["outcome"]).reset_index()


def worst_answers(rows: Rows, k: int = 25) -> pd.DataFrame:
    """Give the questions with the lowest F1, and of these the highest losses, with answers marked in the context."""
    worst = sorted(rows, key=lambda row: (row["f1"], -row["loss"]))[:k]
    return framed(
        [
            {
                "question": row["question"],
                "context": _marked(row),
                "answered": row["prediction"] or "—",
                "true": " / ".join(dict.fromkeys(row["target"])) or "—",
                "others": "; ".join(f"{a['answer'] or '—'} ({a['score']:.2f})" for a in row.get("others", [])),
                "f1": row["f1"],
                "loss": row["loss"],
            }
            for row in worst
        ]
    )


def by_first_word(rows: Rows, most: int = 12) -> pd.DataFrame:
    """Give the scores of questions by their first word, the most frequent first."""
    words = [(row["question"].split() or ["—"])[0].strip("¿¡\"'").lower() for row in rows]
    frame = pd.DataFrame({"first word": words, **{key: [row[key] for row in rows] for key in ("exact_match", "f1")}})
    grouped = frame.groupby("first word").agg(
        rows=("f1", "size"), exact_match=("exact_match", "mean"), f1=("f1", "mean")
    )
    return grouped.sort_values("rows", ascending=False)[:most].reset_index()


def _marked(row: dict[str, object]) -> Passage:
    context, marks = str(row["context"]), []
    if isinstance(row["start"], int) and isinstance(row["end"], int):
        marks.append(Mark(row["start"], row["end"], "good" if row["exact_match"] else "bad"))
    for answer in row["target"] if isinstance(row["target"], list) else []:
        start = context.find(answer)
        if start >= 0 and not any(start < m.end and m.start < start + len(answer) for m in marks):
            marks.append(Mark(start, start + len(answer), "true"))
    return _excerpt(context, marks)


def _excerpt(context: str, marks: list[Mark]) -> Passage:
    """Cut a context to what is around its marks."""
    first = max(0, min((m.start for m in marks), default=0) - AROUND)
    last = min(len(context), max((m.end for m in marks), default=2 * AROUND) + AROUND)
    before, after = "… " if first else "", " …" if last < len(context) else ""
    moved = [Mark(m.start - first + len(before), m.end - first + len(before), m.kind) for m in marks]
    return Passage.of(before + context[first:last] + after, moved)


def _outcomes(axes: Axes, frame: pd.DataFrame) -> None:
    colours = {"exact": GREEN, "overlaps": "#8fc7a6", "wrong": RED, "nothing said": "#e0a3a3"}
    left = pd.Series(0, index=frame.index)
    for name in [name for name in colours if name in frame]:
        axes.barh(frame["question"], frame[name], left=left, color=colours[name], height=0.6, label=name)
        left = left + frame[name]
    axes.invert_yaxis()
    axes.set_xlabel("questions")
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    grid(axes, "x")
