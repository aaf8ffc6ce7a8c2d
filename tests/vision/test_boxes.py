"""Boxes are read in the forms that sources have, and what cannot be used is refused in one message."""

import json
from pathlib import Path
from typing import Any

import datasets
import pandas as pd
import pytest
from PIL import Image

from blurr.data.at_hand import from_data
from blurr.data.files import load_files
from blurr.errors import InputError
from blurr.vision.object_detection import ObjectDetection

CAT, DOG = [4.0, 2.0, 24.0, 12.0], [10.0, 5.0, 30.0, 20.0]  # corners in pictures of 40 x 20 pixels
BOTH = [{"label": "cat", "box": CAT}, {"label": "dog", "box": DOG}]


def picture() -> Image.Image:
    return Image.new("RGB", (40, 20), (90, 120, 30))


def files(folder: Path, count: int = 4) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        Image.new("RGB", (40, 20), (i, 120, 30)).save(folder / f"{i}.png")
    return [f"{i}.png" for i in range(count)]


def read(data: Any, columns: dict[str, str] | None = None, **settings: Any) -> list[list[dict[str, Any]]]:
    """Return the boxes of the training rows."""
    task = ObjectDetection(**settings)
    raw = from_data(task.row_schema(), data, columns=columns)
    return list(raw.train["boxes"][:])


def of_rows(cell: Any, **settings: Any) -> Any:
    others = {key: settings.pop(key) for key in ("labels",) if key in settings}
    data = [{"image": Image.new("RGB", (40, 20), (i, 0, 0)), "boxes": cell, **others} for i in range(3)]
    return read(data, **settings)[0]


FORMS: dict[str, tuple[Any, dict[str, Any]]] = {
    "dicts with corners": (BOTH, {}),
    "COCO's dicts": (
        [{"category": "cat", "bbox": [4, 2, 20, 10]}, {"category": "dog", "bbox": [10, 5, 20, 15], "iscrowd": 0}],
        {},
    ),
    "the Hub's lists": (
        {"category": ["cat", "dog"], "bbox": [[4, 2, 20, 10], [10, 5, 20, 15]], "area": [200, 300]},
        {},
    ),
    "shares": (
        [{"label": "cat", "cxcywh": [0.35, 0.35, 0.5, 0.5]}, {"label": "dog", "cxcywh": [0.5, 0.625, 0.5, 0.75]}],
        {},
    ),
    "lists beside names": ([CAT, DOG], {"labels": ["cat", "dog"]}),
    "lists of corner and size": ([[4, 2, 20, 10], [10, 5, 20, 15]], {"labels": ["cat", "dog"], "box_format": "xywh"}),
    "ids with names": ([CAT, DOG], {"labels": [1, 0], "label_names": ["dog", "cat"]}),
    "corners by name": (
        [
            {"label": n, "box": dict(zip(("xmin", "ymin", "xmax", "ymax"), b, strict=True))}
            for n, b in (("cat", CAT), ("dog", DOG))
        ],
        {},
    ),
    "with a crowd": ([*BOTH, {"label": "dog", "box": [0, 0, 40, 20], "iscrowd": True}], {}),
}


@pytest.mark.parametrize("form", FORMS)
def test_boxes_are_corners_in_pixels_whatever_their_source(form: str):
    cell, settings = FORMS[form]
    assert of_rows(cell, **settings) == [{"label": e["label"], "box": pytest.approx(e["box"])} for e in BOTH]


def test_crowds_are_left_out_with_a_count(caplog):
    of_rows(FORMS["with a crowd"][0])
    assert "3 boxes of crowds (iscrowd) are left out" in caplog.text


def test_boxes_without_a_class_are_objects_and_pictures_may_have_none():
    assert [each["label"] for each in of_rows([CAT, DOG])] == ["object", "object"]
    rows = read(
        [{"image": picture(), "boxes": BOTH}]
        + [{"image": Image.new("RGB", (9, 9), i), "boxes": b} for i, b in enumerate(([], None))] * 2
    )
    assert sorted(map(len, rows))[0] == 0


