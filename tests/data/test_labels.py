"""Labels are read by written rules; what could be read in two ways is refused with the row and the remedy."""

from dataclasses import replace
from typing import Any

import datasets
import pytest

from blurr.data.at_hand import from_data
from blurr.data.core import RawData, raw_data, with_known_labels
from blurr.data.known_labels import label_ids, sorted_labels
from blurr.data.labels import LabelOptions
from blurr.data.spelling import spell
from blurr.data.splits import Splits
from blurr.errors import InputError
from blurr.targets.labels import label_names
from blurr.text.sequence_classification.task import SequenceClassification
from blurr.text.token_classification.task import TokenClassification


def raw_of(
    labels: list[Any], valid: list[Any] | None = None, unknown_labels: str = "refuse", **options: Any
) -> RawData:
    rows, more = (
        [{"text": f"text {i}", "label": label} for i, label in enumerate(each)] for each in (labels, valid or labels)
    )
    schema = SequenceClassification(**options).row_schema()
    return from_data(schema, rows, valid=more, unknown_labels=unknown_labels)


def labels_of(*given: Any, **options: Any) -> list[Any]:
    return raw_of(*given, **options).train["label"][:]


# -- the kind of problem


@pytest.mark.parametrize(
    ("labels", "kind", "reason"),
    [
        (["a", "b"], "multiclass", "the labels are names"),
        (["1", "2"], "multiclass", "all labels are whole numbers; task.kind=regression takes them"),
        (["7e3", "1.0"], "multiclass", "all labels are whole numbers"),
        (["1", "2.5"], "regression", "all 4 labels are numbers, and 2 of them, such as 2.5, not whole"),
        ([1, 2.5], "regression", "all 4 labels are numbers"),
        ([".5", "-1E-3"], "regression", "all 4 labels are numbers"),
        (["1.5", "0x1A"], "multiclass", "the labels are names"),
        (["1.5", "1_000"], "multiclass", "the labels are names"),
        (["1.5", "nine"], "multiclass", "the labels are names"),
        (["nan", "inf"], "multiclass", "the labels are names"),
        ([["a"], []], "multilabel", "each row has a list of labels"),
    ],
)
def test_the_kind_follows_from_the_rows_by_a_written_rule(labels: list[Any], kind: str, reason: str) -> None:
    raw = raw_of(labels)
    assert raw.kind == kind
    assert raw.reason.startswith(reason)


@pytest.mark.parametrize("kind", ["multiclass", "regression"])
def test_the_kind_that_is_said_holds(kind: str) -> None:
    raw = raw_of(["1", "2.50"], kind=kind)
    assert (raw.kind, raw.reason) == (kind, f"task.kind={kind}")
    assert raw.train["label"][:] == (["1", "2.50"] if kind == "multiclass" else [1.0, 2.5])


@pytest.mark.parametrize(
    ("label", "shown"), [("inf", "inf"), (float("inf"), "inf"), ("nan", "nan"), ("-Infinity", "-Inf")]
)
def test_a_number_to_predict_is_finite(label: Any, shown: str) -> None:
    with pytest.raises(
        InputError, match=rf"row 3 \(counted from 1\) has the label '{shown}.*, which is not a finite number"
    ):
        raw_of([0.5, 1.5, label] if isinstance(label, float) else ["0.5", "1.5", label])


def test_a_name_where_a_number_is_to_be_predicted_is_named() -> None:
    with pytest.raises(InputError, match=r"row 2 \(counted from 1\) has the label 'bad'.*set task.kind=multiclass"):
        raw_of(["1.5", "bad"], kind="regression")


def test_a_missing_number_is_missing() -> None:
    with pytest.raises(InputError, match="no value for 'label' in 1 of 2 rows, first in row 2"):
        raw_of([1.5, float("nan")])


# -- several labels


def test_lists_of_numbers_are_sets_of_ids_whatever_their_order() -> None:
    raw = raw_of([[0, 1], [1, 0], [2]])
    assert raw.train["label"][:] == [["0", "1"], ["1", "0"], ["2"]]
    assert label_names(raw, "multilabel") == ["0", "1", "2"]


@pytest.mark.parametrize(
    "lists",
    [
        [[1, 0, 0], [0, 1, 1]],
        [[0, 1], [1, 0]],
        [[True, False], [False, False]],
        [["1", "0"], ["0", "0"]],
        [[1, 1], [0]],
    ],
    ids=["three", "two", "truth values", "texts", "a value twice"],
)
def test_lists_that_could_be_ids_or_multi_hot_are_refused_with_what_to_say(lists: list[Any]) -> None:
    with pytest.raises(InputError, match=r"task.labels_are=multi_hot .*or task.labels_are=ids .*task.label_names="):
        raw_of(lists)


