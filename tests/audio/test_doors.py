"""Sounds come in by every door: folders, tables, the Hub's layout, and objects in memory."""

import gc
import io
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pytest
import soundfile
from tables import table

from blurr.audio.sounds import SOUNDS, open_sound
from blurr.data.at_hand import from_data
from blurr.data.core import RawData, raw_data
from blurr.data.examining import read_item
from blurr.data.files import load_files
from blurr.data.hub import load_hub
from blurr.data.media import shown_rows
from blurr.data.roles import Schema
from blurr.data.samples import load_samples
from blurr.data.splits import Splits
from blurr.errors import InputError

RATE = 8000


def tone(number: int) -> np.ndarray:
    """Return a tenth of a second at a pitch that tells its number."""
    return (0.5 * np.sin(2 * np.pi * (200 + 100 * number) * np.arange(800) / RATE)).astype(np.float32)


def draw(rng: random.Random) -> dict[str, Any]:
    return {"audio": (rng.random() * tone(3), RATE), "label": rng.choice(["a", "b"])}


SCHEMA = Schema(required=("audio", "label"), optional=("weight",), label="label", sample=draw, media={"audio": SOUNDS})


def labelled(cells: Sequence[Any], role: str = "audio") -> list[dict[str, Any]]:
    return [{role: cell, "label": "xy"[row % 2]} for row, cell in enumerate(cells)]


def write(folder: Path, name: str, number: int) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, tone(number), RATE)
    return path


def files(folder: Path, count: int = 10) -> list[Path]:
    return [write(folder, f"{number}.{('wav', 'flac')[number % 2]}", number) for number in range(count)]


def number_of(cell: dict[str, Any]) -> int:
    """Return the number that a pitch tells."""
    spectrum = np.abs(np.fft.rfft(open_sound(cell, RATE)))
    return round((int(spectrum.argmax()) * RATE / 800 - 200) / 100)


def numbers(raw: RawData) -> list[int]:
    return sorted(map(number_of, [*raw.train["audio"][:], *raw.valid["audio"][:]]))


def load(**options: Any) -> RawData:
    return load_files(SCHEMA, **options)


def sources(folder: Path) -> dict[str, Any]:
    paths = files(folder)
    texts, waves = [*map(str, paths)], [tone(number) for number in range(10)]
    dicts = [{"path": None, "array": wave.astype(np.float64), "sampling_rate": RATE} for wave in waves]
    rows = datasets.Dataset.from_list(labelled(texts)).cast_column("audio", datasets.Audio())
    return {
        "paths": labelled(texts),
        "relative paths": labelled([f"sounds/{path.name}" for path in paths]),
        "objects of Path": labelled(paths),
        "bytes": labelled([path.read_bytes() for path in paths]),
        "an array and its rate": labelled([(wave, RATE) for wave in waves]),
        "a DataFrame of arrays with rates": pd.DataFrame(labelled([(wave, RATE) for wave in waves])),
        "dicts of datasets": labelled(dicts),
        "a DataFrame of dicts": pd.DataFrame({"audio": dicts, "label": list("xyxyxyxyxy")}),
        "a Dataset of dicts": datasets.Dataset.from_list(labelled(dicts)),
        "another name": labelled(texts, "clip"),
        "another name of dicts": labelled(dicts, "clip"),
        "a column of datasets.Audio": rows,
        "the same at a rate": rows.cast_column("audio", datasets.Audio(sampling_rate=16_000)),
        "the same in splits": datasets.DatasetDict(train=rows.select(range(7)), validation=rows.select(range(7, 10))),
    }


NAMES = (
    *("paths", "relative paths", "objects of Path", "bytes", "an array and its rate"),
    *("a DataFrame of arrays with rates", "dicts of datasets", "a DataFrame of dicts", "a Dataset of dicts"),
    *("another name", "another name of dicts", "a column of datasets.Audio", "the same at a rate"),
    "the same in splits",
)


