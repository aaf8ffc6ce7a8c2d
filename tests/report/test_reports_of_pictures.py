"""A run on pictures shows them: in its report, in comparisons, in MLflow, and later, when the files are gone."""

import base64
import json
import random
import re
import shutil
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import running
from PIL import Image
from rich.console import Console

from blurr.data.media import Look
from blurr.errors import InputError
from blurr.report.changes import tell_changes, write_comparison
from blurr.report.compare import changed_predictions
from blurr.report.page import frames, write_report
from blurr.report.previews import FileCell, by_measure, name_of, suspects, wilson
from blurr.runs.folder import written
from blurr.runs.record import Record
from blurr.tasks.previews import _near, _stacked
from blurr.vision.looks import look_of, preview_of
from blurr.vision.samples import shapes

TINY = (
    *("task=image_classification", "data=files", "data.train=train.csv", "data.valid=valid.csv"),
    *("model.scratch.hidden_sizes=[8,16]", "model.scratch.depths=[1,1]", "model.scratch.embedding_size=8"),
    *("model.weights=scratch", "task.size=16", "loader.batch_size=8", "schedule.epochs=1"),
)


def draw(folder: Path, rows: int, seed: int) -> pd.DataFrame:
    rng = random.Random(seed)
    found = []
    for number in range(rows):
        row = shapes(rng)
        file = folder / f"{number}.png"
        row["image"].save(file)
        found.append({"image": str(file), "label": row["label"]})
    return pd.DataFrame(found)


def recompressed(file: Path, copy: Path) -> Path:
    Image.open(file).convert("RGB").resize((48, 48)).save(copy, quality=70)
    return copy


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, store_uri: str) -> Path:
    """A run on pictures, one of which is a copy of a training picture; the files are deleted at its end."""
    work = tmp_path_factory.mktemp("pictures")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(work)
        for name, rows in (("train", 40), ("valid", 24)):
            (work / name).mkdir()
            table = draw(work / name, rows, seed=rows)
            if name == "valid":
                table.loc[3, "image"] = str(recompressed(work / "train" / "7.png", work / "valid" / "copy.jpg"))
            table.to_csv(f"{name}.csv", index=False)
        words = [*TINY, "augment=light", "augment.flip=true", "report=true", f"tracking.uri={store_uri}"]
        running.run(work / "out", *words, usual=("tracking.experiment=pictures",))
    shutil.rmtree(work / "train")
    shutil.rmtree(work / "valid")
    return work / "out"


def pictures_in(page: str) -> list[Image.Image]:
    found = re.findall(r'<img[^>]* src="data:image/(?:png|jpeg);base64,([^"]+)"', page)
    return [Image.open(BytesIO(base64.b64decode(each))) for each in found]


def test_the_report_shows_what_was_confused_and_the_same_when_the_files_are_gone(run: Path):
    page = (run / "report.html").read_text(encoding="utf-8")
    assert len(pictures_in(page)) > 20
    assert all(max(picture.size) <= 1120 for picture in pictures_in(page))
    assert len(page) < 2e6
    for title in ("What was confused", "Top losses", "Augmented rows", "Scores by properties of the files"):
        assert f"<h3>{title}</h3>" in page
    assert not re.search(r'(src|href)="(?!#|data:)', re.sub(r'xlink:href="#', 'href="#', page))
    assert re.search(r'<img src="data:[^"]+" alt="\w+ predicted as \w+: valid/\d+.png"', page)
    again, plots = write_report(Record(run))
    assert again.read_text(encoding="utf-8") == page
    names = {file.name for file in plots.glob("*.png")}
    assert {"validation_top_losses.png", "validation_confused.png", "augmented.png"} <= names
    assert {*plots.glob("*.png"), run / "previews.jsonl"} <= set(written(run))  # which is what overwriting deletes


def test_a_copy_of_a_training_picture_is_found(run: Path):
    frame = frames(Record(run))["valid/near_duplicates"]
    pairs = [(row["valid"], row["train"]) for row in frame.to_dict("records")]
    assert ("valid/copy.jpg", "train/7.png") in pairs
    assert frame["likeness"].iloc[0] > 0.995


def test_rows_are_compared_by_size_and_brightness(run: Path):
    frame = frames(Record(run))["valid/measures"]
    assert "brightness" in set(frame["measure"])
    of_brightness = frame[frame["measure"] == "brightness"]
    assert of_brightness["rows"].sum() == 24
    assert (of_brightness["low"] <= of_brightness["accuracy"]).all()
    assert (of_brightness["accuracy"] <= of_brightness["high"]).all()


def test_no_file_of_the_run_holds_bytes_of_pictures_but_previews(run: Path):
    rows = Record(run).tables["valid"]
    assert rows[0]["image"].endswith("valid/0.png")
    assert "bytes" not in (run / "predictions.jsonl").read_text(encoding="utf-8")


def test_mlflow_has_the_sheets_and_the_rows_without_bytes(run: Path, client):
    run_id = Record(run).run_id
    names = {each.path for each in client.list_artifacts(run_id, "plots")}
    assert {"plots/validation_top_losses.png", "plots/augmented.png"} <= names
    assert {"predictions.json", "previews.jsonl"} <= {each.path for each in client.list_artifacts(run_id)}


def test_the_card_tells_how_pictures_are_prepared_and_how_to_call_the_model(run: Path):
    card = (run / "model" / "README.md").read_text(encoding="utf-8")
    assert "pipeline_tag: image-classification" in card
    assert 'pipeline("image-classification"' in card
    assert re.search(r"- size: .*16", card)
    assert "- mean: 0.5, 0.5, 0.5" in card
    assert "circle, cross, square" in card
    assert "languages" not in card


