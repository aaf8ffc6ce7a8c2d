"""Show wrong entities and wrong answers, marked in their texts."""

from collections import Counter, defaultdict
from functools import partial
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from blurr.report.parts import GREEN, GREY, ORANGE, PURPLE, RED, Mark, Part, Passage, grid
from blurr.runs.record import Rows

Entity = tuple[str, int, int]
INVENTED = "invented"
KINDS = {"right": GREEN, "wrong type": PURPLE, "wrong ends": ORANGE, "both wrong": GREY, "missed": RED}
COLOURS = {**KINDS, INVENTED: "#5b6470"}
OUTCOMES = {"exact": GREEN, "overlaps": "#8fc7a6", "wrong": RED, "nothing said": "#e0a3a3"}
AROUND = 160  # characters of a context that are shown on each side of its marks


def entity_parts(rows: Rows) -> list[Part]:
    """Return the parts that show which entities are wrong."""
    note = (
        "How each true entity was predicted. Wrong ends: it overlaps a prediction of its type. An invented entity was "
        "predicted and overlaps no true one. Kinds after Chinchor and Sundheim 1993 (MUC-5 evaluation metrics)."
    )
    frame = error_types(rows)
    drawn = partial(_stacked, colours=COLOURS, label="entities")
    parts = [Part("entities", "Entities, right and wrong", frame, note, drawn)] if len(frame) else []
    wrong = wrong_sentences(rows)
    said = "Those with the most errors first. Green is right, red and dotted is wrong, underlined is missed."
    return [*parts, Part("sentences", "Sentences", wrong, said)] if len(wrong) else parts


def error_types(rows: Rows) -> pd.DataFrame:
    """Count how the entities of each type were predicted.

    Returns:
        The columns `type`, `right`, `wrong type`, `wrong ends`, `both wrong`, `missed` and `invented`.
    """
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        true, predicted = _entities(row["target"]), _entities(row["prediction"])
        for entity in true:
            counts[entity[0]][_kind(entity, predicted)] += 1
        for entity in predicted:
            counts[entity[0]][INVENTED] += not any(_overlap(entity, other) for other in true)
    frame = pd.DataFrame([{"type": name, **{k: c[k] for k in COLOURS}} for name, c in counts.items()])
    return frame.sort_values("type").reset_index(drop=True) if len(frame) else frame


def wrong_sentences(rows: Rows, k: int = 20) -> pd.DataFrame:
    """Return the sentences with the most wrong entities, the entities marked."""
    found = []
    for row in rows:
        true, predicted = set(_entities(row["target"])), set(_entities(row["prediction"]))
        if true != predicted:
            found.append((len(true ^ predicted), row, true, predicted))
    found.sort(key=lambda each: -each[0])
    return pd.DataFrame(
        [
            {
                "wrong": n,
                "loss": row["loss"],
                "text": _marked(row["tokens"], true, predicted),
                "what is wrong": _said(row["tokens"], true, predicted),
            }
            for n, row, true, predicted in found[:k]
        ]
    )


def _entities(labels: list[str]) -> list[Entity]:
    from blurr.text.token_classification.metrics import entities  # as the metrics count them

    return entities(labels)


def _kind(entity: Entity, predicted: list[Entity]) -> str:
    if entity in predicted:
        return "right"
    near = [other for other in predicted if _overlap(entity, other)]
    if any(other[1:] == entity[1:] for other in near):
        return "wrong type"
    if any(other[0] == entity[0] for other in near):
        return "wrong ends"
    return "both wrong" if near else "missed"


def _overlap(a: Entity, b: Entity) -> bool:
    return a[1] <= b[2] and b[1] <= a[2]


def _marked(words: list[str], true: set[Entity], predicted: set[Entity]) -> Passage:
    starts = [0]
    for word in words:
        starts.append(starts[-1] + len(word) + 1)
    kinds = {e: "good" if e in true else "bad" for e in predicted} | dict.fromkeys(true - predicted, "true")
    # a wrong prediction hides the true entity that it overlaps; both are named beside the text
    ordered = sorted(kinds.items(), key=lambda each: each[1] == "true")
    marks: list[Mark] = []
    for (name, first, last), kind in ordered:
        mark = Mark(starts[first], starts[last + 1] - 1, kind, name)
        if not any(mark.start < other.end and other.start < mark.end for other in marks):
            marks.append(mark)
    return Passage(" ".join(words), marks)


