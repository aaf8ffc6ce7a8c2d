"""What the words of a command line make of rows: several files, every way to split, folds as a sweep, preprocessing."""

from collections import Counter
from pathlib import Path

import datasets
import pytest
import yaml

from blurr.config import checks, composing
from blurr.config.building import build
from blurr.data.core import RawData
from blurr.runs.jsonlines import read_lines
from blurr.tasks.parts import build_raw

SIZE = 12


def rows(prefix: str = "") -> list[dict[str, object]]:
    return [{"text": f"{prefix}text {row}", "label": "ab"[row % 3 == 0], "who": row % 4} for row in range(SIZE)]


@pytest.fixture
def at_work(work: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with files of rows, a folder as the Hub has them, and a module of the user's own."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", work / "cache")
    monkeypatch.syspath_prepend(work)
    for name in ("a", "b", "last"):
        datasets.Dataset.from_list(rows(f"{name} ")).to_csv(work / "parts" / f"{name}.csv")
    for split in ("train", "validation"):
        datasets.Dataset.from_list(rows()).to_parquet(work / "set" / f"{split}.parquet")
    (work / "my_steps.py").write_text(
        "def shout(rows):\n    return rows.map(lambda row: {'text': row['text'].upper()})\n"
        "def first(rows, count):\n    return rows.select(range(count))\n"
    )
    return work


FILES = ("data=files", "data.train=parts/a.csv")
HUB = ("data=hub", "data.name=set")


def raw_of(*words: str) -> RawData:
    """Load what a command line asks for."""
    cfg = composing.compose(words)
    checks.check(cfg)
    return build_raw(cfg, build(cfg.task))


def texts(raw: RawData, split: str) -> list[str]:
    return list(raw.splits[split]["text"])


@pytest.mark.parametrize("train", ["[parts/a.csv,parts/b.csv]", "'parts/[ab].csv'"], ids=["list", "pattern"])
def test_a_split_may_be_several_files_and_there_may_be_a_test_split(train: str, at_work: Path):
    raw = raw_of("data=files", f"data.train={train}", "data.valid=[parts/last.csv]", "data.test=parts/last.csv")
    assert len(raw.train) == 2 * SIZE
    assert texts(raw, "test") == texts(raw, "valid") == [row["text"] for row in rows("last ")]


@pytest.mark.parametrize("source", [FILES, HUB], ids=["files", "hub"])
def test_folds_partition_the_rows(source: tuple[str, ...], at_work: Path):
    words = (*source, "data.splits.by=kfold", "data.splits.folds=3")
    folds = [raw_of(*words, f"data.splits.fold={fold}") for fold in range(3)]
    held = [text for raw in folds for text in texts(raw, "valid")]
    assert len(held) == len(set(held)) == SIZE
    assert all(sorted([*texts(raw, "train"), *texts(raw, "valid")]) == sorted(held) for raw in folds)


@pytest.mark.parametrize("source", [FILES, HUB], ids=["files", "hub"])
def test_groups_stay_together(source: tuple[str, ...], at_work: Path):
    raw = raw_of(*source, "data.splits.by=group", "data.splits.column=who", "data.splits.valid=0.3")
    assert not set(raw.train["who"]) & set(raw.valid["who"])


@pytest.mark.parametrize("source", [FILES, HUB], ids=["files", "hub"])
def test_stratified_keeps_the_shares_of_the_labels(source: tuple[str, ...], at_work: Path):
    raw = raw_of(*source, "data.splits.by=stratified", "data.splits.valid=0.25")
    assert Counter(raw.valid["label"]) == {"a": 2, "b": 1}


@pytest.mark.parametrize("source", [FILES, HUB], ids=["files", "hub"])
@pytest.mark.parametrize(
    ("steps", "first", "count"),
    [
        ("{_target_: my_steps.shout, _partial_: true}", "TEXT 0", SIZE),
        (
            "[{_target_: my_steps.first, _partial_: true, count: 5}, {_target_: my_steps.shout, _partial_: true}]",
            "TEXT 0",
            5,
        ),
    ],
    ids=["one", "several"],
)
def test_functions_of_the_users_own_preprocess_the_rows(source, steps: str, first: str, count: int, at_work: Path):
    raw = raw_of(*source, f"data.preprocess={steps}", "data.splits.by=index", "data.splits.index=[1]")
    assert texts(raw, "train")[0].endswith(first)
    assert len(raw.train) + len(raw.valid) == count


@pytest.mark.slow
def test_folds_are_a_sweep(at_work: Path, blurr):
    words = ["model.weights=scratch", "schedule.epochs=1", "tracking=none", "output_dir=folds", "data.splits.by=kfold"]
    done = blurr("run", "-m", *FILES, *words, "data.splits.folds=3", "data.splits.fold=0,1,2")
    assert done.returncode == 0, done.stderr
    held = []
    for fold in range(3):
        folder = at_work / "folds" / str(fold)
        assert yaml.safe_load((folder / "config.yaml").read_text())["data"]["splits"]["fold"] == fold
        held += [row["text"] for row in read_lines(folder / "predictions.jsonl")]
    assert sorted(held) == sorted(str(row["text"]) for row in rows("a "))
