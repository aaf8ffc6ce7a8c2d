"""Read the nested json of question-answering files, SQuAD's above all, as one row per question."""

from collections.abc import Iterator
from typing import Any

from blurr.data.formats.content import Row
from blurr.errors import InputError


def is_squad(content: Any) -> bool:
    """Say whether parsed json nests questions in paragraphs, and maybe paragraphs in titles."""
    return any("paragraphs" in each or "qas" in each for each in _entries(content)[:1])


def squad_rows(content: Any, where: str) -> list[Row]:
    """Make a row of each question.

    Args:
        content: The parsed json: `{"data": [{"title": …, "paragraphs": [{"context": …, "qas": […]}]}]}`, or the list of
            titles, or that of paragraphs, alone.
        where: Where it is from, for messages.

    Returns:
        Rows with `id`, `title`, `context`, `question` and `answers`, a dict of two lists, `text` and `answer_start`,
        both empty for a question without an answer; in version 2 with `is_impossible` as well. A question without an
        id gets its number. `answer_start` is None where the file does not tell it.

    Raises:
        InputError: When the file is not laid out as SQuAD, or a question lacks a part.
    """
    if not is_squad(content):
        raise InputError(
            f'{where} is not laid out as SQuAD, {{"data": [{{"paragraphs": [{{"context": …, "qas": […]}}]}}]}}. '
            "Correct data.format: json and jsonl are lists of rows."
        )
    rows: list[Row] = []
    try:
        rows.extend({"id": str(number), **row} for number, row in enumerate(_questions(content)))
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{where} lacks {error} in or after question {len(rows) + 1}: each needs a question and answers with a "
            "text, or is_impossible, and each paragraph a context."
        ) from error
    return rows


def _entries(content: Any) -> list[Row]:
    """Return the outermost list of objects: titles, or paragraphs without titles."""
    entries = content.get("data") if isinstance(content, dict) else content
    if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
        return []
    return [each for each in entries if each.keys() != {"header"}]  # with which files of lines may begin


def _questions(content: Any) -> Iterator[Row]:
    versioned = any("is_impossible" in asked for asked, _, _ in _asked(content))
    for asked, title, context in _asked(content):
        row = _row(asked, title, context)
        yield {**row, "is_impossible": bool(asked.get("is_impossible"))} if versioned else row


def _asked(content: Any) -> Iterator[tuple[Row, str, str]]:
    for entry in _entries(content):
        for paragraph in entry.get("paragraphs", [entry]):
            for asked in paragraph["qas"]:
                yield asked, entry.get("title", ""), paragraph["context"]


def _row(asked: Row, title: str, context: str) -> Row:
    # plausible_answers, which some impossible questions have, are none
    given = [] if asked.get("is_impossible") else asked["answers"]
    if not isinstance(given, list):
        raise KeyError("answers")
    answers = [{"text": answer} if isinstance(answer, str) else answer for answer in given]
    answers = [answer for answer in answers if answer["text"]]
    row = {
        "title": title,
        "context": context,
        "question": asked["question"],
        "answers": {
            "text": [answer["text"] for answer in answers],
            "answer_start": [answer.get("answer_start") for answer in answers],
        },
    }
    return {"id": str(asked["id"]), **row} if "id" in asked else row
