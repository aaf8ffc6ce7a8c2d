"""Rows from anywhere come under the names of the task's roles, checked and split."""

import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pandas as pd
import pytest
from PIL import Image

from blurr.data.at_hand import from_data
from blurr.data.core import RawData, Schema, raw_data
from blurr.data.files import load_files, named
from blurr.data.splits import Splits
from blurr.errors import InputError


def no_sample(rng: random.Random) -> dict[str, Any]:
    return {"text": str(rng.random()), "label": "a"}


SCHEMA = Schema(required=("text", "label"), optional=("text_pair",), label="label", sample=no_sample)
SUMMARY = Schema(required=("text", "summary"), optional=(), label=None, sample=no_sample)
SIZE = 20
ROWS = [{"text": f"text {row}", "label": "ab"[row % 2], "is_valid": row % 4 == 0} for row in range(SIZE)]


def plain(rows: list[dict[str, Any]], folder: Path, suffix: str) -> str:
    path = folder / f"rows.{suffix}"
    frame = pd.DataFrame(rows)
    write = {
        "csv": lambda: frame.to_csv(path, index=False),
        "tsv": lambda: frame.to_csv(path, index=False, sep="\t"),
        "json": lambda: frame.to_json(path, orient="records"),
        "jsonl": lambda: frame.to_json(path, orient="records", lines=True),
        "parquet": lambda: frame.to_parquet(path, index=False),
        "xlsx": lambda: frame.to_excel(path, index=False),
    }
    write[suffix]()
    return str(path)


SOURCES: dict[str, Callable[[list[dict[str, Any]], Path], object]] = {
    "DataFrame": lambda rows, folder: pd.DataFrame(rows, index=range(5, 5 + len(rows))),
    "Dataset": lambda rows, folder: datasets.Dataset.from_list(rows),
    "selected Dataset": lambda rows, folder: datasets.Dataset.from_list(rows[:1] + rows).select(
        range(1, 1 + len(rows))
    ),
    "torch Dataset": lambda rows, folder: datasets.Dataset.from_list(rows).with_format("numpy"),
    "DatasetDict": lambda rows, folder: datasets.DatasetDict(train=datasets.Dataset.from_list(rows)),
    "list of dicts": lambda rows, folder: rows,
    "Path": lambda rows, folder: Path(plain(rows, folder, "csv")),
    **{
        suffix: lambda rows, folder, suffix=suffix: plain(rows, folder, suffix)
        for suffix in ("csv", "tsv", "json", "jsonl", "parquet", "xlsx")
    },
}


def values(rows: datasets.Dataset, column: str) -> list[Any]:
    return list(rows.with_format(None)[column])


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES.keys())
def test_b7_every_kind_of_source_is_read(source: Callable[..., object], tmp_path: Path) -> None:
    rows = [{"text": row["text"], "label": row["label"]} for row in ROWS]
    raw = from_data(SCHEMA, source(rows, tmp_path), splits=Splits(by="index", index=[0, 1]))
    assert raw.train.with_format(None).to_list() == rows[2:]
    assert raw.valid.with_format(None).to_list() == rows[:2]
    assert raw.test is None


@pytest.mark.parametrize("marks", [(True, False), (1, 0), ("True", "False")], ids=["bool", "number", "text"])
@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES.keys())
def test_b15_is_valid_column_is_honoured_for_every_source(
    source: Callable[..., object], marks: tuple[object, object], tmp_path: Path
) -> None:
    rows = [row | {"is_valid": marks[not row["is_valid"]]} for row in ROWS]
    raw = from_data(SCHEMA, source(rows, tmp_path))
    assert values(raw.valid, "text") == [row["text"] for row in ROWS if row["is_valid"]]
    assert values(raw.train, "text") == [row["text"] for row in ROWS if not row["is_valid"]]


def test_given_validation_rows_win_over_is_valid_and_may_be_of_another_kind() -> None:
    raw = from_data(SCHEMA, pd.DataFrame(ROWS), valid=ROWS[:3])
    assert (raw.train.num_rows, raw.valid.num_rows) == (SIZE, 3)