def test_what_a_list_means_can_be_said() -> None:
    assert labels_of([[0, 1], [1, 0]], labels_are="ids") == [["0", "1"], ["1", "0"]]
    assert labels_of([[0, 1], [1, 0]], labels_are="multi_hot") == [["1"], ["0"]]
    assert labels_of([[0, 1], [1, 0]], labels_are="multi_hot", label_names=["x", "y"]) == [["y"], ["x"]]
    assert labels_of([[0, 2], [1]], labels_are="ids", label_names=["x", "y", "z"]) == [["x", "z"], ["y"]]
    assert labels_of([[True, False], [True, True]], labels_are="multi_hot") == [["0"], ["0", "1"]]


def test_labels_that_no_multi_hot_list_has_are_known_all_the_same() -> None:
    raw = raw_of([[1, 0, 0], [0, 1, 0]], labels_are="multi_hot")
    assert label_names(raw, "multilabel") == ["0", "1", "2"]


def test_several_labels_in_one_text_are_parted_by_a_separator() -> None:
    assert labels_of(["a | b", "b", "c|a"], label_separator="|") == [["a", "b"], ["b"], ["c", "a"]]


@pytest.mark.parametrize("labels", [["red|blue", "red", "blue"], ["a;b", "b;c", "c;a"], ["x, y", "y", "x"]], ids=str)
def test_texts_that_could_be_several_labels_are_refused_with_what_to_say(labels: list[str]) -> None:
    with pytest.raises(InputError, match=r"has labels such as '.*task.label_separator='.' .*or task.kind=multiclass"):
        raw_of(labels)
    assert labels_of(labels, kind="multiclass") == labels


def test_numbers_with_a_decimal_comma_are_refused_with_what_to_say() -> None:
    with pytest.raises(InputError, match="labels such as '1,5', numbers with a decimal comma. Write a point"):
        raw_of(["1,5", "2", "2.5"])
    assert labels_of(["1,5", "2"], kind="multiclass") == ["1,5", "2"]


@pytest.mark.parametrize(
    "labels",
    [["a", " a", "b"], ["a", "A", "b"], [["a", "b"], ["A"]]],
    ids=["spaces", "case", "several labels"],
)
def test_labels_that_are_probably_one_are_as_they_are_written_and_said_aloud(labels: list[Any], caplog) -> None:
    with caplog.at_level("WARNING", logger="blurr"):
        assert labels_of(labels) == labels
    assert "list (train) has labels that differ in case or spaces alone, and are different classes: '" in caplog.text


def test_labels_that_differ_otherwise_are_not_spoken_of(caplog) -> None:
    with caplog.at_level("WARNING", logger="blurr"):
        labels_of(["a", "b", "a b"])
    assert not caplog.text


def test_a_file_without_a_header_is_said_to_lack_one(caplog) -> None:
    rows = datasets.Dataset.from_dict({"a moving film": ["dull"] * 4, "neg": ["neg", "pos"] * 2})
    columns = {"text": "a moving film", "label": "neg"}
    with caplog.at_level("WARNING", logger="blurr"):
        raw_data({"train": rows, "valid": rows}, SequenceClassification().row_schema(), columns=columns, source="r.csv")
    assert "r.csv (train) has 'neg' both as the name of a column and as a label in it" in caplog.text


@pytest.mark.parametrize("labels", [["Paris, France", "Lyon, France"], ["a|b", "a|c"], ["a, b", "c"]], ids=str)
def test_texts_with_a_sign_whose_parts_stand_nowhere_else_are_names(labels: list[str]) -> None:
    assert labels_of(labels) == labels


