"""The report of a segmentation: scores of each class, and what makes a result worthless."""

from typing import Any

import pytest

from blurr.metrics.worthless import doubts
from blurr.report.masks import per_class
from blurr.report.page import parts_of
from blurr.report.rows import predicted


def row(pixels: dict[str, list[int]], **fields: Any) -> dict[str, Any]:
    total, right = (sum(counts[i] for counts in pixels.values()) for i in (0, 2))
    return {
        "target": [name for name, counts in pixels.items() if counts[0]],
        "prediction": [name for name, counts in pixels.items() if counts[1]],
        **{"pixels": pixels, "target_count": total, "right_count": right, "loss": 0.5},
        **{"pixel_accuracy": right / total if total else None, "small_true_mask": "iVBO", **fields},
    }


ROWS = [
    row({"road": [6, 8, 5], "sky": [4, 2, 1]}),
    row({"road": [0, 0, 0], "car": [0, 0, 0]}, loss=0.0),
    row({"sky": [10, 9, 9], "car": [0, 1, 0]}),
]


def test_each_class_has_its_scores_of_all_pictures_together():
    frame = per_class(ROWS).set_index("class")
    assert list(frame.index) == ["car", "road", "sky"]
    assert frame.loc["sky"].to_dict() == pytest.approx(
        {"iou": 10 / 15, "precision": 10 / 11, "recall": 10 / 14, "pixels": 14, "predicted": 11, "pictures": 2}
    )
    assert frame.loc["car", "iou"] == 0
    assert frame.loc["car", "pictures"] == 0


def test_a_report_shows_classes_and_pictures_and_no_masks_as_text():
    assert predicted(ROWS[0], "") == "masks"
    parts = {part.name: part for part in parts_of(ROWS, "masks")}
    assert {"iou", "worst_classes", "pixel_accuracy", "top_losses"} <= set(parts)
    assert "small_true_mask" not in parts["top_losses"].frame
    for part in parts.values():
        if not part.is_table:
            part.figure()


def test_masks_of_one_class_are_doubted():
    one = [row({"road": [6, 10, 6], "sky": [4, 0, 0]})]
    assert doubts(("masks",), one, {"mean_iou": 0.3}) == ["all 10 pixels are predicted to be road, which 60 % are"]
    assert doubts(("masks",), ROWS, {"mean_iou": 0.3}) == []