BAD: dict[str, tuple[Any, dict[str, Any], str]] = {
    "no area": ([[4, 2, 4, 12]], {}, r"has the box \[4, 2, 4, 12\] of object, without an area"),
    "negative size": (
        [[4, 2, -3, 5]],
        {"box_format": "xywh"},
        r"has the box \[4, 2, 1, 7\] of object, without an area",
    ),
    "outside": ([[50, 2, 60, 12]], {}, r"outside its 40 x 20 pixels"),
    "partly outside": ([[4, 2, 60, 12]], {}, r"not within its 40 x 20 pixels"),
    "NaN": ([[4.0, 2.0, float("nan"), 12.0]], {}, r"has \[4.0, 2.0, .* where a box, four finite numbers, should be"),
    "three numbers": ([[4, 2, 12]], {}, r"has \[4, 2, 12\] where a box"),
    "a text": ("cat 4 2 24 12", {}, r"has 'cat 4 2 24 12' where a box"),
    "too few labels": ([CAT, DOG], {"labels": ["cat"]}, r"2 boxes for \['cat'\]"),
    "unknown class": (BOTH, {"label_names": ["dog", "cow"]}, r"the class 'cat', which task.label_names does not have"),
    "unknown id": ([CAT], {"labels": [7], "label_names": ["dog", "cow"]}, r"the class 7, which task.label_names"),
    "xywh taken for corners": ([[30, 10, 8, 6]], {}, r"say so: task.box_format=xywh"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_boxes_are_refused_in_one_message(what: str):
    cell, settings, message = BAD[what]
    with pytest.raises(InputError, match=message) as error:
        of_rows(cell, **settings)
    assert "boxes cannot be used" in str(error.value)
    assert str(error.value).count("\n") == 0


def test_bad_boxes_are_dropped_with_a_count_and_the_rest_cut_off(caplog):
    cell = [{"label": "cat", "box": [-4.0, 2, 60, 12]}, {"label": "cat", "box": [50.0, 2, 60, 12]}]
    assert of_rows(cell, bad_boxes="drop") == [{"label": "cat", "box": [0.0, 2.0, 40.0, 12.0]}]
    assert "3 of 6 boxes cannot be used" in caplog.text
    with pytest.raises(InputError, match="3 of 3 boxes cannot be used"):
        of_rows(cell[1:], bad_boxes="drop")


def coco(**changes: Any) -> dict[str, Any]:
    made = {
        "images": [{"id": i + 1, "file_name": f"{i}.png", "width": 40, "height": 20} for i in range(4)],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 3, "bbox": [4, 2, 20, 10], "iscrowd": 0},
            {"id": 2, "image_id": 1, "category_id": 9, "bbox": [10, 5, 20, 15]},
            {"id": 3, "image_id": 2, "category_id": 9, "bbox": [0, 0, 40, 20], "iscrowd": 1},
        ],
        "categories": [{"id": 3, "name": "cat"}, {"id": 9, "name": "dog"}],
    }
    return {**made, **changes}


def load(**options: Any) -> Any:
    task = ObjectDetection()
    return load_files(task.row_schema(), **options)


def test_coco_is_read_with_pictures_beside_it_or_in_a_folder(work: Path):
    files(work / "beside")
    (work / "beside" / "_annotations.coco.json").write_text(json.dumps(coco()))
    files(work / "photos")
    (work / "instances.json").write_text(json.dumps(coco()))
    beside = load(train=work / "beside" / "_annotations.coco.json", valid=work / "beside")
    apart = load(train="instances.json", valid="instances.json", media="photos")
    for raw in (beside, apart):
        assert raw.train["boxes"][:][0] == [{"label": e["label"], "box": e["box"]} for e in BOTH]
        assert [len(cell) for cell in raw.valid["boxes"][:]] == [2, 0, 0, 0]
    with pytest.raises(InputError, match=r"data\.media=.*fotos is not a folder\. Did you mean 'photos'\?"):
        load(train="instances.json", media="fotos")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"annotations": [{"image_id": 99, "category_id": 3, "bbox": CAT}]}, "there is no such picture"),
        ({"annotations": [{"image_id": 1, "category_id": 5, "bbox": CAT}]}, "there is no such category"),
        ({"annotations": [{"category_id": 3, "bbox": CAT}]}, "not laid out as COCO.*'image_id' is missing"),
        ({"annotations": [{"image_id": 1, "category_id": 3}]}, "has None where a box"),
    ],
    ids=["picture", "category", "key", "box"],
)
def test_a_broken_coco_file_is_one_message(work: Path, changes: dict[str, Any], message: str):
    files(work)
    (work / "a.json").write_text(json.dumps(coco(**changes)))
    with pytest.raises(InputError, match=message):
        load(train="a.json")


