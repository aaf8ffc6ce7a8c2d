"""Read the nested json of SQuAD, versions 1 and 2, as one row per question."""

from collections.abc import Iterator
from typing import Any

from blurr.errors import InputError

Row = dict[str, Any]


def is_squad(content: Any) -> bool:
    """Say whether parsed json is laid out as SQuAD: titles, in them paragraphs, in them questions."""
    titles = content.get("data") if isinstance(content, dict) else None
    return isinstance(titles, list) and bool(titles) and isinstance(titles[0], dict) and "paragraphs" in titles[0]


def squad_rows(content: Any, where: str) -> list[Row]:
    """Make a row of each question.

    Args:
        content: The parsed json.
        where: Where it is from, for messages.

    Returns:
        Rows with `id`, `title`, `context`, `question` and `answers`, a dict of two lists, `text` and `answer_start`,
        both empty for a question without an answer; in version 2 with `is_impossible` as well.

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
        rows.extend(_questions(content))
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{where} lacks {error} in or after question {len(rows) + 1}: each needs an id, a question and answers "
            "with text and answer_start, and each paragraph a context."
        ) from error
    return rows


def _questions(content: Any) -> Iterator[Row]:
    for title in content["data"]:
        for paragraph in title["paragraphs"]:
            for asked in paragraph["qas"]:
                yield _row(title.get("title", ""), paragraph["context"], asked)


def _row(title: str, context: str, asked: Row) -> Row:
    answers = asked["answers"]
    row = {
        "id": asked["id"],
        "title": title,
        "context": context,
        "question": asked["question"],
        "answers": {part: [answer[part] for answer in answers] for part in ("text", "answer_start")},
    }
    return row | {"is_impossible": asked["is_impossible"]} if "is_impossible" in asked else row
