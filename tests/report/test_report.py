"""A report is one page that needs nothing else, made of whatever a run has left."""

import json
import re
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from blurr.errors import InputError
from blurr.loading.bucketing import Batches
from blurr.report.classes import calibration, confused, confusion, curves, expected_calibration_error, per_class
from blurr.report.curves import by_scale, lengths, losses, speed
from blurr.report.facts import token_figures
from blurr.report.losses import slices, top_losses
from blurr.report.numbers import by_length, by_target, errors
from blurr.report.overview import command, run_facts
from blurr.report.page import frames, parts_of, write_report
from blurr.report.parts import Mark, Passage
from blurr.report.spans import error_types
from blurr.report.texts import word_f1, worst_texts
from blurr.runs import record
from blurr.runs.folder import written
from blurr.runs.record import Record, runs_in
from blurr.tracking.finding import find_run

from .conftest import FACTS, LOG, ROWS, write_lines

VOID = {"meta", "br", "img", "link"}


class Balanced(HTMLParser):
    """Fails where a tag is closed that is not open."""

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.parametrize("kind", ROWS)
def test_every_kind_of_rows_gives_a_page_that_needs_nothing_else_and_plots(kind, make_run):
    page, plots = write_report(Record(make_run(kind)))
    text = page.read_text()
    parser = Balanced()
    parser.feed(text)
    assert parser.open == []
    assert "prefers-color-scheme: dark" in text
    assert not re.search(r'(src|href)="(?!#)', re.sub(r'xlink:href="#', 'href="#', text))
    assert text.count("<script") == 1  # of the button that copies the command
    drawn = sorted(plots.glob("*.png"))
    assert {"loss.png", "learning_rate.png", "token_lengths.png"} < {each.name for each in drawn}
    assert any(each.name.startswith("validation_") for each in drawn)
    assert {page, *drawn} <= set(written(page.parent))  # which is what overwriting deletes
    assert text.count("<svg") == len(drawn)


@pytest.mark.filterwarnings("error")  # of glyphs that the font lacks, among others
@pytest.mark.parametrize(
    "odd", ["$x$ of $y_{", r"a\b{c}^_$", r"$\frac{1$", "映画 🎬"], ids=["$", "{", "fraction", "glyphs"]
)
def test_labels_of_any_characters_are_drawn_as_they_are_written(odd, make_run):
    names = {"good": odd, "bad": f"{odd}2"}
    rows = json.loads(json.dumps(ROWS["classes"]))
    for row in rows:
        row |= {key: names[row[key]] for key in ("target", "prediction", "label")}
        row |= {"place": f"{row['place']} {odd}", "probs": {names[name]: value for name, value in row["probs"].items()}}
    page, plots = write_report(Record(make_run(rows=rows)))
    drawn = "".join(re.findall(r"<svg.*?</svg>", page.read_text(), re.DOTALL))
    assert (plots / "validation_confusion.png").exists()
    assert odd[:20] in unescape(drawn)


def test_rates_of_groups_have_numbers_on_their_logarithmic_axis(make_run):
    run = make_run()
    groups = {"train/lr_0": 1e-5, "train/lr_1": 1e-3}
    lines = [{**line, **(groups if "train/lr" in line else {})} for line in LOG]
    write_lines(run / "metrics.jsonl", lines)
    text = write_report(Record(run))[0].read_text()
    assert "mathdefault" not in text
    assert "1e-05" in text


PARTS = {
    "classes": {"confusion", "classes", "precision_recall", "calibration"},
    "labels": {"classes", "precision_recall", "calibration"},
    "numbers": {"predicted", "errors", "errors_by_target"},
    "entities": {"entities", "sentences"},
    "answers": {"outcomes", "questions", "first_words"},
    "texts": {"texts", "overlap", "lengths_written"},
    "tokens": {"perplexity", "losses_of_rows"},
}


@pytest.mark.parametrize("kind", ROWS)
def test_rows_get_the_parts_of_their_own_kind_and_the_top_losses(kind):
    names = {part.name for part in parts_of(ROWS[kind])}
    assert names - {"slices"} == {*PARTS[kind], "top_losses"}


def test_what_the_task_predicts_goes_before_what_rows_look_like():
    rows = [{"target": "up", "prediction": "down", "loss": 1.0}]
    assert "texts" in {part.name for part in parts_of(rows)}
    assert "texts" in {part.name for part in parts_of(rows, "a word of another task")}
    assert [part.name for part in parts_of(rows, "classes")] == ["top_losses"]
    assert "classes" in {part.name for part in parts_of(ROWS["classes"], "classes")}


def test_of_very_many_rows_a_report_looks_at_the_first(make_run, monkeypatch, caplog):
    monkeypatch.setattr(record, "MOST_ROWS", 3)
    assert Record(make_run()).tables == {"valid": ROWS["classes"][:3]}
    assert "predictions.jsonl: reports and comparisons look at the first 3 of its rows" in caplog.text
    monkeypatch.setattr(record, "MOST_ROWS", len(ROWS["classes"]))
    caplog.clear()
    assert Record(make_run(name="all")).tables == {"valid": ROWS["classes"]}
    assert not caplog.text


