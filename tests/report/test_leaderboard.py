"""A leaderboard tells runs apart, and puts those that differ in a seed or fold alone into one row."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from blurr import cli
from blurr.report.leaderboard import leaderboard, leaderboard_of_experiment
from blurr.tracking.trackers import MLflowTracker, tracked_run

SEEDS = {1: 0.80, 2: 0.82, 3: 0.87}


@pytest.fixture
def run_with(make_run):
    """Write the folder of a finished run with these overrides, as it would have been begun with them."""

    def make(name: str, accuracy: float, *words: str, seed: int = 1, lr: float = 1e-4, **config) -> Path:
        folder = make_run(name=name, optimizer={"lr": lr}, **{"seed": seed, **config})
        (folder / "overrides.yaml").write_text(yaml.safe_dump([f"optimizer.lr={lr}", *words]))
        (folder / "metrics.json").write_text(json.dumps({"valid/accuracy": accuracy, "valid/loss": 1 - accuracy}))
        os.utime(folder / "overrides.yaml", (len(name), 1000 + len(list(folder.parent.iterdir()))))
        return folder

    return make


def test_runs_that_differ_in_the_seed_alone_are_one_row_with_mean_deviation_and_number(run_with, tmp_path):
    for seed, accuracy in SEEDS.items():
        run_with(f"run{seed}", accuracy, f"seed={seed}", seed=seed)
    run_with("lucky", 0.85, "seed=1", lr=3e-4)
    board = leaderboard(tmp_path, by="valid/accuracy")
    scores = [json.loads((tmp_path / f"run{seed}" / "metrics.json").read_text())["valid/accuracy"] for seed in SEEDS]
    assert board["n"].tolist() == [1, 3]
    assert board["differs"].tolist() == ["lr=0.0003 seed=1", "lr=0.0001"]
    assert board["valid/accuracy"].tolist() == [0.85, pytest.approx(np.mean(scores))]
    assert board["valid/accuracy ±"].iloc[1] == pytest.approx(np.std(scores, ddof=1))
    assert board["run"].tolist() == ["lucky", "run1 +2"]


def test_folds_are_repetitions_and_the_same_seed_again_is_a_row_of_its_own(run_with, tmp_path):
    for fold in range(2):
        run_with(f"fold{fold}", 0.5 + fold / 10, data={"splits": {"fold": fold}})
    run_with("again", 0.9, data={"splits": {"fold": 0}})
    board = leaderboard(tmp_path, by="valid/accuracy")
    assert board["n"].tolist() == [1, 2]
    assert board["valid/accuracy"].tolist() == [0.9, pytest.approx(0.55)]


def test_trials_of_one_sweep_are_named_by_their_numbers_and_not_mixed_with_those_of_another(run_with, tmp_path):
    for sweep in ("one", "two"):
        (tmp_path / sweep).mkdir()
        (tmp_path / sweep / "ledger.jsonl").write_text("")
        for seed in SEEDS:
            run_with(f"{sweep}/{seed}", 0.1 * seed, seed=seed)
    board = leaderboard(tmp_path, by="valid/accuracy")
    assert sorted(board["run"]) == ["one/1,2,3", "two/1,2,3"]


def test_without_repetitions_there_are_no_columns_about_them(run_with, tmp_path):
    run_with("a", 0.5)
    board = leaderboard(tmp_path, by="valid/accuracy")
    assert board.columns.tolist() == ["run", "what", "differs", "valid/accuracy", "valid/loss"]


@pytest.mark.parametrize("width", [80, 100])
def test_no_name_is_broken_in_a_narrow_terminal(run_with, tmp_path, monkeypatch, capsys, width):
    name = "summarization-bart/2026-11-22_23-22-23-639311"
    (tmp_path / "summarization-bart").mkdir()
    run_with(name, 0.8, "schedule=fine_tune", "+model.model_kwargs.some_long_key=12345")
    for seed, accuracy in SEEDS.items():
        run_with(f"run{seed}", accuracy, f"seed={seed}", seed=seed, lr=3e-4)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr("rich.console.Console.is_terminal", True)
    arguments = cli.commands().parser.parse_args(["leaderboard", str(tmp_path), "--by", "valid/accuracy"])
    assert arguments.command(arguments) == 0
    shown = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out)
    assert all(len(line) <= width for line in shown.splitlines())
    for whole in (
        name,
        "some_long_key=12345",
        "schedule=fine_tune",
        "valid/accuracy",
        "0.83 ± 0.036",
        "lr=0.0003",
        "bert",
    ):
        assert whole in shown


def test_an_experiment_of_mlflow_groups_the_runs_of_blurr_as_well(store_uri, tmp_path):
    from blurr.runs.naming import differences

    for seed, accuracy in SEEDS.items():
        words, folder = [f"seed={seed}", "optimizer.lr=1e-4"], tmp_path / str(seed)
        tags = {"name": "bert sample", "differs": differences(words), "task": "x"}
        tracker = MLflowTracker(uri=store_uri, experiment="seeds", run_name="auto")
        config = {"seed": seed, "optimizer": {"lr": 1e-4}, "objective": "valid/accuracy"}
        with tracked_run(tracker, folder=folder, config=config, overrides=words, tags=tags) as run:
            run.finish({"valid/accuracy": accuracy})
        assert run.name == f"bert sample seed={seed} lr=1e-4"
    board = leaderboard_of_experiment("seeds", uri=store_uri)
    assert board["n"].tolist() == [3]
    assert board["what"].tolist() == ["bert sample"]
    assert board["differs"].tolist() == ["lr=1e-4"]
    assert board["valid/accuracy"].tolist() == [pytest.approx(np.mean(list(SEEDS.values())))]
    assert board["valid/accuracy ±"].tolist() == [pytest.approx(np.std(list(SEEDS.values()), ddof=1))]
