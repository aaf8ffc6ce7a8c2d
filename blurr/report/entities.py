"""Errors of labelled words, entity by entity: what was missed, invented, cut wrongly, or taken for another type."""

from collections import Counter, defaultdict

import pandas as pd
from matplotlib.axes import Axes

from blurr.report.parts import GREEN, GREY, ORANGE, PURPLE, RED, Mark, Part, Passage, framed, grid
from blurr.report.record import Rows

Entity = tuple[str, int, int]
KINDS = {"right": GREEN, "wrong type": PURPLE, "wrong ends": ORANGE, "both wrong": GREY, "missed": RED}
INVENTED = "invented"


def entity_parts(rows: Rows) -> list[Part]:
    """Give what there is to say of rows whose words have labels."""
    row = rows[0]
    if not isinstance(row["target"], list) or not isinstance(row["prediction"], list) or "tokens" not in row:
        return []
    note = (
        "Of each true entity whether it was found; `wrong ends` overlaps a prediction of its type. Invented: predicted "
        "and no true entity overlaps it. Kinds after Chinchor and Sundheim 1993 (MUC-5 evaluation metrics)."
    )
    frame = error_types(rows)
    parts = [Part("entities", "Entities, right and wrong", frame, note, _stacked)] if len(frame) else []
    wrong = wrong_sentences(rows)
    said = "The most wrong ones first; green is right, red predicted wrongly, underlined missed."
    return [*parts, Part("sentences", "Sentences", wrong, said)] if len(wrong) else parts


def error_types(rows: Rows) -> pd.DataFrame:
    """Count, for each type of entity, how it was predicted.

    Returns:
        `type`, a column each for `right`, `wrong type`, `wrong ends`, `both wrong`, `missed` and `invented`.
    """
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        true, predicted = _entities(row["target"]), _entities(row["prediction"])
        for entity in true:
            counts[entity[0]][_kind(entity, predicted)] += 1
        for entity in predicted:
            counts[entity[0]][INVENTED] += not any(_overlap(entity, other) for other in true)
    frame = pd.DataFrame([{"type": name, **{k: c[k] for k in (*KINDS, INVENTED)}} for name, c in counts.items()])
    return frame.sort_values("type").reset_index(drop=True) if len(frame) else frame


def wrong_sentences(rows: Rows, k: int = 20) -> pd.DataFrame:
    """Give the sentences with the most wrong entities, the entities marked."""
    found = []
    for row in rows:
        true, predicted = set(_entities(row["target"])), set(_entities(row["prediction"]))
        if true != predicted:
            found.append((len(true ^ predicted), row, true, predicted))
    found.sort(key=lambda each: -each[0])
    return framed(
        [
            {
                "wrong": n,
                "loss": row["loss"],
                "text": _marked(row["tokens"], true, predicted),
                "said": _said(true, predicted),
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
    # a wrong prediction hides the true entity that it overlaps; what was said of both stands beside the text
    ordered = sorted(kinds.items(), key=lambda each: each[1] == "true")
    marks: list[Mark] = []
    for (_, first, last), kind in ordered:
        mark = Mark(starts[first], starts[last + 1] - 1, kind)
        if not any(mark.start < other.end and other.start < mark.end for other in marks):
            marks.append(mark)
    return Passage.of(" ".join(words), marks)


def _said(true: set[Entity], predicted: set[Entity]) -> str:
    wrong = [f"+{kind} {first + 1}–{last + 1}" for kind, first, last in sorted(predicted - true, key=lambda e: e[1])]
    missed = [f"−{kind} {first + 1}–{last + 1}" for kind, first, last in sorted(true - predicted, key=lambda e: e[1])]
    return ", ".join([*wrong, *missed])


def _stacked(axes: Axes, frame: pd.DataFrame) -> None:
    left = pd.Series(0, index=frame.index)
    for name, colour in {**KINDS, INVENTED: "#5b6470"}.items():
        hatch = "///" if name == INVENTED else None
        axes.barh(frame["type"], frame[name], left=left, color=colour, height=0.7, label=name, hatch=hatch)
        left = left + frame[name]
    axes.invert_yaxis()
    axes.set_xlabel("entities")
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    grid(axes, "x")