def test_rows_of_an_unknown_kind_are_left_to_the_top_losses():
    assert [part.name for part in parts_of([{"target": 1, "prediction": "x", "loss": 1.0}])] == ["top_losses"]
    assert parts_of([{"anything": 1}]) == []


@pytest.mark.usefixtures("undrawn")
def test_a_run_that_ended_early_has_a_report_of_what_there_is(make_run):
    folder = make_run()
    for name in ("facts.json", "metrics.json", "predictions.jsonl", "environment.json", "overrides.yaml"):
        (folder / name).unlink()
    (folder / "metrics.jsonl").write_text("")
    record = Record(folder)
    assert record.title == "run"
    assert write_report(record)[0].is_file()


@pytest.mark.usefixtures("undrawn")
def test_what_was_run_stands_at_the_head_with_the_command_to_run_it_again(make_run):
    record = Record(make_run())
    assert command(record) == "blurr run model=bert 'data.name=a b'"
    facts = run_facts(record)
    assert facts["weights"] == "scratch (bert-base)"
    assert facts["parameters"] == "1,234,567"
    assert facts["rows"] == "train 40, valid 24"
    text = write_report(record)[0].read_text()
    assert "blurr run model=bert &#39;data.name=a b&#39;" in text


def test_the_numbers_behind_a_report_are_data_frames(make_run):
    found = frames(Record(make_run()))
    assert {"training/loss", "tokens/tokens", "valid/classes", "valid/top_losses"} <= set(found)
    assert all(isinstance(frame, pd.DataFrame) for frame in found.values())


def test_losses_are_by_step_and_speed_is_of_the_training_rows(make_run):
    record = Record(make_run())
    assert losses(record)["train"].tolist() == [1.0, 0.8]
    assert losses(record)["valid"].dropna().tolist() == [0.7]
    table = speed(record)
    assert table["rows/s"].tolist() == [20.0]
    assert table["train/loss"].tolist() == pytest.approx([0.9])


def test_confusion_counts_targets_down_and_predictions_across():
    rows = [{"target": t, "prediction": p} for t, p in ["ab", "ab", "aa", "ba"]]
    assert confusion(rows).to_numpy().tolist() == [[1, 2], [1, 0]]
    assert confused(rows).to_numpy().tolist() == [["a", "b", 2], ["b", "a", 1]]


def test_the_table_of_classes_agrees_with_counting():
    table = per_class(ROWS["labels"]).set_index("class")
    assert table.loc["a", ["precision", "recall", "rows"]].tolist() == [1, 1, 1]
    assert table.loc["b", "recall"] == 0
    assert table.loc["c", "average precision"] == 1


def test_the_figures_of_each_class_and_the_curves_are_scikit_learns():
    from sklearn import metrics as sk

    rng = np.random.default_rng(0)
    names = ["a", "b", "c", "never true"]
    probs = rng.choice([0.1, 0.2, 0.5, 0.7], (60, 4))  # with equal ones
    true = rng.integers(0, 3, 60)
    rows = [
        {"target": names[t], "prediction": names[p.argmax()], "probs": dict(zip(names, p.tolist(), strict=True))}
        for t, p in zip(true, probs, strict=True)
    ]
    table, drawn = per_class(rows), curves(rows)
    expected = sk.precision_recall_fscore_support(true, probs.argmax(1), labels=range(4), zero_division=0)
    assert table[["precision", "recall", "f1", "rows"]].to_numpy().T.tolist() == [each.tolist() for each in expected]
    for i, name in enumerate(names[:3]):
        assert table["average precision"][i] == sk.average_precision_score(true == i, probs[:, i])
        points = sk.precision_recall_curve(true == i, probs[:, i])[:2]
        found = drawn[drawn["class"] == name]
        assert [found["precision"].tolist(), found["recall"].tolist()] == [each.tolist() for each in points]
    assert table["average precision"][3] == 0


def test_the_expected_calibration_error_is_the_weighted_gap():
    right = {"target": "a", "prediction": "a", "probs": {"a": 0.95}}
    wrong = {"target": "b", "prediction": "a", "probs": {"a": 0.65}}
    bins = calibration([right, right, right, wrong])
    assert bins["rows"].tolist() == [1, 3]
    assert expected_calibration_error(bins) == pytest.approx((0.65 * 1 + 0.05 * 3) / 4)


def test_each_entity_is_right_or_wrong_in_one_way():
    table = error_types(ROWS["entities"]).set_index("type")
    assert table.loc["PER", ["right", "wrong type", "wrong ends", "missed"]].tolist() == [1, 1, 1, 0]
    assert table.loc["LOC", ["missed", "invented"]].tolist() == [1, 1]
    assert table[["right", "wrong type", "wrong ends", "both wrong", "missed"]].to_numpy().sum() == 4


