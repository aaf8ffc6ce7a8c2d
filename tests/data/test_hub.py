"""`data=hub` is `datasets.load_dataset`, tried on local folders in the layout of the Hub."""

import random
from pathlib import Path
from typing import Any

import datasets
import pytest

from blurr.data import hub
from blurr.data.core import Schema
from blurr.data.hub import load_hub
from blurr.data.splits import Splits
from blurr.errors import InputError, ResourceError


def no_sample(rng: random.Random) -> dict[str, Any]:
    return {"text": str(rng.random()), "label": "a"}


SCHEMA = Schema(required=("text", "label"), optional=(), label="label", sample=no_sample)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what `datasets` prepares out of the user's cache."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def rows(size: int) -> datasets.Dataset:
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])})
    columns = {"text": [f"text {row}" for row in range(size)], "label": [row % 2 for row in range(size)]}
    return datasets.Dataset.from_dict(columns, features=features)


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    folder = tmp_path / "parquet"
    for name, size in (("train", 10), ("validation", 4), ("test", 2)):
        rows(size).to_parquet(folder / "data" / f"{name}-00000-of-00001.parquet")
    return folder


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    folder = tmp_path / "csv"
    folder.mkdir()
    for name, size in (("small", 5), ("large", 20)):
        (folder / f"{name}.csv").write_text(
            "review,stars\n" + "".join(f"good {row},{row % 2}\n" for row in range(size))
        )
    configs = "".join(f"- config_name: {name}\n  data_files: {name}.csv\n" for name in ("small", "large"))
    (folder / "README.md").write_text(f"---\nconfigs:\n{configs}---\n")
    return folder


def sizes(raw: Any) -> dict[str, int]:
    return {name: part.num_rows for name, part in raw.splits.items()}


def test_a_folder_of_parquet_files_gives_its_splits_and_class_names(parquet: Path) -> None:
    raw = load_hub(SCHEMA, name=str(parquet), test_split="test")
    assert sizes(raw) == {"train": 10, "valid": 4, "test": 2}
    assert raw.label_names == ["no", "yes"]
    assert raw.source == f"hub:{parquet}"


def test_a_configuration_is_chosen_and_validation_rows_are_taken_from_training(csv: Path) -> None:
    raw = load_hub(SCHEMA, name=str(csv), config="large", columns={"text": "review", "label": "stars"}, limit=12)
    assert sizes(raw) == {"train": 12, "valid": 4}


def test_the_validation_split_of_the_source_can_be_refused(parquet: Path) -> None:
    raw = load_hub(SCHEMA, name=str(parquet), valid_split=None, splits=Splits(valid=0.3))
    assert sizes(raw) == {"train": 7, "valid": 3}


def test_b15_is_valid_column_is_honoured_for_the_hub(tmp_path: Path) -> None:
    marked = rows(10).add_column("is_valid", [row < 3 for row in range(10)])
    marked.to_parquet(tmp_path / "marked" / "train.parquet")
    assert load_hub(SCHEMA, name=str(tmp_path / "marked")).valid["text"] == ["text 0", "text 1", "text 2"]


@pytest.mark.parametrize("name", ["parquet", "csv"])
def test_rows_that_come_as_they_are_read_are_the_same(name: str, request, tmp_path: Path, monkeypatch, caplog) -> None:
    monkeypatch.setenv("BLURR_CACHE", str(tmp_path / "spooled"))
    options = {"config": "large", "columns": {"text": "review", "label": "stars"}} if name == "csv" else {}
    folder = str(request.getfixturevalue(name))
    streamed, whole = (load_hub(SCHEMA, name=folder, streaming=each, **options) for each in (True, False))
    assert streamed.fingerprint == whole.fingerprint
    assert streamed.label_names == whole.label_names
    assert {split: rows.to_list() for split, rows in streamed.splits.items()} == {
        split: rows.to_list() for split, rows in whole.splits.items()
    }
    (tmp_path / "spooled").rename(tmp_path / "elsewhere")
    (tmp_path / "spooled").write_text("a file where the cache should be")
    assert load_hub(SCHEMA, name=folder, streaming=True, **options).fingerprint == whole.fingerprint
    assert "kept in memory" in caplog.text


def test_a_file_that_breaks_while_it_is_read_is_answered(parquet: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("BLURR_CACHE", str(tmp_path / "spooled"))
    file = parquet / "data" / "train-00000-of-00001.parquet"
    file.write_bytes(file.read_bytes()[:4] + bytes(200) + file.read_bytes()[204:])
    with pytest.raises(InputError, match="cannot be loaded"):
        load_hub(SCHEMA, name=str(parquet), streaming=True)


def test_a_missing_split_is_answered(parquet: Path) -> None:
    with pytest.raises(InputError, match=r"data.valid_split=vaildation .* Did you mean 'validation'\? It has \['test'"):
        load_hub(SCHEMA, name=str(parquet), valid_split="vaildation")


@pytest.mark.parametrize(("config", "message"), [(None, "Config name is missing"), ("lrge", "'lrge' not found.*large")])
def test_a_missing_configuration_is_answered(csv: Path, config: str | None, message: str) -> None:
    with pytest.raises(InputError, match=rf"(?s)data.config={config}.*cannot be loaded: .*{message}"):
        load_hub(SCHEMA, name=str(csv), config=config)


@pytest.mark.parametrize("name", ["nobody/nothing", "/nowhere/at/all"])
def test_a_data_set_that_cannot_be_had_is_answered(name: str) -> None:
    with pytest.raises(InputError, match=f"data.name={name} .* cannot be loaded"):
        load_hub(SCHEMA, name=name)


def test_a_hub_that_does_not_answer_is_answered_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub.datasets.config, "HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ResourceError, match=r"the Hub \(http://127.0.0.1:9\) does not answer"):
        load_hub(SCHEMA, name="nobody/nothing")


def test_a_way_to_split_comes_before_the_validation_split_of_the_source(parquet: Path) -> None:
    parts = [load_hub(SCHEMA, name=str(parquet), splits=Splits(by="kfold", folds=5, fold=fold)) for fold in range(5)]
    held = [text for raw in parts for text in raw.valid["text"]]
    assert sorted(held) == sorted(rows(10)["text"])


def test_a_data_set_that_is_a_script_is_answered(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "old.py").write_text("")
    with pytest.raises(InputError, match=r"scripts are no longer supported.* set data.revision=refs/convert/parquet"):
        load_hub(SCHEMA, name=str(tmp_path / "old"))


def test_data_of_another_task_is_refused_before_it_is_loaded() -> None:
    with pytest.raises(
        InputError, match=r"data.columns.question=q names a role .* If the data is for another task, ch"
    ):
        load_hub(SCHEMA, name="nobody/nothing", columns={"question": "q"})