def test_splits_of_a_dict_are_known_by_their_usual_names() -> None:
    parts = {
        name: datasets.Dataset.from_list(ROWS[:size]) for name, size in (("train", 3), ("validation", 2), ("test", 1))
    }
    raw = from_data(SCHEMA, datasets.DatasetDict(parts))
    assert {name: rows.num_rows for name, rows in raw.splits.items()} == {"train": 3, "valid": 2, "test": 1}


def test_columns_take_the_names_of_roles_and_others_keep_theirs() -> None:
    rows = [{"review": "a", "stars": 1, "id": 7}, {"review": "b", "stars": 2, "id": 8}]
    raw = from_data(SCHEMA, rows, columns={"text": "review", "label": "stars", "text_pair": None}, valid=rows)
    assert raw.train.to_list() == [{"text": "a", "label": "1", "id": 7}, {"text": "b", "label": "2", "id": 8}]


def test_a_column_in_the_way_of_a_role_is_kept_beside_it() -> None:
    rows = [{"text": "short", "body": "long", "label": "a"}]
    raw = from_data(SCHEMA, rows, columns={"text": "body"}, valid=rows)
    assert raw.train[0] == {"text": "long", "source_text": "short", "label": "a"}


def test_two_columns_can_swap_their_names() -> None:
    rows = [{"text": "short", "summary": "long"}]
    raw = from_data(SUMMARY, rows, columns={"text": "summary", "summary": "text"}, valid=rows)
    assert raw.train[0] == {"text": "long", "summary": "short"}


def test_an_optional_role_is_used_where_the_data_has_it() -> None:
    rows = [{"text": "a", "text_pair": "b", "label": 0}]
    assert from_data(SCHEMA, rows, valid=rows).train.column_names == ["text", "text_pair", "label"]
    taken = from_data(SCHEMA, rows, columns={"text": "text_pair"}, valid=rows)
    assert taken.train[0] == {"source_text": "a", "text": "b", "label": "0"}


def test_a_dotted_name_reaches_into_a_nested_column() -> None:
    rows = [{"translation": {"de": "Hund", "en": "dog"}}]
    raw = from_data(SUMMARY, rows, columns={"text": "translation.de", "summary": "translation.en"}, valid=rows)
    assert raw.train[0] == {"text": "Hund", "summary": "dog"}


def test_several_label_columns_become_one_list_and_the_names_of_the_labels() -> None:
    rows = [{"text": "a", "toxic": 0.9, "rude": False}, {"text": "b", "toxic": 0.2, "rude": True}]
    raw = from_data(SCHEMA, rows, columns={"label": ["toxic", "rude"]}, valid=rows)
    assert values(raw.train, "label") == [["toxic"], ["rude"]]
    assert raw.label_names == ["toxic", "rude"]


def test_a_column_named_as_the_label_role_gives_way_to_several_label_columns() -> None:
    rows = [{"text": "a", "label": "x", "rude": 1}]
    raw = from_data(SCHEMA, rows, columns={"label": ["rude"]}, valid=rows)
    assert raw.train[0] == {"text": "a", "source_label": "x", "label": ["rude"]}


@pytest.mark.parametrize("many", [False, True], ids=["one label", "several labels"])
def test_names_of_classes_are_taken_from_the_source(many: bool) -> None:
    names = datasets.ClassLabel(names=["no", "yes"])
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.List(names) if many else names})
    labels = [[0, 1]] * 10 if many else [0, 1] * 5
    rows = datasets.Dataset.from_dict({"text": list("abcdefghij"), "label": labels}, features=features)
    assert from_data(SCHEMA, rows).label_names == ["no", "yes"]


def test_rows_without_known_class_names_leave_them_to_the_task() -> None:
    assert from_data(SCHEMA, ROWS).label_names is None
    assert (
        from_data(SUMMARY, [{"text": "a", "summary": "b"}], valid=[{"text": "a", "summary": "b"}]).label_names is None
    )


