"""Every named data set, tried on a local folder with the columns, types, configurations and splits of the real one."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets
import pytest
from datasets import ClassLabel, Features, List, Translation, Value
from omegaconf import OmegaConf
from pictures import photo
from running import run

from blurr.config import checks, composing, paths
from blurr.config.building import build
from blurr.data.core import RawData
from blurr.errors import InputError
from blurr.runs.jsonlines import read_lines
from blurr.tasks.base import Task
from blurr.tasks.parts import build_raw, check_objectives

TEXT, PICTURE, SIZE = Value("string"), datasets.Image(), 12
NAMED = sorted(name for name, file in paths.options("data").items() if "hub@data" in file.read_text())
GLUE_SPLITS = ("train", "validation", "test")
ALL = ("train", "validation", "test")
TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
TOXIC = ["toxicity", "severe_toxicity", "obscene", "threat", "insult", "identity_attack", "sexual_explicit"]


def glue(
    *texts: str, names: list[str] | None, splits: tuple[str, ...] = GLUE_SPLITS
) -> tuple[dict[str, Any], Any, Any]:
    label = Value("float32") if names is None else ClassLabel(names=names)
    return dict.fromkeys(texts, TEXT) | {"label": label, "idx": Value("int32")}, splits, len(names or [1])


def tags() -> tuple[dict[str, Any], Any, Any]:
    return {"id": TEXT, "tokens": List(TEXT), "ner_tags": List(ClassLabel(names=TAGS))}, ALL, len(TAGS)


def squad() -> tuple[dict[str, Any], Any, Any]:
    answers = {"text": List(TEXT), "answer_start": List(Value("int32"))}
    columns = {"id": TEXT, "title": TEXT, "context": TEXT, "question": TEXT, "answers": answers}
    return columns, ("train", "validation"), 2  # where an answer begins, and where it ends


# of each its columns, its splits, and how many labels a model of it has
LAYOUTS: dict[str, tuple[dict[str, Any], tuple[str, ...], int | None]] = {
    "glue_cola": glue("sentence", names=["unacceptable", "acceptable"]),
    "glue_sst2": glue("sentence", names=["negative", "positive"]),
    "glue_mrpc": glue("sentence1", "sentence2", names=["not_equivalent", "equivalent"]),
    "glue_qqp": glue("question1", "question2", names=["not_duplicate", "duplicate"]),
    "glue_stsb": glue("sentence1", "sentence2", names=None),
    "glue_mnli": glue(
        "premise",
        "hypothesis",
        names=["entailment", "neutral", "contradiction"],
        splits=("train", "validation_matched", "validation_mismatched", "test_matched", "test_mismatched"),
    ),
    "glue_qnli": glue("question", "sentence", names=["entailment", "not_entailment"]),
    "glue_rte": glue("sentence1", "sentence2", names=["entailment", "not_entailment"]),
    "glue_wnli": glue("sentence1", "sentence2", names=["not_entailment", "entailment"]),
    "imdb": ({"text": TEXT, "label": ClassLabel(names=["neg", "pos"])}, ("train", "test", "unsupervised"), 2),
    "civil_comments": ({"text": TEXT, **dict.fromkeys(TOXIC, Value("float32"))}, ALL, 7),
    "conll2003": tags(),
    "germeval_14": tags(),
    "squad": squad(),
    "squad_v2": squad(),
    "cnn_dailymail": ({"article": TEXT, "highlights": TEXT, "id": TEXT}, ALL, None),
    "xsum": ({"document": TEXT, "summary": TEXT, "id": TEXT}, ALL, None),
    "wmt16": ({"translation": Translation(languages=["de", "en"])}, ALL, None),
    "wikitext": ({"text": TEXT}, ALL, None),
    "beans": ({"image_file_path": TEXT, "image": PICTURE, "labels": ClassLabel(names=["a", "b", "c"])}, ALL, 3),
    "cifar10": ({"img": PICTURE, "label": ClassLabel(names=["a", "b"])}, ("train", "test"), 2),
    "food101": ({"image": PICTURE, "label": ClassLabel(names=["a", "b"])}, ("train", "validation"), 2),
    "oxford_pets": (
        {"image": PICTURE, "label": ClassLabel(names=["a", "b"]), "image_id": TEXT},
        ("train", "test"),
        2,
    ),
}
MADE: dict[str, Callable[[int], Any]] = {
    "answers": lambda row: {"text": ["blue"], "answer_start": [6]} if row % 3 else {"text": [], "answer_start": []},
    "context": lambda row: f"It is blue {row} times",
    "tokens": lambda row: ["Ada", "saw", "Rome", str(row)],
    "ner_tags": lambda row: [1, 0, 3, row % 5],
    "translation": lambda row: {"de": f"Haus {row}", "en": f"house {row}"},
}


def value(column: str, kind: Any, row: int, split: str) -> Any:
    if column in MADE:
        return MADE[column](row)
    if isinstance(kind, ClassLabel):  # what a competition keeps to itself is -1
        return -1 if split in ("unsupervised", "test_matched", "test_mismatched") else row % kind.num_classes
    if kind == PICTURE:  # another one in each row of each split
        return photo(16, 12, seed=100 * ALL.index(split) + row)
    return f"{column} {row} of {split}" if kind == TEXT else row % 6 / 5


def lay_out(option: str, folder: Path, config: str) -> None:
    """Write parquet files, and the README that says which configuration they belong to."""
    columns, splits, _ = LAYOUTS[option]
    for split in splits:
        rows = {c: [value(c, kind, row, split) for row in range(SIZE)] for c, kind in columns.items()}
        if "idx" in rows:
            rows["idx"] = list(range(SIZE))
        datasets.Dataset.from_dict(rows, features=Features(columns)).to_parquet(folder / config / f"{split}.parquet")
    files = "".join(f"  - split: {split}\n    path: {config}/{split}.parquet\n" for split in splits)
    (folder / "README.md").write_text(f"---\nconfigs:\n- config_name: {config}\n  data_files:\n{files}---\n")


@pytest.fixture(scope="module")
def loaded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Any, Task, RawData]]:
    """Compose an option as a command line would, with its name changed to the local folder."""
    folder = tmp_path_factory.mktemp(request.param)
    config = OmegaConf.load(paths.options("data")[request.param]).data.get("config")
    lay_out(request.param, folder / "set", config or "default")
    cfg = composing.compose([f"data={request.param}", f"data.name={folder / 'set'}", "data.revision=null"])
    checks.check(cfg)
    task = build(cfg.task)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", folder / "cache")
        yield cfg, task, build_raw(cfg, task)


def test_every_named_data_set_has_its_layout_here():
    assert sorted(LAYOUTS) == NAMED


@pytest.mark.parametrize(("loaded", "option"), [(name, name) for name in NAMED], ids=NAMED, indirect=["loaded"])
@pytest.mark.slow
def test_a_named_data_set_gives_its_task_rows_labels_and_metrics(loaded: tuple[Any, Task, RawData], option: str):
    cfg, task, raw = loaded
    _, _, labels = LAYOUTS[option]
    assert set(task.schema.required) <= set(raw.train.column_names)
    assert len(raw.train) in (SIZE, round(0.8 * SIZE))
    assert task.target.model_config(raw).get("num_labels") == labels
    check_objectives(cfg, raw.splits)
    assert paths.headline(paths.options("data")[option])


SPLITS = {
    "glue_mnli": {"train": 12, "valid": 12, "test": 12},
    "glue_cola": {"train": 12, "valid": 12},
    "imdb": {"train": 10, "valid": 2, "test": 12},
    "squad_v2": {"train": 12, "valid": 12},
}


@pytest.mark.parametrize(("loaded", "sizes"), SPLITS.items(), ids=SPLITS, indirect=["loaded"])
def test_rows_whose_labels_are_kept_secret_are_in_no_split(loaded: tuple[Any, Task, RawData], sizes: dict[str, int]):
    assert {name: len(part) for name, part in loaded[2].splits.items()} == sizes


@pytest.mark.parametrize("loaded", ["glue_mnli"], indirect=True)
def test_mnli_validates_on_the_matched_rows_and_tests_on_the_others(loaded: tuple[Any, Task, RawData]):
    _, _, raw = loaded
    assert raw.valid["text"][0].endswith("of validation_matched")
    assert raw.splits["test"]["text_pair"][0].endswith("of validation_mismatched")


@pytest.mark.parametrize("loaded", ["wmt16"], indirect=True)
def test_the_languages_of_a_translation_are_its_columns(loaded: tuple[Any, Task, RawData]):
    assert (loaded[2].train["source"][1], loaded[2].train["target"][1]) == ("Haus 1", "house 1")


@pytest.mark.parametrize("loaded", ["civil_comments"], indirect=True)
def test_shares_of_raters_become_labels_from_a_half_on(loaded: tuple[Any, Task, RawData]):
    assert loaded[2].train["label"][:6] == [loaded[2].label_names if row >= 3 else [] for row in range(6)]


def test_the_command_line_wins_over_what_a_data_set_chooses():
    cfg = composing.compose(["data=imdb", "task=masked_lm", "data.columns.label=null", "metrics=[perplexity]"])
    assert cfg.task._target_.endswith("MaskedLM")
    assert list(cfg.metrics) == ["perplexity"]


@pytest.mark.parametrize("words", [("data=squad_v2", "task=summarization"), ("data=imdb", "task=causal_lm")], ids=str)
def test_a_data_set_of_another_task_is_refused_before_it_is_loaded(words: tuple[str, ...]):
    cfg = composing.compose(words)
    with pytest.raises(
        InputError, match=r"names a role that this task does not have.* If the data is for another task"
    ):
        build_raw(cfg, build(cfg.task))


def test_a_named_data_set_goes_the_whole_line(work: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", work / "cache")
    lay_out("glue_stsb", work / "set", "stsb")
    words = ["data=glue_stsb", "data.name=set", "model.weights=scratch", "tracking=none", "schedule.epochs=1"]
    value = run(work, *words)
    scores = json.loads((work / "metrics.json").read_text())
    assert set(scores) == {"valid/loss", "valid/pearson", "valid/spearman"}
    assert value == scores["valid/pearson"]
    rows = read_lines(work / "predictions.jsonl")
    assert [row["idx"] for row in rows] == list(range(SIZE)), "columns without a role are kept beside the predictions"
