"""The report of an object detection: scores of each class, what was confused, and what makes a result worthless."""

from typing import Any

import pytest

from blurr.errors import InputError
from blurr.metrics.worthless import doubts
from blurr.report.boxes import confused, per_class
from blurr.report.page import parts_of
from blurr.report.rows import checked, predicted

LEFT, RIGHT, FAR = [0.0, 0.0, 10.0, 10.0], [20.0, 0.0, 30.0, 10.0], [50.0, 50.0, 60.0, 60.0]


def row(true: dict[str, list[float]], found: list[tuple[str, list[float], float]], shown: int) -> dict[str, Any]:
    return {
        "target": sorted(true),
        "prediction": sorted(label for label, *_ in found[:shown]),
        "boxes": [{"label": label, "box": box} for label, box in true.items()],
        "predicted_boxes": [{"label": label, "box": box, "score": score} for label, box, score in found],
        "loss": 0.5,
    }


ROWS = [
    row({"cat": LEFT, "dog": RIGHT}, [("cat", LEFT, 0.9), ("cat", RIGHT, 0.8), ("dog", RIGHT, 0.2)], 2),
    row({"dog": LEFT}, [("dog", FAR, 0.7)], 1),
    row({}, [], 0),
]


def test_each_class_has_its_scores_of_all_pictures_together():
    frame = per_class(ROWS).set_index("class")
    assert frame.loc["cat"].to_dict() == pytest.approx(
        {
            **{"average precision": 1.0, "at an overlap of 0.5": 1.0, "precision": 0.5, "recall": 1.0},
            **{"objects": 1, "predicted": 2},
        }
    )
    # of two dogs one is found, below one that is made up: precision 1/2 up to a recall of 1/2
    assert frame.loc["dog", "average precision"] == pytest.approx(0.5 * 51 / 101)
    assert frame.loc["dog", ["precision", "recall", "objects", "predicted"]].tolist() == [0.0, 0.0, 2, 1]


def test_objects_are_confused_missed_and_made_up():
    pairs = {(each["true"], each["predicted"]): each["objects"] for each in confused(ROWS).to_dict("records")}
    assert pairs == {("dog", "cat"): 1, ("dog", "nothing"): 1, ("nothing", "dog"): 1}


def test_a_report_shows_classes_and_no_lists_of_boxes():
    assert predicted(ROWS[0], "") == "boxes"
    parts = {part.name: part for part in parts_of(ROWS, "boxes")}
    assert {"average_precision", "worst_classes", "confused_objects", "top_losses"} <= set(parts)
    assert not {"boxes", "predicted_boxes"} & set(parts["top_losses"].frame)
    for part in parts.values():
        if not part.is_table:
            part.figure()


def test_a_row_with_more_objects_than_boxes_is_refused():
    with pytest.raises(InputError, match="Row 2 of the predictions is not as a run of blurr wrote it.*1 boxes"):
        checked([ROWS[0], {**ROWS[1], "prediction": ["dog", "dog"]}], "boxes")


def test_boxes_of_one_class_and_none_at_all_are_doubted():
    assert doubts(("boxes",), ROWS, {"map": 0.3}) == []
    none = [row({"cat": LEFT}, [("cat", LEFT, 0.1)], 0)]
    assert doubts(("boxes",), none, {"map": 0.3}) == ["no object has a score of task.threshold or more"]
    one = [row({"cat": LEFT, "dog": RIGHT}, [("cat", LEFT, 0.9)], 1)]
    said = "all 1 predicted objects are said to be cat, which 50 % are"
    assert doubts(("boxes",), one, {"map": 0.3}) == [said]
