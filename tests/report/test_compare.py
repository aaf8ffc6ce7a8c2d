"""Runs are compared by their configs, scores and predictions, and listed the best first."""

import json

import numpy as np
import pytest
import yaml

from blurr.errors import InputError
from blurr.report.card import write_card
from blurr.report.compare import changed_predictions, config_differences, metric_differences, significance
from blurr.report.leaderboard import leaderboard
from blurr.report.overview import note
from blurr.report.record import read_record

from .conftest import ROWS


@pytest.fixture
def two(make_run):
    """Two runs, the second of which is right in every row."""
    better = [{**row, "prediction": row["target"], "loss": row["loss"] / 2} for row in ROWS["classes"]]
    first, second = make_run(name="a"), make_run(name="b", rows=better, optimizer={"lr": 1e-4})
    (second / "metrics.json").write_text(json.dumps({"valid/loss": 0.2, "valid/accuracy": 1.0}))
    return read_record(first), read_record(second)


def test_only_the_keys_that_differ_are_shown(two):
    assert config_differences(two).to_dict("records") == [{"key": "optimizer.lr", "a": "0.001", "b": "0.0001"}]
    assert metric_differences(two)["b"].tolist() == [0.2, 1.0]


def test_rows_that_are_predicted_differently_are_listed(two):
    wrong = sum(row["prediction"] != row["target"] for row in ROWS["classes"])
    assert len(changed_predictions(*two)) == wrong
    assert changed_predictions(two[0], two[0]).empty


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
        runs.append(read_record(make_run(name=name, rows=rows)))
    assert significance(*runs).set_index("measure").loc["loss", "p"] > 0.02


def test_runs_on_other_rows_are_not_compared(two, make_run):
    other = read_record(make_run("numbers", name="c"))
    with pytest.raises(InputError, match="a and c cannot be compared row by row: they have 24 and 20 rows"):
        significance(two[0], other)


def test_the_best_run_comes_first(two, tmp_path):
    assert leaderboard(tmp_path, by="valid/accuracy")["run"].tolist() == ["b", "a"]
    assert leaderboard(tmp_path, by="valid/loss")["run"].tolist() == ["b", "a"]
    assert leaderboard(tmp_path).columns.tolist()[:3] == ["run", "what", "valid/loss"]


def test_a_leaderboard_of_an_unknown_metric_names_the_nearest(two, tmp_path):
    with pytest.raises(InputError, match=r"No run has the metric valid/acc\. .*valid/accuracy"):
        leaderboard(tmp_path, by="valid/acc")


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
    text = write_card(read_record(make_run())).read_text()
    header = yaml.safe_load(text.split("---")[1])
    assert header["pipeline_tag"] == "text-classification"
    assert header["license"] == "unknown"
    assert header["metrics"] == ["accuracy"]
    assert "base_model" not in header
    assert "| valid/accuracy | 0.6 |" in text
    assert "## Limits" in text


def test_a_description_has_scores_and_the_command(make_run):
    text = note(read_record(make_run()))
    assert "- **valid/accuracy** 0.6" in text
    assert "`python -m blurr.run model=bert 'data.name=a b'`" in text
