"""Small files of rows that are not as they should be."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import transformers

from blurr.data.files import load_files
from blurr.loading.loader import Loader
from blurr.text.objects import get_hf_objects
from blurr.text.question_answering.task import QuestionAnswering
from blurr.text.seq2seq.summarization import Summarization
from blurr.text.sequence_classification.task import SequenceClassification
from blurr.text.token_classification.task import TokenClassification
from tests.bad_input.case import HANDLED, Case

CSV = "text,label\n"
ROWS = "".join(f"a text {i},{'ab'[i % 2]}\n" for i in range(10))
# name: (file, content, options, answer)
TABLES: dict[str, tuple[str, str | bytes, dict[str, Any], str]] = {
    "empty": ("r.csv", "", {}, "is empty"),
    "only a header": ("r.csv", CSV, {}, "no rows"),
    "only blanks": ("r.csv", "   \n\n", {}, "r.csv"),
    "latin-1 as utf-8": (
        "r.csv",
        (CSV + "Käse,a\n" + ROWS).encode("latin-1"),
        {},
        "not encoded in utf-8.*data.encoding",
    ),
    "utf-16 as utf-8": ("r.csv", (CSV + ROWS).encode("utf-16"), {}, "not encoded in utf-8|NUL|separated"),
    "utf-8 as ascii": ("r.csv", CSV + "Käse,a\n", {"encoding": "ascii"}, "not encoded in ascii"),
    "an encoding there is not": ("r.csv", CSV + ROWS, {"encoding": "utf-9"}, "not an encoding"),
    "a byte order mark": ("r.csv", b"\xef\xbb\xbf" + (CSV + ROWS).encode(), {}, HANDLED),
    "windows line ends": ("r.csv", (CSV + ROWS).replace("\n", "\r\n"), {}, HANDLED),
    "no line end at the end": ("r.csv", (CSV + ROWS).rstrip(), {}, HANDLED),
    "quotes within a field": ("r.csv", CSV + '"she said ""no""",a\n' + ROWS, {}, HANDLED),
    "line ends within a field": ("r.csv", CSV + '"two\nlines",a\n' + ROWS, {}, HANDLED),
    "right to left and emoji": ("r.csv", CSV + "שלום 👋,a\n" + ROWS, {}, HANDLED),
    "a row with a field too many": ("r.csv", CSV + "x,a,more\n" + ROWS, {}, "Line 2 has 3 cells"),
    "a row with a field too few": ("r.csv", CSV + "x\n" + ROWS, {}, "Line 2 has 1 cells"),
    "a quote that is never closed": ("r.csv", CSV + '"x,a\n' + ROWS, {}, "not a table|r.csv"),
    "another delimiter": ("r.csv", (CSV + ROWS).replace(",", "~"), {}, "text|columns"),
    "a delimiter of two signs": ("r.csv", CSV + ROWS, {"delimiter": "::"}, "delimiter"),
    "a column twice": ("r.csv", "text,text,label\n" + "x,y,a\n" * 9, {}, "several columns named 'text'"),
    "no column of that name": ("r.csv", "txt,label\n" + ROWS, {}, "text"),
    "no label column": ("r.csv", "text\n" + "x\n" * 9, {}, "label"),
    "a role there is not": ("r.csv", CSV + ROWS, {"columns": {"txet": "text"}}, "Did you mean 'text'"),
    "a column for two roles": ("r.csv", CSV + ROWS, {"columns": {"label": "text"}}, "both name the column"),
    "a list for a text": ("r.csv", CSV + ROWS, {"columns": {"text": ["text", "label"]}}, "is a list"),
    "a label left empty": ("r.csv", CSV + "x,\n" + ROWS, {}, "no value for 'label'"),
    "one label only": ("r.csv", CSV + "".join(f"x{i},a\n" for i in range(10)), {}, HANDLED),
    "an empty text": ("r.csv", CSV + ",a\n" + ROWS, {}, HANDLED),
    "one row": ("r.csv", CSV + "x,a\n", {}, "leaves none"),
    "a huge field": ("r.csv", CSV + "x" * 300_000 + ",a\n" + ROWS, {}, HANDLED),
    "a NUL byte in a field": ("r.csv", CSV.encode() + b"x\x00y,a\n" + ROWS.encode(), {}, HANDLED),
    "an extension there is not": ("r.cvs", CSV + ROWS, {}, "Did you mean '.csv'"),
    "no extension": ("rows", CSV + ROWS, {}, "no known format"),
    "json that is cut off": ("r.json", '[{"text": "x", "label"', {}, "is not JSON"),
    "json that is a number": ("r.json", "3", {}, "r.json"),
    "json that is null": ("r.json", "null", {}, "r.json"),
    "json of lists": ("r.json", "[[1, 2]]", {}, "must be an object"),
    "json with mixed types": (
        "r.json",
        '[{"text": "x", "label": 1}, {"text": "y", "label": [1]}]',
        {},
        "several types",
    ),
    "json with NaN as a label": (
        "r.json",
        '[{"text": "x", "label": NaN}, {"text": "y", "label": 1}]',
        {},
        "label|r.json",
    ),
    "an empty list": ("r.json", "[]", {}, "no rows|r.json"),
    "deeply nested json": ("r.json", "[" * 100_000, {}, "is not JSON|r.json"),
    "jsonl with a broken line": ("r.jsonl", '{"text": "x", "label": "a"}\n{"text"\n', {}, "Line 2 is not JSON"),
    "jsonl of objects over lines": ("r.jsonl", '{"text": "x",\n "label": "a"}', {}, "Line 1 is not JSON"),
    "jsonl of numbers": ("r.jsonl", "1\n2\n", {}, "must be an object"),
    "jsonl with a text that is a number": ("r.jsonl", '{"text": 3, "label": "a"}\n' * 9, {}, "no texts for .*int64"),
    "jsonl with a text that is a list": ("r.jsonl", '{"text": ["x"], "label": "a"}\n' * 9, {}, "no texts for .*List"),
    "jsonl with an object as text": ("r.jsonl", '{"text": {"x": 1}, "label": "a"}\n' * 9, {}, "no texts.*dict"),
    "deeply nested jsonl": ("r.jsonl", '{"text": ' + "[" * 100_000, {}, "Line 1 is not a row: it is nested too deeply"),
    "jsonl with a text that is null": ("r.jsonl", '{"text": null, "label": "a"}\n' * 9, {}, "text"),
    "jsonl with lone surrogates": ("r.jsonl", '{"text": "\\ud800", "label": "a"}\n' * 9, {}, "r.jsonl"),
    "parquet that is text": ("r.parquet", CSV + ROWS, {}, "not a parquet file"),
    "parquet that is cut off": ("r.parquet", b"PAR1" + bytes(20), {}, "not a parquet file"),
    "excel that is text": ("r.xlsx", CSV + ROWS, {}, "cannot be read as an Excel file"),
    "excel that is another archive": ("r.xlsx", b"PK\x05\x06" + bytes(18), {}, "cannot be read as an Excel file"),
    "a split column with a word": ("r.csv", "text,label,is_valid\n" + "x,a,perhaps\n" * 4, {}, "true or false"),
}
MORE_TABLES: dict[str, tuple[str, str, str, str]] = {
    # name: (task, file, content, answer)
    "conll without tags": ("words", "r.conll", "John\nlives\n", "no tags"),
    "conll with ragged lines": ("words", "r.conll", "John B-PER\nlives O x\n", "fields in line"),
    "conll of blank lines": ("words", "r.conll", "\n\n\n", "r.conll"),
    "more tags than words": ("words", "r.jsonl", '{"tokens": ["a"], "labels": ["O", "O"]}\n' * 9, "tokens|labels"),
    "fewer tags than words": ("words", "r.jsonl", '{"tokens": ["a", "b"], "labels": ["O"]}\n' * 9, "tokens|labels"),
    "tags that are a text": ("words", "r.jsonl", '{"tokens": ["a"], "labels": "O"}\n' * 9, "labels"),
    "words that are a text": ("words", "r.jsonl", '{"tokens": "a", "labels": ["O"]}\n' * 9, "no lists of words"),
    "no words": ("words", "r.jsonl", '{"tokens": [], "labels": []}\n' * 9, "leaves none"),
    "a tag that is null": ("words", "r.jsonl", '{"tokens": ["a"], "labels": [null]}\n' * 9, "a label that is null"),
    "an answer that is not in the text": ("questions", "r.jsonl", "{CONTEXT, answers: nowhere}", "answer"),
    "an offset beyond the text": ("questions", "r.jsonl", "{CONTEXT, answer_start: 99}", "answer"),
    "a negative offset": ("questions", "r.jsonl", "{CONTEXT, answer_start: -5}", "answer"),
    "an offset of other words": ("questions", "r.jsonl", "{CONTEXT, answer_start: 1}", "answer"),
    "squad json without data": ("questions", "r.json", '{"version": "2.0"}', "r.json|data"),
    "squad json without paragraphs": ("questions", "r.json", '{"data": [{"title": "x"}]}', "paragraphs|r.json"),
    "a summary that is null": ("summaries", "r.jsonl", '{"text": "a", "summary": null}\n' * 9, "summary"),
    "a summary that is a number": ("summaries", "r.jsonl", '{"text": "a", "summary": 3}\n' * 9, "no texts for 'summ"),
    "a summary that is a list": ("summaries", "r.jsonl", '{"text": "a", "summary": ["b"]}\n' * 9, "no texts for"),
    "no summary": ("summaries", "r.jsonl", '{"text": "a"}\n' * 9, "summary"),
}
TASKS = {"words": TokenClassification, "questions": QuestionAnswering, "summaries": Summarization}
ANSWERED = {"question": "Who?", "context": "It was Ann.", "answers": {"text": ["Ann"], "answer_start": [7]}}


