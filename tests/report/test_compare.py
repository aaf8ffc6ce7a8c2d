"""Runs are compared by their configs, scores and predictions, and listed the best first."""

import json
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from blurr import cli
from blurr.errors import InputError, ResourceError
from blurr.process.terminal import terminal
from blurr.report.changes import IN_TERMINAL, directions, tell_changes
from blurr.report.commands import _show_board
from blurr.report.compare import changed_predictions, config_differences, measures, metric_differences, significance
from blurr.report.leaderboard import leaderboard, leaderboard_of_experiment
from blurr.report.overview import card, note, write_card
from blurr.report.page import write_report
from blurr.runs.journal import Journal
from blurr.runs.record import Record

from .conftest import FACTS, ROWS


@pytest.fixture
def two(make_run):
    """Two runs, the second of which is right in every row."""
    better = [{**row, "prediction": row["target"], "loss": row["loss"] / 2} for row in ROWS["classes"]]
    first, second = make_run(name="a"), make_run(name="b", rows=better, optimizer={"lr": 1e-4})
    (second / "metrics.json").write_text(json.dumps({"valid/loss": 0.2, "valid/accuracy": 1.0}))
    return Record(first), Record(second)


def test_only_the_keys_that_differ_are_shown(two):
    assert config_differences(two).to_dict("records") == [{"key": "optimizer.lr", "a": "0.001", "b": "0.0001"}]
    assert metric_differences(two)["b"].tolist() == [0.2, 1.0]


@pytest.mark.usefixtures("undrawn")
def test_runs_in_folders_of_one_name_are_told_apart_and_named(make_run, tmp_path, capsys):
    folders = []
    for name, lr in (("one", 1e-3), ("other", 1e-4)):
        (tmp_path / name).mkdir()
        folders.append(make_run(name=f"{name}/out", optimizer={"lr": lr}))
        Journal(identity=f"id of {name}").write(folders[-1])
    records = [Record(folder) for folder in folders]
    (difference,) = config_differences(records).to_dict("records")
    assert difference == {"key": "optimizer.lr", "out (id of one)": "0.001", "out (id of other)": "0.0001"}
    arguments = cli.commands().parser.parse_args(["compare", *map(str, folders)])
    assert arguments.command(arguments) == 0
    said = capsys.readouterr().out
    assert all(f"id of {name}" in said and str(tmp_path / name / "out") in said for name in ("one", "other"))
    arguments = cli.commands().parser.parse_args(["report", str(folders[0])])
    assert arguments.command(arguments) == 0
    assert "of the run out (id of one)" in capsys.readouterr().out
    assert "id of one" in (folders[0] / "report.html").read_text()


def test_rows_that_are_predicted_differently_are_listed(two):
    wrong = sum(row["prediction"] != row["target"] for row in ROWS["classes"])
    assert len(changed_predictions(*two)) == wrong
    assert changed_predictions(two[0], two[0]).empty


def test_a_changed_row_has_its_text_label_and_both_predictions(two):
    row = changed_predictions(*two).iloc[0]
    described = ROWS["classes"][row["row"]]
    assert row["text"] == described["text"]
    assert [row["target"], row["a"], row["b "]] == [described[key] for key in ("target", "prediction", "target")]


def test_rows_that_one_run_gets_right_and_the_other_wrong_are_told_in_both_directions(two, capsys, tmp_path):
    first, second = two
    pairs = {title: len(rows) for title, rows in directions(first, second, changed_predictions(first, second))}
    wrong = sum(row["prediction"] != row["target"] for row in ROWS["classes"])
    assert pairs == {"right in a, wrong in b: 0 rows": 0, f"right in b, wrong in a: {wrong} rows": wrong}
    words = ["compare", str(first.folder), str(second.folder), "--output", str(tmp_path / "compare.html")]
    arguments = cli.commands().parser.parse_args(words)
    assert arguments.command(arguments) == 0
    said = capsys.readouterr().out
    assert f"right in b, wrong in a: {wrong} rows" in said
    assert f"… and {wrong - IN_TERMINAL} more" in said
    assert said.count("a film, number") == IN_TERMINAL
    page = (tmp_path / "compare.html").read_text()
    assert page.count("a film, number") == wrong
    assert "optimizer.lr" in page


