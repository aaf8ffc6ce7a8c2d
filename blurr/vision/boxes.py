"""Boxes of objects in rows: read in the forms that tables, COCO and the Hub have, checked against their pictures."""

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import datasets

from blurr.data.formats.tables import with_values
from blurr.data.media import shown
from blurr.errors import InputError, nearest
from blurr.vision.yolo import with_label_files

log = logging.getLogger(__name__)

Box = tuple[float, float, float, float]
"""Left, top, right and bottom, in pixels of the picture."""
BoxFormat = Literal["auto", "xyxy", "xywh", "cxcywh"]
BadBoxes = Literal["refuse", "drop"]

FEATURE = datasets.List({"label": datasets.Value("string"), "box": datasets.List(datasets.Value("float64"))})
OTHER_NAMES = ("objects", "annotations", "bboxes")  # of the column of boxes, as data sets have it
FORMATS = {"box": "xyxy", "boxes": "xyxy", "bbox": "xywh", "cxcywh": "cxcywh"}  # key of a box to what is meant by it
LABELS = ("label", "category", "class", "name", "category_id", "class_id", "labels", "categories", "classes")
CROWDS = ("iscrowd", "is_crowd", "crowd")
CORNERS = ("xmin", "ymin", "xmax", "ymax")
ONLY = "object"  # the class of boxes that have none
FEW = 3  # mistakes that are told
OVERHANG = 1.0  # pixels by which a box may leave its picture: annotators round


class Given(NamedTuple):
    """An object as a source has it.

    Attributes:
        label: A name or an id; None for none.
        box: Whatever stands where a box should.
        key: By which it stood there, see `FORMATS`.
        is_crowd: It stands for many objects at once.
    """

    label: Any
    box: Any
    key: str
    is_crowd: bool = False


@dataclass(frozen=True)
class BoxReader:
    """Read the boxes of all splits by one rule, see `data.roles.Schema.reader`.

    Args:
        format: What four numbers mean: `xyxy` are corners in pixels, `xywh` corner and size in pixels, `cxcywh` centre
            and size as shares of the picture; `auto` goes by the key, `bbox` being `xywh` as in COCO, and takes plain
            lists for `xyxy`.
        bad: `refuse` boxes that cannot be used, or `drop` them, and cut off what lies outside.
        names: Of the classes, in the order of their ids; None takes those that the source has, or the ids.
        known: Names of the classes that a trained model knows.
    """

    format: BoxFormat = "auto"
    bad: BadBoxes = "refuse"
    names: tuple[str, ...] | None = None
    known: tuple[str, ...] | None = None

    def __call__(self, parts: Mapping[str, datasets.Dataset], where: Mapping[str, str]) -> dict[str, datasets.Dataset]:
        """Return the splits with `boxes`, a list of dicts of `label` and `box` (corners in pixels) for each row.

        Args:
            parts: The splits, with `image` as media, and maybe the class of each box as `labels`.
            where: Split to where its rows are from, for messages.

        Raises:
            InputError: There are no boxes, or some that cannot be used.
        """
        return {split: self._read(rows, where[split]) for split, rows in parts.items()}

    def _read(self, rows: datasets.Dataset, where: str) -> datasets.Dataset:
        rows = _with_boxes(rows, where)
        sizes = rows.select_columns(["image"]).flatten().with_format(None)
        pictures = [
            {"path": path, "hash": digest, "width": width, "height": height}
            for path, digest, width, height in zip(
                *(sizes[f"image.{name}"][:] for name in ("path", "hash", "width", "height")), strict=True
            )
        ]
        made: list[list[dict[str, Any]]] = []
        mistakes: list[str] = []
        crowds = 0
        for picture, given in zip(pictures, _given(rows), strict=True):
            crowds += sum(each.is_crowd for each in given)
            kept = []
            for each in (each for each in given if not each.is_crowd):
                try:
                    kept.append(self._object(each, picture["width"], picture["height"]))
                except InputError as error:
                    mistakes.append(f"{shown(picture)} {error}")
            made.append(kept)
        self._tell(mistakes, sum(map(len, made)) + len(mistakes), where)
        if crowds:
            log.warning("%s: %d boxes of crowds (iscrowd) are left out.", where, crowds)
        return with_values(rows.remove_columns([n for n in rows.column_names if n == "labels"]), "boxes", made, FEATURE)

    def _object(self, given: Given, width: int, height: int) -> dict[str, Any]:
        """Return an object with its box as corners in pixels.

        Raises:
            InputError: The message goes on after the name of the picture.
        """
        label = self._label(given.label)
        kind = FORMATS[given.key] if self.format == "auto" else self.format
        left, top, right, bottom = box = _corners(_numbers(given.box), kind, width, height)
        said = f"has the box {_said(box)} of {label}"
        if not (right > left and bottom > top):
            raise InputError(f"{said}, without an area")
        cut = (max(left, 0.0), max(top, 0.0), min(right, float(width)), min(bottom, float(height)))
        if not (cut[2] > cut[0] and cut[3] > cut[1]):
            raise InputError(f"{said}, outside its {width} x {height} pixels")
        if self.bad == "refuse" and max(abs(a - b) for a, b in zip(box, cut, strict=True)) > OVERHANG:
            raise InputError(f"{said}, which is not within its {width} x {height} pixels")
        return {"label": label, "box": list(cut)}

    def _label(self, label: Any) -> str:
        names = self.names or self.known
        is_id = isinstance(label, int | float) and not isinstance(label, bool) and label == label
        if label is None or label != label or label == "":
            found = ONLY if names is None or len(names) > 1 else names[0]
        elif is_id and self.names is not None:
            found = self.names[int(label)] if 0 <= label < len(self.names) else str(int(label))
        else:
            found = str(int(label)) if is_id and label == int(label) else str(label)
        if names is not None and found not in names:
            who = "task.label_names does not have" if self.names is not None else "the model does not know"
            raise InputError(f"has a box of the class {label!r}, which {who}{nearest(str(label), names)}")
        return found

    def _tell(self, mistakes: Sequence[str], total: int, where: str) -> None:
        if not mistakes:
            return
        few = "; ".join(mistakes[:FEW]) + ("; …" if len(mistakes) > FEW else "")
        said = f"{where}: {len(mistakes)} of {total} boxes cannot be used: {few}."
        if self.bad == "drop" and len(mistakes) < total:
            log.warning("%s They are left out (task.bad_boxes=drop).", said)
            return
        how = "task.box_format=xyxy" if self.format not in ("auto", "xyxy") else "task.box_format=xywh"
        raise InputError(
            f"{said} Correct them, or leave them out, and cut off what lies outside, by task.bad_boxes=drop. If the "
            f"numbers mean something else, say so: {how} (or xyxy, xywh: pixels; cxcywh: shares)."
        )