BAD = {
    "null in a list": (
        [["a", None], ["b"]],
        {},
        r"row 1 \(counted from 1\) has a label that is null, or a class that is none, in its list",
    ),
    "empty lists": ([[], []], {}, "no row has a label, all lists are empty"),
    "a dict": ([{"name": "a"}, {"name": "b"}], {}, r"row 1 \(counted from 1\) has {'name': 'a'} for a label"),
    "bytes": ([b"a", b"b"], {}, r"row 1 \(counted from 1\) has b'a' for a label"),
    "a list of lists": (
        [[["a"]], [["b"]]],
        {},
        r"row 1 .* for a label. A label is a text, a number, a truth value",
    ),
    "another value": (
        [[1, 0], [0, 2]],
        {"labels_are": "multi_hot"},
        r"row 2 .* \[0, 2\]. .* a list of 2 values, each 0 or 1",
    ),
    "another length": ([[1, 0], [1]], {"labels_are": "multi_hot"}, r"row 2 .* has the labels \[1\]"),
    "no name": (["a||b", "a"], {"label_separator": "|"}, r"row 1 .* a label without a name in 'a\|\|b', separated by"),
    "lists for one class": (
        [["a"], ["b"]],
        {"kind": "multiclass"},
        r"row 1 .* needs one label per row; task.kind=multilabel",
    ),
    "lists for a number": (
        [["1.5"]],
        {"kind": "regression"},
        r"row 1 .* and task.kind=regression needs one label per row",
    ),
    "texts for lists": (
        ["a|b"],
        {"kind": "multilabel"},
        r"row 1 .* has 'a\|b' .*what stands between .*task.label_separator",
    ),
}