@pytest.mark.parametrize("name", NAMES)
def test_whatever_a_notebook_has_becomes_the_same_rows(work: Path, name: str):
    raw = from_data(SCHEMA, sources(work / "sounds")[name])
    first = raw.train[0]["audio"]
    assert set(first) == {"path", "bytes", "hash", "seconds", "rate", "channels"}
    assert (first["seconds"], first["rate"], first["channels"], len(first["hash"])) == (0.1, RATE, 1, 32)
    assert (first["bytes"] is None) == (first["path"] is not None and Path(first["path"]).is_absolute())
    assert numbers(raw) == list(range(10))


def test_generated_sounds_are_packed_and_the_same_each_time():
    raw, again = (load_samples(SCHEMA, rows=40) for _ in range(2))
    assert raw.fingerprint == again.fingerprint
    assert raw.train[0]["audio"]["bytes"].startswith(b"RIFF")


def test_equal_sounds_stay_in_one_split(work: Path):
    raw = from_data(SCHEMA, labelled([(tone(number % 5), RATE) for number in range(40)]))
    hashes = [{cell["hash"] for cell in part["audio"][:]} for part in (raw.train, raw.valid)]
    assert not hashes[0] & hashes[1]


def test_arrays_alone_have_no_rate_and_are_refused(work: Path):
    with pytest.raises(InputError, match=r"10 of 10 sounds cannot be used: .*is an array without a rate: give \(array"):
        from_data(SCHEMA, labelled([tone(number) for number in range(10)]))


def test_sounds_without_a_length_in_common_are_packed(work: Path):
    waves = [(tone(number)[: 400 + 40 * number], RATE) for number in range(10)]
    raw = from_data(SCHEMA, labelled(waves))
    assert sorted({cell["seconds"] for cell in raw.train["audio"][:]}) == sorted(
        cell["seconds"] for cell in raw.train["audio"][:]
    )


@pytest.mark.parametrize("parts", [(), ("train", "valid"), ("train", "valid", "test")], ids=str)
def test_a_folder_for_each_class_is_read_with_its_splits(work: Path, parts: tuple[str, ...]):
    for part in parts or (".",):
        for number in range(10):
            start = 10 * (parts.index(part) if parts else 0)
            write(work / "clips", f"{part}/{'dogs' if number % 2 else 'cats'}/{number}.wav", start + number)
    raw = load(train="clips")
    sizes = {name: len(rows) for name, rows in raw.splits.items()}
    assert sizes == (dict.fromkeys(parts, 10) if parts else {"train": 8, "valid": 2})
    assert {*raw.train["label"][:]} == {"cats", "dogs"}


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "xlsx", "parquet"])
def test_paths_in_a_table_start_beside_it(work: Path, suffix: str):
    paths = files(work / "data" / "sounds")
    table(work / "data", f"rows.{suffix}", labelled([f"sounds/{path.name}" for path in paths], "clip"))
    assert numbers(load(train=f"data/rows.{suffix}")) == list(range(10))


def test_a_column_of_a_table_says_the_split(work: Path):
    rows = labelled([f"sounds/{path.name}" for path in files(work / "sounds")])
    table(work, "rows.csv", [{**row, "split": "train" if i < 6 else "valid"} for i, row in enumerate(rows)])
    raw = load(train="rows.csv", splits=Splits(by="column", column="split"))
    assert sorted(map(number_of, raw.valid["audio"][:])) == [6, 7, 8, 9]


def test_rows_are_limited(work: Path):
    files(work / "clips" / "a")
    raw = load(train="clips", limit={"train": 3}, splits=Splits(valid=0.5))
    assert (len(raw.train), len(raw.valid)) == (3, 5)


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl"])
def test_a_folder_as_on_the_hub_is_read_by_its_metadata(work: Path, name: str):
    for part, start in (("train", 0), ("valid", 10)):
        for number in range(10):
            write(work / "clips" / part, f"{number}.wav", start + number)
        table(work / "clips" / part, name, labelled([f"{number}.wav" for number in range(10)], "file_name"))
    raw = load(train="clips")
    assert (len(raw.train), len(raw.valid)) == (10, 10)
    assert numbers(raw) == list(range(20))


