"""Columns of every type that a table can have, as the text and as the label; and what is given in place of rows."""

import datetime
import decimal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from blurr.data.at_hand import from_data
from blurr.data.files import load_files
from blurr.text.sequence_classification.task import SequenceClassification
from tests.bad_input.case import HANDLED, Case

N = 24  # rows
DAY = datetime.date(2026, 1, 1)
TEXTS = [f"a text {n}" for n in range(N)]
LABELS = ["a", "b"] * (N // 2)

BEYOND = "has a time that Python cannot count to in the column"
ALIKE = "leaves none for 'valid'"  # texts that are alike stay together
# name: (a column, answer as the text, answer as the label)
TYPES: dict[str, tuple[pa.Array, str, str]] = {
    "structs": (pa.array([{"x": "a", "y": n} for n in range(N)]), "no texts for 'text'", "for a label"),
    "structs of structs": (pa.array([{"x": {"y": {"z": n}}} for n in range(N)]), "no texts", "for a label"),
    "maps": (pa.array([[("k", "v")]] * N, pa.map_(pa.string(), pa.string())), "a type that rows cannot have", "map"),
    "lists of structs": (pa.array([[{"x": "a"}]] * N), "no texts for 'text'", "for a label"),
    "lists of lists": (pa.array([[["a"]]] * N), "no texts for 'text'", "for a label"),
    "empty lists": (pa.array([[]] * N, pa.list_(pa.string())), "no texts for 'text'", "all lists are empty"),
    "binary": (pa.array([b"\xff\xfe"] * N), "no texts for 'text'", "for a label"),
    "numbers over int64": (pa.array([2**64 - 1 - n % 2 for n in range(N)], pa.uint64()), "no texts", HANDLED),
    "decimals": (pa.array([decimal.Decimal("1.10")] * N), "no texts for 'text'", HANDLED),
    "decimals of 76 digits": (
        pa.array([decimal.Decimal("9" * 76), decimal.Decimal("1" * 76)] * (N // 2), pa.decimal256(76)),
        "no texts",
        HANDLED,
    ),
    "dates": (pa.array([DAY, DAY + datetime.timedelta(1)] * (N // 2)), "no texts for 'text'", HANDLED),
    "dates beyond Python's": (pa.array([10**7, 10**7 + 1] * (N // 2), pa.int32()).cast(pa.date32()), BEYOND, BEYOND),
    "times with a zone": (pa.array([0, 1] * (N // 2), pa.timestamp("ns", "Asia/Tokyo")), "no texts", HANDLED),
    "times beyond Python's": (pa.array([2**62, 2**62 + 1] * (N // 2), pa.timestamp("us")), BEYOND, BEYOND),
    "durations": (pa.array([0, 2**40] * (N // 2), pa.duration("us")), "no texts for 'text'", HANDLED),
    "durations beyond Python's": (pa.array([0, 2**62] * (N // 2), pa.duration("s")), BEYOND, BEYOND),
    "half numbers": (pa.array([0.5, 1.5] * (N // 2), pa.float16()), "no texts for 'text'", HANDLED),
    "nothing but NaN": (pa.array([float("nan")] * N), "no value for 'text'", "no value for 'label'"),
    "infinite numbers": (pa.array([float("inf"), 1.5] * (N // 2)), "no texts for 'text'", "finite|label"),
    "nulls": (pa.nulls(N), "no value for 'text'", "no value for 'label'"),
    "truth values": (pa.array([True, False] * (N // 2)), "no texts for 'text'", HANDLED),
    "large texts": (pa.array(LABELS, pa.large_string()), ALIKE, HANDLED),
    "times of a zone that is not there": (pa.array([0, 1] * (N // 2), pa.timestamp("ns", "Mars/Base")), BEYOND, BEYOND),
    "views of texts": (pa.array(LABELS).cast(pa.string_view()), ALIKE, HANDLED),
    "texts of a dictionary": (pa.array(LABELS).dictionary_encode(), ALIKE, HANDLED),
    "vectors": (pa.FixedSizeListArray.from_arrays(pa.array([0.5] * 2 * N), 2), "no texts", HANDLED),
    "texts that are no Unicode": (
        pa.Array.from_buffers(pa.string(), N, pa.array([b"\xff\xfe"] * N).buffers()),
        "r.parquet",
        "r.parquet",
    ),
    "halves of surrogate pairs": (
        pa.Array.from_buffers(pa.string(), N, pa.array([b"\xed\xa0\x80"] * N).buffers()),
        "r.parquet",
        "r.parquet",
    ),
}


def _of_type(column: pa.Array, role: str) -> Callable[[Path], None]:
    def give(folder: Path) -> None:
        table = pa.table({"text": TEXTS, "label": LABELS})
        table = table.set_column(table.column_names.index(role), role, column)
        try:
            pq.write_table(table, folder / "r.parquet")
        except (pa.ArrowNotImplementedError, pa.ArrowInvalid):  # a version of arrow that cannot write it
            (folder / "r.parquet").write_bytes(b"")
        load(SequenceClassification(), "r.parquet")

    return give


def load(task: Any, file: str, **options: Any) -> Any:
    rows = task.prepare(load_files(task.schema, train=file, **options))
    rows.fingerprint  # noqa: B018  # reads every value
    return rows


# name: (rows as a notebook has them, answer)
AT_HAND: dict[str, tuple[Callable[[], Any], str]] = {
    "a DataFrame of lists": (lambda: pd.DataFrame({"text": [["a"]] * 9, "label": LABELS[:9]}), "no texts for 'text'"),
    "a DataFrame of objects": (lambda: pd.DataFrame({"text": [object()] * 9, "label": LABELS[:9]}), "text"),
    "a DataFrame of functions": (lambda: pd.DataFrame({"text": TEXTS[:9], "label": [print] * 9}), "label"),
    "a DataFrame of bytes": (lambda: pd.DataFrame({"text": [b"\xff"] * 9, "label": LABELS[:9]}), "no texts for 'text'"),
    "a DataFrame of huge numbers": (
        lambda: pd.DataFrame({"text": TEXTS, "label": [10**30 + n % 2 for n in range(N)]}),
        HANDLED,
    ),
    "a DataFrame of numbers of 5000 digits": (
        lambda: pd.DataFrame({"text": TEXTS, "label": [10**5000] * N}),
        "column .*'label'",
    ),
    "a DataFrame of complex numbers": (lambda: pd.DataFrame({"text": TEXTS, "label": [1j] * N}), "label"),
    "a DataFrame with two columns of one name": (
        lambda: pd.DataFrame([["a", "b", "c"]] * 9, columns=["text", "text", "label"]),
        "several columns named 'text'",
    ),
    "a DataFrame with columns that are numbers": (lambda: pd.DataFrame([["a", "b"]] * 9), "no column 'text'"),
    "a DataFrame with columns of columns": (
        lambda: pd.DataFrame([["a", "b"]] * 9, columns=pd.MultiIndex.from_tuples([("text", "x"), ("label", "y")])),
        "no column 'text'",
    ),
    "an empty DataFrame": (lambda: pd.DataFrame({"text": [], "label": []}), "no rows"),
    "a DataFrame without columns": (lambda: pd.DataFrame(index=range(9)), "no column 'text'|no rows"),
    "a half of a surrogate pair in a DataFrame": (
        lambda: pd.DataFrame({"text": pd.Series(["\ud800"] * 9, dtype=object), "label": LABELS[:9]}),
        "not Unicode",
    ),
    "a list of texts": (lambda: ["a", "b"], "must be an object"),
    "a list of nothing": (lambda: [], "no rows|no column"),
    "a list of dicts with keys that are numbers": (lambda: [{1: "a", 2: "b"}] * 9, "name is not a text"),
    "a dict of lists": (lambda: {"text": TEXTS, "label": LABELS}, "no split 'train'"),
    "a number": (lambda: 3, "cannot be read as rows"),
    "nothing": (lambda: None, "cannot be read as rows"),
    "a generator": (lambda: ({"text": t} for t in TEXTS), "cannot be read as rows"),
    "a path of a device": (lambda: Path("/dev/zero"), "device|no known format"),
}


def _at_hand(make: Callable[[], Any]) -> Callable[[Path], None]:
    def give(folder: Path) -> None:
        from_data(SequenceClassification().row_schema(), make()).fingerprint  # noqa: B018

    return give


def cases(good: Path) -> Iterator[Case]:
    """Yield columns of each type as the text and as the label, and what a notebook has in place of rows."""
    for name, (column, as_text, as_label) in TYPES.items():
        yield Case("type", f"{name} as the text", _of_type(column, "text"), as_text)
        yield Case("type", f"{name} as the label", _of_type(column, "label"), as_label)
    for name, (make, says) in AT_HAND.items():
        yield Case("notebook", name, _at_hand(make), says)
