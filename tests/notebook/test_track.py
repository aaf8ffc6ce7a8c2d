"""`with blurr.track("my run"):` in a notebook leaves a run like any other."""

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from every_task import ITEMS, SHORT, rows_of
from fastai.data.all import CategoryBlock, ColReader, ColSplitter, DataBlock
from fastai.learner import load_learner
from transformers import AutoModelForSequenceClassification

import blurr
from blurr.errors import InputError
from blurr.report.compare import changed_predictions, config_differences, metric_differences
from blurr.report.leaderboard import leaderboard, leaderboard_of_experiment
from blurr.report.overview import command
from blurr.reproduce import reproduce
from blurr.runs import resume
from blurr.runs.journal import Journal
from blurr.runs.record import Record, find_folder
from blurr.serve.evaluating import evaluate
from blurr.serve.predictor import Predictor
from blurr.text.data.all import NLP, TextBlock
from blurr.text.modeling.all import (
    Blearner,
    BlearnerForLM,
    BlearnerForQuestionAnswering,
    BlearnerForSequenceClassification,
    BlearnerForSummarization,
    BlearnerForTokenClassification,
)

pytestmark = pytest.mark.filterwarnings("ignore:load_learner. uses Python's insecure pickle")


@pytest.fixture
def made(reviews: pd.DataFrame, tiny_bert: Path, work: Path) -> Blearner:
    return quiet(BlearnerForSequenceClassification.from_data(reviews, tiny_bert, dl_kwargs={"bs": 4}))


