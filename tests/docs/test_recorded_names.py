"""What runs record in MLflow stands on the page of its names."""

import re
from fnmatch import fnmatch
from pathlib import Path

import pytest
from mlflow import MlflowClient

from blurr.tracking.sink import ERROR_TAG

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "mlflow.md").read_text(encoding="utf-8")
NAMED = [re.sub(r"<\w+>", "*", each) for each in re.findall(r"`([^`\n]+)`", PAGE)]


def lacking(names: set[str]) -> list[str]:
    return [name for name in sorted(names) if not any(fnmatch(name, each) for each in NAMED)]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_metrics_tags_and_files_of_runs_in_mlflow_are_on_the_page(blurr, work: Path):
    small = ("debug=quick", "model.weights=scratch")
    calls = {
        ("run", *small, "callbacks=[save_best]", "output_dir=RUN", "tracking.uri=sqlite:///mlflow.db"): 0,
        ("run", *small, "precision=auto", "loader.batch_size=auto", "tracking.uri=sqlite:///mlflow.db"): 0,
        ("run", "-m", *small, "seed=1,2", "optimizer.lr=1e-3,2e-3", "tracking.uri=sqlite:///mlflow.db"): 0,
        ("run", *small, "on_nan=stop", "optimizer.lr=1e30", "tracking.uri=sqlite:///mlflow.db"): 2,
        ("reproduce", "RUN"): 0,
    }
    for words, code in calls.items():
        done = blurr(*words)
        assert done.returncode == code, done.stderr[-2000:]
    client = MlflowClient("sqlite:///mlflow.db")
    runs = client.search_runs([each.experiment_id for each in client.search_experiments()])
    tags = {name for run in runs for name in run.data.tags}
    assert {ERROR_TAG, "blurr.reproduces", "blurr.best_scores", "blurr.resumed"} & tags >= {"blurr.best_scores"}
    assert lacking({name for name in tags if name.startswith("blurr.")}) == []
    assert lacking({name for run in runs for name in run.data.metrics if not name.startswith("train/lr_")}) == []
    files = {each.path for run in runs for each in client.list_artifacts(run.info.run_id)}
    assert [name for name in sorted(files) if name not in " ".join(NAMED)] == []
