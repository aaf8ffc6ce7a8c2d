"""Mistakes that are found before anything heavy loads: each ends in one message that helps."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Gt, Lt
from forked import PATH

from blurr.config import checks, combinations, composing, paths
from blurr.config.annotations import Count, Fraction
from blurr.config.values import describe
from blurr.data import checks as data_checks

MISTAKES = {
    "word_for_epochs": ("schedule.epochs=abc", r"schedule\.epochs=abc: must be a whole number of at least 1"),
    "no_epochs": ("schedule.epochs=0", r"schedule\.epochs=0: must be a whole number of at least 1"),
    "half_an_epoch": ("schedule.epochs=1.5", r"schedule\.epochs=1\.5: must be a whole number"),
    "null_epochs": ("schedule.epochs=null", r"schedule\.epochs=null: must be a whole number"),
    "true_epochs": ("schedule.epochs=true", r"schedule\.epochs=true: must be a whole number"),
    "batch_of_none": ("loader.batch_size=0", r"loader\.batch_size=0: must be a whole number of at least 1"),
    "negative_batch": ("loader.batch_size=-4", r"loader\.batch_size=-4: must be"),
    "word_for_switch": ("loader.bucket=maybe", r"loader\.bucket=maybe: must be true or false"),
    "misspelt_weights": ("model.weights=pretained", r"'scratch'\. Did you mean 'pretrained'\?"),
    "misspelt_kind": ("task.kind=multilable", r"task\.kind=multilable: must be .*Did you mean 'multilabel'\?"),
    "misspelt_precision": ("precision=bf61", r"precision=bf61: must be .*Did you mean 'bf16'\?"),
    "negative_seed": ("seed=-1", r"seed=-1: must be a whole number of at least 0"),
    "word_for_seed": ("seed=many", r"seed=many: must be a whole number"),
    "word_for_lr": ("optimizer.lr=high", r"optimizer\.lr=high: must be a number above 0 .*or .* or 'auto'"),
    "misspelt_lr": ("optimizer.lr=atuo", r"Did you mean 'auto'\?"),
    "zero_lr": ("optimizer.lr=0", r"optimizer\.lr=0: must be a number above 0"),
    "three_lrs": ("optimizer.lr=[1e-3,1e-4,1e-5]", r"optimizer\.lr="),
    "share_above_one": ("data.valid=1.5", r"data\.valid=1\.5: must be a number of at least 0 and at most 1"),
    "number_as_objective": ("objective=3", r"objective=3: must be text"),
    "limit_of_none": ("data.limit=0", r"data\.limit=0: must be a whole number of at least 1 and .* or null"),
    "list_for_columns": ("data.columns=[a,b]", r"There is no|data\.columns="),
    "key_forced_in": ("+schedule.epocs=3", r"There is no 'schedule\.epocs'\. Did you mean 'epochs'\? schedule has: "),
    "key_forced_into_task": ("+task.knid=auto", r"There is no 'task\.knid'\. Did you mean 'kind'\?"),
    "broken_interpolation": ("seed=${sede}", r"cannot be resolved.*sede"),
    "target_misspelt": ("schedule._target_=blurr.training.schedules.one_cycel", r"Did you mean 'one_cycle'\?"),
    "module_misspelt": ("schedule._target_=blurr.training.shedules.one_cycle", r"Did you mean 'schedules'\?"),
    "target_is_module": ("schedule._target_=blurr.training.schedules", r"is a module"),
}
FITTING = [
    "schedule.epochs=1",
    "optimizer.lr=1",
    "optimizer.lr=[1e-5,1e-3]",
    "optimizer.lr=auto",
    "data.limit=null",
    "data.limit=5",
    "data.valid=1",
    "schedule.moms=[0.9,0.8,0.9]",
    "model.weights=scratch",
    "data.columns.label=stars",
    "data.columns.label=[joy,anger]",
    "task.max_length=128",
    "+tracking.tags.team=nlp",
    "tracking.tags={}",
]


def test_a_value_of_a_group_whose_values_stand_elsewhere_is_answered_with_where(answer):
    said = answer("task=summarization", "generation.max_new_tokens=40")
    assert "There is no 'generation'. Did you mean 'task.generation" in said


@pytest.mark.parametrize(("override", "expected"), MISTAKES.values(), ids=MISTAKES)
def test_a_wrong_value_or_key_is_answered_with_what_there_is(answer, override, expected):
    assert re.search(expected, answer(override))


@pytest.mark.parametrize("override", FITTING)
def test_a_fitting_value_passes(work, override):
    checks.check(composing.compose([override]))


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("schedule.epochs=abc", "schedule.epochs=abc: must be a whole number"),
        ("loader.batch_size=0", "loader.batch_size=0: must be a whole number of at least 1"),
        ("data=files", "data.train must be given"),
        ("model=bart3", "Did you mean 'bart'?"),
    ],
)
def test_a_mistake_ends_in_one_line_and_leaves_nothing(blurr, work, override, expected):
    done = blurr("run", override)
    assert done.returncode == 2
    assert expected in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not list(work.iterdir())


def test_a_mistake_is_answered_within_three_seconds(work):
    start = time.perf_counter()
    command = [sys.executable, "-m", "blurr.cli", "run", "schedule.epochs=abc"]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": PATH}, capture_output=True)
    assert time.perf_counter() - start < 3 * patience()
    assert done.returncode == 2


def patience() -> float:
    """How much slower than idle this machine is: the time to start Python, by its usual 0.02 s, at least 1."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    return max(1.0, (time.perf_counter() - start) / 0.02)