def _with_boxes(rows: datasets.Dataset, where: str) -> datasets.Dataset:
    """Return the rows with their boxes under `boxes`, of another column or of files beside the pictures."""
    if "boxes" in rows.column_names:
        return rows
    other = next((name for name in OTHER_NAMES if name in rows.column_names), None)
    if other is not None:
        log.info("%s: the column %r holds the boxes (data.columns.boxes).", where, other)
        return rows.rename_column(other, "boxes")
    found = with_label_files(rows, where)
    if found is None:
        raise InputError(
            f"{where} has no boxes: neither a column of them (data.columns.boxes=<column>; there are "
            f"{rows.column_names}) nor a text file for each picture, as YOLO has them, in a folder labels beside the "
            "folder images. A json file of COCO is read by its name: data.train=annotations.json"
        )
    return found


# -- the forms of a cell


def _given(rows: datasets.Dataset) -> Iterator[list[Given]]:
    """Yield the objects of each row, whatever form its source has."""
    plain, feature = rows.with_format(None), rows.features["boxes"]
    names = _class_names(feature, rows.features.get("labels"))
    classes = plain["labels"][:] if "labels" in rows.column_names else [None] * rows.num_rows
    for cell, labels in zip(plain["boxes"][:], classes, strict=True):
        found = _of_cell(cell or [], labels)
        yield [each._replace(label=_named(each.label, names)) for each in found]


def _of_cell(cell: Any, labels: Any) -> list[Given]:
    if isinstance(cell, Mapping):  # lists, one for each field
        key = next((key for key in FORMATS if key in cell), None)
        count = len(cell[key] or []) if key is not None else 0
        fields = {name: values for name, values in cell.items() if isinstance(values, list) and len(values) == count}
        cell = [{name: values[i] for name, values in fields.items()} for i in range(count)]
    if not isinstance(cell, list):
        return [Given(None, cell, "box")]
    if not all(isinstance(each, Mapping) for each in cell):
        fitting = labels if isinstance(labels, list) and len(labels) == len(cell) else None
        if labels is not None and fitting is None and cell:
            return [Given(None, f"{len(cell)} boxes for {labels!r:.40}", "box")]
        return [Given(None if fitting is None else fitting[i], each, "box") for i, each in enumerate(cell)]
    return [_of_fields(each) for each in cell]


def _of_fields(fields: Mapping[str, Any]) -> Given:
    key = next((key for key in FORMATS if key in fields), "box")
    label = next((fields[name] for name in LABELS if fields.get(name) is not None), None)
    crowd = next((fields[name] for name in CROWDS if fields.get(name) is not None), False)
    box = fields.get(key)
    if isinstance(box, Mapping) and all(name in box for name in CORNERS):
        box, key = [box[name] for name in CORNERS], "box"
    return Given(label, box, key, bool(crowd))


def _class_names(*features: Any) -> list[str] | None:
    """Return the names that a column declares for ids of classes."""
    for feature in features:
        if isinstance(feature, datasets.ClassLabel):
            return list(feature.names)
        inner = feature.feature if isinstance(feature, datasets.List) else feature
        parts = [inner[name] for name in LABELS if name in inner] if isinstance(inner, dict) else [inner]
        for part in parts if isinstance(feature, dict | datasets.List) else ():
            found = _class_names(part)
            if found is not None:
                return found
    return None


def _named(label: Any, names: Sequence[str] | None) -> Any:
    is_id = isinstance(label, int) and names is not None and 0 <= label < len(names)
    return names[label] if is_id and names is not None else label


def _numbers(box: Any) -> Box:
    """Return four numbers.

    Raises:
        InputError: They are something else; the message goes on after the name of the picture.
    """
    is_four = isinstance(box, list | tuple) and len(box) == 4
    if not is_four or not all(isinstance(x, int | float) and math.isfinite(x) for x in box):
        raise InputError(f"has {box!r:.60} where a box, four finite numbers, should be")
    a, b, c, d = map(float, box)
    return a, b, c, d


def _corners(box: Box, kind: str, width: int, height: int) -> Box:
    a, b, c, d = box
    if kind == "xywh":
        return a, b, a + c, b + d
    if kind == "cxcywh":
        return (a - c / 2) * width, (b - d / 2) * height, (a + c / 2) * width, (b + d / 2) * height
    return box


def _said(box: Sequence[float]) -> str:
    return f"[{', '.join(f'{x:.5g}' for x in box)}]"
