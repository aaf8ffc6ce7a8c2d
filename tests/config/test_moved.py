"""What an earlier version of blurr wrote names modules that have moved: it is read, run again and served.

The files in `tests/old/` were written at 0557629 by a BERT of width 8: a finished run, a run stopped between two
checkpoints, and an exported learner.
"""

import gzip
import json
import shutil
from pathlib import Path

import mlflow
import pandas as pd
import pytest
import yaml

from blurr.config import checks, composing, trust
from blurr.config.building import build
from blurr.config.moved import MOVED, current_name
from blurr.config.paths import PACKAGE
from blurr.config.signatures import find
from blurr.errors import InputError
from blurr.experiment import run_experiment
from blurr.report.page import write_report
from blurr.reproduce import reproduce
from blurr.runs import folder as files
from blurr.runs import resume
from blurr.runs.record import Record
from blurr.serve.evaluating import evaluate
from blurr.serve.predictor import Predictor
from blurr.text.modeling import all as modeling
from blurr.text.sequence_classification.task import SequenceClassification
from blurr.tracking.finding import find_run

OLD = Path(__file__).parents[1] / "old"
TASK = "blurr.text.tasks.sequence_classification.SequenceClassification"
pytestmark = [
    pytest.mark.filterwarnings("ignore:load_learner. uses Python's insecure pickle"),  # it says so: the file is our own
    pytest.mark.filterwarnings("ignore:Operation with range is deprecated"),  # MLflow's own, as the next
    pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType"),
]


@pytest.fixture
def finished(work: Path) -> Path:
    return shutil.copytree(OLD / "finished", work / "finished")


@pytest.fixture
def unfinished(work: Path) -> Path:
    return shutil.copytree(OLD / "unfinished", work / "unfinished")


def is_module(name: str) -> bool:
    path = PACKAGE.joinpath(*name.split(".")[1:])
    return path.with_suffix(".py").is_file() or path.is_dir()


@pytest.mark.parametrize(("old", "new"), MOVED.items(), ids=MOVED)
def test_a_name_that_has_moved_leads_to_what_is_there_and_means_nothing_else(old: str, new: str):
    assert is_module(new) or find(new)
    assert not is_module(old)
    assert list(MOVED) == sorted(MOVED)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("blurr.text.hf_objects", "blurr.models.objects"),
        ("blurr.text.hf_objects.HFObjects.arch", "blurr.models.objects.HFObjects.arch"),
        ("blurr.text.metrics.Metric", "blurr.metrics.base.Metric"),
        ("blurr.text.metrics.Accuracy", "blurr.metrics.classification.Accuracy"),
        ("blurr.data.core.RawData", "blurr.data.core.RawData"),
        ("my_module.Mine", "my_module.Mine"),
        ("blurr", "blurr"),
    ],
)
def test_a_name_of_a_module_a_class_or_a_method_is_found_where_it_is_today(old: str, new: str):
    assert current_name(old) == new


def test_an_option_of_the_users_own_that_names_moved_modules_is_checked_and_built(work: Path):
    (work / "callbacks").mkdir()
    mine = "ema:\n  _target_: blurr.training.averaging.EMA\n  decay: ${half}\n"
    (work / "callbacks" / "mine.yaml").write_text(mine)
    metric = "+metrics.mine={_target_: blurr.text.metrics.Accuracy}"
    cfg = composing.compose([f"task._target_={TASK}", "callbacks=mine", metric, "+half=0.5", "output_dir=out"])
    checks.check(cfg)
    assert isinstance(build(cfg.task), SequenceClassification)
    assert build(cfg.callbacks)["ema"].decay == 0.5
    cfg.callbacks.ema.decay = 7
    with pytest.raises(InputError, match=r"callbacks\.ema\.decay=7: must be a number above 0 and below 1"):
        checks.check(cfg)


@pytest.mark.parametrize(
    "target", [TASK, "blurr.text.hf_objects.build_model", "blurr.text.metrics.Accuracy", "blurr.training.averaging.EMA"]
)
def test_an_old_name_is_as_listed_as_its_new_one(target: str):
    assert target not in trust.shipped_targets()
    trust.check_config({"a": {"_target_": target}}, where="it", remedy="")
    trust.check_words([f"+a={{_target_: {target}}}"], where="it", remedy="")


def test_an_old_name_of_what_is_not_listed_is_refused():
    with pytest.raises(InputError, match="not among what a file may have blurr make"):
        trust.check_config({"a": {"_target_": "blurr.text.tasks.saved.load_task"}}, where="it", remedy="")


def test_a_model_is_served_by_mlflow_and_predicts_as_it_did(finished: Path):
    served = mlflow.pyfunc.load_model(str(finished / "model"))
    then = [json.loads(line) for line in (finished / "predictions.jsonl").read_text().splitlines()]
    now = served.predict(pd.DataFrame({"text": [row["text"] for row in then]}))
    assert [result["label"] for result in now] == [row["prediction"] for row in then]


def test_a_model_folder_is_evaluated_to_the_scores_that_it_had(finished: Path):
    then = json.loads((finished / files.SCORES).read_text())
    split, found = evaluate(Predictor.load(finished), ["data.rows=40"], split="valid")
    assert {f"{split}/{name}": pytest.approx(value, abs=1e-4) for name, value in found.metrics.items()} == then


def test_a_finished_run_is_reported_and_run_again(finished: Path):
    assert finished / files.REPORT in write_report(Record(finished))
    config = yaml.safe_load((finished / files.CONFIG).read_text())
    config["tracking"] = {"_target_": "blurr.tracking.run.NoTracker"}
    (finished / files.CONFIG).write_text(yaml.safe_dump(config))
    before, after = reproduce("finished", uri="sqlite:///none.db")
    assert "data" not in [name for name, *_ in before]
    assert all(abs(float(old) - float(new)) < 1e-3 for _, old, new in after)


def test_an_unfinished_run_of_a_version_without_some_of_the_keys_is_refused_and_the_version_named(unfinished: Path):
    words = resume.expand([f"resume={unfinished}"], find_run)
    cfg = composing.compose(words)
    checks.check(cfg)
    with pytest.raises(InputError, match=r"model\.dtype=auto \(was None\).*begun by blurr 0\.1\.0: "):
        run_experiment(cfg, folder=unfinished, overrides=words, choices={})


def test_a_run_that_was_begun_with_other_values_is_still_refused(unfinished: Path):
    config = yaml.safe_load((unfinished / files.CONFIG).read_text())
    resume.check_same(unfinished, config)
    config["task"]["label_smoothing"] = 0.1
    with pytest.raises(InputError, match=r"another config: task\.label_smoothing=0\.1 \(was 0\.0\)"):
        resume.check_same(unfinished, config)


@pytest.fixture
def export(work: Path) -> Path:
    (work / "export.pkl").write_bytes(gzip.decompress((OLD / "export.pkl.gz").read_bytes()))
    return work / "export.pkl"


def test_an_exported_learner_is_loaded_by_the_load_learner_of_the_facades(export: Path):
    learner = modeling.load_learner(export)
    assert isinstance(learner, modeling.BlearnerForSequenceClassification)
    assert learner.predict("good day 3")[0]["label"] in ("neg", "pos")


def test_an_export_that_names_what_is_gone_says_so(export: Path, monkeypatch):
    monkeypatch.setitem(MOVED, "blurr.text.tasks.sequence_classification", "blurr.text.nowhere")
    with pytest.raises(InputError, match=r"needs blurr\.text\.tasks\.sequence_classification\.\w+, which"):
        modeling.load_learner(export)
