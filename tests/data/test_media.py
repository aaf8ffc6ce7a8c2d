"""Columns of media: whatever a source has becomes one struct, every file examined."""

import random
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from blurr.data.at_hand import from_data
from blurr.data.core import RawData
from blurr.data.roles import Schema
from blurr.data.samples import load_samples
from blurr.vision.images import PICTURES, open_picture


def draw(rng: random.Random) -> dict[str, Any]:
    color = (rng.randrange(256), rng.randrange(256), 0)
    return {"image": Image.new("RGB", (8, 6), color), "label": rng.choice(["a", "b"])}


SCHEMA = Schema(
    required=("image",), optional=("label", "weight"), label="label", sample=draw, media={"image": PICTURES}
)


def picture(number: int) -> Image.Image:
    return Image.new("RGB", (8, 6), (number, 0, 0))


def labelled(cells: list[Any], role: str = "image") -> list[dict[str, Any]]:
    return [{role: cell, "label": "xy"[row % 2]} for row, cell in enumerate(cells)]


def files(folder: Path, count: int = 10, suffix: str = ".png") -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number}{suffix}" for number in range(count)]
    for number, path in enumerate(paths):
        picture(number).save(path)
    return paths


def red(raw: RawData) -> list[int]:
    """Return the shade of red by which each picture was drawn, sorted."""
    rows = [*raw.train["image"][:], *raw.valid["image"][:]]
    return sorted(open_picture(row).getpixel((0, 0))[0] for row in rows)  # type: ignore[index]


def sources(folder: Path) -> dict[str, Any]:
    paths = files(folder)
    texts, pictures = [*map(str, paths)], [picture(number) for number in range(10)]
    arrays = [np.asarray(each) for each in pictures]
    rows = datasets.Dataset.from_list(labelled(texts)).cast_column("image", datasets.Image())
    return {
        "paths": labelled(texts),
        "relative paths": labelled([f"pictures/{path.name}" for path in paths]),
        "objects of Path": labelled(paths),
        "bytes": labelled([path.read_bytes() for path in paths]),
        "pictures of Pillow": labelled(pictures),
        "a DataFrame of pictures": pd.DataFrame(labelled(pictures)),
        "arrays": labelled(arrays),
        "a DataFrame of arrays": pd.DataFrame({"image": arrays, "label": list("xyxyxyxyxy")}),
        "another name": labelled(texts, "photo"),
        "a column of datasets.Image": rows,
        "the same in splits": datasets.DatasetDict(train=rows.select(range(7)), validation=rows.select(range(7, 10))),
    }


NAMES = (
    *("paths", "relative paths", "objects of Path", "bytes", "pictures of Pillow", "a DataFrame of pictures"),
    *("arrays", "a DataFrame of arrays", "another name", "a column of datasets.Image", "the same in splits"),
)


@pytest.mark.parametrize("name", NAMES)
def test_whatever_a_notebook_has_becomes_the_same_rows(work: Path, name: str):
    raw = from_data(SCHEMA, sources(work / "pictures")[name])
    first = raw.train[0]["image"]
    assert set(first) == {"path", "bytes", "hash", "width", "height"}
    assert (first["width"], first["height"], len(first["hash"])) == (8, 6, 32)
    assert (first["bytes"] is None) == (first["path"] is not None and Path(first["path"]).is_absolute())
    assert red(raw) == list(range(10))


def test_generated_pictures_are_packed_and_the_same_each_time():
    raw, again = (load_samples(SCHEMA, rows=40) for _ in range(2))
    assert raw.fingerprint == again.fingerprint
    assert raw.train[0]["image"]["bytes"].startswith(b"\x89PNG")


def test_equal_pictures_stay_in_one_split(work: Path):
    cells = [picture(number % 5) for number in range(40)]
    raw = from_data(SCHEMA, labelled(cells))
    hashes = [{cell["hash"] for cell in part["image"][:]} for part in (raw.train, raw.valid)]
    assert not hashes[0] & hashes[1]
