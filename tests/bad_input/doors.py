"""What differs at the other doors: rows to predict on, rows to score, items of a notebook."""

import json
import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blurr.errors import InputError
from tests.bad_input import files, packed
from tests.bad_input.case import HANDLED, Case

if TYPE_CHECKING:
    from blurr.serve.predictor import Predictor

LONG = "9" * 5000


@cache
def predictor(good: Path) -> "Predictor":
    from blurr.serve.predictor import Predictor

    return Predictor.load(good, words=["task=sequence_classification"])


def _predicts(
    good: Path, make: Callable[[Path], object], source: str, target: str = "out.jsonl"
) -> Callable[[Path], None]:
    """Predict on a file; what was to be written is whole or not there."""

    def give(folder: Path) -> None:
        from blurr.serve.files import predict_file

        make(folder)
        before = {path.name for path in folder.iterdir()}
        try:
            predict_file(predictor(good), source, folder / target)
        except InputError:
            if {path.name for path in folder.iterdir()} != before:
                raise AssertionError("something is left behind") from None
            raise

    return give


def _fails_each(good: Path, name: str, content: str | bytes, failed: int) -> Callable[[Path], None]:
    """Predict on rows of which some are bad: these have an `error`, the others a prediction."""

    def give(folder: Path) -> None:
        from blurr.serve.files import predict_file

        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        tally = predict_file(predictor(good), name, folder / "out.jsonl")
        rows = [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]
        if tally.failed != failed or sum("error" in row for row in rows) != failed or len(rows) != tally.rows:
            raise AssertionError(f"{tally.failed} of {tally.rows} rows failed: {tally.named}")

    return give