@pytest.mark.usefixtures("undrawn")
def test_an_answer_is_marked_in_its_context_and_text_is_escaped(make_run):
    text = write_report(Record(make_run("answers")))[0].read_text()
    assert 'in <mark class="true">Riga</mark> &amp; not in <mark class="bad">Oslo</mark>' in text
    assert "Riga (0.30); — (0.10)" in text  # of SQuAD 2.0, that there is no answer may be the second best


def test_the_worst_texts_come_first_with_their_wrong_words_marked():
    worst = worst_texts(ROWS["texts"])
    assert worst["f1"].tolist() == pytest.approx([2 / 3, 1])
    assert worst["source"].tolist() == ["Eine Katze schläft", "Ein Hund"]
    written = worst["written"][0]
    assert str(written) == "a dog sleeps"
    assert [str(written)[m.start : m.end] for m in written.marks if m.kind == "bad"] == ["dog"]


@pytest.mark.parametrize(("a", "b", "f1"), [("", "", 0), ("a a", "a", 2 / 3), ("A b!", "b a", 1), ("x", "y", 0)])
def test_the_f1_of_words_counts_each_word_once(a, b, f1):
    assert word_f1(a, b) == pytest.approx(f1)


def test_perplexity_is_the_exponential_of_the_mean_loss_per_token():
    table = by_length(ROWS["tokens"])
    assert table["perplexity"].tolist() == pytest.approx([np.e] * len(table))
    assert table["rows"].sum() == 6
    assert table["token_accuracy"].iloc[-1] == pytest.approx(1 / 16)


def test_errors_of_numbers_have_their_sign_and_size():
    table = by_target(errors(ROWS["numbers"]))
    assert table["rows"].sum() == 20
    assert table["root mean square"].tolist() == pytest.approx([1] * 5)


def test_top_losses_are_sorted_and_their_long_texts_cut():
    rows = [{"text": "x" * 1000, "target": "a", "prediction": "b", "loss": loss} for loss in (1.0, 3.0, 2.0)]
    top = top_losses(rows, 2)
    assert top["loss"].tolist() == [3.0, 2.0]
    assert len(top["text"][0]) == 402


def test_slices_are_by_target_column_and_length_the_worst_first():
    table = slices(ROWS["classes"])
    assert table["loss"].is_monotonic_decreasing
    assert {"place = Riga", "place = Oslo", "target = good", "target = bad"} <= set(table["slice"])
    assert any(name.startswith("tokens = ") for name in table["slice"])
    assert table.set_index("slice").loc["place = Oslo", "rows"] == 12


def test_padding_is_what_the_batches_hold_besides_tokens():
    figures = token_figures(np.array([2, 4, 4, 8]), Batches.even(np.arange(4), 2), limit=8)
    assert figures["tokens"] == 18
    assert figures["padding"] == (8 - 6) + (16 - 12)
    assert figures["at_limit"] == 1
    both = token_figures(np.array([[2, 1], [4, 3]]), Batches.even(np.arange(2), 2), limit=None)
    assert (both["tokens"], both["padding"]) == (10, 14 - 10)


def test_the_table_of_tokens_gives_padding_as_a_share(make_run):
    table = lengths(Record(make_run()))
    assert table["padding"].tolist() == [0.2]
    assert table["rows at the limit"].tolist() == [FACTS["tokens"]["train"]["at_limit"]]


def test_marks_that_overlap_are_left_out():
    text = Passage("abcdef", [Mark(0, 3, "good"), Mark(2, 4, "bad"), Mark(4, 6, "true")])
    assert text.__html__() == '<mark class="good">abc</mark>d<mark class="true">ef</mark>'


def test_a_folder_that_holds_no_run_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"is not the folder of a run: it has no config\.yaml"):
        find_run(tmp_path)


def test_a_run_that_is_nowhere_is_refused(work):
    with pytest.raises(
        InputError, match="There is no run 123: no folder of that name, and no MLflow store sqlite:///mlflow.db"
    ):
        find_run("123")


def test_runs_are_found_below_a_folder(make_run, tmp_path):
    assert runs_in(tmp_path) == []
    make_run()
    assert runs_in(tmp_path) == [tmp_path / "run"]


def test_the_command_writes_the_report_and_says_where(make_run, blurr):
    folder = make_run()
    done = blurr("report", str(folder))
    assert done.returncode == 0, done.stderr
    run, *files = done.stdout.splitlines()
    assert run.startswith(f"of the run {folder.name}")
    assert files == [f"{folder}/report.html", f"{folder}/plots/*.png"]
    assert blurr("report", "nothing").returncode == 2


def test_metrics_that_would_flatten_each_other_are_drawn_apart():
    metrics = pd.DataFrame({"epoch": [1, 2], "accuracy": [0.2, 0.5], "perplexity": [60.6, 6.6], "f1": [0.1, 0.6]})
    small, large = by_scale(metrics)
    assert list(small) == ["epoch", "accuracy", "f1"]
    assert list(large) == ["epoch", "perplexity"]
    assert by_scale(metrics[["epoch"]]) == []