class TestFiles:
    """`data=files` and its paths."""

    @pytest.fixture
    def folder(self, work):
        (work / "reviews.csv").write_text("text,label\nfine,1\n")
        (work / "empty.csv").write_text("")
        (work / "texts").mkdir()
        (work / "texts" / "a.txt").write_text("fine")
        (work / "tables").mkdir()
        (work / "tables" / "part.csv").write_text("text,label\nfine,1\n")
        (work / "nothing").mkdir()
        return work

    @pytest.mark.parametrize(
        ("override", "expected"),
        {
            "missing": ("data.train=no.csv", r"data\.train=no\.csv: there is no such file\. Looked in "),
            "misspelt": ("data.train=review.csv", r"Did you mean 'reviews\.csv'\?"),
            "missing_folder": ("data.train=here/no.csv", r"here, which does not exist"),
            "empty": ("data.train=empty.csv", r"this file is empty"),
            "empty_folder": ("data.train=nothing", r"data\.train=nothing: .* holds no file of a known format"),
            "second_of_list": ("data.train=[reviews.csv,no.csv]", r"data\.train=no\.csv"),
            "valid": ("data.valid=no.csv", r"data\.valid=no\.csv: there is no such file"),
            "test": ("data.test=empty.csv", r"data\.test=empty\.csv: this file is empty"),
            "number": ("data.train=3", r"data\.train=3: must be text or a list, each text"),
            "format": ("data.format=cvs", r"data\.format=cvs: .*Did you mean 'csv'\?"),
            "nothing_given": ("data.train=???", r"data\.train must be given\. Add .*data\.train=…"),
        }.values(),
        ids=lambda value: value if value.startswith("data") else "",
    )
    def test_a_path_that_cannot_be_read_is_named(self, folder, answer, override, expected):
        given = ["data.train=reviews.csv"] if not override.startswith("data.train") else []
        assert re.search(expected, answer("data=files", *given, override))

    def test_an_unreadable_file_is_named(self, folder, answer, monkeypatch):
        (folder / "loop.csv").symlink_to("loop.csv")
        assert "loop.csv" in answer("data=files", "data.train=loop.csv")

    @pytest.mark.parametrize(
        "train", ["reviews.csv", "texts", "tables", "rev*.csv", "[reviews.csv,tables/part.csv]", "./reviews.csv"]
    )
    def test_readable_paths_pass(self, folder, train):
        data_checks.check(composing.compose(["data=files", f"data.train={train}"]))


class TestModel:
    """Whether the model's architecture can do the task."""

    def test_an_encoder_cannot_summarize_and_the_options_that_can_are_named(self, answer):
        message = answer("task=summarization", "model=bert")
        assert "bert cannot do that" in message
        assert re.search(r"model=.*bart.*t5", message)

    @pytest.mark.parametrize("model", ["bart", "t5", "pegasus", "mbart", "marian"])
    def test_an_encoder_decoder_can_summarize(self, work, model):
        checks.check(composing.compose(["task=summarization", f"model={model}"]))

    @pytest.mark.parametrize("model", ["bert", "roberta", "gpt2", "bart", "deberta", "electra"])
    def test_these_can_classify(self, work, model):
        checks.check(composing.compose([f"model={model}"]))

    def test_a_local_checkpoint_says_itself_what_it_is(self, work, answer):
        (work / "checkpoint").mkdir()
        (work / "checkpoint" / "config.json").write_text(json.dumps({"model_type": "bert"}))
        assert "bert cannot do that" in answer("task=summarization", "model=auto", "model.name=checkpoint")

    def test_a_checkpoint_with_a_broken_config_is_named(self, work, answer):
        (work / "checkpoint").mkdir()
        (work / "checkpoint" / "config.json").write_text("{")
        assert "checkpoint: its config.json is not readable JSON" in answer("model=auto", "model.name=checkpoint")

    def test_a_name_on_the_hub_is_left_to_the_hub(self, work):
        checks.check(composing.compose(["task=summarization", "model=auto", "model.name=someone/something"]))

    def test_an_auto_class_that_transformers_lacks_refuses_nothing(self):
        assert combinations._architectures("AutoModelForMindReading") == frozenset()