@pytest.mark.parametrize(
    ("kind", "change", "said"),
    [
        ("labels", {"prediction": ["a", "b"]}, ["right in b, wrong in a: 1 rows", "a / b", "true"]),
        ("numbers", {"prediction": 0.0}, ["better in b (nearer): 1 rows", "+1"]),
        ("entities", {"prediction": ROWS["entities"][0]["target"]}, ["PER “Bob”", "right in b, wrong in a: 1 rows"]),
        ("answers", {"prediction": "Riga", "exact_match": 1.0}, ["Where is she? — She is in Riga", "Oslo"]),
        ("texts", {"prediction": "a cat sleeps"}, ["better in b (rougeL): 1 rows", "Eine Katze schläft", "+0.333"]),
        ("tokens", {"prediction": "b", "right_count": 2}, ["better in b (token_accuracy): 1 rows", "+0.5"]),
    ],
)
def test_every_kind_of_rows_is_told(kind: str, change: dict[str, Any], said: list[str], make_run, capsys):
    rows = [{**ROWS[kind][0], **change}, *ROWS[kind][1:]]
    first, second = make_run(kind, name="a"), make_run(kind, name="b", rows=rows)
    tell_changes(Record(first), Record(second), terminal())
    told = " ".join(capsys.readouterr().out.split())
    assert all(part in told for part in ["predicted differently: 1 rows", *said])


def test_a_clear_difference_is_significant_and_none_is_not(two):
    table = significance(*two).set_index("measure")
    assert table.loc["right", "difference"] > 0
    assert table.loc["right", "from"] > 0
    assert (table["p"] < 0.01).all()
    assert (table["from"] <= table["difference"]).all()
    assert significance(two[0], two[0])["p"].tolist() == [1, 1]


def test_a_difference_of_few_rows_may_be_chance(make_run):
    rng = np.random.default_rng(0)
    runs = []
    for name in "cd":
        rows = [{**row, "loss": float(rng.random())} for row in ROWS["classes"]]
        runs.append(Record(make_run(name=name, rows=rows)))
    assert significance(*runs).set_index("measure").loc["loss", "p"] > 0.02


def test_runs_on_other_rows_are_not_compared(two, make_run):
    other = Record(make_run("numbers", name="c"))
    with pytest.raises(InputError, match="a and c cannot be compared row by row: they have 24 and 20 rows"):
        significance(two[0], other)


def test_the_best_run_comes_first(two, tmp_path):
    assert leaderboard(tmp_path, by="valid/accuracy")["run"].tolist() == ["b", "a"]
    assert leaderboard(tmp_path, by="valid/loss")["run"].tolist() == ["b", "a"]
    assert leaderboard(tmp_path).columns.tolist()[:3] == ["run", "what", "valid/loss"]


def with_direction(make_run, name: str, value: float, **facts):
    run = make_run(name=name)
    (run / "metrics.json").write_text(json.dumps({"valid/cost": value}))
    (run / "facts.json").write_text(json.dumps(facts))
    return run


def test_a_run_says_which_way_its_metrics_are_better(make_run, tmp_path):
    runs = [with_direction(make_run, n, v, directions={"cost": "minimize"}) for n, v in (("a", 0.2), ("b", 0.1))]
    with_direction(make_run, "c", float("nan"))
    assert leaderboard(tmp_path, by="valid/cost")["run"].tolist() == ["b", "a", "c"]
    assert leaderboard(tmp_path, by="valid/cost", direction="maximize")["run"].tolist() == ["a", "b", "c"]
    assert metric_differences([Record(run) for run in runs])["best"].tolist() == ["b"]


def test_a_metric_of_which_nobody_knows_that_is_asked_for(make_run, tmp_path, capsys):
    runs = [with_direction(make_run, "a", 0.2), with_direction(make_run, "b", 0.1, directions={"cost": None})]
    with pytest.raises(InputError, match="Whether valid/cost is better high or low .* --direction minimize"):
        leaderboard(tmp_path, by="valid/cost")
    assert metric_differences([Record(run) for run in runs])["best"].tolist() == [""]
    arguments = cli.commands().parser.parse_args(
        ["leaderboard", str(tmp_path), "--by", "valid/cost", "--direction", "minimize"]
    )
    assert arguments.command(arguments) == 0
    assert "0.1" in capsys.readouterr().out


def test_the_best_run_of_each_metric_is_named(two):
    assert metric_differences(two)["best"].tolist() == ["b", "b"]
    assert metric_differences([two[0], two[0]])["best"].tolist() == ["", ""]


