"""A run is named by its checkpoint, its data and what its command line changed."""

import pytest

from blurr.config.composing import compose
from blurr.config.naming import model_label
from blurr.runs.naming import LONGEST, compact, data_label, differences, short_keys, subject_of, title_of
from blurr.tracking.trackers import MLflowTracker


@pytest.mark.parametrize(
    ("choice", "name", "label"),
    [
        ("bert", "google-bert/bert-base-uncased", "bert"),
        ("auto", "nreimers/MiniLM-L6-H384-uncased", "MiniLM-L6-H384-uncased"),
        ("auto", "/models/tiny/", "tiny"),
        ("auto", "outputs/mine/model", "mine"),
        ("auto", "/root/.cache/huggingface/hub/models--a--b-c/snapshots/0a1b2c", "b-c"),
        ("auto", None, "auto"),
        ("auto", ".", "."),
        (None, None, ""),
    ],
)
def test_a_model_is_named_by_its_option_or_else_by_its_checkpoint(choice, name, label):
    assert model_label(choice, name) == label


@pytest.mark.parametrize(
    ("choice", "data", "label"),
    [
        ("sample", {}, "sample"),
        ("imdb", {"name": "stanfordnlp/imdb"}, "imdb"),
        ("hub", {"name": "stanfordnlp/imdb"}, "imdb"),
        ("files", {"train": "/data/reviews.csv.gz"}, "reviews"),
        ("files", {"train": ["a/one.csv", "a/two.csv"]}, "one"),
        ("files", {"train": "parts/*.csv"}, "parts"),
        ("files", {"train": "../corpus/"}, "corpus"),
        ("files", {"train": "../sst2/train.tsv"}, "sst2"),
        ("files", {"train": "dev.jsonl"}, "dev"),
        ("files", {"train": "photos/train/"}, "photos"),
        ("files", {"train": "??"}, "??"),
        ("files", {}, "files"),
    ],
)
def test_data_is_named_by_its_option_or_else_by_its_file_or_hub_id(choice, data, label):
    assert data_label(choice, data) == label


def test_what_differs_has_short_keys_and_neither_folders_nor_secrets():
    words = [
        *("model=auto", "model.name=a/MiniLM", "data=files", "data.train=/x/reviews.csv", "data.columns.text=review"),
        *(
            "optimizer.lr=1e-3",
            "schedule.epochs=2",
            "output_dir=out",
            "tracking=none",
            "optimizer.lr=1e-4",
            "~callbacks",
        ),
        *("schedule=fine_tune", "+model.model_kwargs.token=hf_abcdefghijklmnopqrstuvwxyz0123456789", "metrics=[f1]"),
    ]
    said = differences(words)
    assert said.startswith("epochs=2 lr=1e-4 schedule=fine_tune token=")
    assert said.endswith(" ~callbacks")
    assert "hf_abc" not in said
    assert differences(["seed=1", "data.splits.fold=2", "a.x=1"], with_repeated=False) == "x=1"
    assert compact({"a.path": "'/data/x y/z.txt'", "b.list": "[q/r.csv,s/t.csv]"}) == "path=z.txt list=[r.csv,t.csv]"


def test_keys_with_the_same_end_keep_what_tells_them_apart():
    assert short_keys(["seed", "data.splits.seed", "loader.seed", "+a/b.lr"]) == {
        "seed": "seed",
        "data.splits.seed": "splits.seed",
        "loader.seed": "loader.seed",
        "+a/b.lr": "lr",
    }


def test_a_title_has_checkpoint_task_data_and_what_differs_and_fits_into_mlflow():
    config = {"model": {"name": "a/MiniLM"}, "data": {"train": "reviews.csv"}}
    words = ["model=auto", "model.name=a/MiniLM", "data=files", "data.train=reviews.csv", "optimizer.lr=1e-4"]
    subject = subject_of(config, words, {"task": "sequence_classification", "model": "MiniLM", "data": "files"})
    assert title_of(subject, differences(words)) == "MiniLM reviews lr=1e-4"
    chosen = {"task": "summarization", "model": "bart", "data": "sample"}
    assert subject_of({}, ["task=summarization", "model=bart"], chosen) == "bart summarization sample"
    assert len(title_of("x" * 300, "y")) == LONGEST


def test_the_name_in_mlflow_is_that_unless_one_is_given():
    tags = {"blurr.name": "MiniLM reviews", "blurr.differs": "lr=1e-4"}
    assert MLflowTracker(run_name="auto")._name(tags) == "MiniLM reviews lr=1e-4"
    assert MLflowTracker(run_name="mine")._name(tags) == "mine"
    assert MLflowTracker(run_name="auto")._name({}) is None


def test_the_folder_of_a_run_is_named_by_the_checkpoint_where_the_model_is_auto():
    words = ["model=auto", "model.name='org/Mini LM'"]
    assert compose(words).output_dir.startswith("outputs/sequence_classification-Mini_LM/")
    assert compose(["model=bert"]).output_dir.startswith("outputs/sequence_classification-bert/")
    assert compose(["model=auto"]).output_dir.startswith("outputs/sequence_classification-auto/")


def test_a_quick_trial_takes_the_weights_of_a_folder(tiny_bert):
    assert compose(["debug=quick"]).model.weights == "scratch"
    named = ["debug=quick", "model=auto", f"model.name={tiny_bert}"]
    assert compose(named).model.weights == "pretrained"
    assert compose([*named, "model.weights=scratch"]).model.weights == "scratch"