def _read(
    task: Any, file: str, content: str | bytes, options: dict[str, Any], good: Path | None = None
) -> Callable[[Path], None]:
    def give(folder: Path) -> None:
        data = content if isinstance(content, bytes) else content.encode()
        # rows that are alike would go to one split together
        (folder / file).write_bytes(_numbered(data) if file.endswith("jsonl") else data)
        rows = task.prepare(load_files(task.schema, train=str(folder / file), **options))
        if good:
            hf = get_hf_objects(
                good, getattr(transformers, task.model_cls), config_kwargs=task.target.model_config(rows)
            )
            task.dataloaders(rows, hf, Loader(batch_size=2, cache=False))
        for name in rows.splits:
            if not rows.splits[name].num_rows:
                raise AssertionError(f"{name} is empty")

    return give


def _numbered(lines: bytes) -> bytes:
    return b"\n".join(
        line.replace(b'"Who?"', b'"Who %d?"' % number).replace(b'"a"', b'"a%d"' % number, 1)
        for number, line in enumerate(lines.split(b"\n"))
    )


def _questions(content: str) -> str:
    """Write a SQuAD row of which the part that `content` names is wrong."""
    key, _, value = content.strip("{}").partition(", ")[2].partition(": ")
    answers = {**ANSWERED["answers"], {"answers": "text"}.get(key, key): [value if key == "answers" else int(value)]}
    return (json.dumps({**ANSWERED, "answers": answers}) + "\n") * 9


def cases(good: Path) -> Iterator[Case]:
    """Write files of rows that are not as they should be.

    Args:
        good: the folder of a checkpoint.
    """
    for name, (file, content, options, says) in TABLES.items():
        yield Case("table", name, _read(SequenceClassification(), file, content, options), says)
    for name, (task, file, text, says) in MORE_TABLES.items():
        written = _questions(text) if "CONTEXT" in text else text
        yield Case(task, name, _read(TASKS[task](), file, written, {}, good), says)