@pytest.mark.usefixtures("undrawn")
def test_what_is_to_be_said_of_a_score_stands_in_report_card_and_note(make_run):
    doubt, beside = "valid: all 40 rows are predicted to be 1", {"valid/accuracy": "of spam"}
    run = make_run()
    facts = json.loads((run / "facts.json").read_text())
    (run / "facts.json").write_text(json.dumps({**facts, "doubts": [doubt], "notes": beside}))
    record = Record(run)
    page = write_report(record)[0].read_text()
    assert f"<b>Worth nothing?</b> {doubt}" in page
    assert "valid/accuracy of spam" in page
    assert f"**Worth nothing?** {doubt}." in write_card(record).read_text()
    assert f"**Worth nothing?** {doubt}" in note(record)
    assert "**valid/accuracy** 0.6 of spam" in note(record)


def test_a_terminal_gets_whole_numbers_or_is_told_which_it_is_too_narrow_for(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")  # rich takes the output for a terminal
    differs = "experiments=reviews weights=scratch limit=200 loss={_target_: fastai.losses.FocalLossFlat,…"
    scores = {"valid/accuracy": [0.6], "valid/loss": [0.1709], "valid/f1": [0.4898]}
    _show_board(pd.DataFrame({"run": ["outputs/a"], "what": ["bert reviews"], "differs": [differs], **scores}))
    shown = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out)
    assert "in a wider terminal: valid/f1" in shown
    assert all(number in shown for number in ("0.6 ", "0.1709"))


class TestExperiment:
    """A leaderboard of what MLflow has."""

    @pytest.fixture
    def store(self, client, store_uri: str) -> str:
        if client.get_experiment_by_name("compared board") is None:
            experiment = client.create_experiment("compared board")
            for name, accuracy, status in (("a", 0.5, "FINISHED"), ("b", 0.9, "FINISHED"), ("c", 1.0, "FAILED")):
                run = client.create_run(experiment, run_name=name).info.run_id
                client.log_param(run, "objective", "valid/accuracy")
                client.log_metric(run, "valid/accuracy", accuracy)
                client.log_metric(run, "train/loss", 0.1)
                client.set_terminated(run, status)
            client.create_experiment("empty board")
        return store_uri

    def test_finished_runs_are_listed_the_best_first(self, store: str):
        board = leaderboard_of_experiment("compared board", uri=store)
        assert board["what"].tolist() == ["b", "a"]
        assert board.columns.tolist() == ["run", "what", "valid/accuracy"]

    def test_a_run_in_mlflow_says_which_way_its_metrics_are_better(self, client, store_uri: str):
        if client.get_experiment_by_name("directed") is None:
            experiment = client.create_experiment("directed")
            for name, value in (("a", 0.5), ("b", 0.9)):
                run = client.create_run(experiment, run_name=name).info.run_id
                client.set_tag(run, "blurr.directions", json.dumps({"wer": "minimize"}))
                client.log_param(run, "metrics.mine._target_", "blurr.metrics.regression.RMSE")
                client.log_metric(run, "valid/wer", value)
                client.log_metric(run, "valid/mine", -value)
                client.set_terminated(run, "FINISHED")
        for by, names in (("valid/wer", ["a", "b"]), ("valid/mine", ["b", "a"])):
            assert leaderboard_of_experiment("directed", uri=store_uri, by=by)["what"].tolist() == names

    def test_what_is_not_there_is_named(self, store: str, tmp_path):
        with pytest.raises(InputError, match="no experiment 'compared bord'. Did you mean 'compared board'"):
            leaderboard_of_experiment("compared bord", uri=store)
        with pytest.raises(InputError, match="The experiment empty board has no finished run with metrics of valid/"):
            leaderboard_of_experiment("empty board", uri=store)
        with pytest.raises(InputError, match="No run has the metric valid/f1"):
            leaderboard_of_experiment("compared board", uri=store, by="valid/f1")
        with pytest.raises(InputError, match="There is no MLflow store sqlite:///.*gone.db"):
            leaderboard_of_experiment("compared board", uri=f"sqlite:///{tmp_path}/gone.db")

    def test_a_server_that_does_not_answer_is_named(self):
        with pytest.raises(ResourceError, match="http://127.0.0.1:9"):
            leaderboard_of_experiment("compared board", uri="http://127.0.0.1:9")

    def test_the_command_takes_an_experiment(self, store: str, capsys):
        arguments = cli.commands().parser.parse_args(["leaderboard", "--experiment", "compared board", "--uri", store])
        assert arguments.command(arguments) == 0
        assert "valid/accuracy" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("kind", "row", "scores"),
    [
        ("answers", {"prediction": "a", "target": ["b"], "exact_match": 0.0, "f1": 0.5}, {"exact_match": 0, "f1": 0.5}),
        (
            "tokens",
            {"prediction": "a b", "target": "a b", "right_count": 1, "target_count": 4},
            {"token_accuracy": 0.25},
        ),
        ("texts", {"prediction": "a red hat", "target": "a hat"}, {"word_f1": 0.8, "rougeL": 0.8}),
        ("classes", {"prediction": "up", "target": "down", "probs": [0.1]}, {"right": 0}),
        ("words", {"prediction": ["O", "B-X"], "target": ["O", "B-X"]}, {"right": 1}),
    ],
)
def test_rows_are_compared_by_the_scores_of_their_kind(kind, row, scores):
    found = measures([{**row, "loss": 0.1}], kind)
    assert {name: values[0] for name, values in found.items()} == pytest.approx({"loss": 0.1, **scores})


