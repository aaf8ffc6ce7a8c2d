"""The `blurr` command, and shell completion as a shell asks for it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from blurr import __version__, doctor
from blurr.config import paths
from blurr.runs.folder import LEDGER, OVERRIDES

ROOT = Path(__file__).parents[1]


def test_ls_says_of_every_option_what_it_is(blurr):
    shown = blurr("ls").stdout
    for group in paths.groups():
        for name, file in paths.options(group).items():
            assert re.search(rf"^{name} +{re.escape(paths.headline(file))}", shown, re.MULTILINE)


def test_ls_of_a_group_shows_that_group_alone(blurr):
    shown = blurr("ls", "task").stdout
    assert shown.startswith("task")
    assert "adamw" not in shown


def test_ls_of_a_group_ends_with_a_command_that_its_option_goes_with(blurr):
    done = blurr("ls", "augment")
    assert "blurr run task=image_classification augment=light" in done.stderr


def test_ls_of_an_unknown_group_names_the_nearest(blurr):
    done = blurr("ls", "modle")
    assert done.returncode == 2
    assert re.match(
        r"There is no group 'modle'\. Did you mean 'model'\? There are: adapter, augment, callbacks, ", done.stderr
    )


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]], ids=["nothing", "long", "short"])
def test_help_names_every_command(blurr, words):
    done = blurr(*words)
    assert done.returncode == 0
    assert all(f"\n  {command} " in done.stdout for command in ("run", "ls", "doctor"))


def test_version_is_said(blurr):
    assert blurr("--version").stdout == f"blurr {__version__}\n"


def test_an_unknown_command_is_refused(blurr):
    done = blurr("rnu")
    assert done.returncode == 2
    assert done.stderr.startswith("blurr: there is no command 'rnu'. Did you mean 'run'? There are: ")
    assert len(done.stderr.splitlines()) == 1


class TestCompletion:
    """A shell sets COMP_LINE and calls `blurr -sc query=<shell>`."""

    @pytest.fixture
    def script(self, work):
        """A folder with the console script, as an installation makes it."""
        (work / "bin").mkdir()
        script = work / "bin" / "blurr"
        script.write_text(f"#!{sys.executable}\nimport sys\nfrom blurr.cli import main\nsys.exit(main())\n")
        script.chmod(0o755)
        (work / "outputs" / "one").mkdir(parents=True)
        (work / "outputs" / "one" / OVERRIDES).touch()
        (work / "multirun" / "first").mkdir(parents=True)
        (work / "multirun" / "first" / LEDGER).touch()
        (work / "reviews.csv").touch()
        return work / "bin"

    def complete(self, script, line, shell="bash"):
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "COMP_LINE": line, "COMP_POINT": str(len(line))}
        command = [script / "blurr", "-sc", f"query={shell}"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.stderr == ""
        return done.stdout.split()

    @pytest.mark.parametrize(
        ("line", "expected"),
        [
            ("blurr ru", {"run"}),
            ("blurr d", {"doctor"}),
            ("blurr ls deb", {"debug"}),
            ("blurr run sched", {"schedule=", "schedule."}),
            ("blurr run task=summarization model=ba", {"model=bart"}),
            ("blurr run schedule.epo", {"schedule.epochs="}),
            ("blurr plan task=summarization model=ba", {"model=bart"}),
            ("blurr doctor ", set()),
            ("blurr doctor --t", {"--timing"}),
            (
                "blurr run data.train=",
                {"data.train=bin/", "data.train=reviews.csv", "data.train=outputs/", "data.train=multirun/"},
            ),
            ("blurr run data=files data.valid=rev", {"data.valid=reviews.csv"}),
            ("blurr run data.test=outputs/o", {"data.test=outputs/one/"}),
            ("blurr run model.name=b", {"model.name=bin/"}),
            ("blurr plan output_dir=out", {"output_dir=outputs/"}),
            ("blurr run resume=", {"resume=auto", "resume=last", "resume=outputs/one"}),
            ("blurr run --mul", {"--multirun"}),
            ("blurr predict ", {"outputs/one"}),
            ("blurr predict b", {"bin/"}),
            ("blurr predict outputs/one --in", {"--input"}),
            ("blurr predict outputs/one --input re", {"reviews.csv"}),
            ("blurr predict outputs/one --input reviews.csv --quotes t", {"text"}),
            ("blurr evaluate outputs/one data.test=re", {"data.test=reviews.csv"}),
            ("blurr evaluate outputs/one data=fi", {"data=files"}),
            ("blurr compare outputs/one out", {"outputs/one"}),
            ("blurr sweep ex", {"export"}),
            ("blurr sweep best ", {"first"}),
            ("blurr sweep export --t", {"--to", "--trust"}),
            ("blurr run model=brrt task=su", {"task=summarization"}),
        ],
    )
    @pytest.mark.slow
    def test_words_are_completed(self, script, line, expected):
        assert set(self.complete(script, line)) == expected

    def test_a_line_with_a_mistake_is_not_answered_in_the_middle_of_typing(self, script):
        assert self.complete(script, "blurr run optimizer.lr=[1 task=") == []

    def test_bash_itself_completes(self, script):
        bash = shutil.which("bash")
        lines = [
            f'export PATH="{script}:$PATH" PYTHONPATH="{ROOT}"',
            'eval "$(blurr -sc install=bash)"',
            'COMP_LINE="blurr run task=summ" COMP_POINT=19 COMP_CWORD=2 COMP_WORDS=(blurr run task=summ)',
            "hydra_bash_completion",
            'echo "${COMPREPLY[@]}"',
            'COMP_LINE="blurr run data.train=rev" COMP_POINT=24 COMP_CWORD=2 COMP_WORDS=(blurr run data.train=rev)',
            "hydra_bash_completion",
            'echo "${COMPREPLY[@]}"',
            "complete -p blurr",
        ]
        done = subprocess.run([bash, "-c", "\n".join(lines)], capture_output=True, text=True)
        assert done.stdout.splitlines()[:2] == ["task=summarization", "data.train=reviews.csv"]
        assert "hydra_bash_completion blurr" in done.stdout

    def test_fish_is_served_line_by_line(self, script):
        assert self.complete(script, "blurr run task=seq", shell="fish") == ["task=sequence_classification"]


class TestDoctor:
    """`blurr doctor`."""

    def test_it_reports_on_a_working_machine(self, blurr):
        done = blurr("doctor")
        assert done.returncode == 0, done.stdout
        for subject in ("blurr", "Python", "platform", "CPU", "GPU", "Hub", "options", "launch folder", "MLflow store"):
            assert re.search(rf"^{subject} ", done.stdout, re.MULTILINE)
        assert re.search(
            r"^threads +threads=auto takes \d+ of \d+ cores, the same each time; ", done.stdout, re.MULTILINE
        )
        assert "HF_HUB_OFFLINE" in done.stdout

    @pytest.mark.slow
    def test_it_shows_where_the_start_of_a_run_goes(self, blurr):
        shown = blurr("doctor", "--timing").stdout
        seconds = {name: float(taken) for name, taken in re.findall(r"^(\w+).*? +([\d.]+) s, ", shown, re.MULTILINE)}
        assert {"Python", "Hydra", "torch", "transformers", "fastai", "MLflow"} <= set(seconds)
        everything = seconds.pop("all")
        assert sum(seconds.values()) == pytest.approx(everything, abs=0.1)

    @pytest.mark.parametrize(
        ("error", "found", "remedy"),
        [
            (
                "Traceback\nRuntimeError: operator torchvision::nms does not exist\n",
                "two builds that do not match: RuntimeError: operator torchvision::nms does not exist",
                "install both from one index, in one command: pip uninstall -y torch torchvision && ",
            ),
            (
                "Traceback\nModuleNotFoundError: No module named 'torchvision'\n",
                "No module named 'torchvision'",
                "pip install torch torchvision",
            ),
            ("Traceback\nOSError: libcudart.so: cannot open\n", "OSError: libcudart.so", "pip uninstall -y torch"),
            ("", "the process died without a message", "pip install torch torchvision"),
        ],
        ids=["mismatch", "no_torchvision", "broken_torch", "crash"],
    )
    def test_a_broken_torch_is_recognised_and_mended(self, error, found, remedy):
        said = doctor.torch_failure(error)
        assert found in said[0]
        assert remedy in said[1]

    def test_a_broken_torchvision_makes_it_fail_and_say_how_to_mend_it(self, blurr, work):
        (work / "torchvision.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')\n")
        done = blurr("doctor", PYTHONPATH=f"{work}:{ROOT}")
        assert done.returncode == 1
        assert re.search(r"two builds that do not match.*BROKEN", done.stdout)
        assert "pip install torch torchvision" in done.stdout
        assert not re.search(r"^threads ", done.stdout, re.MULTILINE)  # there is nothing to measure with

    @pytest.mark.slow
    def test_a_package_of_somebody_else_with_the_name_of_this_one_is_found(self, blurr, work):
        other = work / "blurr-0.4.1.dist-info"
        other.mkdir()
        (other / "METADATA").write_text("Metadata-Version: 2.1\nName: blurr\nVersion: 0.4.1\n")
        done = blurr("doctor", PYTHONPATH=f"{work}:{ROOT}")
        assert done.returncode == 1
        assert re.search(r"^blurr +0.4.1 of another package .*BROKEN", done.stdout, re.MULTILINE)
        assert "pip uninstall -y blurr && pip install --force-reinstall --no-deps blurr-transformers" in done.stdout

    def test_a_hub_that_does_not_answer_breaks_nothing_and_costs_three_seconds(self, monkeypatch):
        monkeypatch.delenv("HF_HUB_OFFLINE")
        monkeypatch.setenv("HF_ENDPOINT", "http://user:secret@127.0.0.1:9")
        finding = doctor.hub()
        assert finding.remedy == ""
        assert "127.0.0.1: no answer" in finding.found
        assert "secret" not in finding.found

    def test_it_says_which_sounds_can_be_read(self, monkeypatch):
        assert re.search(r"^libsndfile [\d.]+ reads wav, flac, ogg, mp3; soxr [\d.]+ resamples$", doctor.sounds().found)
        monkeypatch.setitem(sys.modules, "soxr", None)
        finding = doctor.sounds()
        assert finding.remedy == ""  # nothing is broken: runs without sounds do without
        assert re.search(r"none are read: .*soxr.*; .*pip install 'blurr-transformers\[audio\]'", finding.found)

    def test_a_folder_that_cannot_be_written_is_broken(self, tmp_path):
        assert doctor.launch_folder(tmp_path / "nowhere").remedy
        assert not doctor.launch_folder(tmp_path).remedy
