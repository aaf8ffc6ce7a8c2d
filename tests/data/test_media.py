"""Columns of media: whatever a source has becomes one struct, every file examined."""

import random
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tables import table

from blurr.data import verdicts
from blurr.data.at_hand import from_data
from blurr.data.core import RawData
from blurr.data.files import load_files
from blurr.data.hub import load_hub
from blurr.data.media import measured, shown_rows
from blurr.data.roles import Schema
from blurr.data.samples import load_samples
from blurr.data.splits import Splits
from blurr.errors import InputError
from blurr.vision.images import PICTURES, open_picture


def draw(rng: random.Random) -> dict[str, Any]:
    color = (rng.randrange(256), rng.randrange(256), 0)
    return {"image": Image.new("RGB", (8, 6), color), "label": rng.choice(["a", "b"])}


SCHEMA = Schema(
    required=("image", "label"), optional=("weight",), label="label", sample=draw, media={"image": PICTURES}
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


def write(folder: Path, name: str, shade: int = 0, **options: Any) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    picture(shade).save(path, **options)
    return path


def load(**options: Any) -> RawData:
    return load_files(SCHEMA, **options)


def classes(folder: Path, *, of: str = "") -> None:
    """Lay out a folder for each of two classes, with ten different pictures in all."""
    shade = {"": 0, "train": 0, "valid": 10, "test": 20}[of]
    for number in range(10):
        write(folder, f"{of or '.'}/{'cats' if number % 2 else 'dogs'}/{number}.png", shade + number)


@pytest.mark.parametrize("parts", [(), ("train", "valid"), ("train", "test"), ("train", "valid", "test")], ids=str)
def test_a_folder_for_each_class_is_read_with_its_splits(work: Path, parts: tuple[str, ...]):
    for part in parts or ("",):
        classes(work / "photos", of=part)
    raw = load(train="photos")
    sizes = {name: len(rows) for name, rows in raw.splits.items()}
    if "valid" in parts:
        assert sizes == dict.fromkeys(parts, 10)
    else:
        assert sizes == {"train": 8, "valid": 2, **({"test": 10} if parts else {})}
    assert {*raw.train["label"][:]} == {"cats", "dogs"}
    if "test" in parts:
        assert raw.test is not None
        shades = [open_picture(cell).getpixel((0, 0))[0] for cell in raw.test["image"][:]]  # type: ignore[index]
        assert min(shades) >= 20


def test_links_hidden_files_and_large_letters_are_what_users_take_them_for(work: Path):
    classes(work / "real")
    (work / "photos").mkdir()
    (work / "photos" / "cats").symlink_to(work / "real" / "cats")
    write(work / "photos", "dogs/1.PNG", 99)
    write(work / "photos", "dogs/.hidden.png", 100)
    assert len(load(train="photos", splits=Splits(by="index", index=[0])).train) == 5


def test_files_of_other_kinds_and_empty_folders_are_said_once(work: Path, caplog: pytest.LogCaptureFixture):
    classes(work / "photos")
    for name in ("Thumbs.db", "readme.txt", "labels.csv"):
        (work / "photos" / name).write_text("a,b\n1,2\n")
    (work / "photos" / "birds").mkdir()
    load(train="photos")
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert said == [
        "photos: passed over, as files of another kind (3): Thumbs.db, labels.csv, readme.txt. To read a table, "
        "name it: data.train=photos/labels.csv.",
        "photos: folders without any file to learn from make no class: birds.",
    ]


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "xlsx", "parquet"])
def test_paths_in_a_table_start_beside_it_or_here(work: Path, suffix: str):
    paths = files(work / "data" / "pictures")
    (work / "here").mkdir()
    paths[9].rename(work / "here" / "9.png")
    cells = [f"pictures/{number}.png" for number in range(9)] + ["here/9.png"]
    table(work / "data", f"rows.{suffix}", labelled(cells))
    assert red(load(train=f"data/rows.{suffix}")) == list(range(10))


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl", "metadata.parquet"])
def test_a_folder_as_on_the_hub_is_read_by_its_metadata(work: Path, name: str):
    for part, shade in (("train", 0), ("valid", 10)):
        for number in range(10):
            write(work / "photos" / part, f"{number}.png", shade + number)
        rows = labelled([f"{number}.png" for number in range(10)], "file_name")
        table(work / "photos" / part, name, rows)
    raw = load(train="photos")
    assert (len(raw.train), len(raw.valid)) == (10, 10)
    assert red(raw) == list(range(20))


def test_bytes_and_structs_in_parquet_stay_what_they_are(work: Path):
    paths = files(work / "pictures")
    structs = [{"bytes": path.read_bytes(), "path": path.name} for path in paths]
    table(work, "structs.parquet", labelled(structs, "photo"))
    table(work, "bytes.parquet", labelled([path.read_bytes() for path in paths], "photo"))
    raw = load(train="structs.parquet")
    assert raw.fingerprint != load(train="bytes.parquet", splits=Splits(seed=1)).fingerprint
    assert {row["image"] for row in shown_rows(raw.train)} <= {path.name for path in paths}
    assert red(raw) == red(load(train="bytes.parquet", columns={"image": "photo"})) == list(range(10))