class Tags(HTMLParser):
    """Finds the tags of a text, with their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def quiet(learn: Blearner) -> Blearner:
    learn.remove_cbs([learn.progress])
    learn.logger = lambda *_: None
    return learn


def track(name: str = "my run", **options: Any) -> Any:
    return blurr.track(name, **{"mlflow": False, "report": False, **options})


def test_a_run_of_a_notebook_is_recorded_in_mlflow(made: Blearner, store_uri: str, client, capsys):
    with blurr.track("my run", uri=store_uri, experiment="notebook", tags={"team": "a"}) as run:
        made.fit_one_cycle(1, 1e-3)
        made.unfreeze()
        made.fit_one_cycle(2, slice(1e-4, 1e-3))
    found = client.get_run(run.run.id)
    assert (found.info.run_name, found.info.status, found.data.tags["team"]) == ("my run", "FINISHED", "a")
    params = found.data.params
    assert (params["model.name"], params["loader.batch_size"]) == (made.origin.checkpoint, "4")
    assert (params["fit.1.epochs"], params["fit.2.epochs"], float(params["fit.2.lr"])) == (
        "1",
        "2",
        pytest.approx(1e-3),
    )
    assert int(params["fit.1.trained_parameters"]) < int(params["fit.2.trained_parameters"])
    assert len(client.get_metric_history(run.run.id, "train/loss")) == 3 * len(made.dls.train)
    assert [point.step for point in client.get_metric_history(run.run.id, "valid/accuracy")][:3] == [8, 16, 24]
    names = {artifact.path for artifact in client.list_artifacts(run.run.id)}
    assert {"report.html", "metrics.json", "config.yaml", "model", "predictions.json"} <= names
    said = capsys.readouterr().out
    assert "valid/accuracy" in said
    assert str(run.folder.name) in said


def test_the_folder_of_a_notebooks_run_is_like_any_other(made: Blearner, reviews: pd.DataFrame, work: Path):
    with track() as run:
        made.fit(1, 1e-3)
    folder, texts = run.folder, ["the film was good", "the film was bad"]
    assert folder.parent == work / "outputs" / "my-run"
    predictor = Predictor.load(folder)
    assert [r["label"] for r in predictor.predict(texts)] == [r["label"] for r in made.predict(texts)]
    assert Predictor.load(Record(folder).identity).predict(texts) == predictor.predict(texts)
    reviews[30:].to_csv("new.csv", index=False)
    _, scored = evaluate(predictor, ["data=files", "data.test=new.csv"])
    assert scored.metrics["loss"] == pytest.approx(run.scores["valid/loss"], rel=1e-5)
    with track("other") as other:
        made.fit(1, 1e-2)
    assert not (other.folder / "report.html").exists()
    assert made.report().path == other.folder / "report.html"
    assert (other.folder / "report.html").is_file()
    first, second = Record(folder), Record(other.folder)
    assert {"notebook"} <= set(config_differences([first, second])["key"])
    assert len(metric_differences([first, second]))
    assert len(changed_predictions(first, second)) <= 10
    board = leaderboard(work / "outputs")
    assert len(board) == 2
    assert find_folder(first.identity) == folder
    assert len(first.tables["valid"]) == 10
    assert Journal.read(folder).status == "FINISHED"


def test_the_report_is_shown_in_the_notebook(made: Blearner):
    with pytest.raises(InputError, match=r'with blurr.track\("my run"\)'):
        made.report()
    with track("a & b", report=True) as run:
        with pytest.raises(InputError, match="begins with the first fit"):
            run.report()
        made.fit(1, 1e-3)
        assert "Training" in made.report().path.read_text(encoding="utf-8")
    page = made.report()
    shown = page._repr_html_()
    assert str(page) == str(run.folder / "report.html")
    parser = Tags()
    parser.feed(shown)
    ((tag, attributes),) = parser.found  # nothing of the page itself is outside of its frame
    assert tag == "iframe"
    assert attributes["srcdoc"] == page.path.read_text(encoding="utf-8")
    assert "Confusion" in attributes["srcdoc"]
    assert "blurr.track(" in command(Record(run.folder))


@pytest.mark.parametrize("name", ["token_classification", "question_answering", "summarization", "masked_lm"])
def test_every_task_can_be_recorded(name: str, tiny_bert: Path, tiny_bart: Path, work: Path):
    learner_cls, checkpoint, options = {
        "token_classification": (BlearnerForTokenClassification, tiny_bert, {}),
        "question_answering": (BlearnerForQuestionAnswering, tiny_bert, {"max_length": 12, "stride": 3}),
        "summarization": (BlearnerForSummarization, tiny_bart, {"text_gen_kwargs": SHORT}),
        "masked_lm": (BlearnerForLM, tiny_bert, {"lm_type": "masked", "chunk": False}),
    }[name]
    learn = quiet(learner_cls.from_data(rows_of(name), checkpoint, dl_kwargs={"bs": 4}, **options))
    with track() as run:
        learn.fit_one_cycle(1, 1e-3)
    item = ITEMS.get(name, "the film was good")
    assert Predictor.load(run.folder).predict([item])
    record = Record(run.folder)
    assert record.config["objective"] in record.scores
    assert len(record.tables["valid"]) == 6
    assert (record.title, record.facts["choices"]["task"]) == ("my run", name)


def test_a_run_may_spread_over_several_cells(made: Blearner):
    run = track().start()
    made.fit(1, 1e-3)
    made.lr_find(num_it=6, show_plot=False)
    made.fit(1, 1e-3)
    run.finish()
    assert set(run.scores) == {"valid/loss", "valid/accuracy", "valid/f1"}
    record = Record(run.folder)
    assert len(record.epochs) == 2
    assert record.log["step"].max() == 2 * len(made.dls.train)
    made.fit(1, 1e-3)  # after the run, nothing is recorded
    assert len(Record(run.folder).epochs) == 2


def test_an_exception_in_the_block_ends_the_run_as_failed(made: Blearner):
    with pytest.raises(ZeroDivisionError), track() as run:
        made.fit(1, 1e-3)
        raise ZeroDivisionError("by hand")
    assert Journal.read(run.folder).status == "FAILED"
    assert "by hand" in (run.folder / "error.txt").read_text(encoding="utf-8")
    with pytest.raises(KeyboardInterrupt), track() as stopped:
        made.fit(1, 1e-3)
        raise KeyboardInterrupt
    assert Journal.read(stopped.folder).status == "KILLED"
    with track() as after:
        made.fit(1, 1e-3)
    assert after.scores


def test_an_exported_learner_holds_neither_rows_nor_run(made: Blearner, work: Path):
    with track():
        made.fit(1, 1e-3)
    made.export("whole.pkl")
    assert b"and it is a plot" not in (made.path / "whole.pkl").read_bytes()
    loaded = load_learner(made.path / "whole.pkl")
    assert loaded.origin is None
    with pytest.raises(InputError, match="No run has recorded"):
        loaded.report()


def test_mistakes_are_named(made: Blearner, reviews: pd.DataFrame, tiny_bert: Path):
    with pytest.raises(InputError, match="Nothing was trained in <run 'my run'"), track():
        pass
    with track() as run, pytest.raises(InputError, match="'my run'.*is still open"):
        made.fit(1, 1e-3)
        track("second").start()
    other = quiet(BlearnerForSequenceClassification.from_data(reviews, tiny_bert))
    with track(), pytest.raises(InputError, match="records another learner"):
        made.fit(1, 1e-3)
        other.fit(1, 1e-3)
    with pytest.raises(InputError, match="holds the run .*overwrite=true"), track(output_dir=run.folder):
        made.fit(1, 1e-3)
    with track(output_dir=run.folder, overwrite=True) as again:
        made.fit(1, 1e-3)
    assert Record(again.folder).identity != Record(run.folder / "gone").identity


def test_a_learner_of_blocks_is_refused(reviews: pd.DataFrame, tiny_bert: Path, work: Path):
    hf = NLP.get_hf_objects(tiny_bert, AutoModelForSequenceClassification, config_kwargs={"num_labels": 2})
    blocks = (TextBlock(*hf), CategoryBlock)
    block = DataBlock(blocks=blocks, get_x=ColReader("text"), get_y=ColReader("label"), splitter=ColSplitter())
    learn = quiet(Blearner(block.dataloaders(reviews, bs=4), hf.model))
    with pytest.raises(InputError, match="from_data made, which know their rows"), track():
        learn.fit(1, 1e-3)


def test_a_notebooks_run_is_not_run_again_by_the_command_line(made: Blearner, work: Path):
    with track() as run:
        made.fit(1, 1e-3)
    with pytest.raises(InputError, match="by the code of a notebook, under the name 'my run'"):
        reproduce(str(run.folder))
    with pytest.raises(InputError, match="by the code of a notebook, which has no checkpoints"):
        resume.expand([f"resume={run.folder}"], lambda name, uri: run.folder)
    (run.folder / "metrics.json").unlink()
    assert resume.expand(["resume=auto"], lambda name, uri: run.folder) == ["resume=auto"]


def test_runs_of_an_experiment_have_a_leaderboard(made: Blearner, store_uri: str):
    with track("ranked", mlflow=True, uri=store_uri, experiment="ranked"):
        made.fit(1, 1e-3)
    assert len(leaderboard_of_experiment("ranked", uri=store_uri)) == 1


def test_reading_and_saving_a_local_model_draws_no_bars(reviews: pd.DataFrame, tiny_bert: Path, work: Path, capfd):
    capfd.readouterr()
    learn = quiet(BlearnerForSequenceClassification.from_data(reviews, tiny_bert))
    with track():
        learn.fit(1, 1e-3)
    said = capfd.readouterr()
    assert "%|" not in said.err + said.out