def test_limit_keeps_a_seeded_sample_of_every_split_in_order() -> None:
    raw = from_data(SCHEMA, ROWS, limit=4)
    assert (raw.train.num_rows, raw.valid.num_rows) == (4, 4)
    assert values(raw.train, "text") == values(from_data(SCHEMA, ROWS, limit=4).train, "text")
    assert values(raw.train, "text") == sorted(values(raw.train, "text"), key=lambda text: int(text.split()[1]))
    assert values(raw.train, "text") != [row["text"] for row in ROWS if not row["is_valid"]][:4]


def test_nothing_that_was_given_is_changed() -> None:
    frame, columns = pd.DataFrame(ROWS), {"text": "text"}
    before = frame.copy()
    from_data(SCHEMA, frame, columns=columns)
    pd.testing.assert_frame_equal(frame, before)
    assert columns == {"text": "text"}


def test_the_fingerprint_follows_the_contents_alone() -> None:
    raw = from_data(SCHEMA, ROWS)
    again = from_data(SCHEMA, pd.DataFrame(ROWS))
    longer = datasets.Dataset.from_list(ROWS + ROWS[:1]).select(range(SIZE))
    assert (
        raw.fingerprint
        == again.fingerprint
        == from_data(SCHEMA, longer).fingerprint
        == "856a21019f003ede88e4c8f77baffdcf"
    )
    assert from_data(SCHEMA, [row | {"label": "a"} for row in ROWS]).fingerprint != raw.fingerprint


@pytest.mark.parametrize(
    "feature",
    [datasets.Image(), datasets.List(datasets.Image()), {"shown": datasets.Image()}, datasets.Audio()],
    ids=["images", "lists of images", "images in a field", "sounds"],
)
def test_equal_images_and_sounds_have_equal_fingerprints(feature: Any) -> None:
    """The text that Python shows of a decoded image holds its address, which differs from one to the next."""

    def fingerprint(color: int) -> str:
        (file := io.BytesIO()).name = "a.png"
        Image.new("L", (2, 2), color).save(file)
        cell: Any = {"bytes": file.getvalue(), "path": None}
        cell = [cell] if isinstance(feature, datasets.List) else {"shown": cell} if isinstance(feature, dict) else cell
        columns = {name: [row[name] for row in ROWS] for name in ROWS[0]} | {"media": [cell] * SIZE}
        features = datasets.Features(datasets.Dataset.from_list(ROWS).features | {"media": feature})
        return from_data(SCHEMA, datasets.Dataset.from_dict(columns).cast(features)).fingerprint

    assert fingerprint(0) == fingerprint(0) != fingerprint(255)


WRONG_ROWS = {
    "missing column": ({"label": "lable"}, ROWS, r"\(train\) has no column 'lable' for 'label'.*data.columns.label="),
    "near miss": ({"text": "texd"}, ROWS, r"Did you mean 'text'\? It has \['text', 'label', 'is_valid'\]"),
    "another delimiter": ({}, [{"text;label": "a;1"}], r"set data.delimiter, for example"),
    "optional column": ({"text_pair": "premise"}, ROWS, "has no column 'premise' for 'text_pair'"),
    "unknown role": ({"txt": "text"}, ROWS, r"data.columns.txt=text names a role.* Did you mean 'text'\?"),
    "list for a text": ({"text": ["a", "b"]}, ROWS, "only labels take several"),
    "one column twice": (
        {"text": "label"},
        ROWS,
        "data.columns.text and data.columns.label both name the column 'label'",
    ),
    "missing label column": ({"label": ["rude"]}, ROWS, "has no column 'rude'"),
    "labels of text": ({"label": ["text"]}, ROWS, r"row 1 \(counted from 1\) has 'text 0' in the column 'text'. Each"),
    "no value": ({}, [*ROWS, {"text": None, "label": "a"}], r"no value for 'text' in 1 of 21 rows, first in row 21"),
    "no label": ({}, [*ROWS, {"text": "x", "label": ""}], r"no value for 'label' in 1 of 21 rows, first in row 21"),
    "no number": ({}, [{"text": "x", "label": float("nan")}], "no value for 'label' in 1 of 1 rows"),
    "no rows": ({}, [], r"list \(train\) has no rows"),
    "rows that are no dicts": ({}, ["text"], "has a str as row 1"),
    "several types": ({}, [{"text": "a", "label": ["x"]}, {"text": "b", "label": "x"}], "of several types, 'label'"),
    "no data": ({}, 3, "A int cannot be read as rows"),
    "no training rows": ({}, datasets.DatasetDict(test=datasets.Dataset.from_list(ROWS)), "no split 'train'. It has"),
}