def test_a_column_of_datasets_is_never_decoded_by_it(work: Path):
    rows = datasets.Dataset.from_list(labelled([str(path) for path in files(work / "pictures")]))
    rows.cast_column("image", datasets.Image()).to_parquet("rows.parquet")
    (work / "hub").mkdir()
    (work / "rows.parquet").rename(work / "hub" / "train.parquet")
    raw = load_hub(SCHEMA, name="hub")
    assert red(raw) == list(range(10))


def test_arrays_of_datasets_are_pictures(work: Path):
    features = datasets.Features(image=datasets.Array3D((6, 8, 3), "uint8"), label=datasets.Value("string"))
    cells = [np.asarray(picture(number)) for number in range(10)]
    raw = from_data(SCHEMA, datasets.Dataset.from_list(labelled(cells), features=features))
    assert red(raw) == list(range(10))


def broken(folder: Path) -> Path:
    """Write ten pictures, three of which cannot be opened, and a table with them and one that is missing."""
    paths = files(folder / "pictures")
    paths[1].write_bytes(b"")
    paths[2].write_bytes(paths[3].read_bytes()[:45])
    paths[4].write_text("no picture")
    return table(folder, "rows.csv", labelled([f"pictures/{path.name}" for path in paths] + ["gone.png"]))


WRONG = re.escape(
    "rows.csv (train): 4 of 11 pictures cannot be used: pictures/1.png is empty; pictures/2.png is broken: "
) + (
    r".*; pictures/4.png is not a picture that Pillow can read; gone.png is missing: it is not in .*. Mend these "
    r"files, or leave them out by data.broken=drop\."
)


def test_broken_files_are_refused_in_one_message(work: Path):
    broken(work)
    with pytest.raises(InputError, match=WRONG):
        load(train="rows.csv")


def test_broken_files_are_left_out_with_a_count(work: Path, caplog: pytest.LogCaptureFixture):
    broken(work)
    raw = load(train="rows.csv", broken="drop")
    assert red(raw) == [0, 3, 5, 6, 7, 8, 9]
    assert [name.split()[0] for name in raw.broken["train"]] == [
        *("pictures/1.png", "pictures/2.png", "pictures/4.png", "gone.png")
    ]
    assert "4 of 11 pictures cannot be used" in caplog.text
    assert "Their rows are left out (data.broken=drop)" in caplog.text


def test_nothing_but_broken_files_is_a_mistake(work: Path):
    write(work, "a/1.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"1 of 1 pictures cannot be used: .*a/1.png is empty. Mend these files\."):
        load(train=".", broken="drop")


def test_a_verdict_is_kept_and_a_damaged_store_is_begun_anew(work: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("BLURR_CACHE", str(work / "cache"))
    classes(work / "photos")
    first = load(train="photos")
    judged: list[int] = []
    monkeypatch.setattr(type(PICTURES), "examine", lambda self, content: judged.append(1) or {"width": 1, "height": 1})
    assert load(train="photos").fingerprint == first.fingerprint
    assert not judged
    (work / "cache" / verdicts.NAME).write_bytes(b"not a database" * 100)
    assert load(train="photos").train[0]["image"]["width"] == 1
    assert len(judged) == 10


def test_a_store_that_cannot_be_written_stops_nothing(work: Path, monkeypatch: pytest.MonkeyPatch):
    (work / "cache").write_text("a file")
    monkeypatch.setenv("BLURR_CACHE", str(work / "cache"))
    classes(work / "photos")
    assert len(load(train="photos").train) == 8


def test_a_folder_without_classes_has_no_labels(work: Path):
    files(work / "photos")
    with pytest.raises(InputError, match=r"has no column 'label'.*Files that lie in a folder for each class"):
        load(train="photos")


def test_a_column_of_numbers_holds_no_pictures(work: Path):
    with pytest.raises(InputError, match=r"has no pictures for 'image' but values of type int64"):
        from_data(SCHEMA, [{"image": number, "label": "a"} for number in range(10)])


def test_rows_of_nothing_but_pictures_are_written_down_and_hashed(work: Path):
    raw = from_data(replace(SCHEMA, required=("image",)), [{"image": str(path)} for path in files(work / "pictures")])
    assert raw.train.column_names == ["image"]
    assert [Path(row["image"]).suffix for row in shown_rows(raw.train)] == [".png"] * 8
    assert len(raw.fingerprint) == 32


def test_pictures_are_summed_up_in_a_line(work: Path):
    raw = from_data(SCHEMA, labelled([Image.new("RGB", (8, 2 + number)) for number in range(10)]))
    splits = [measured(part, "image", PICTURES) for part in (raw.train, raw.valid)]
    both = {name: [*splits[0][name], *splits[1][name]] for name in PICTURES.measures}
    said = PICTURES.summary(both)
    assert said == "8 x 2 to 8 x 11 pixels, median 8 x 7; width / height 0.73 to 4, median 1.2"