@pytest.mark.parametrize("names", ["data.yaml", "data.yaml by id", "classes.txt", ""])
def test_yolo_folders_are_read_with_their_names(work: Path, caplog, names: str):
    for split in ("train", "val"):
        files(work / "set" / "images" / split)
        (work / "set" / "labels" / split).mkdir(parents=True)
        (work / "set" / "labels" / split / "0.txt").write_text("1 0.35 0.35 0.5 0.5\n0 0.5 0.625 0.5 0.75 0.9\n\n")
    text = {"data.yaml": "names: [dog, cat]", "data.yaml by id": "names: {0: dog, 1: cat}", "classes.txt": "dog\ncat\n"}
    if names:
        (work / "set" / names.split()[0]).write_text(text[names])
    raw = load(train="set/images/train", valid="set/images/val")
    expected = ("cat", "dog") if names else ("1", "0")
    assert [each["label"] for each in raw.train["boxes"][:][0]] == list(expected)
    assert raw.train["boxes"][:][0][0]["box"] == pytest.approx(CAT)
    assert [len(cell) for cell in raw.valid["boxes"][:]] == [2, 0, 0, 0]
    assert "label" not in raw.train.column_names
    (work / "set" / "labels" / "train" / "1.txt").write_text("0 0.5 0.5\n")
    with pytest.raises(InputError, match=r"line 1 of .*1\.txt is '0 0\.5 0\.5', not a class and four numbers"):
        load(train="set/images/train", valid="set/images/val")
    if names == "data.yaml":
        (work / "set" / "data.yaml").write_text("names: 3")
        with pytest.raises(InputError, match=r"data\.yaml does not name the classes"):
            load(train="set/images/train", valid="set/images/val")


def test_a_whole_yolo_folder_is_split_by_its_folders(work: Path, caplog):
    for split in ("train", "valid"):
        files(work / "set" / split / "images")
        (work / "set" / split / "labels").mkdir()
        (work / "set" / split / "labels" / "2.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    raw = load(train="set")
    assert [sum(map(len, raw.splits[name]["boxes"][:])) for name in ("train", "valid")] == [1, 1]
    assert "passed over" not in caplog.text


def test_tables_and_data_sets_hold_boxes(work: Path):
    names = files(work / "p")
    frame = pd.DataFrame({"image": names, "boxes": ["[[4, 2, 24, 12]]"] * 4, "labels": ['["cat"]'] * 4})
    frame.to_csv(work / "p" / "a.csv", index=False)
    assert load(train="p/a.csv").train["boxes"][:][0] == [{"label": "cat", "box": CAT}]
    lines = [{"image": name, "objects": {"bbox": [[4, 2, 20, 10]], "category": ["cat"]}} for name in names]
    (work / "p" / "a.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert load(train="p/a.jsonl").train["boxes"][:][0] == [{"label": "cat", "box": CAT}]
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "objects": {
                "bbox": datasets.List(datasets.List(datasets.Value("float32"))),
                "category": datasets.List(datasets.ClassLabel(names=["dog", "cat"])),
            },
        }
    )
    cell = {"bbox": [[4, 2, 20, 10]], "category": [1]}
    given = datasets.Dataset.from_list(
        [{"image": str(work / "p" / name), "objects": cell} for name in names], features=features
    )
    assert read(given)[0] == [{"label": "cat", "box": CAT}]
    assert read(given, {"boxes": "objects"})[0] == [{"label": "cat", "box": CAT}]


def test_rows_without_boxes_say_where_they_may_be(work: Path):
    files(work / "p")
    with pytest.raises(InputError, match=r"has no boxes: neither a column of them \(data\.columns\.boxes=<column>"):
        load(train="p")