@pytest.mark.parametrize(("columns", "rows", "message"), WRONG_ROWS.values(), ids=WRONG_ROWS.keys())
def test_rows_that_do_not_serve_the_task_are_answered(columns: dict[str, Any], rows: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        from_data(SCHEMA, rows, columns=columns)


def test_a_frame_with_mixed_values_is_answered() -> None:
    with pytest.raises(InputError, match="The DataFrame has a column with values of several types, 'label'"):
        from_data(SCHEMA, pd.DataFrame({"text": ["a", "b"], "label": [["x"], "x"]}))


def test_rows_without_a_class_are_answered() -> None:
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["a"])})
    rows = datasets.Dataset.from_dict({"text": ["x"], "label": [-1]}, features=features)
    with pytest.raises(InputError, match="no value for 'label'"):
        from_data(SCHEMA, rows)


def raw_of(train: list[object], valid: list[object]) -> RawData:
    rows = {
        name: datasets.Dataset.from_list([{"text": "x", "label": label} for label in labels])
        for name, labels in (("train", train), ("valid", valid))
    }
    return raw_data(rows, SCHEMA, source="rows.csv")


@pytest.mark.parametrize(
    ("train", "valid"), [(["a", "b"], ["a", "c"]), ([["a"], ["b"]], [["a", "c"]])], ids=["one", "many"]
)
def test_a_label_that_only_validation_rows_have_is_refused(train: list[object], valid: list[object]) -> None:
    with pytest.raises(InputError, match=r"rows.csv \(valid\) has the label 'c', which no training row has"):
        raw_of(train, valid)


def test_labels_that_training_rows_have_are_accepted() -> None:
    assert values(raw_of(["a", "b"], ["b"]).valid, "label") == ["b"]


def test_files_may_be_given_for_every_split(tmp_path: Path) -> None:
    paths = {}
    for size, name in ((4, "train"), (3, "valid"), (2, "test")):
        (tmp_path / name).mkdir()
        paths[name] = plain(ROWS[:size], tmp_path / name, "csv")
    raw = load_files(SCHEMA, **paths)
    assert {name: rows.num_rows for name, rows in raw.splits.items()} == {"train": 4, "valid": 3, "test": 2}
    assert raw.source == paths["train"]


def test_a_list_of_files_is_named_by_its_files(tmp_path: Path) -> None:
    path = plain(ROWS, tmp_path, "csv")
    assert load_files(SCHEMA, train=[path, Path(path)]).source == f"{path}, {path}"


def test_b7_load_files_reads_a_path_and_splits_it(tmp_path: Path) -> None:
    raw = load_files(SCHEMA, train=plain(ROWS, tmp_path, "jsonl"), splits=Splits(by="random", valid=0.25), limit=5)
    assert (raw.train.num_rows, raw.valid.num_rows) == (5, 5)


def test_given_test_rows_stay_when_validation_is_taken_from_training(tmp_path: Path) -> None:
    path = plain(ROWS, tmp_path, "csv")
    raw = load_files(SCHEMA, train=path, test=path)
    assert {name: rows.num_rows for name, rows in raw.splits.items()} == {"train": 15, "valid": 5, "test": 20}


