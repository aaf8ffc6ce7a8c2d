"""Predict on texts that are typed on the command line or come through a pipe, and write the answers to stdout."""

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from blurr.data.formats.content import FileOptions
from blurr.errors import BlurrError, InputError
from blurr.process.terminal import rest
from blurr.runs.jsonlines import to_json
from blurr.serve.predictor import Predictor

STDIN = "-"
OF_LINES = "text"  # the column of a file of lines


def items_of(texts: Sequence[str], predictor: Predictor) -> list[dict[str, Any]]:
    """Return the items that texts of the command line make.

    Args:
        texts: each is an item, where the model reads one role; or `role=text`, and all of them are one item.
        predictor: knows the roles.

    Raises:
        InputError: a role is missing, or given twice.
    """
    roles, needed = predictor.roles, predictor.saved.needed
    files = [f"{media.kind}s" for media in predictor.media.values()]
    if files:
        raise InputError(f"This model reads {' and '.join(files)}, not texts. Give a file or a folder: --input FOLDER")
    parts = [text.partition("=") for text in texts]
    named = [(role, text) for role, mark, text in parts if mark and role in roles]
    if not named:
        if len(needed) == 1:
            return [{needed[0]: text} for text in texts]
        raise InputError(f"This model reads {' and '.join(needed)}. Name each: {_spelt(needed)}")
    plain = [text for text, (role, mark, _) in zip(texts, parts, strict=True) if not (mark and role in roles)]
    item: dict[str, Any] = {}
    for role, text in [*zip(needed[:1] * len(plain), plain, strict=True), *named]:
        if role in item:
            raise InputError(f"--text has the {role} twice. Give several rows in a file, or by --input - and a pipe.")
        item[role] = text
    missing = [role for role in needed if role not in item and predictor.saved.task.schema.shaper is None]
    if missing:
        raise InputError(f"--text lacks the {', '.join(missing)}: {_spelt(missing)}")
    return [item]


def _spelt(roles: Sequence[str]) -> str:
    return " ".join(f"--text {role}=…" for role in roles)


def predict_texts(predictor: Predictor, texts: Sequence[str], options: Mapping[str, Any]) -> int:
    """Predict, write a JSON line for each item to stdout, or lines to read where that is a terminal.

    Returns:
        How many items have no prediction; their mistakes are written to stderr.
    """
    predictor.check_options(dict(options))
    items = items_of(texts, predictor)
    failed = 0
    rest()
    for item, result in zip(items, predictor.predict_each(items, **options), strict=True):
        if isinstance(result, Exception):
            failed += 1
            said = str(result) if isinstance(result, BlurrError) else f"{type(result).__name__}: {result}"
            sys.stderr.write(f"{' | '.join(map(str, item.values()))}: {said}\n")
        elif sys.stdout.isatty():
            sys.stdout.write("\n".join(_readable(result)) + "\n")
        else:
            sys.stdout.write(f"{to_json(result)}\n")
    return failed


def _readable(result: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each field of a prediction."""
    wide = max(map(len, result), default=0) + 2
    for name, value in result.items():
        said = value if isinstance(value, str) else json.dumps(rounded(value), ensure_ascii=False)
        yield f"{name.ljust(wide)}{said}"


def rounded(value: Any) -> Any:
    """Return a value with numbers of four digits, for a person to read."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, Mapping):
        return {key: rounded(each) for key, each in value.items()}
    return [rounded(each) for each in value] if isinstance(value, list | tuple) else value


@contextmanager
def input_file(source: str, reading: FileOptions, columns: dict[str, str], predictor: Predictor) -> Iterator[Any]:
    """Yield a file with the rows, how to read it, and its columns: of stdin, a copy that lives as long as the block.

    Without a format, what begins with a brace are JSON lines, and anything else is a text on each line.
    """
    if source != STDIN:
        yield source, reading, columns
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "stdin")
        with copy.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        with copy.open("rb") as file:
            start = file.read(100).lstrip(b"\xef\xbb\xbf \n\r\t")
        form = reading.format if reading.format != "auto" else "jsonl" if start[:1] == b"{" else "lines"
        needed = predictor.saved.needed
        if form == "lines" and len(needed) > 1:
            raise InputError(f"A line holds one text, and this model reads {' and '.join(needed)}: pipe JSON lines.")
        found = {needed[0]: OF_LINES, **columns} if form == "lines" else columns
        yield str(copy), replace(reading, format=form), found


@contextmanager
def output_file(target: Path | None) -> Iterator[Path]:
    """Yield a file to write, which is copied to stdout at the end of the block where the user names none."""
    if target is not None and str(target) != STDIN:
        yield target
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "out.jsonl")
        yield file
        with file.open(encoding="utf-8") as lines:
            shutil.copyfileobj(lines, sys.stdout)
        sys.stdout.flush()