def turned(run: Path, folder: Path) -> Record:
    """Copy a run, and have it predict other classes for its first rows."""
    shutil.copytree(run, folder)
    rows = Record(run).tables["valid"]
    for row in rows[:4]:
        others = [name for name in row["probs"] if name not in (row["prediction"], row["target"])]
        row["prediction"] = others[0] if row["prediction"] == row["target"] else row["target"]
    (folder / "predictions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    record = json.loads((folder / "run.json").read_text())
    record["checksums"].pop("predictions.jsonl")
    record.pop("checksum")
    (folder / "run.json").write_text(json.dumps(record))
    return Record(folder)


def test_a_comparison_shows_the_pictures_whose_prediction_changed(run: Path, tmp_path: Path):
    first, second = Record(run), turned(run, tmp_path / "turned")
    changed = changed_predictions(first, second)
    assert [type(each) for each in changed["image"]] == [FileCell] * 4
    write_comparison([first, second], tmp_path / "compare.html")
    assert len(pictures_in((tmp_path / "compare.html").read_text(encoding="utf-8"))) == 4
    out = Console(record=True, width=100)
    tell_changes(first, second, out)
    said = out.export_text()
    assert "valid/0.png" in said
    assert "row 0" in said


def test_a_preview_that_is_not_a_picture_is_refused(run: Path, tmp_path: Path):
    made = turned(run, tmp_path / "spoiled")
    line = {"role": "image", "split": "valid", "row": 0, "url": 'data:image/png;base64,"><script>'}
    record = json.loads((made.folder / "run.json").read_text())
    record["checksums"].pop("previews.jsonl")
    (made.folder / "run.json").write_text(json.dumps(record))
    (made.folder / "previews.jsonl").write_text(json.dumps(line) + "\n")
    with pytest.raises(InputError, match=r"previews\.jsonl"):
        frames(Record(made.folder))


# -- one by one


def noise(seed: int, size: tuple[int, int] = (40, 30)) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(values).resize(size)


def look(picture: Image.Image) -> Look:
    return look_of(picture.convert("RGB"), width=picture.width, height=picture.height)


def test_scaled_compressed_and_brighter_copies_are_near_and_others_are_not():
    first = [noise(seed) for seed in range(30)]
    stream = BytesIO()
    first[4].save(stream, "JPEG", quality=50)
    copies = [Image.open(stream), first[9].resize((90, 50)), first[12].point(lambda shade: shade * 0.7 + 20)]
    second = [*copies, *(noise(seed) for seed in range(100, 110))]
    looks = {name: _stacked(list(enumerate(map(look, each)))) for name, each in (("train", first), ("valid", second))}
    found = _near("valid", looks)
    assert {row: (near.split, near.row) for row, near in found.items()} == {
        0: ("train", 4),
        1: ("train", 9),
        2: ("train", 12),
    }
    assert _near("train", looks) == {}


def test_pictures_of_one_shade_are_near_to_none():
    flat = [(number, look(Image.new("RGB", (20, 20), (shade,) * 3))) for number, shade in enumerate((0, 90, 255))]
    assert _near("valid", {"train": _stacked(flat), "valid": _stacked(flat)}) == {}
    assert _near("valid", {"train": _stacked([]), "valid": _stacked(flat)}) == {}


@pytest.mark.parametrize(("size", "shown"), [((8, 8), (96, 96)), ((28, 20), (84, 60)), ((800, 400), (96, 48))])
def test_a_preview_is_small_and_tiny_pictures_are_enlarged_by_a_whole_factor(size, shown):
    url = preview_of(noise(0, size))
    assert Image.open(BytesIO(base64.b64decode(url.partition(",")[2]))).size == shown
    assert len(url) < 12_000


def test_rows_that_are_confidently_predicted_otherwise_are_suspects():
    rows: list[dict[str, Any]] = [
        {"target": "a", "prediction": "a", "probs": {"a": 0.9, "b": 0.1}},
        {"target": "b", "prediction": "b", "probs": {"a": 0.2, "b": 0.8}},
        {"target": "b", "prediction": "a", "probs": {"a": 0.95, "b": 0.05}},
        {"target": "b", "prediction": "a", "probs": {"a": 0.55, "b": 0.45}},
    ]
    assert suspects(rows) == [2]


def test_the_interval_of_an_accuracy_is_wilsons():
    assert wilson(8, 10) == pytest.approx((0.4901625, 0.9433178), abs=1e-5)
    assert wilson(0, 10)[0] == 0.0
    assert wilson(10, 10)[1] == 1.0


def test_rows_without_measures_are_left_out():
    rows = [{"target": "a", "prediction": "a", "probs": {"a": 1.0}, "loss": 1.0} for _ in range(20)]
    lines = {number: {"measures": {"pixels": number}} for number in range(15)}
    assert by_measure(rows, lines).empty  # quarters of 15 rows are of fewer than five
    assert by_measure(rows, {}).empty


def test_a_file_is_called_by_the_end_of_its_path_or_its_row():
    assert name_of({"split": "valid", "row": 3, "name": "/a/b/c/d.png"}) == "c/d.png"
    assert name_of({"split": "valid", "row": 3, "name": "without a name, 0123"}) == "row 3 of valid"


def test_a_row_without_a_preview_is_named():
    shown = FileCell([{"split": "valid", "row": 3, "name": "/a/b<c.png", "url": None}], ["said"])
    assert "no preview: a/b&lt;c.png" in shown.__html__()
    heard = FileCell([{"split": "valid", "row": 3, "url": "data:audio/wav;base64,AA=="}], ["said"])
    assert heard.__html__().startswith("<audio controls")
    assert heard.pictures() == []