@pytest.mark.parametrize(("labels", "options", "message"), BAD.values(), ids=BAD)
def test_labels_that_cannot_be_read_are_refused_with_their_row(
    labels: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        raw_of(labels, **options)


def columns(value: Any) -> RawData:
    rows = [{"text": "a", "toxic": 1, "rude": 0}, {"text": "b", "toxic": value, "rude": 1}]
    return from_data(SequenceClassification().row_schema(), rows, columns={"label": ["toxic", "rude"]}, valid=rows)


@pytest.mark.parametrize("value", [-1, 2, "", "maybe", None, 0.5001, float("nan")], ids=repr)
def test_a_column_of_labels_holds_0_or_1(value: Any) -> None:
    if value == 0.5001:
        assert columns(value).train["label"][:] == [["toxic"], ["toxic", "rude"]]
        return
    with pytest.raises(
        InputError, match=r"row 2 \(counted from 1\) has .* in the column 'toxic'. Each column of labels"
    ):
        columns(value)


@pytest.mark.parametrize("value", [True, "True", "1", "1.0", 1.0])
def test_the_spellings_of_1_in_a_column_of_labels(value: Any) -> None:
    assert columns(value).train["label"][:] == [["toxic"], ["toxic", "rude"]]


# -- names


def test_names_that_are_given_stand_for_ids_and_fix_the_order() -> None:
    assert labels_of([1, 0, 1], label_names=["no", "yes"]) == ["yes", "no", "yes"]
    raw = raw_of(["yes", "no"], label_names=["yes", "no"])
    assert (raw.train["label"][:], label_names(raw, "multiclass")) == (["yes", "no"], ["yes", "no"])


def test_a_label_is_not_taken_for_an_id_where_some_are_names() -> None:
    with pytest.raises(InputError, match="the label '0', which no training row has"):
        raw_of(["yes", "0"], label_names=["yes", "no"])


def with_classes(labels: list[Any], names: list[str]) -> datasets.Dataset:
    feature: Any = datasets.ClassLabel(names=names)
    feature = datasets.List(feature) if isinstance(labels[0], list) else feature
    features = datasets.Features({"text": datasets.Value("string"), "label": feature})
    return datasets.Dataset.from_dict(
        {"text": [str(i) for i in range(len(labels))], "label": labels}, features=features
    )


def test_names_of_the_source_can_be_replaced_one_by_one_or_brought_into_another_order() -> None:
    rows = with_classes([0, 1], ["0", "1"])
    renamed = from_data(SequenceClassification(label_names=["no", "yes"]).row_schema(), rows, valid=rows)
    assert (renamed.train["label"][:], renamed.label_names) == (["no", "yes"], ["no", "yes"])
    turned = from_data(SequenceClassification(label_names=["1", "0"]).row_schema(), rows, valid=rows)
    assert (turned.train["label"][:], turned.label_names) == (["0", "1"], ["1", "0"])
    with pytest.raises(InputError, match=r"task.label_names has 1 names, \['no'\], and Dataset \(train\) has 2 labels"):
        from_data(SequenceClassification(label_names=["no"]).row_schema(), rows, valid=rows)


def test_a_class_of_the_source_that_is_none_is_refused() -> None:
    rows = with_classes([[0], [1, -1]], ["a", "b"])
    with pytest.raises(InputError, match=r"row 2 \(counted from 1\) has a label that is null, or a class that is none"):
        from_data(SequenceClassification().row_schema(), rows, valid=rows)


def test_classes_come_in_the_order_of_numbers_where_all_are_whole_else_of_texts() -> None:
    assert sorted_labels({"10", "2", "-1"}) == ["-1", "2", "10"]
    assert sorted_labels({"0100", "007", "7"}) == ["007", "7", "0100"]
    assert sorted_labels({"10", "2", "a"}) == ["10", "2", "a"]


def test_numbers_stand_for_labels_that_have_no_names() -> None:
    assert label_ids(["LABEL_0", "LABEL_1"]) == {"LABEL_0": 0, "LABEL_1": 1, "0": 0, "1": 1}
    assert label_ids(["a", "LABEL_1"]) == {"a": 0, "LABEL_1": 1}


def test_an_object_is_not_spelt() -> None:
    with pytest.raises(InputError, match="is a dict, not a text, a number or a truth value"):
        spell({"a": 1})


# -- labels that are not known


@pytest.mark.parametrize(
    ("train", "valid", "kept"),
    [(["a", "b"], ["a", "c", "d"], ["a"]), ([["a"], ["b"]], [["a", "c"], ["b"], ["d"]], [["b"]])],
    ids=["classes", "several labels"],
)
def test_rows_with_labels_that_cannot_be_learnt_are_refused_or_dropped(
    train: Any, valid: Any, kept: Any, caplog
) -> None:
    with pytest.raises(InputError, match=r"\(valid\) has 2 labels, 'c', 'd', which no training row has: in 2 of the 3"):
        raw_of(train, valid)
    with caplog.at_level("WARNING", logger="blurr"):
        assert raw_of(train, valid, unknown_labels="drop").valid["label"][:] == kept
    assert "'c', 'd', which no training row has" in caplog.text


def test_a_label_of_drawn_rows_alone_is_named_by_its_row_in_the_file() -> None:
    rows = datasets.Dataset.from_dict({"text": [f"text {i}" for i in range(40)], "label": ["a", "b"] * 19 + ["c", "a"]})
    with pytest.raises(InputError, match=r"in 1 of the 1 valid rows, first in row 39 \(counted from 1\)"):
        raw_data(
            {"train": rows},
            SequenceClassification().row_schema(),
            source="r.csv",
            splits=Splits(by="index", index=[38]),
        )


def test_a_split_that_loses_all_its_rows_is_refused() -> None:
    with pytest.raises(InputError, match=r"Without them list \(valid\) has no row"):
        raw_of(["a", "b"], ["c"], unknown_labels="drop")


def test_many_whole_numbers_that_no_training_row_has_name_regression() -> None:
    with pytest.raises(InputError, match="If the labels are numbers to predict, set task.kind=regression"):
        raw_of([1, 2, 3], [4, 5])


def test_tags_are_known_or_not_by_the_same_rule() -> None:
    train, valid = ([{"tokens": ["a", "b"], "labels": ["O", tag]}] * 2 for tag in ("B-X", "B-Y"))
    schema = TokenClassification().row_schema()
    with pytest.raises(InputError, match="the label 'B-Y', which no training row has"):
        from_data(schema, train, valid=valid)
    both = from_data(schema, train, valid=[*valid, *train], unknown_labels="drop")
    assert both.valid["labels"][:] == [["O", "B-X"]] * 2


def test_the_labels_of_a_trained_model_are_what_is_known() -> None:
    schema = replace(SequenceClassification.schema, labels=LabelOptions(kind="multiclass", known=("b", "c")))
    rows = [{"text": "x", "label": label} for label in ("a", "b")]
    with pytest.raises(InputError, match="the label 'a', which the model does not know: in 1 of the 2 train rows"):
        with_known_labels(from_data(schema, rows, valid=rows), schema)
    dropped = with_known_labels(from_data(schema, rows, valid=rows, unknown_labels="drop"), schema)
    assert dropped.valid["label"][:] == ["b"]


def test_a_number_names_a_label_of_a_model_whose_labels_have_no_names() -> None:
    rows = [{"text": "x", "label": label} for label in (0, 1)]
    for known, expected in (("LABEL_0", "LABEL_1"), ["LABEL_0", "LABEL_1"]), (("1", "0"), ["0", "1"]):
        schema = replace(SequenceClassification.schema, labels=LabelOptions(known=known))
        assert from_data(schema, rows, valid=rows).train["label"][:] == expected
