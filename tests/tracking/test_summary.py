"""The closing table is short, and what is to be copied from it stands on one line."""

import re
import shlex

import pytest

from blurr.tracking.sink import PARENT
from blurr.tracking.summary import show_summary
from blurr.tracking.trackers import NoTracker, tracked_run

METRICS = {"valid/accuracy": 0.94231, "valid/loss": 0.18345, "train/seconds": 1234567.0}


def show(tracker, folder, capsys, metrics=METRICS):
    with tracked_run(tracker, folder=folder, config={}, overrides=[], tags={}) as run:
        show_summary(run, metrics=metrics, facts={"weights": "scratch ([no] network)"})
    return run, capsys.readouterr().out


def test_it_shows_scores_facts_outputs_and_the_way_to_mlflow(tracker, folder, capsys):
    run, text = show(tracker, folder, capsys)
    lines = text.splitlines()
    assert any(line.split() == ["valid/accuracy", "0.9423"] for line in lines)
    assert "scratch ([no] network)" in text
    assert str(folder) in text
    assert run.id in text
    assert lines[lines.index(f"  {run.url}") - 1] == f"in MLflow, while `{run.ui_command}` runs"
    assert run.url.endswith("?workflowType=machine_learning")
    assert shlex.split(run.ui_command)[:3] == ["blurr", "ui", "--uri"]
    assert len(lines) < 20


def test_what_is_to_be_said_stands_beside_a_score(folder, capsys):
    with tracked_run(NoTracker(), folder=folder, config={}, overrides=[], tags={}) as run:
        show_summary(run, metrics=METRICS, notes={"valid/accuracy": "of spam"}, facts={"worth nothing?": "valid: so"})
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["valid/accuracy", "0.9423", "of", "spam"] in lines
    assert ["worth", "nothing?", "valid:", "so"] in lines


def test_a_sentence_breaks_between_words_and_a_path_nowhere(folder, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "50")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")  # rich takes the output for a terminal
    sentence = "valid: 50 % of the rows are right, and 60 % are of the class good anyway"
    path = "/".join(["outputs", "mine" * 20])
    with tracked_run(NoTracker(), folder=folder, config={}, overrides=[], tags={}) as run:
        show_summary(run, metrics=METRICS, facts={"worth nothing?": sentence, "report": path})
    plain = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out)
    said = [line for line in plain.splitlines() if line and path not in line and str(folder) not in line]
    assert max(map(len, said)) <= 50
    assert sentence in re.sub(r"\s+", " ", plain)
    assert path in plain


def test_a_pipe_gets_no_colours(tracker, folder, capsys):
    assert "\x1b" not in show(tracker, folder, capsys)[1]


def test_a_terminal_gets_no_broken_command(tracker, folder, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    with tracked_run(tracker, folder=folder, config={}, overrides=[], tags={}) as run:
        show_summary(run, metrics=METRICS, facts={})
    text, told = capsys.readouterr()
    assert f"  {run.url}" in text.splitlines()
    assert any(line.endswith(run.ui_command) for line in told.splitlines())


def test_outputs_are_shown_relative_to_the_launch_directory(tmp_path, folder, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, text = show(NoTracker(), folder, capsys)
    assert any(line.split() == ["outputs", "output"] for line in text.splitlines())


@pytest.mark.parametrize("metrics", [METRICS, {}], ids=["scores", "no scores"])
def test_without_mlflow_it_names_no_run(metrics, folder, capsys):
    _, text = show(NoTracker(), folder, capsys, metrics)
    assert "MLflow" not in text
    assert "blurr ui" not in text
    assert "weights" in text


def test_the_end_of_a_run_says_how_to_go_on_and_keeps_stdout_for_scores(folder, capsys):
    with tracked_run(NoTracker(), folder=folder, config={}, overrides=[], tags={}) as run:
        show_summary(run, metrics=METRICS, facts={}, roles=["text"])
        show_summary(run, metrics=METRICS, facts={}, roles=["question", "context"])
    out, told = capsys.readouterr()
    assert "next" not in out
    words = [shlex.split(line)[1:] for line in told.splitlines() if line.startswith("  ")]
    assert words[0] == ["blurr", "predict", str(folder), "--text", "a text of yours"]
    assert words[1] == ["blurr", "serve", str(folder)]
    assert words[2][3:] == ["--text", "question=a text of yours", "--text", "context=a text of yours"]


def test_a_trial_leaves_the_next_command_to_its_sweep(folder, capsys):
    with tracked_run(NoTracker(), folder=folder, config={}, overrides=[], tags={PARENT: "x"}) as run:
        show_summary(run, metrics=METRICS, facts={}, roles=["text"])
    assert capsys.readouterr().err == ""
