"""Machines that are not as they should be: no home, no name, nothing to write to, a folder that goes away."""

import ctypes
import getpass
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import running
from forked import Forked, door

from blurr.errors import ResourceError
from blurr.process import setup
from blurr.serve.predictor import Predictor

WORDS = ("data.rows=40", "loader.batch_size=8", "schedule.epochs=1", "schedule=constant", *running.TINY_BERT)
QUICK = (*WORDS, "model.weights=scratch", "report=false", "tracking=none")
AS_ROOT = pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user, or mount a file system")
NOBODY = 54321  # the number of no user


def without_a_name(*words: str) -> None:
    """Do as `blurr words` started by a user without a name and a home, who may read what Python consists of."""
    os.environ.pop("HOME", None)
    tempfile.tempdir = os.getcwd()
    os.setresuid(NOBODY, 0, 0)
    door("blurr.cli", *words)


def says_its_name() -> None:
    """Ask for the name of a user without one, as libraries do."""
    for name in ("HOME", "LOGNAME", "USER", "LNAME", "USERNAME"):
        os.environ.pop(name, None)
    tempfile.tempdir = os.getcwd()
    os.setresuid(NOBODY, 0, 0)
    setup.make_ready()
    os.write(1, f"{getpass.getuser()} {Path.home()}".encode())


def without_rights(*words: str) -> None:
    """Do as `blurr words` started by a user who reads what Python consists of, and has no rights in other's folders.

    Root without its capabilities, not another user: a Python environment may lie in a folder closed to others.
    """
    version_3 = (ctypes.c_uint32 * 2)(0x20080522, 0)  # Linux's header of capset(2), for this process
    nothing = (ctypes.c_uint32 * 6)()
    assert ctypes.CDLL(None, use_errno=True).capset(version_3, nothing) == 0
    door("blurr.cli", *words)


def in_a_folder_that_is_gone(*words: str) -> None:
    """Do as `blurr words` in a folder that has been deleted."""
    os.rmdir(os.getcwd())
    door("blurr.cli", *words)


def called(call, *words: str, cwd: Path, **environment: str) -> Forked:
    process = Forked(call, *words, cwd=cwd, **environment)
    process.wait()
    return process


@contextmanager
def disk(folder: Path, size: str) -> Iterator[Path]:
    """A small disk, mounted at a folder."""
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={size}"]
    if subprocess.run(["mount", *options, "tmpfs", folder], capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@AS_ROOT
def test_a_user_without_a_name_and_a_home_trains_and_predicts(work):
    (work / "in.csv").write_text("text\na film\n")
    for given in (["run", *QUICK, "output_dir=made"], ["predict", "made", "--input", "in.csv", "--output", "out.csv"]):
        done = called(without_a_name, *given, cwd=work, BLURR_CACHE="")
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        assert "could not be kept" not in done.stderr
    assert "prediction" in (work / "out.csv").read_text()
    assert not (work / "~").exists()


@AS_ROOT
def test_libraries_that_ask_for_the_user_get_an_answer(work):
    done = called(says_its_name, cwd=work)
    assert done.stdout.split() == [f"uid-{NOBODY}", f"{work}/blurr-home-0"], done.stderr


@AS_ROOT
@pytest.mark.parametrize(
    ("mode", "said"),
    [(0o755, "cannot be written: Permission denied"), (0o700, "cannot be read: permission denied")],
    ids=["read-only", "closed"],
)
def test_a_launch_folder_without_rights_is_one_message(mode, said):
    with tempfile.TemporaryDirectory() as folder:  # pytest's own are closed to others
        os.chown(folder, NOBODY, NOBODY)
        Path(folder).chmod(mode)
        for words in (["run", *QUICK], ["run", "-m", "seed=1,2", *QUICK]):
            done = called(without_rights, *words, cwd=Path(folder))
            assert done.returncode == 1
            assert len(done.stderr.splitlines()) == 1
            assert said in done.stderr


@pytest.mark.parametrize("folder", ["notes", "notes/a/b", "a" * 300], ids=["a file", "below a file", "a long name"])
def test_an_output_dir_that_cannot_be_made_is_one_message_before_anything_is_loaded(blurr, work, folder):
    (work / "notes").write_text("mine")
    done = blurr("run", *QUICK, f"output_dir={folder}")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert f"{work}/{folder} cannot be written: " in done.stderr
    assert "Choose another output_dir" in done.stderr
    assert (work / "notes").read_text() == "mine"


@pytest.mark.parametrize(
    "words", [["run", *QUICK], ["plan", *QUICK], ["doctor"], ["ls"], ["report", "x"], ["leaderboard"], ["--help"]]
)
def test_a_launch_folder_that_is_gone_is_one_message(work, words):
    (work / "gone").mkdir()
    done = called(in_a_folder_that_is_gone, *words, cwd=work / "gone")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "The folder in which blurr was started is gone: it was deleted or moved away. Change to another (cd …)."
    ]