@pytest.mark.parametrize(
    ("expected", "words"),
    [
        (Count, "a whole number of at least 1 and at most 1000000000"),
        (Fraction, "a number of at least 0 and at most 1"),
        (Annotated[float, Gt(0), Lt(1)], "a number above 0 and below 1"),
        (Literal["a", "b"], "'a' or 'b'"),
        (float | Literal["auto"], "a number or 'auto'"),
        (list[int] | None, "a list, each a whole number or null"),
        (tuple[float, float], "a list of 2, each a number"),
        (tuple[float, ...], "a list, each a number"),
        (Sequence[str], "a list, each text"),
        (Mapping[str, int], "a mapping"),
        (dict[str, Any], "a mapping"),
    ],
    ids=str,
)
def test_a_type_is_said_in_words(expected, words):
    assert describe(expected) == words


@pytest.mark.parametrize(
    ("words", "reason", "fitting"),
    [
        (
            ["task=causal_lm", "metrics=[accuracy]"],
            "accuracy compares classes, but CausalLM predicts tokens",
            "perplexity",
        ),
        (["metrics=[rougeL]", "objective=valid/rougeL"], "predicts classes or numbers", "accuracy, f1, matthews"),
        (["task=token_classification", "metrics=[seqeval,bleu]"], "bleu compares texts", "seqeval"),
    ],
    ids=["tokens", "classes", "words"],
)
def test_a_metric_that_does_not_fit_the_task_is_refused_with_those_that_do(answer, words, reason, fitting):
    said = answer(*words)
    assert reason in said
    assert f"These fit: {fitting}" in said


@pytest.mark.parametrize("task", sorted(paths.options("task")))
def test_every_task_predicts_what_its_own_metrics_compare(task, work):
    checks.check(composing.compose([f"task={task}"]))


@pytest.mark.parametrize("option", ["light", "standard", "trivial"])
def test_an_augmentation_of_another_modality_is_refused(answer, option):
    said = answer("task=sequence_classification", f"augment={option}")
    assert f"augment={option} is for the modality vision, and SequenceClassification is of text." in said
    assert "No option fits; leave it out, or augment=none." in said


def test_an_augmentation_of_ones_own_is_left_to_the_run(work):
    (work / "augment").mkdir()
    (work / "augment" / "mine.yaml").write_text("_target_: my_module.change\n", encoding="utf-8")
    checks.check(composing.compose(["augment=mine"]))


class TestSeveralMistakes:
    """All mistakes of a config are shown at once, a line each."""

    def test_mistakes_of_every_kind_are_shown_together(self, answer):
        message = answer(
            *("data=files", "loader.batch_size=auto", "loader.max_tokens=9", "task=summarization", "model=bert"),
            *("schedule.epochs=abc", "~on_nan", "optimizer.lr=-1", "+metrics.mine=3"),
        )
        lines = message.splitlines()
        for said in (
            "data.train must be given",
            "schedule.epochs=abc: must be a whole number",
            "optimizer.lr=-1: must be a number above 0",
            "on_nan was taken out",
            "metrics.mine=3: must be a mapping",
            "loader.batch_size=auto and loader.max_tokens both say",
            "bert cannot do that",
        ):
            assert sum(said in line for line in lines) == 1, said
        assert len(lines) == 7

    def test_a_part_that_is_wrong_itself_is_not_compared_with_others(self, answer):
        message = answer("task._target_=blurr.tasks.nowhere.Task", "metrics=[rougeL]", "model=bert")
        assert message.startswith("task._target_=blurr.tasks.nowhere.Task: There is no blurr.tasks.nowhere")
        assert len(message.splitlines()) == 1
