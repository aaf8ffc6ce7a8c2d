"""A run on sounds lets them be heard: in its report, with waveforms in MLflow, and later, when the files are gone."""

import random
import re
import shutil
from base64 import b64decode
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import running
import soundfile

from blurr.audio.players import MOST_SECONDS, player_of, shown_sound
from blurr.audio.samples import tones
from blurr.report.page import frames, write_report
from blurr.report.previews import FileCell
from blurr.runs.record import Record

TINY = (
    *("task=audio_classification", "model=wav2vec2", "data=files", "data.train=train.csv", "data.valid=valid.csv"),
    *("model.weights=scratch", "loader.batch_size=8", "schedule.epochs=1", "report=true"),
    *("model.scratch.hidden_size=16", "model.scratch.num_hidden_layers=1", "model.scratch.num_attention_heads=2"),
    *("model.scratch.intermediate_size=16", "model.scratch.conv_dim=[8,8,8,8]"),
)


def make(folder: Path, rows: int, seed: int) -> pd.DataFrame:
    rng, found = random.Random(seed), []
    folder.mkdir()
    for number in range(rows):
        row, file = tones(rng), folder / f"{number}.flac"
        soundfile.write(file, *row["audio"])
        found.append({"audio": str(file), "label": row["label"]})
    return pd.DataFrame(found)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, store_uri: str) -> Path:
    """A run on sounds, one of which is a copy of a training sound; the files are deleted at its end."""
    work = tmp_path_factory.mktemp("sounds")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(work)
        for name, rows in (("train", 16), ("valid", 20)):
            table = make(work / name, rows, seed=rows)
            if name == "valid":
                wave, rate = soundfile.read(work / "train" / "7.flac")
                soundfile.write(work / "valid" / "copy.ogg", 0.7 * wave, rate)
                table.loc[3, "audio"] = str(work / "valid" / "copy.ogg")
            table.to_csv(f"{name}.csv", index=False)
        running.run(work / "out", *TINY, f"tracking.uri={store_uri}", usual=("tracking.experiment=sounds",))
    shutil.rmtree(work / "train")
    shutil.rmtree(work / "valid")
    return work / "out"


def test_the_report_plays_what_was_confused_and_the_same_when_the_files_are_gone(run: Path):
    page = (run / "report.html").read_text(encoding="utf-8")
    found = re.findall(
        r'<img src="data:image/png[^>]*><audio controls preload="metadata" src="data:audio/mpeg;[^>]*>', page
    )
    assert len(found) > 20
    assert len(page) < 2e6
    for title in ("What was confused", "Top losses", "Scores by properties of the files"):
        assert f"<h3>{title}</h3>" in page
    again, plots = write_report(Record(run))
    assert again.read_text(encoding="utf-8") == page
    assert {"validation_top_losses.png", "validation_confused.png"} <= {file.name for file in plots.glob("*.png")}


def test_a_copy_of_a_training_sound_is_found(run: Path):
    frame = frames(Record(run))["valid/near_duplicates"]
    pairs = [(row["valid"], row["train"]) for row in frame.to_dict("records")]
    assert ("valid/copy.ogg", "train/7.flac") in pairs


def test_rows_are_compared_by_seconds_and_level(run: Path):
    assert {"seconds", "level in dBFS"} <= set(frames(Record(run))["valid/measures"]["measure"])


def heard(url: str) -> tuple[np.ndarray, int]:
    return soundfile.read(BytesIO(b64decode(url.partition(",")[2])))


@pytest.mark.parametrize("rate", [8000, 11_025, 44_100])
def test_a_long_sound_is_played_in_part_which_is_said(rate: int):
    wave = np.random.default_rng(0).uniform(-0.5, 0.5, 34 * rate).astype(np.float32)
    player = player_of(wave, rate)
    samples, at = heard(player.url)
    assert len(samples) / at == pytest.approx(MOST_SECONDS, abs=0.1)
    assert player.note == "the first 10 of 34 seconds"
    assert len(player.url) < 100_000
    assert player.note in shown_sound(wave, rate).html
    assert str(shown_sound(wave, rate)) == "34.0 s"
    line = {"url": "data:image/png;base64,AA==", "sound": player.url, "note": player.note, "name": "a.wav"}
    assert "<small>the first 10 of 34 seconds</small>" in FileCell([line], ["said"]).__html__()


def test_a_short_sound_is_played_whole():
    wave = np.sin(np.arange(1600) / 5).astype(np.float32)
    player = player_of(wave, 16_000)
    assert player.note == ""
    assert len(heard(player.url)[0]) == 1600
