"""Boxes in text files beside pictures, as YOLO has them: a class and four shares on each line."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import datasets
import yaml

from blurr.errors import InputError

FOLDERS = ("images", "labels")  # of the pictures, and of the text files with equal names
NAMES = ("data.yaml", "dataset.yaml", "classes.txt")  # that hold the names of the classes
ABOVE = 3  # folders that are looked through for them
NUMBERS = (5, 6)  # on a line: a class and four shares; a score may follow


def with_label_files(rows: datasets.Dataset, where: str) -> datasets.Dataset | None:
    """Return the rows with the boxes of their text files as `boxes`; None where no picture has one.

    A picture without a file has no objects.

    Args:
        rows: With pictures as `image`.
        where: Where they are from, for messages.

    Raises:
        InputError: A line is not a class and four numbers.
    """
    paths = rows.select_columns(["image"]).flatten().with_format(None)["image.path"][:]
    files = [None if path is None else label_file(Path(path)) for path in paths]
    there = [file if file is not None and file.is_file() else None for file in files]
    first = next((file for file in there if file is not None), None)
    if first is None:
        return None
    names = class_names(first.parent)
    boxes = [[] if file is None else _objects(file, names, where) for file in there]
    return rows.remove_columns([name for name in rows.column_names if name == "label"]).add_column("boxes", boxes)


def label_file(picture: Path) -> Path:
    """Return the text file of a picture: `labels/a.txt` of `images/a.jpg`, else the one beside it."""
    parts = list(picture.parts)
    pictures, texts = FOLDERS
    for place in range(len(parts) - 2, -1, -1):
        if parts[place].lower() == pictures:
            return Path(*parts[:place], texts, *parts[place + 1 :]).with_suffix(".txt")
    return picture.with_suffix(".txt")


def class_names(folder: Path) -> Mapping[int, str]:
    """Return the names of the classes by their ids, of a file in the folder or above it; empty where there is none.

    Raises:
        InputError: The file does not name them.
    """
    for place in (folder, *folder.parents[:ABOVE]):
        for name in NAMES:
            if (place / name).is_file():
                return _names_in(place / name)
    return {}


def _names_in(file: Path) -> Mapping[int, str]:
    text = file.read_text(encoding="utf-8-sig")
    if file.suffix == ".txt":
        return dict(enumerate(line.strip() for line in text.splitlines() if line.strip()))
    try:
        names: Any = yaml.safe_load(text)["names"]
        found = names if isinstance(names, dict) else dict(enumerate(names))
        return {int(number): str(name) for number, name in found.items()}
    except (yaml.YAMLError, TypeError, ValueError, KeyError) as error:
        raise InputError(f"{file} does not name the classes: it needs names: [cat, dog], or names by ids.") from error


def _objects(file: Path, names: Mapping[int, str], where: str) -> list[dict[str, Any]]:
    found = []
    for number, line in enumerate(file.read_text(encoding="utf-8-sig").splitlines(), start=1):
        parts = line.split()
        if not parts:
            continue
        try:
            if len(parts) not in NUMBERS:
                raise ValueError
            kind, shares = int(float(parts[0])), [float(part) for part in parts[1:5]]
        except ValueError as error:
            raise InputError(
                f"{where}: line {number} of {file} is {line[:60]!r}, not a class and four numbers: the id of the "
                "class, and centre x, centre y, width and height as shares of the picture."
            ) from error
        found.append({"label": names.get(kind, str(kind)), "cxcywh": shares})
    return found