def test_a_leaderboard_of_an_unknown_metric_names_the_nearest(two, tmp_path):
    with pytest.raises(InputError, match=r"No run has the metric valid/acc\. .*valid/accuracy"):
        leaderboard(tmp_path, by="valid/acc")


def test_runs_without_the_metric_are_said_to_be_left_out(two, make_run, tmp_path, caplog):
    """Those of other tasks were missing without a word."""
    (make_run(name="c") / "metrics.json").write_text(json.dumps({"valid/loss": 0.2, "valid/wer": 1.0}))
    assert list(leaderboard(tmp_path, by="valid/wer", direction="minimize")["run"]) == ["c"]
    assert (
        "2 of 3 rows are left out, for they have no valid/wer. Others are shown by --by valid/accuracy" in caplog.text
    )
    caplog.clear()
    leaderboard(tmp_path, by="valid/loss")
    assert not caplog.text


def test_a_folder_without_runs_has_no_leaderboard(tmp_path):
    with pytest.raises(InputError, match="There are no runs with final scores below"):
        leaderboard(tmp_path)


def test_compare_and_leaderboard_print_tables(two, blurr, tmp_path):
    done = blurr("compare", "a", "b")
    assert done.returncode == 0, done.stderr
    assert "optimizer.lr" in done.stdout
    assert "predicted differently" in done.stdout
    assert blurr("leaderboard", str(tmp_path), "--by", "valid/accuracy").stdout.index("b ") > 0


def test_a_card_has_the_header_of_the_hub_and_says_what_it_is(make_run):
    text = write_card(Record(make_run())).read_text()
    header = yaml.safe_load(text.split("---")[1])
    assert header["pipeline_tag"] == "text-classification"
    assert header["license"] == "unknown"
    assert header["metrics"] == ["accuracy"]
    assert "base_model" not in header
    assert "| valid/accuracy | 0.6 |" in text
    assert "## Limits" in text


def test_a_card_has_the_learning_rate_that_none_came_to(make_run):
    """It said null, of a rate that the run knew."""
    folder = make_run(optimizer={"lr": None})
    assert "- optimizer.lr: null" in card(Record(folder))
    Journal(identity="me", tags={"blurr.lr": "0.001"}).write(folder)
    assert "- optimizer.lr: 0.001" in card(Record(folder))


def test_a_description_has_scores_and_the_command(make_run):
    text = note(Record(make_run()))
    assert "- **valid/accuracy** 0.6" in text
    assert "`blurr run model=bert 'data.name=a b'`" in text


STRANGE = [
    "| x |",
    "<script>alert(1)</script>",
    "`a`",
    "a\n---\nb: c",
    "[l](http://x)",
    "**b**",
    "_i_",
    "x_y",
    "\x1b[2J",
]


def test_labels_and_names_are_texts_in_the_card_and_the_note(make_run):
    folder = make_run(**{"model": {"name": "a\n---\nlicense: mit"}, "optimizer": {"x": "\n# heading"}})
    facts = {**FACTS, "weights": "pretrained", "labels": STRANGE, "source": "\n\n# heading"}
    facts["notes"] = {"valid/loss": "of `x` |"}
    (folder / "facts.json").write_text(json.dumps(facts))
    (folder / "overrides.yaml").write_text(yaml.safe_dump(["a=```\n# heading"]))
    record = Record(folder)
    text = write_card(record).read_text()
    header, _, body = text.removeprefix("---\n").partition("\n---\n")
    assert yaml.safe_load(header)["license"] == "unknown"
    for written in (body, note(record)):
        assert "<script" not in written
        assert "| x |" not in written.replace("\\|", "")
        assert [line for line in written.splitlines() if line.startswith("# heading")] in ([], ["# heading'"])
        assert "\\`a\\`" in written
        assert "x_y" in written
    assert "````bash\n" in body
