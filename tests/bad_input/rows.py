"""Rows of text formats that are broken, twisted, or of sizes out of any sense."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import transformers

from blurr.loading.loader import Loader
from blurr.text.objects import get_hf_objects
from blurr.text.question_answering.task import QuestionAnswering
from blurr.text.seq2seq.summarization import Summarization
from blurr.text.sequence_classification.task import SequenceClassification
from blurr.text.token_classification.task import TokenClassification
from tests.bad_input.case import HANDLED, Case
from tests.bad_input.columns import LABELS, N, load
from tests.bad_input.configs import composed

DEEP = '{"a":' * 300 + "1" + "}" * 300
ANSWERED = {"question": "Who?", "context": "It was Ann.", "answers": {"text": ["Ann"], "answer_start": [7]}}


def _rows(**values: Any) -> str:
    """Write lines of jsonl; an answer of a question is named by its parts, others by their columns."""
    return "".join(json.dumps({"text": f"a text {n}", "label": LABELS[n], **values}) + "\n" for n in range(N))


def _asked(**values: Any) -> str:
    return "".join(json.dumps({**ANSWERED, "question": f"Who {n}?", **values}) + "\n" for n in range(N))


def _lines(line: str) -> str:
    return "".join(line.replace("#", str(n)).replace("LABEL", LABELS[n]) + "\n" for n in range(N))


def _starts(start: str) -> str:
    return "question,context,answers,answer_start\n" + "".join(f"Who {n}?,It was Ann.,Ann,{start}\n" for n in range(N))


CSV = "text,label\n" + "".join(f"a text {n},{LABELS[n]}\n" for n in range(N))
LONG = "9" * 5000
CLASSES, WORDS, QUESTIONS, SUMMARIES = (
    SequenceClassification,
    TokenClassification,
    QuestionAnswering,
    Summarization,
)
# name: (task, file, content, answer)
TEXTS_OF_FILES: dict[str, tuple[Any, str, str | bytes, str]] = {
    "a number of 5000 digits in json": (CLASSES, "r.json", f'[{{"text": "a", "label": {LONG}}}]', "r.json.*digits"),
    "a number of 5000 digits in jsonl": (CLASSES, "r.jsonl", f'{{"text": "a", "label": {LONG}}}\n', "Line 1.*digits"),
    "labels of 5000 digits": (
        CLASSES,
        "r.csv",
        CSV.replace(",a\n", f",{LONG}\n").replace(",b\n", ",1\n"),
        "not a finite number",
    ),
    "labels of 5000 digits to predict": (
        CLASSES,
        "r.csv",
        CSV.replace(",a\n", f",{LONG}\n").replace(",b", ",.5"),
        "finite",
    ),
    "labels as large as a number gets": (
        CLASSES,
        "r.csv",
        CSV.replace(",a\n", ",1e308\n").replace(",b", ",-1e308"),
        HANDLED,
    ),
    "labels beyond the largest number": (
        CLASSES,
        "r.csv",
        CSV.replace(",a\n", ",1e999\n").replace(",b", ",0.5"),
        "finite",
    ),
    "numbers over int64 in jsonl": (
        CLASSES,
        "r.jsonl",
        _lines('{"text": "a #", "label": 18446744073709551616}'),
        "one class",
    ),
    "numbers over uint64 in jsonl": (
        CLASSES,
        "r.jsonl",
        _lines('{"text": "a #", "label": 99999999999999999999}'),
        "one class",
    ),
    "NaN and Infinity as labels": (CLASSES, "r.jsonl", _lines('{"text": "a #", "label": Infinity}'), "one class"),
    "a key twice": (CLASSES, "r.jsonl", _lines('{"text": "x", "text": "a #", "label": "LABEL"}'), HANDLED),
    "three hundred nested objects": (
        CLASSES,
        "r.jsonl",
        _lines(f'{{"text": "a #", "label": "LABEL", "b": {DEEP}}}'),
        "r.jsonl",
    ),
    "lists in lines": (CLASSES, "r.jsonl", '["a", "b"]\n["a", "b"]\n', "must be an object|is a list"),
    "texts in lines": (CLASSES, "r.jsonl", '"a"\n"b"\n', "Line 1 is a str"),
    "nulls in lines": (CLASSES, "r.jsonl", "null\nnull\n", "Line 1 is a NoneType|null"),
    "no line ends": (CLASSES, "r.jsonl", _rows().replace("\n", " "), "r.jsonl.*Extra data|Line 1 is not JSON"),
    "line ends of old Macs": (CLASSES, "r.jsonl", _rows().replace("\n", "\r"), "Line 1 is not JSON"),
    "a last line cut off": (CLASSES, "r.jsonl", _rows()[:-20], f"Line {N} is not JSON"),
    "a NUL byte between lines": (CLASSES, "r.jsonl", _rows().replace("\n", "\n\0\n"), "Line 2 is not JSON"),
    "a byte order mark in the middle": (CLASSES, "r.jsonl", _rows().replace("\n", "\n\ufeff"), "Line 2 is not JSON"),
    "a half of a surrogate pair as label": (
        CLASSES,
        "r.jsonl",
        _lines('{"text": "a #", "label": "\\ud800"}'),
        "not Unicode",
    ),
    "a half of a surrogate pair as key": (
        CLASSES,
        "r.jsonl",
        _lines('{"text": "a #", "label": "a", "\\ud800": 1}'),
        "not a text in Unicode",
    ),
    "a half of a surrogate pair in a list": (
        WORDS,
        "r.jsonl",
        _lines('{"tokens": ["\\udfff#"], "labels": ["O"]}'),
        "not Unicode",
    ),
    "an empty key": (CLASSES, "r.jsonl", _lines('{"text": "a #", "label": "LABEL", "": 1}'), HANDLED),
    "a label that is a list in one row": (
        CLASSES,
        "r.jsonl",
        _rows() + '{"text": "z", "label": ["a"]}\n',
        "several types",
    ),
    "labels that are objects": (
        CLASSES,
        "r.jsonl",
        _lines('{"text": "a #", "label": {"name": "LABEL"}}'),
        "for a label.*a dot",
    ),
    "labels that are lists of lists": (
        CLASSES,
        "r.jsonl",
        _lines('{"text": "a #", "label": [["LABEL"]]}'),
        "for a label",
    ),
    "line ends of old Macs in csv": (CLASSES, "r.csv", CSV.replace("\n", "\r"), HANDLED),
    "mixed line ends": (CLASSES, "r.csv", CSV.replace("\n", "\r\n", 5), HANDLED),
    "two encodings in one file": (
        CLASSES,
        "r.csv",
        CSV.encode() + "Käse,a\n".encode("latin-1"),
        "not encoded in utf-8.*line 26",
    ),
    "a byte order mark before each row": (CLASSES, "r.csv", CSV.replace("\na", "\n\ufeffa"), HANDLED),
    "a header twice": (CLASSES, "r.csv", CSV + "text,label\n", "Line 26 is the header again"),
    "no header": (CLASSES, "r.csv", CSV.partition("\n")[2], "no column 'text'"),
    "only delimiters": (CLASSES, "r.csv", ",,,\n" * 9, "Line 2 is the header again"),
    "columns without names": (CLASSES, "r.csv", CSV.replace("text,label", " ,\t"), "no column 'text'"),
    "a column name of a megabyte": (CLASSES, "r.csv", CSV.replace("text", "t" * (1 << 20)), "no column 'text'"),
    "column names of braces": (
        CLASSES,
        "r.csv",
        CSV.replace("text,label", "{text},${label}"),
        "no column 'text'.*{text}",
    ),
    "a column name with a line end": (
        CLASSES,
        "r.csv",
        CSV.replace("text,label", '"te\nxt",label'),
        "no column 'text'",
    ),
    "columns that differ in capitals": (CLASSES, "r.csv", CSV.replace("text", "Text"), "Did you mean 'Text'"),
    "a delimiter in each text": (CLASSES, "r.csv", CSV.replace("a text", "a, text"), "Line 2 has 3 cells"),
    "ragged rows of tsv": (CLASSES, "r.tsv", CSV.replace(",", "\t") + "x\ty\tz\n", "has 3 cells"),
    "a table of html": (CLASSES, "r.csv", "<!DOCTYPE html><html><body>404</body></html>", "r.csv|no rows"),
    "a pointer of git": (
        CLASSES,
        "r.csv",
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        "column|cells",
    ),
    "texts of blanks": (CLASSES, "r.csv", CSV.replace("a text", " "), HANDLED),
    "a text of 10 MB": (CLASSES, "r.csv", CSV + "x" * 10_000_000 + ",a\n", HANDLED),
    "a line of 10 MB": (
        CLASSES,
        "r.jsonl",
        json.dumps({"text": "x" * 10_000_000, "label": "a"}) + "\n" + _rows(),
        HANDLED,
    ),
    "conll with tabs and blanks": (
        WORDS,
        "r.conll",
        "".join(f"John{n}\tB-PER\nlives O\n\n" for n in range(9)),
        HANDLED,
    ),
    "conll with a sentence of 100,000 words": (WORDS, "r.conll", "a O\n" * 100_000 + "\nb O\n\nc O\n", HANDLED),
    "conll that is a csv": (WORDS, "r.conll", CSV, "r.conll"),
    "conll with a NUL byte": (WORDS, "r.conll", "".join(f"John\0{n} B-PER\n\n" for n in range(9)), HANDLED),
    "words that are numbers": (
        WORDS,
        "r.jsonl",
        _lines('{"tokens": [1, #], "labels": ["O", "O"]}'),
        "word that is not a text",
    ),
    "words that are lists": (
        WORDS,
        "r.jsonl",
        _lines('{"tokens": [["a#"]], "labels": ["O"]}'),
        "word that is not a text",
    ),
    "words that are null": (WORDS, "r.jsonl", _lines('{"tokens": ["a#", null], "labels": ["O", "O"]}'), "tokens|null"),
    "tags that are objects": (WORDS, "r.jsonl", _lines('{"tokens": ["a#"], "labels": [{"x": "O"}]}'), "label"),
    "an infinite offset": (
        QUESTIONS,
        "r.jsonl",
        _asked(answers="Ann", answer_start=float("inf")),
        "cannot be read|offset",
    ),
    "an offset that is a word": (QUESTIONS, "r.csv", _starts("seven"), "cannot be read"),
    "an offset of 1e999": (QUESTIONS, "r.csv", _starts("1e999"), "cannot be read"),
    "an offset of 5000 digits": (QUESTIONS, "r.csv", _starts(LONG), "cannot be read"),
    "offsets without texts": (QUESTIONS, "r.jsonl", _asked(answers={"answer_start": [7]}), "cannot be read|text"),
    "more offsets than texts": (
        QUESTIONS,
        "r.jsonl",
        _asked(answers={"text": ["Ann"], "answer_start": [7, 8]}),
        "cannot be read",
    ),
    "answers that are numbers": (QUESTIONS, "r.jsonl", _asked(answers=7), "answer|several types"),
    "answers in a list of lists": (QUESTIONS, "r.jsonl", _asked(answers=[["Ann"]]), "answer"),
    "a context that is a list": (QUESTIONS, "r.jsonl", _asked(context=["It was Ann."]), "no texts for 'context'"),
    "a question that is null": (QUESTIONS, "r.jsonl", _asked(question=None), "no value for 'question'"),
    "squad json of texts": (QUESTIONS, "r.json", '{"data": ["a", "b"]}', "r.json"),
    "squad json of numbers": (QUESTIONS, "r.json", '{"data": [{"paragraphs": 3}]}', "r.json"),
    "squad json with questions that are null": (
        QUESTIONS,
        "r.json",
        '{"data": [{"paragraphs": [{"context": "a", "qas": null}]}]}',
        "r.json",
    ),
    "squad json with answers of numbers": (
        QUESTIONS,
        "r.json",
        '{"data": [{"paragraphs": [{"context": "a", "qas": [{"question": "b", "answers": [3]}]}]}]}',
        "r.json",
    ),
    "squad json with answers that are text": (
        QUESTIONS,
        "r.json",
        '{"data": [{"paragraphs": [{"context": "a", "qas": [{"question": "b", "answers": "abc"}]}]}]}',
        "r.json|no answer|should be",
    ),
    "a summary of 10 MB": (
        SUMMARIES,
        "r.jsonl",
        json.dumps({"text": "a", "summary": "x" * 10_000_000}) + "\n" + '{"text": "b", "summary": "c"}\n' * 9,
        HANDLED,
    ),
    "summaries that are truth values": (
        SUMMARIES,
        "r.jsonl",
        '{"text": "a", "summary": true}\n' * 9,
        "no texts for 'summary'",
    ),
}


SLOW = {"a text of 10 MB", "a line of 10 MB", "conll with a sentence of 100,000 words", "a summary of 10 MB"}


def _read(task: Any, file: str, content: str | bytes, good: Path) -> Callable[[Path], None]:
    def give(folder: Path) -> None:
        (folder / file).write_bytes(content if isinstance(content, bytes) else content.encode())
        rows = load(task(), file)
        if task is SUMMARIES:  # which the checkpoint cannot write
            return
        model_cls = getattr(transformers, task.model_cls)
        hf = get_hf_objects(good, model_cls, config_kwargs=task().target.model_config(rows))
        task().dataloaders(rows, hf, Loader(batch_size=2, cache=False))

    return give


def _many_labels(count: int) -> Callable[[Path], None]:
    def give(folder: Path) -> None:
        lines = "".join(f"a text {n},label {n}\n" for n in range(count))
        (folder / "r.csv").write_text("text,label\n" + lines)
        load(CLASSES(), "r.csv")

    return give


def _few_of_each(folder: Path) -> None:
    """Keep 64 rows of a thousand classes, as `debug=quick` does."""
    lines = "".join(f"a text {n},label {n % 1000}\n" for n in range(10_000))
    (folder / "r.csv").write_text("text,label\n" + lines)
    load(CLASSES(), "r.csv", limit=64)


def _changed_between(folder: Path) -> None:
    """Take a file away between the look at the config and the reading."""
    (folder / "r.csv").write_text(CSV)
    composed("data=files", "data.train=r.csv")
    (folder / "r.csv").unlink()
    load(CLASSES(), "r.csv")


def cases(good: Path) -> Iterator[Case]:
    """Yield files of rows.

    Args:
        good: the folder of a checkpoint.
    """
    for name, (task, file, content, says) in TEXTS_OF_FILES.items():
        yield Case("row", name, _read(task, file, content, good), says, seconds=60, slow=name in SLOW)
    yield Case("many", "ten thousand labels", _many_labels(10_000), "no training row has.*and .* more")
    yield Case(
        "many", "a hundred thousand labels", _many_labels(100_000), "no training row has.*more", seconds=60, slow=True
    )
    yield Case("many", "a few rows of a thousand classes", _few_of_each, HANDLED)
    yield Case("file", "a file that vanishes", _changed_between, "There is no file r.csv")
