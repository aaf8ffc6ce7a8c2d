"""Guess from a table's columns which task it is for, and which column has which role."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

# The names that columns of a role usually have, the likeliest first.
NAMES: dict[str, str] = {
    "messages": "messages conversations conversation",
    "prompt": "prompt instruction",
    "answer": "answer output response completion",
    "system": "system system_prompt",
    "input": "input",
    "question": "question query",
    "context": "context passage paragraph",
    "answers": "answers answer answer_text",
    "tokens": "tokens words",
    "labels": "labels ner_tags tags pos_tags entities",
    "summary": "summary highlights headline abstract tldr",
    "source": "source src source_text",
    "target": "target tgt target_text",
    "text_pair": "text_pair sentence2 hypothesis question2 text2 text_b",
    "label": "label labels class category sentiment stars rating score target intent topic emotion y is_duplicate",
    "text": "text review sentence sentence1 premise question1 text1 text_a comment content body message tweet post "
    "document article dialogue description title",
}
LANGUAGE = re.compile(r"[a-z]{2}")  # the name of a column of a language, such as de
WORDY = 3.0  # words of a text, on average
FEW = 0.5  # different values for each row, at most, of a label


@dataclass
class LikelyTask:
    """What a table is taken for.

    Attributes:
        task: the name of the task.
        columns: role to column.
        why: role to the reason.
    """

    task: str
    columns: dict[str, str] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)


def guess(rows: Sequence[Mapping[str, Any]], roles: Mapping[str, Sequence[str]], task: str | None = None) -> LikelyTask:
    """Return the task and columns that some rows are most likely for.

    Args:
        rows: the first ones.
        roles: the roles of each task, by its name.
        task: the one that the user has named; None takes the first of `_tasks` whose roles are found.
    """
    rows = [_with_inner(row) for row in rows]
    names = list(dict.fromkeys(name for row in rows for name in row))
    values = {name: [row[name] for row in rows if row.get(name) not in (None, "")] for name in names}
    candidates = [task] if task else [each for each in _tasks(values) if each in roles]
    return _of_task(candidates[0], roles[candidates[0]], values)


def _with_inner(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with the values of its objects under dotted names, too, as columns reach them."""
    objects = {name: cell for name, cell in row.items() if isinstance(cell, Mapping)}
    return {**row, **{f"{name}.{key}": value for name, cell in objects.items() for key, value in cell.items()}}


def _tasks(values: Mapping[str, Sequence[Any]]) -> list[str]:
    """Return the tasks that columns fit, the likeliest first."""
    found = []
    if _named("messages", values) or all(_named(role, values) for role in ("prompt", "answer")):
        found.append("chat")
    if all(_named(role, values) for role in ("question", "context")):
        found.append("question_answering")
    if any(_is_list(values[name]) for name in values) and _named("tokens", values):
        found.append("token_classification")
    if _languages(values) or all(_named(role, values) for role in ("source", "target")):
        found.append("translation")
    if _named("summary", values):
        found.append("summarization")
    if len(values) > 1:
        found.append("sequence_classification")
    return [*found, "causal_lm"]


def _of_task(task: str, roles: Sequence[str], values: Mapping[str, Sequence[Any]]) -> LikelyTask:
    found, left = LikelyTask(task), dict(values)
    pair = _languages(values) if task == "translation" else []
    for role in sorted(roles, key=_order):
        name, why = (pair.pop(0), "a language") if pair else (_named(role, left), "by its name")
        if name is None:
            name, why = _by_content(role, left)
        if name is not None:
            found.columns[role], found.why[role] = name, why
            left.pop(name, None)  # that of a dict of languages stands within another
    return found


def _order(role: str) -> int:
    """Labels are chosen before texts, which could be any column."""
    return list(NAMES).index(role) if role in NAMES else len(NAMES)


def _named(role: str, values: Mapping[str, Sequence[Any]]) -> str | None:
    inner = {name.rpartition(".")[2].lower(): name for name in values if "." in name and not _is_list(values[name])}
    plain = {**inner, **{name.lower().strip(): name for name in values}}
    return next((plain[name] for name in NAMES.get(role, role).split() if name in plain), None)


def _languages(values: Mapping[str, Sequence[Any]]) -> list[str]:
    """Return the first two columns of a language; those of a dict of them are reached by a dot."""
    ordered = sorted(values, key=lambda name: ("." in name, name if "." in name else ""))
    found = [name for name in ordered if LANGUAGE.fullmatch(name.rpartition(".")[2])]
    return found[:2] if len(found) > 1 else []


def _is_list(cells: Sequence[Any]) -> bool:
    return bool(cells) and isinstance(cells[0], list)


def _by_content(role: str, values: Mapping[str, Sequence[Any]]) -> tuple[str | None, str]:
    """Return the column whose cells look like those of a role, and why."""
    scalar = {name: cells for name, cells in values.items() if cells and not isinstance(cells[0], list | Mapping)}
    plain = {name: [str(cell) for cell in cells] for name, cells in scalar.items()}
    words = {name: sum(len(cell.split()) for cell in cells) / len(cells) for name, cells in plain.items()}
    if role in ("text", "context", "source") and words:
        longest = max(words, key=words.__getitem__)
        return longest, f"the longest texts, {words[longest]:.0f} words on average"
    if role == "label":
        few = {name: len(set(cells)) for name, cells in plain.items() if words[name] < WORDY}
        few = {name: n for name, n in few.items() if 1 < n <= max(2, FEW * len(plain[name]))}
        if few:
            name = min(few, key=few.__getitem__)
            return name, f"{few[name]} different values"
    return None, ""
