"""One way to split means the same for every source, and leaves nothing on both sides."""

from collections import Counter
from pathlib import Path

import datasets
import pytest

from blurr.data.formats.content import FileOptions
from blurr.data.naming import split_name
from blurr.data.readers import read_files
from blurr.data.splits import Splits, split_rows
from blurr.errors import InputError

SIZE = 100
ROWS = datasets.Dataset.from_dict(
    {
        "text": [f"text {row}" for row in range(SIZE)],
        "label": ["rare" if row % 10 == 0 else "often" for row in range(SIZE)],
        "author": [f"author {row % 7}" for row in range(SIZE)],
    }
)


def split(rows: datasets.Dataset = ROWS, **knobs: object) -> dict[str, datasets.Dataset]:
    return split_rows(rows, Splits(**knobs), label="label", inputs=["text"])


def sizes(parts: dict[str, datasets.Dataset]) -> dict[str, int]:
    return {name: part.num_rows for name, part in parts.items()}


@pytest.mark.parametrize("by", ["random", "stratified"])
def test_drawing_gives_every_split_its_share(by: str) -> None:
    assert sizes(split(by=by, valid=0.2, test=0.1)) == {"train": 70, "valid": 20, "test": 10}


@pytest.mark.parametrize("by", ["random", "stratified", "kfold"])
def test_no_row_is_lost_or_in_two_splits(by: str) -> None:
    parts = split(by=by)
    assert sorted(text for part in parts.values() for text in part["text"]) == sorted(ROWS["text"])


def test_the_seed_decides_what_is_drawn() -> None:
    assert split(seed=1)["valid"]["text"] == split(seed=1)["valid"]["text"] != split(seed=2)["valid"]["text"]


def test_stratified_keeps_the_share_of_each_label() -> None:
    parts = split(by="stratified", valid=0.2)
    assert Counter(parts["valid"]["label"]) == {"often": 18, "rare": 2}


def test_a_label_of_one_row_stays_in_training_when_stratified() -> None:
    rows = datasets.Dataset.from_dict({"text": list("abcdefghijk"), "label": ["a"] * 10 + ["once"]})
    assert "once" in split(rows, by="stratified")["train"]["label"]


def test_groups_stay_together() -> None:
    parts = split(by="group", column="author", valid=0.3)
    assert not set(parts["train"]["author"]) & set(parts["valid"]["author"])


@pytest.mark.parametrize("by", ["random", "stratified", "kfold"])
def test_b16_rows_with_equal_inputs_never_stand_in_training_and_validation(by: str) -> None:
    rows = datasets.Dataset.from_dict({"text": [f"text {row % 40}" for row in range(SIZE)], "label": ["a", "b"] * 50})
    parts = split(rows, by=by)
    assert not set(parts["train"]["text"]) & set(parts["valid"]["text"])


def test_the_folds_are_a_partition() -> None:
    held = [split(by="kfold", folds=3, fold=fold)["valid"]["text"] for fold in range(3)]
    assert [len(texts) for texts in held] == [34, 33, 33]
    assert sorted(text for texts in held for text in texts) == sorted(ROWS["text"])


def test_index_takes_the_rows_it_names() -> None:
    assert split(by="index", index=[3, 1])["valid"]["text"] == ["text 1", "text 3"]


@pytest.mark.parametrize(
    "values",
    [[False, True], [0, 1], [0.0, 1.0], ["False", "True"], ["false", "true"], ["0", "1"], ["train", "dev"]],
    ids=str,
)
def test_a_column_says_which_rows_validate(values: list[object]) -> None:
    rows = ROWS.add_column("held", [values[row % 4 == 0] for row in range(SIZE)])
    assert split(rows, by="column", column="held")["valid"]["text"] == [f"text {row}" for row in range(0, SIZE, 4)]


def test_a_column_may_name_test_rows() -> None:
    rows = ROWS.add_column("part", ["train", "validation", "test", "train"] * 25)
    assert sizes(split(rows, by="column", column="part")) == {"train": 50, "valid": 25, "test": 25}


def test_random_does_not_look_at_is_valid_when_it_is_asked_for() -> None:
    rows = ROWS.add_column("is_valid", [row < 50 for row in range(SIZE)])
    assert sizes(split(rows)) == {"train": 50, "valid": 50}
    assert sizes(split(rows, by="random")) == {"train": 80, "valid": 20}


@pytest.mark.parametrize("by", ["auto", "folder"])
@pytest.mark.parametrize("names", [("train/a.csv", "dev/a.csv", "test/a.csv"), ("train.csv", "val.csv", "test.csv")])
def test_folders_and_files_named_after_splits_are_splits(tmp_path: Path, by: str, names: tuple[str, ...]) -> None:
    for size, name in zip((3, 2, 1), names, strict=True):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("text,label\n" + "x,1\n" * size)
    assert sizes(split(read_files(tmp_path, FileOptions()), by=by)) == {"train": 3, "valid": 2, "test": 1}


@pytest.mark.parametrize(
    ("name", "meant"), [("Validation", "valid"), ("dev", "valid"), ("training", "train"), ("x", None)]
)
def test_names_of_splits_are_understood(name: str, meant: str | None) -> None:
    assert split_name(name) == meant


WRONG = {
    "unknown way": ({"by": "randm"}, r"data.splits.by=randm is not a way to split. Did you mean 'random'\?"),
    "no share": ({"by": "random", "valid": 0.0}, "data.splits.by=random leaves none for 'valid'"),
    "all of it": ({"by": "random", "valid": 1.0}, "leaves none for 'train'"),
    "no column": ({"by": "group"}, r"data.splits.column=None, which the rows do not have. They have \['text'"),
    "wrong column": ({"by": "column", "column": "autor"}, r"column=autor.* Did you mean 'author'\?"),
    "values of no split": ({"by": "column", "column": "author"}, "says 'author 0' in row 1"),
    "rows beyond": ({"by": "index", "index": [3, 100]}, "names row 100, but the rows are 0 to 99"),
    "no index": ({"by": "index"}, "leaves none for 'valid'"),
    "fold beyond": ({"by": "kfold", "fold": 5}, "data.splits.fold=5 is not one of 0 to 4"),
    "no folders": ({"by": "folder"}, "needs rows that come from several files"),
}


@pytest.mark.parametrize(("knobs", "message"), WRONG.values(), ids=WRONG.keys())
def test_a_split_that_cannot_be_is_answered(knobs: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        split(**knobs)


@pytest.mark.parametrize(
    ("label", "message"), [(None, "have none"), ("score", "one class per row"), ("many", "one class")]
)
def test_stratified_needs_classes(label: str | None, message: str) -> None:
    rows = ROWS.add_column("score", [0.5] * SIZE).add_column("many", [["a"]] * SIZE)
    with pytest.raises(InputError, match=message):
        split_rows(rows, Splits(by="stratified"), label=label, inputs=["text"])
