"""A label leaves blurr as it came in: whatever its spelling, the format of its file and the task."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pandas as pd
import pytest
from transformers import BertConfig

from blurr.data.at_hand import from_data
from blurr.data.core import RawData
from blurr.models.objects import HFObjects
from blurr.targets.labels import encode_labels
from blurr.text.sequence_classification.task import SequenceClassification
from blurr.text.token_classification.task import TokenClassification
from blurr.text.token_classification.words import label_ids

SPELLINGS = [
    *("007", "1.10", "1e3", "0x1A", "12345678901234567890", "true"),
    *("NA", "null", "-1", "2024-01-31", "a, \"b\" & 'c'", "Größe ⅓\u2028?"),
]
SIZE = 12


def written(rows: list[dict[str, Any]], folder: Path, suffix: str) -> Path:
    path, frame = folder / f"rows.{suffix}", pd.DataFrame(rows)
    write = {
        "csv": lambda: frame.to_csv(path, index=False),
        "tsv": lambda: frame.to_csv(path, index=False, sep="\t"),
        "jsonl": lambda: path.write_text("".join(json.dumps(row) + "\n" for row in rows)),
        "parquet": lambda: frame.to_parquet(path, index=False),
        "xlsx": lambda: frame.to_excel(path, index=False),
    }
    write[suffix]()
    return path


SOURCES: dict[str, Callable[[list[dict[str, Any]], Path], Any]] = {
    **{
        suffix: lambda rows, folder, suffix=suffix: written(rows, folder, suffix)
        for suffix in ("csv", "tsv", "jsonl", "parquet", "xlsx")
    },
    "DataFrame": lambda rows, folder: pd.DataFrame(rows),
    "Dataset": lambda rows, folder: datasets.Dataset.from_list(rows),
}
HOLDS_NO_LISTS = ("csv", "tsv", "xlsx")


def objects(task: Any, raw: RawData, folder: Path) -> HFObjects:
    """What a saved and loaded config knows of the labels; there is nothing to tokenize."""
    BertConfig(**task.target.model_config(raw)).save_pretrained(folder)
    return HFObjects("bert", BertConfig.from_pretrained(folder), None, None)


def others(label: str) -> list[str]:
    """Labels that a reader of numbers, of truth values or of missing values would take for the same one."""
    return [label, f"{label}0", f"0{label}"]


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("label", SPELLINGS)
def test_a_class_is_what_the_file_says(label: str, source: str, tmp_path: Path) -> None:
    names = others(label)
    rows = [{"text": f"text {i}", "label": names[i % 3], "is_valid": i >= 9} for i in range(SIZE)]
    task = SequenceClassification(kind="multiclass")
    raw = from_data(task.row_schema(), SOURCES[source](rows, tmp_path))
    hf = objects(task, raw, tmp_path)
    assert sorted(hf.label_names) == sorted(names)
    for split, part in raw.splits.items():
        expected = [row["label"] for row in rows if row["is_valid"] == (split == "valid")]
        assert part["label"][:] == expected
        assert [hf.label_names[i] for i in encode_labels(part["label"][:], hf)] == expected


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("label", SPELLINGS)
def test_several_labels_are_what_the_file_says(label: str, source: str, tmp_path: Path) -> None:
    names = others(label)
    lists = [names[:2], names[1:], [names[0]]]
    in_one = "|".join if source in HOLDS_NO_LISTS else list
    rows = [{"text": f"text {i}", "label": in_one(lists[i % 3]), "is_valid": i >= 9} for i in range(SIZE)]
    task = SequenceClassification(label_separator="|" if source in HOLDS_NO_LISTS else None)
    raw = from_data(task.row_schema(), SOURCES[source](rows, tmp_path))
    hf = objects(task, raw, tmp_path)
    assert sorted(hf.label_names) == sorted(names)
    vectors = encode_labels(raw.valid["label"][:], hf)
    assert raw.valid["label"][:] == lists
    found = [{name for name, bit in zip(hf.label_names, vector, strict=True) if bit} for vector in vectors]
    assert found == [set(label) for label in lists]


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("label", SPELLINGS)
def test_tags_are_what_the_file_says(label: str, source: str, tmp_path: Path) -> None:
    names = [f"{prefix}{name}" for name in others(label) for prefix in ("B-", "I-")]
    cell = json.dumps if source in HOLDS_NO_LISTS else list
    rows = [{"tokens": cell(["a"] * 6), "labels": cell(names), "is_valid": i >= 9} for i in range(SIZE)]
    task = TokenClassification()
    raw = from_data(task.row_schema(), SOURCES[source](rows, tmp_path))
    hf = objects(task, raw, tmp_path)
    assert sorted(hf.label_names) == sorted(names)
    assert raw.valid["labels"][0] == names
    assert [hf.label_names[i] for i in label_ids(raw.valid["labels"][0], hf.label_names)] == names


ONE_TYPE = ("jsonl", "parquet", "xlsx", "DataFrame", "Dataset")
TYPED = {
    "integers": ([7, 10, 2], ["2", "7", "10"], ONE_TYPE),
    "whole floats": ([7.0, 10.0, 2.0], ["2", "7", "10"], ONE_TYPE),
    "truth values": ([True, False, True], ["false", "true"], ONE_TYPE),
    "beyond 64 bits": ([12345678901234567890123, 1, 2], ["1", "2", "12345678901234567890123"], ("jsonl", "DataFrame")),
    "of several types": ([2, True, "maybe"], ["2", "maybe", "true"], ("jsonl", "xlsx", "DataFrame")),
}


@pytest.mark.parametrize(
    ("labels", "names", "source"),
    [(labels, names, source) for labels, names, sources in TYPED.values() for source in sources],
    ids=[f"{kind} in {source}" for kind, (_, _, sources) in TYPED.items() for source in sources],
)
def test_numbers_and_truth_values_have_one_spelling(
    labels: list[Any], names: list[str], source: str, tmp_path: Path
) -> None:
    rows = [{"text": f"text {i}", "label": labels[i % 3], "is_valid": i >= 9} for i in range(SIZE)]
    task = SequenceClassification()
    raw = from_data(task.row_schema(), SOURCES[source](rows, tmp_path))
    assert objects(task, raw, tmp_path).label_names == names


@pytest.mark.parametrize("valid", ["jsonl", "parquet", "xlsx", "DataFrame"])
def test_a_csv_file_and_a_typed_one_agree_on_whole_numbers(valid: str, tmp_path: Path) -> None:
    rows = [{"text": f"text {i}", "label": i % 3} for i in range(SIZE)]
    typed = [{**row, "label": float(row["label"])} for row in rows]
    raw = from_data(
        SequenceClassification().row_schema(), written(rows, tmp_path, "csv"), valid=SOURCES[valid](typed, tmp_path)
    )
    assert raw.train["label"][:] == raw.valid["label"][:] == ["0", "1", "2"] * 4


@pytest.mark.parametrize(
    ("train", "valid"),
    [("A23", "223"), (["true", "false", "maybe"], ["true", "false", "true"]), ("123", "113")],
    ids=["a letter in one split", "truth values in one split", "numbers alone"],
)
def test_one_reading_holds_for_all_splits(train: Any, valid: Any, tmp_path: Path) -> None:
    for split, labels in (("train", train), ("valid", valid)):
        frame = pd.DataFrame({"text": [f"{split} {i}" for i in range(9)], "label": list(labels) * 3})
        frame.to_csv(tmp_path / f"{split}.csv", index=False)
    raw = from_data(SequenceClassification().row_schema(), tmp_path / "train.csv", valid=tmp_path / "valid.csv")
    assert raw.train["label"][:] == list(train) * 3
    assert raw.valid["label"][:] == list(valid) * 3


def test_a_fraction_in_one_split_makes_all_of_them_numbers(tmp_path: Path) -> None:
    for split, label in (("train", "1"), ("valid", "1.5")):
        (tmp_path / f"{split}.csv").write_text("text,label\n" + f"a,{label}\nb,2\n")
    raw = from_data(SequenceClassification().row_schema(), tmp_path / "train.csv", valid=tmp_path / "valid.csv")
    assert (raw.kind, raw.train["label"][:], raw.valid["label"][:]) == ("regression", [1.0, 2.0], [1.5, 2.0])
    assert "all 4 labels are numbers, and 1 of them, such as 1.5, not whole" in raw.reason


def test_an_empty_cell_is_missing_and_the_text_na_is_not(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("text,label\na,NA\nb,nan\nc,None\nd,NA\n")
    raw = from_data(SequenceClassification().row_schema(), tmp_path / "rows.csv", valid=tmp_path / "rows.csv")
    assert raw.train["label"][:] == ["NA", "nan", "None", "NA"]


@pytest.mark.parametrize(("dtype", "label"), [("float32", "0.1"), ("float16", "0.1"), ("float64", "0.1")])
def test_a_narrow_float_shows_the_digits_that_somebody_wrote(dtype: str, label: str) -> None:
    frame = pd.DataFrame({"text": ["a", "b"], "label": pd.Series([0.1, 2.5], dtype=dtype)})
    raw = from_data(SequenceClassification(kind="multiclass").row_schema(), frame, valid=frame)
    assert raw.train["label"][:] == [label, "2.5"]
