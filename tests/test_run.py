"""Contract 3, the second half: what a mistake on the command line is answered with; and what Hydra leaves behind."""

import re
import signal
import sys
import time

import pytest
from forked import Forked, door, door_with

MISTAKES = {
    "option": (
        "model=brt",
        r"^model=brt: there is no such option\. Did you mean 'bert'\? model has: .*bart.*blurr ls model",
    ),
    "option_of_list": (
        "metrics=[accuracy,rougel]",
        r"^metrics=rougel: .*Did you mean 'rougeL'\? metrics has: accuracy",
    ),
    "experiment": ("experiments=nothing", r"^experiments=nothing: there is no such option"),
    "checkpoint_as_option": ("model=facebook/bart-base", r"model=auto model\.name=facebook/bart-base"),
    "file_as_option": ("data=./my.csv", r"data=files data\.train=\./my\.csv"),
    "group": ("modle=bart", r"^There is no 'modle'\. Did you mean 'model'\? A config has: seed, "),
    "key": ("optimizer.lrr=1", r"^There is no 'optimizer\.lrr'\. Did you mean 'optimizer\.lr'\? optimizer has: lr, "),
    "file_without_its_option": (
        "data.train=r.csv",
        r"^There is no 'data\.train'\. Did you mean 'data=files data\.train=",
    ),
    "key_without_group": ("lr=1e-3", r"^There is no 'lr'\. Did you mean 'optimizer\.lr'\?"),
    "key_of_nested": ("data.columns.lable=stars", r"Did you mean 'data\.columns\.label'\?"),
    "key_under_value": ("seed.x=1", r"^There is no 'seed\.x'|seed"),
    "key_of_open_mapping": ("tracking.tags.team=nlp", r"To add it: \+tracking\.tags\.team=…"),
    "added_twice": ("+seed=3", r"^seed is there already: write seed=… without the \+\."),
    "deleted": ("~nothing", r"'nothing' does not exist"),
    "bare_option": (
        "summarization",
        r"^'summarization' is not of the form key=value\. Did you mean 'task=summarization'\?",
    ),
    "bare_word": ("epochs", r"^'epochs' is not of the form key=value\."),
    "bracket": ("optimizer.lr=[1", r"^optimizer\.lr=\[1: this value cannot be read .*Quote"),
    "quote": ("data.train=it's.csv", r"cannot be read"),
    "two_equals": ("seed==3", r"cannot be read"),
    "sweep_without_m": (
        "optimizer.lr=1e-3,1e-4",
        r"Add -m to run one experiment for each, or write 'optimizer\.lr=\[1e-3,1e-4\]'",
    ),
    "number_as_option": ("model=3", r"Group override must be a string|group override must be a string"),
}


@pytest.mark.parametrize(("override", "expected"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_answered_with_what_there_is_and_what_to_do(answer, override, expected):
    message = answer(override)
    assert re.search(expected, message)
    assert "To append to your" not in message


def test_an_option_that_a_chosen_file_asks_for_is_traced_to_that_file(work, answer, monkeypatch):
    (work / "experiments").mkdir()
    file = work / "experiments" / "mine.yaml"
    file.write_text("# @package _global_\n# Mine.\ndefaults:\n  - override /model: brrt\n")
    monkeypatch.setattr(sys, "argv", ["blurr", "experiments=mine"])
    assert f"(asked for by {file})" in answer("experiments=mine")


def test_broken_yaml_is_named_with_its_line(work, answer):
    (work / "model").mkdir()
    (work / "model" / "broken.yaml").write_text("# Mine.\nname: [\n")
    assert re.search(r"not readable YAML.*model/broken\.yaml", answer("model=broken"), re.DOTALL)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--lr=3"], "There is no flag '--lr'. Values are set without dashes: optimizer.lr=3."),
        (["--foo", "seed=3"], "There is no flag '--foo'. Did you mean '--info'?"),
        (
            ["--num-train-epochs", "3", "--fp16", "--model_name_or_path=x/y"],
            "There are no flags '--num-train-epochs', '--fp16', '--model_name_or_path'. Values are set without dashes: "
            "schedule.epochs=3 precision=fp16 model=auto model.name=x/y.",
        ),
        (["--mutirun"], "There is no flag '--mutirun'. Did you mean '--multirun'?"),
        (["--epochs", "3"], "There is no flag '--epochs'. Values are set without dashes: schedule.epochs=3."),
    ],
    ids=["value", "near", "several", "typo", "two_words"],
)
def test_an_unknown_flag_is_answered_without_a_page_of_usage(blurr, words, expected):
    done = blurr("run", *words)
    assert done.returncode == 2
    assert done.stderr.startswith(expected)
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("extra", [[], ["-m"]], ids=["run", "multirun"])
def test_a_traceback_is_shown_only_where_it_is_asked_for(blurr, extra):
    plain, full = blurr("run", "model=brt", *extra), blurr("run", "model=brt", "debug=traceback", *extra)
    assert (plain.returncode, full.returncode) == (2, 2)
    assert len(plain.stderr.splitlines()) == 1
    assert "Traceback" in full.stderr
    assert full.stderr.splitlines()[-1] == plain.stderr.splitlines()[-1]