def _said(words: list[str], true: set[Entity], predicted: set[Entity]) -> str:
    """Name the wrong entities and the missed ones, each in the order of the text."""
    pairs = (("wrong", predicted - true), ("missed", true - predicted))
    parts = [
        f"{said}: " + ", ".join(f"{kind} “{' '.join(words[first : last + 1])}”" for kind, first, last in found)
        for said, entities in pairs
        if (found := sorted(entities, key=lambda entity: entity[1]))
    ]
    return "; ".join(parts)


def entities_named(words: list[str], labels: list[str]) -> str:
    """Return the entities of a text, each with its type: `PER “Ann Lee”, LOC “Riga”`."""
    named = [f"{kind} “{' '.join(words[first : last + 1])}”" for kind, first, last in _entities(labels)]
    return ", ".join(named) or "no entity"


def with_entities(row: dict[str, Any]) -> dict[str, Any]:
    """Return a described row whose tags are marked in its text: the true ones, and the predicted ones."""
    words, true, predicted = row["tokens"], set(_entities(row["target"])), set(_entities(row["prediction"]))
    # the words are in both texts, and the column of the labels is the target
    rest = {key: value for key, value in row.items() if key != "tokens" and value != row["target"]}
    marked = {"target": _marked(words, true, set()), "prediction": _marked(words, true & predicted, predicted)}
    return {**rest, **marked}


def answer_parts(rows: Rows) -> list[Part]:
    """Return the parts that show which answers are wrong."""
    drawn = partial(_stacked, colours=OUTCOMES, label="questions")
    said = (
        "The worst first. Green is right, red and dotted is wrong, underlined is a true answer; others are the next "
        "best."
    )
    return [
        Part("outcomes", "Answers", outcomes(rows), "Questions with and without an answer.", drawn, (6.0, 2.4)),
        Part("questions", "Questions", worst_answers(rows), said),
        Part("first_words", "By the question's first word", by_first_word(rows)),
    ]


def outcomes(rows: Rows) -> pd.DataFrame:
    """Count how questions with and without an answer were answered."""
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
    """Return the questions with the lowest F1, then the highest loss, their answers marked in the context."""
    worst = sorted(rows, key=lambda row: (row["f1"], -row["loss"]))[:k]
    return pd.DataFrame(
        [
            {
                "question": row["question"],
                "context": _answers_marked(row),
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
    """Return the scores of questions by their first word, the most frequent first."""
    words = [(row["question"].split() or ["—"])[0].strip("¿¡\"'").lower() for row in rows]
    frame = pd.DataFrame({"first word": words, **{key: [row[key] for row in rows] for key in ("exact_match", "f1")}})
    grouped = frame.groupby("first word").agg(
        rows=("f1", "size"), exact_match=("exact_match", "mean"), f1=("f1", "mean")
    )
    return grouped.sort_values("rows", ascending=False)[:most].reset_index()


def _answers_marked(row: dict[str, object]) -> Passage:
    context, marks = str(row["context"]), []
    if isinstance(row["start"], int) and isinstance(row["end"], int):
        marks.append(Mark(row["start"], row["end"], "good" if row["exact_match"] else "bad"))
    for answer in row["target"] if isinstance(row["target"], list) else []:
        start = context.find(answer)
        if start >= 0 and not any(start < m.end and m.start < start + len(answer) for m in marks):
            marks.append(Mark(start, start + len(answer), "true"))
    return _excerpt(context, marks)


def _excerpt(context: str, marks: list[Mark]) -> Passage:
    """Cut a context to the surroundings of its marks."""
    first = max(0, min((m.start for m in marks), default=0) - AROUND)
    last = min(len(context), max((m.end for m in marks), default=2 * AROUND) + AROUND)
    before, after = "… " if first else "", " …" if last < len(context) else ""
    moved = [Mark(m.start - first + len(before), m.end - first + len(before), m.kind) for m in marks]
    return Passage(before + context[first:last] + after, moved)


def _stacked(axes: Axes, frame: pd.DataFrame, *, colours: dict[str, str], label: str) -> None:
    """Draw a bar for each row of the frame, which the first column names, of the pieces in the other columns."""
    left = pd.Series(0, index=frame.index)
    for name in [name for name in colours if name in frame]:
        hatch = "///" if name == INVENTED else None
        axes.barh(frame.iloc[:, 0], frame[name], 0.7, left, color=colours[name], label=name, hatch=hatch)
        left = left + frame[name]
    axes.invert_yaxis()
    axes.set_xlabel(label)
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    grid(axes, "x")
