"""Packed files that unpack to far more than they hold, are cut off, or are made of random bytes."""

import gzip
import io
import json
import random
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from blurr.data.files import load_files
from blurr.errors import InputError, ResourceError
from blurr.text.sequence_classification.task import SequenceClassification
from tests.bad_input.case import HANDLED, Case

FRAME = pd.DataFrame({"text": [f"a text {n}" for n in range(40)], "label": ["a", "b"] * 20})
MEMBER = 8 << 20  # bytes of one of the parts of a bomb


def load(file: str, **options: object) -> None:
    load_files(SequenceClassification().schema, train=file, **options)  # type: ignore[arg-type]


def _gzip_bomb(suffix: str, unit: bytes, head: bytes = b"") -> Callable[[Path], None]:
    """Make a file that unpacks to 4 GB, of parts packed once."""

    def give(folder: Path) -> None:
        write_bomb(folder / f"r.{suffix}.gz", unit, head)
        load(f"r.{suffix}.gz")

    return give


def write_bomb(file: Path, unit: bytes, head: bytes = b"") -> None:
    part = gzip.compress(unit * (MEMBER // len(unit)))
    with file.open("wb") as opened:
        opened.write(gzip.compress(head) if head else b"")
        for _ in range(512):
            opened.write(part)


def _xlsx() -> bytes:
    content = io.BytesIO()
    FRAME.to_excel(content, index=False)
    return content.getvalue()


def _repacked(change: Callable[[str, bytes], bytes]) -> Callable[[Path], None]:
    """Make an xlsx file, change each of the files in it, and read it."""

    def give(folder: Path) -> None:
        with (
            zipfile.ZipFile(io.BytesIO(_xlsx())) as old,
            zipfile.ZipFile("r.xlsx", "w", zipfile.ZIP_DEFLATED, True, 1) as new,
        ):
            for name in old.namelist():
                new.writestr(name, change(name, old.read(name)))
        load("r.xlsx")

    return give


def _of_sheet(change: Callable[[bytes], bytes]) -> Callable[[str, bytes], bytes]:
    return lambda name, content: change(content) if "sheet1.xml" in name else content


def _blank_rows(content: bytes) -> bytes:
    return content.replace(b"</sheetData>", b"<row></row>" * 14_000_000 + b"</sheetData>")


LAUGHS = b"".join(b'<!ENTITY l%d "%s">' % (n, b"&l%d;" % (n - 1) * 10) for n in range(1, 10))
LAUGHS = b'<!DOCTYPE x [<!ENTITY l0 "lol">' + LAUGHS + b"]>"


def _with_entity(declared: bytes, used: bytes) -> Callable[[bytes], bytes]:
    def change(content: bytes) -> bytes:
        head, mark, rest = content.partition(b"?>") if content.startswith(b"<?xml") else (b"", b"", content)
        return head + mark + declared + rest.replace(b"<v>", b"<v>" + used, 1)

    return change


def _far_cell(content: bytes) -> bytes:
    return content.replace(b'r="A2"', b'r="XFD1048576"', 1)


EXCEL: dict[str, tuple[Callable[[str, bytes], bytes], str]] = {
    "a sheet of blank rows": (_of_sheet(_blank_rows), "r.xlsx unpacks to more than 100 times"),
    "a picture of zeros": (
        lambda n, c: bytes(200 << 20) if "theme" in n else c,
        "r.xlsx unpacks to more than 100 times",
    ),
    "entities of entities": (_of_sheet(_with_entity(LAUGHS, b"&l9;")), "cannot be read as an Excel file"),
    "an entity of a file": (
        _of_sheet(_with_entity(b'<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/hostname">]>', b"&f;")),
        "cannot be read as an Excel file",
    ),
    "a sheet that is no XML": (_of_sheet(lambda _: b"not xml"), "cannot be read as an Excel file"),
    "a sheet that is cut off": (_of_sheet(lambda content: content[:300]), "cannot be read as an Excel file"),
    "an empty sheet": (_of_sheet(lambda _: b""), "cannot be read as an Excel file"),
    "a cell in the last row and column": (_of_sheet(_far_cell), HANDLED),
    "no list of sheets": (lambda n, c: b"" if n == "xl/workbook.xml" else c, "cannot be read as an Excel file"),
    "styles of random bytes": (
        lambda n, c: random.Random(0).randbytes(100) if "styles" in n else c,
        "cannot be read as an Excel file",
    ),
}


def _xlsx_cut(folder: Path) -> None:
    (folder / "r.xlsx").write_bytes(_xlsx()[:-200])
    load("r.xlsx")


def _parquet(compression: str = "snappy") -> bytes:
    content = io.BytesIO()
    pq.write_table(pa.Table.from_pandas(FRAME), content, compression=compression)
    return content.getvalue()


def _spoilt(file: str, made: Callable[[], bytes], seeds: int) -> Callable[[Path], None]:
    """Read a file of which a few bytes are random, many times: each answer is blurr's own."""

    def give(folder: Path) -> None:
        good = made()
        for seed in range(seeds):
            draw, content = random.Random(seed), bytearray(good)
            for _ in range(draw.choice([1, 3, 30])):
                content[draw.randrange(len(content))] = draw.randrange(256)
            (folder / file).write_bytes(content)
            try:
                load(file)
            except InputError as error:
                if file not in str(error) and "labels" not in str(error):
                    raise AssertionError(f"seed {seed}: the file is not named: {error}") from error

    return give


def _cut(file: str, made: Callable[[], bytes], parts: int) -> Callable[[Path], None]:
    """Read a file that ends too early, at several places."""

    def give(folder: Path) -> None:
        good = made()
        for part in range(1, parts):
            (folder / file).write_bytes(good[: len(good) * part // parts])
            try:
                load(file)
            except InputError as error:
                if file not in str(error):
                    raise
            else:
                raise AssertionError(f"{part} of {parts} parts are read as a whole file")

    return give


def _random(file: str) -> Callable[[Path], None]:
    def give(folder: Path) -> None:
        (folder / file).write_bytes(random.Random(0).randbytes(5000))
        load(file)

    return give


def _wide_parquet_cell(folder: Path) -> None:
    """Write a text of 10 MB ten thousand times, which takes 10 MB."""
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 10_000, pa.int32()), ["x" * 10_000_000])
    pq.write_table(pa.table({"text": texts, "label": texts}), folder / "r.parquet", compression="zstd")
    load("r.parquet")


def cases(good: Path) -> Iterator[Case]:
    """Yield packed files."""
    says = r"unpacks to more than \d+ times its size"
    line = json.dumps({"text": "x", "label": "a"}).encode() + b"\n"
    yield Case("packed", "a csv of 4 GB of zeros", _gzip_bomb("csv", b"\0", b"text,label\n"), says, slow=True)
    yield Case("packed", "a csv of 4 GB of one row", _gzip_bomb("csv", b"x,a\n", b"text,label\n"), says)
    yield Case("packed", "a tsv of 4 GB of one cell", _gzip_bomb("tsv", b"x", b"text\tlabel\n"), says, slow=True)
    yield Case("packed", "a jsonl of 4 GB of one row", _gzip_bomb("jsonl", line), says, slow=True)
    yield Case("packed", "a json of 4 GB of one list", _gzip_bomb("json", b"[],", b"["), says, slow=True)
    yield Case("packed", "a text of 4 GB", _gzip_bomb("txt", b"a "), says, slow=True)
    yield Case("packed", "a conll of 4 GB", _gzip_bomb("conll", b"a O\n"), says, slow=True)
    yield Case("packed", "a parquet of 4 GB of zeros", _gzip_bomb("parquet", b"\0", b"PAR1"), says)
    yield Case("packed", "an xlsx of 4 GB of zeros", _gzip_bomb("xlsx", b"\0", b"PK"), says)
    for name, (change, answer) in EXCEL.items():
        yield Case("packed", f"an xlsx with {name}", _repacked(change), answer)
    yield Case("packed", "an xlsx without its end", _xlsx_cut, "cannot be read as an Excel file")
    yield Case("packed", "a parquet of 100 GB of one text", _wide_parquet_cell, "Out of memory", ResourceError)
    for file in ("r.csv.gz", "r.parquet", "r.xlsx", "r.json.gz"):
        yield Case("packed", f"random bytes, {file}", _random(file), "r.*cannot be|not a parquet|unpacked")
    packed = gzip.compress(FRAME.to_csv(index=False).encode())
    yield Case("packed", "a csv.gz cut off", _cut("r.csv.gz", lambda: packed, 8), HANDLED)
    yield Case("packed", "a csv.gz with random bytes", _spoilt("r.csv.gz", lambda: packed, 30), HANDLED)
    for compression in ("snappy", "gzip", "zstd", "lz4", "brotli", "none"):
        make = partial(_parquet, compression)
        yield Case("packed", f"a parquet of {compression} cut off", _cut("r.parquet", make, 8), HANDLED)
        yield Case(
            "packed",
            f"a parquet of {compression} with random bytes",
            _spoilt("r.parquet", make, 60),
            HANDLED,
            slow=compression != "snappy",
        )
    yield Case("packed", "an xlsx cut off", _cut("r.xlsx", _xlsx, 6), HANDLED)
    yield Case("packed", "an xlsx with random bytes", _spoilt("r.xlsx", _xlsx, 20), HANDLED)