def test_both_doors_answer_alike(blurr, work):
    module = Forked(door, "blurr.run", "schedule.epochs=abc", cwd=work)
    module.wait()
    script = blurr("run", "schedule.epochs=abc")
    assert (module.returncode, module.stderr) == (script.returncode, script.stderr)


class TestHydrasFlags:
    """What Hydra answers itself."""

    @pytest.mark.parametrize(
        ("words", "expected"),
        [
            (["--info", "defaults-tree"], "task: sequence_classification"),
            (["--info", "searchpath"], "options://"),
            (["--hydra-help"], "== Flags =="),
            (["--cfg", "job", "--resolve"], "output_dir: outputs/sequence_classification-bert/2"),
            (["--cfg", "job", "--package", "optimizer"], "lr: "),
            (["--cfg", "hydra"], "job_logging"),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, list) else "",
    )
    @pytest.mark.slow
    def test_hydras_own_questions_are_answered(self, blurr, work, words, expected):
        done = blurr("run", *words)
        assert (done.returncode, done.stderr) == (0, "")
        assert expected in done.stdout
        assert not list(work.iterdir())


class TestOwnOptions:
    """Options that lie in folders beside the user's work."""

    @pytest.fixture
    def own(self, work):
        for name, text in {
            "model/mine.yaml": "# My model.\ndefaults: [bert]\nweights: scratch\n",
            "task/mine.yaml": "# @package _global_\n# My task.\ndefaults: [sequence_classification]\nseed: 5\n",
            "experiments/mine.yaml": "# @package _global_\n# My claim.\ndefaults: [override /model: mine]\nseed: 7\n",
            "docs/notes.yaml": "x: 1\n",
            "data/rows.csv": "text,label\nfine,1\n",
            "config.yaml": "seed: 99\n",
        }.items():
            (work / name).parent.mkdir(exist_ok=True)
            (work / name).write_text(text)
        return work

    @pytest.mark.parametrize(
        ("override", "expected"),
        [("model=mine", "weights: scratch"), ("task=mine", "seed: 5"), ("experiments=mine", "seed: 7")],
    )
    def test_they_are_found(self, own, blurr, override, expected):
        shown = blurr("run", override, "--cfg", "job").stdout
        assert expected in shown
        assert "arch: bert" in shown

    def test_they_are_listed_and_other_folders_are_not(self, own, blurr):
        shown = blurr("run", "--help").stdout
        assert re.search(r"^ model .*\n(?: {20}.*\n)* {20,}mine, a", shown, re.MULTILINE)
        assert re.search(r"^ experiments .*\n(?: {20}.*\n)* {20,}mine, ", shown, re.MULTILINE)
        assert "docs" not in shown
        assert "notes" not in shown

    def test_the_users_own_config_yaml_is_no_option(self, own, blurr):
        assert "seed: 42" in blurr("run", "--cfg", "job").stdout

    def test_an_own_option_hides_a_shipped_one_of_its_name(self, work, blurr):
        (work / "debug").mkdir()
        (work / "debug" / "none.yaml").write_text("# Mine.\ntraceback: true\n")
        assert "traceback: true" in blurr("run", "--cfg", "job").stdout
        assert re.search(r"none +Mine\. +own", blurr("ls", "debug").stdout)


SWEPT = ("model.weights=scratch", "tracking=none")