@pytest.mark.filterwarnings("ignore:unclosed file", "ignore::pytest.PytestUnraisableExceptionWarning")  # of datasets
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # datasets leaves the table of metadata open
def test_an_audiofolder_of_the_hub_is_never_decoded_by_datasets(work: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", work / "cache")
    rows = labelled([path.name for path in files(work / "hub" / "data")], "file_name")
    table(work / "hub" / "data", "metadata.csv", rows)
    assert numbers(load_hub(SCHEMA, name="hub")) == list(range(10))
    gc.collect()  # which closes it, while that is ignored


def test_a_parquet_of_the_hub_holds_bytes(work: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", work / "cache")
    rows = datasets.Dataset.from_list(
        labelled([{"bytes": path.read_bytes(), "path": path.name} for path in files(work)])
    )
    (work / "hub").mkdir()
    rows.cast_column("audio", datasets.Audio()).to_parquet(work / "hub" / "train.parquet")
    assert numbers(load_hub(SCHEMA, name="hub")) == list(range(10))
    raw = load(train="hub/train.parquet")
    assert numbers(raw) == list(range(10))
    assert {row["audio"] for row in shown_rows(raw.train)} <= {f"{n}.{('wav', 'flac')[n % 2]}" for n in range(10)}


def test_a_function_of_the_user_sees_columns_that_are_not_decoded(work: Path):
    rows = datasets.Dataset.from_list(labelled([str(path) for path in files(work)]))
    rows = rows.cast_column("audio", datasets.Audio())
    raw = raw_data(
        {"train": rows},
        SCHEMA,
        source="here",
        preprocess=lambda part: part.filter(lambda row: "0" not in row["audio"]["path"].split("/")[-1]),
    )
    assert numbers(raw) == list(range(1, 10))


def broken(folder: Path) -> Path:
    """Write ten sounds, three of which cannot be opened, and a table with them and one that is missing."""
    paths = files(folder / "sounds")
    paths[0].write_bytes(b"")
    paths[2].write_bytes(paths[2].read_bytes()[:500])
    soundfile.write(paths[4], np.zeros(800), RATE)
    return table(folder, "rows.csv", labelled([f"sounds/{path.name}" for path in paths] + ["gone.wav"]))


def test_broken_sounds_are_refused_in_one_message(work: Path):
    broken(work)
    said = (
        r"rows.csv \(train\): 4 of 11 sounds cannot be used: sounds/0.wav is empty; sounds/2.wav is cut off: .*; "
        r"sounds/4.wav is silent: .*; gone.wav is missing: it is not in .*leave them out by data.broken=drop\."
    )
    with pytest.raises(InputError, match=said):
        load(train="rows.csv")


def test_broken_sounds_are_left_out_with_a_count(work: Path, caplog: pytest.LogCaptureFixture):
    broken(work)
    raw = load(train="rows.csv", broken="drop")
    assert numbers(raw) == [1, 3, 5, 6, 7, 8, 9]
    assert len(raw.broken["train"]) == 4
    assert "4 of 11 sounds cannot be used" in caplog.text


@pytest.mark.parametrize("kind", ["path", "bytes", "objects", "dict", "object of Path"])
def test_an_item_to_predict_on_is_read(work: Path, kind: str):
    path = write(work, "a.wav", 3)
    value = {
        "path": "a.wav",
        "bytes": path.read_bytes(),
        "objects": (tone(3), RATE),
        "dict": {"array": tone(3), "sampling_rate": RATE},
        "object of Path": path,
    }[kind]
    assert number_of(read_item(value, SOUNDS)) == 3


def test_an_item_that_cannot_be_opened_has_one_message(work: Path):
    (work / "a.m4a").write_bytes(b"\0\0\0\x18ftypM4A " + bytes(40))
    with pytest.raises(
        InputError, match=r"^The sound a.m4a is MP4 or M4A \(AAC\), which .*ffmpeg -i in.m4a out.flac\.$"
    ):
        read_item("a.m4a", SOUNDS)
    with pytest.raises(InputError, match=r"^The sound is an array without a rate: give \(array, rate\)"):
        read_item(tone(1), SOUNDS)


def test_a_stream_of_bytes_of_ogg_is_read(work: Path):
    made = io.BytesIO()
    soundfile.write(made, tone(4), RATE, format="OGG", subtype="OPUS")
    assert number_of(read_item(made.getvalue(), SOUNDS)) == 4