def test_numbers_and_missing_words_in_a_text_column_of_a_file_stay_text(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("text,label\n" + "".join(f"{text},1\n" for text in ("007", "NA", "null", "", "1.50")))
    raw = load_files(SCHEMA, train=str(path), valid=str(path))
    assert values(raw.train, "text") == ["007", "NA", "null", "", "1.50"]
    assert values(raw.train, "label") == ["1"] * 5


# -- how many rows are kept, and what is done to them first


MANY = [{"text": f"text {row}", "label": "rare" if row % 40 == 0 else "often"} for row in range(400)]


def test_a_limit_keeps_a_row_of_every_label_though_it_is_a_sample() -> None:
    labels = values(from_data(SCHEMA, MANY, limit=3).train, "label")
    assert sorted(set(labels)) == ["often", "rare"]


def test_a_limit_of_rows_with_several_labels_keeps_every_label() -> None:
    rows = [{"text": f"text {row}", "label": ["a", str(row % 20)]} for row in range(400)]
    labels = values(from_data(SCHEMA, rows, limit=25).train, "label")
    assert {label for row in labels for label in row} == {"a", *map(str, range(20))}


def test_a_limit_below_the_number_of_labels_is_named_where_it_hurts() -> None:
    rows = [{"text": f"text {row}", "label": str(row)} for row in range(100)]
    with pytest.raises(InputError, match="keeps each label in training, and so does a higher data.limit"):
        from_data(SCHEMA, rows, limit=5)


def test_a_limit_may_differ_by_split() -> None:
    raw = from_data(SCHEMA, MANY, limit={"valid": 7})
    assert (raw.train.num_rows, raw.valid.num_rows) == (320, 7)


def shout(rows: datasets.Dataset) -> datasets.Dataset:
    return rows.map(lambda row: {"text": row["text"].upper()})


def without_short(rows: datasets.Dataset) -> datasets.Dataset:
    return rows.filter(lambda row: len(row["text"]) > 6)


@pytest.mark.parametrize(
    ("steps", "first", "count"),
    [(None, "text 0", 20), (shout, "TEXT 0", 20), ([without_short, shout], "TEXT 10", 10)],
    ids=["none", "one", "several"],
)
def test_rows_are_preprocessed_before_anything_else(steps: Any, first: str, count: int) -> None:
    rows = {"train": datasets.Dataset.from_list(ROWS), "valid": datasets.Dataset.from_list(ROWS)}
    raw = raw_data(rows, SCHEMA, source="a test", preprocess=steps)
    for part in (raw.train, raw.valid):
        assert (part["text"][0], part.num_rows) == (first, count)


def test_a_step_that_gives_no_dataset_is_named() -> None:
    rows = {"train": datasets.Dataset.from_list(ROWS)}
    with pytest.raises(InputError, match=r"a test \(train\): a function of data.preprocess gave a list. It takes the"):
        raw_data(rows, SCHEMA, source="a test", preprocess=lambda part: part.to_list())


def test_a_way_to_split_beside_given_validation_rows_is_refused() -> None:
    rows = {name: datasets.Dataset.from_list(ROWS) for name in ("train", "valid")}
    with pytest.raises(
        InputError, match="data.splits.by=kfold takes validation rows from the training rows, but a test"
    ):
        raw_data(rows, SCHEMA, source="a test", splits=Splits(by="kfold"))


def test_a_role_that_the_task_does_not_have_may_be_null() -> None:
    assert from_data(
        SUMMARY, [{"text": "a", "summary": "b"}] * 4, columns={"label": None}, splits=Splits(by="index", index=[0])
    )


@pytest.mark.parametrize(
    ("files", "name"),
    [
        ("one.csv", "one.csv"),
        (Path("one.csv"), "one.csv"),
        (["one.csv", "two.csv"], "one.csv, two.csv"),
        ([f"part-{i:03d}.csv" for i in range(200)], "part-000.csv … part-199.csv (200 files)"),
    ],
    ids=["name", "path", "two", "many"],
)
def test_of_many_files_the_first_and_the_last_are_named(files, name: str):
    assert named(files) == name