EXPERIMENT = """
import logging, os, time
from blurr.errors import InputError

def run_experiment(cfg, *, folder, overrides, choices, report=None, tags=None):
    do = os.environ.get("DO", "")
    if do == "fail" and cfg.seed != 2: raise RuntimeError("it failed")
    if do == "refuse": raise InputError("a column is missing")
    if do == "import": import mine
    if do == "wait":
        (folder / "waiting").touch()
        time.sleep(60)
    if do == "log": logging.getLogger("blurr.x").info("a line"); logging.getLogger("other").info("noise")
    (folder / "done").write_text(cfg.output_dir)
    return 1.0
"""


@pytest.fixture
def stub(work):
    """Calls `python -m blurr.run` with an experiment that does what an environment variable says, in no time."""
    experiment = work / "experiment.py"
    experiment.write_text(EXPERIMENT)
    (work / "here").mkdir()

    def start(*words, **environment):
        return Forked(door_with, experiment, "blurr.run", *words, cwd=work / "here", **environment)

    def run(*words, **environment):
        process = start(*words, **environment)
        process.wait()
        return process

    run.start = start
    run.folder = work / "here"
    return run


class TestFolders:
    """What Hydra leaves behind."""

    def files(self, folder):
        return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}

    def test_a_run_keeps_to_its_output_dir(self, stub):
        assert stub("output_dir=foo").returncode == 0
        assert self.files(stub.folder) == {"foo/done"}  # and no .hydra/, whose files would hold what is secret
        assert (stub.folder / "foo" / "done").read_text() == str(stub.folder / "foo")

    def test_the_default_folder_names_task_and_model(self, stub):
        stub("task=summarization", "model=t5")
        (done,) = stub.folder.rglob("done")
        assert re.fullmatch(
            r"outputs/summarization-t5/\d{4}-\d\d-\d\d_[\d-]+", str(done.parent.relative_to(stub.folder))
        )

    def test_a_log_file_is_made_with_its_first_line_and_holds_ours_alone(self, stub):
        done = stub("output_dir=foo", DO="log")
        assert done.stderr == "a line\n"
        assert re.search(r"INFO blurr\.x: a line\n$", (stub.folder / "foo" / "blurr.log").read_text())

    @pytest.mark.parametrize(
        ("given", "pattern"), [([], r"multirun/[\d_-]+"), (["output_dir=foo"], "foo")], ids=["default", "given"]
    )
    @pytest.mark.slow
    def test_each_job_of_a_sweep_has_its_own_folder(self, stub, given, pattern):
        assert stub("-m", "seed=1,2", *SWEPT, *given).returncode == 0
        for done in stub.folder.rglob("done"):
            assert re.fullmatch(f"{pattern}/[01]", str(done.parent.relative_to(stub.folder)))
            assert done.read_text() == str(done.parent)
        assert len(list(stub.folder.rglob("done"))) == 2


def test_an_own_module_is_importable(stub):
    """As with `python -m`, which puts the launch folder on the path; a console script does not."""
    (stub.folder / "mine.py").write_text("raise RuntimeError('mine was imported')\n")
    assert "mine was imported" in stub(DO="import", PYTHONSAFEPATH="1").stderr


class TestExitCodes:
    """2 for a mistake, 1 for a crash, 130 for Ctrl-C."""

    def test_a_mistake_found_during_the_run_is_one_message(self, stub):
        done = stub(DO="refuse")
        assert (done.returncode, done.stderr) == (2, "a column is missing\n")

    def test_a_crash_shows_its_traceback_from_our_code_on(self, stub):
        done = stub(DO="fail")
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1] == "RuntimeError: it failed"
        assert "site-packages/hydra" not in done.stderr

    def test_a_sweep_goes_on_after_a_failed_job_and_fails_at_its_end(self, stub):
        done = stub("-m", "seed=1,2", *SWEPT, DO="fail")
        assert done.returncode == 1
        assert "trial 0 failed: RuntimeError: it failed" in done.stdout
        assert len(list(stub.folder.rglob("done"))) == 1

    def test_ctrl_c_ends_with_130_and_without_a_traceback(self, stub):
        process = stub.start(DO="wait")
        while process.poll() is None and not list(stub.folder.rglob("waiting")):
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        process.wait(30)
        assert (process.returncode, process.stderr) == (130, "Interrupted.\n")