def _writes(name: str, content: str | bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def _bomb(suffix: str, unit: bytes, head: bytes = b"") -> Callable[[Path], object]:
    return lambda folder: packed.write_bomb(folder / f"r.{suffix}.gz", unit, head)


GOOD_ROWS = "text\n" + "a text\n" * 5
# name: (makes the file, the file, the target, answer)
INPUTS: dict[str, tuple[Callable[[Path], object], str, str, str]] = {
    "a named pipe": (lambda _: os.mkfifo("r.csv"), "r.csv", "out.jsonl", "is a named pipe"),
    "a link to a device": (lambda _: Path("r.jsonl").symlink_to("/dev/zero"), "r.jsonl", "out.jsonl", "is a device"),
    "an address": (lambda _: None, "http://127.0.0.1:9/r.csv", "out.jsonl", "is an address"),
    "a path of 5000 letters": (lambda _: None, "a" * 5000, "out.jsonl", "too long"),
    "a csv of 4 GB": (
        _bomb("csv", b"a film " * 200 + b"\n", b"text\n"),
        "r.csv.gz",
        "out.jsonl",
        "unpacks to more than",
    ),
    "a jsonl of 4 GB in one line": (_bomb("jsonl", b"a"), "r.jsonl.gz", "out.jsonl", "unpacks to more than"),
    "a file packed by xz": (_writes("r.csv.xz", b"x"), "r.csv.xz", "out.jsonl", "cannot be unpacked"),
    "no column of the task": (_writes("r.csv", "a,b\n1,2\n"), "r.csv", "out.jsonl", "no column 'text'"),
    "an xlsx of text": (_writes("r.xlsx", "text"), "r.xlsx", "out.jsonl", "cannot be read as an Excel file"),
    "a parquet cut off": (_writes("r.parquet", b"PAR1" * 9), "r.parquet", "out.jsonl", "not a parquet file"),
    "a target without a format": (_writes("r.csv", GOOD_ROWS), "r.csv", "out.doc", "out.doc is of no known format"),
    "a target that is the input": (_writes("r.csv", GOOD_ROWS), "r.csv", "r.csv", "r.csv is the input, too"),
    "a target in the folder that is the input": (_writes("r.csv", GOOD_ROWS), ".", "r.csv", "r.csv is the input, too"),
}
# name: (file, content, rows without a prediction)
ROWS: dict[str, tuple[str, str | bytes, int]] = {
    "a text that is null": ("r.jsonl", '{"text": null}\n{"text": "a"}\n', 1),
    "a text that is a number": ("r.jsonl", '{"text": 3}\n{"text": "a"}\n', 1),
    "a text that is a list": ("r.jsonl", '{"text": ["a"]}\n{"text": "a"}\n', 1),
    "a half of a surrogate pair": ("r.jsonl", '{"text": "\\ud800"}\n{"text": "a"}\n', 1),
    "a line that is not JSON": ("r.jsonl", '{"text"\n{"text": "a"}\n', 1),
    "a number of 5000 digits": ("r.jsonl", f'{{"text": {LONG}}}\n{{"text": "a"}}\n', 1),
    "a line nested too deeply": ("r.jsonl", f'{{"text": {"[" * 100_000}\n{{"text": "a"}}\n', 1),
    "a row with a cell too many": ("r.csv", "text,b\na,b,c\na,b\n", 1),
    "a header twice": ("r.csv", "text,b\na,b\ntext,b\na,b\n", 1),
    "a text of 1 MB": ("r.jsonl", json.dumps({"text": "film " * 200_000}) + '\n{"text": "a"}\n', 0),
    "an empty text": ("r.jsonl", '{"text": ""}\n{"text": "a"}\n', 0),
    "a NUL byte in a text": ("r.jsonl", '{"text": "a\\u0000b"}\n{"text": "a"}\n', 0),
}


def _evaluates(good: Path, make: Callable[[Path], object], *words: str) -> Callable[[Path], None]:
    def give(folder: Path) -> None:
        from blurr.serve.evaluating import evaluate

        make(folder)
        evaluate(predictor(good), list(words))

    return give


LABELLED = "text,label\n" + "".join(f"a text {n},LABEL_{n % 2}\n" for n in range(20))
SCORED: dict[str, tuple[Callable[[Path], object], list[str], str]] = {
    "no rows": (lambda _: None, ["data=files"], "Say which rows to score"),
    "a device": (lambda _: None, ["data=files", "data.test=/dev/zero"], "is a device"),
    "a named pipe": (lambda _: os.mkfifo("r.csv"), ["data=files", "data.test=r.csv"], "is a named pipe"),
    "labels of another model": (
        _writes("r.csv", LABELLED.replace("LABEL", "CLASS")),
        ["data=files", "data.test=r.csv"],
        "the model does not know",
    ),
    "no labels": (_writes("r.csv", GOOD_ROWS), ["data=files", "data.test=r.csv"], "no column 'label'"),
    "a split there is not": (_writes("r.csv", LABELLED), ["data=files", "data.tset=r.csv"], "Did you mean"),
    "nested brackets": (lambda _: None, ["data=files", "data.test=" + "[" * 999], "nested too deeply"),
    "a bomb": (
        _bomb("csv", b"a,LABEL_0\n", b"text,label\n"),
        ["data=files", "data.test=r.csv.gz"],
        "unpacks to more than|column",
    ),
}
ITEMS = {
    "nothing": None,
    "a number": 3,
    "a half of a surrogate pair": "\ud800",
    "bytes": b"text",
    "a dict without a text": {"txet": "a"},
    "a dict with a text that is nothing": {"text": None},
    "a dict with a text that is a list": {"text": ["a"]},
    "a dict with a pair that is a number": {"text": "a", "text_pair": 3},
    "a dict of dicts": {"text": {"text": "a"}},
}


def _item(good: Path, item: Any) -> Callable[[Path], None]:
    """Predict one bad item beside good ones: it alone has no prediction."""

    def give(folder: Path) -> None:
        results = predictor(good).predict_each(["a film", item, "a plot"])
        if [isinstance(result, InputError) for result in results] != [False, True, False]:
            raise AssertionError(f"{results}")
        raise results[1]

    return give


def _block(good: Path, item: Any) -> Callable[[Path], None]:
    """Make loaders of a `DataBlock` of good items and a bad one."""

    def give(folder: Path) -> None:
        from fastai.data.block import CategoryBlock, DataBlock

        from blurr.text.blocks import TextBlock

        hf = predictor(good).hf
        block = DataBlock(
            blocks=(TextBlock(*hf), CategoryBlock), get_x=lambda x: x, get_y=lambda x: "ab"[hash(str(x)) % 2]
        )
        block.dataloaders([*(f"a film {n}" for n in range(9)), item], bs=2)

    return give


def cases(good: Path) -> Iterator[Case]:
    """Yield what is given at the other doors.

    Args:
        good: the folder of a checkpoint that can classify.
    """
    for name, (make, source, target, says) in INPUTS.items():
        yield Case("predict", name, _predicts(good, make, source, target), says, slow="4 GB" in name)
    for name, (file, content, failed) in ROWS.items():
        yield Case("predict", name, _fails_each(good, file, content, failed), HANDLED)
    yield Case(
        "predict",
        "a thousand columns",
        _predicts(good, lambda _: files.write_wide(Path("r.csv"), 1000), "r.csv"),
        HANDLED,
    )
    for name, (make, words, says) in SCORED.items():
        yield Case("evaluate", name, _evaluates(good, make, *words), says)
    for name, item in ITEMS.items():
        yield Case("item", name, _item(good, item), "text")
    for name in ("a half of a surrogate pair", "a dict without a text"):
        yield Case("block", name, _block(good, ITEMS[name]), "text")