def test_a_model_that_cannot_be_written_is_kept_elsewhere(work, monkeypatch, tmp_path_factory):
    other = tmp_path_factory.mktemp("another disk")
    monkeypatch.setattr("tempfile.tempdir", str(other))
    run = work / "run"
    run.mkdir()
    (run / "model").write_text("in the way")
    with pytest.raises(ResourceError, match=r"run/model cannot be written: .*The trained model is in .*blurr-model-"):
        running.run(run, *WORDS, usual=("tracking=none",))
    (kept,) = other.glob("blurr-model-*")
    assert Predictor.load(kept).predict("a film")  # sealed, and whole
    assert not (run / ".model.part").exists()


@AS_ROOT
def test_a_disk_that_is_full_when_the_model_is_saved_is_one_message_and_loses_no_weights(work):
    large = ("model.scratch.hidden_size=512", "model.scratch.intermediate_size=512")
    with disk(work / "small", "1500k"):
        done = called(door, "blurr.cli", "run", *QUICK, *large, "output_dir=small/run", cwd=work)
        assert done.returncode == 1
        said = [line for line in done.stderr.splitlines() if "cannot be written" in line]
        assert len(said) == 1
        assert "The trained model is in" in said[0]
        assert "Traceback" not in done.stderr
    kept = re.search(r"The trained model is in (\S+), whole", said[0])[1]
    assert Predictor.load(kept).predict("a film")
    shutil.rmtree(kept)


@AS_ROOT
@pytest.mark.slow
def test_a_disk_that_is_full_in_mid_run_is_one_line_and_with_room_the_run_comes_to_the_same_end(work):
    words = [*QUICK, "model.scratch.hidden_size=128", "checkpoint.every_steps=1", "checkpoint.keep=50", "data.rows=100"]
    with disk(work / "small", "6m") as small:
        done = called(door, "blurr.cli", "run", *words, "output_dir=run", cwd=small)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        said = [line for line in done.stderr.splitlines() if "cannot be written" in line or "could not be" in line]
        assert len(said) == 1
        assert "resume=" in said[0]
        subprocess.run(["mount", "-o", "remount,size=200m", small], check=True)
        done = called(door, "blurr.cli", "run", "resume=run", cwd=small)
        assert done.returncode == 0, done.stderr
        scores = (small / "run" / "metrics.json").read_text()
    running.run(work / "whole", *words, usual=("tracking=none",))
    assert scores == (work / "whole" / "metrics.json").read_text()


def test_a_report_that_cannot_be_written_is_a_warning_on_a_finished_run(work, caplog):
    run = work / "run"
    run.mkdir()
    (run / "plots").write_text("in the way")
    running.run(run, *WORDS, "report=true", usual=("tracking=none",))
    (said,) = [record.getMessage() for record in caplog.records if "was not made" in record.getMessage()]
    assert said.startswith("The report was not made: ")
    assert said.endswith(f"blurr report {run}")
    assert json.loads((run / "run.json").read_text())["status"] == "FINISHED"


@AS_ROOT
@pytest.mark.slow
def test_a_disk_that_is_full_of_mlflows_records_is_one_line(work):
    words = [each for each in QUICK if each not in ("tracking=none", "report=false")]
    with disk(work / "small", "1900k") as small:
        done = called(door, "blurr.cli", "run", *words, "tracking.wait=2", "output_dir=run", cwd=small)
        said = [line for line in done.stderr.splitlines() if "MLflow does not accept" in line]
        assert len(said) == 1
        assert "Traceback" not in done.stderr
        assert "sqlalche.me" not in done.stderr
        assert (small / "run" / "metrics.json").exists()
