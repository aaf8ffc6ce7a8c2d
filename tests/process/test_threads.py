"""How many threads a run computes with: by the machine, by the config, or by what the user's shell says."""

import json
import os
from pathlib import Path

import psutil
import pytest
from omegaconf import OmegaConf

from blurr import doctor
from blurr.process import setup
from blurr.process.setup import VARIABLE, free_cores, set_threads, set_threads_as_begun
from blurr.runs.journal import Journal
from blurr.runs.resume import threads_begun_with
from blurr.tracking.environment import describe_environment


@pytest.fixture
def shell(monkeypatch):
    """A shell that says nothing of threads, and a torch that is set back afterwards."""
    import torch

    before = torch.get_num_threads()
    monkeypatch.setenv(VARIABLE, "1")  # so that it is put back
    monkeypatch.delenv(VARIABLE)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("cores", "allowed", "threads"), [(1, 1, 1), (2, 2, 1), (8, 16, 4), (64, 6, 3), (None, 4, 1)], ids=str
)
def test_half_of_the_cores_that_a_process_may_use_are_its_own(monkeypatch, cores, allowed, threads):
    monkeypatch.setattr(psutil, "cpu_count", lambda logical: cores)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(allowed)), raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    assert free_cores() == threads


def test_auto_gives_the_same_number_each_time():
    assert free_cores() == free_cores() >= 1


def test_a_number_is_what_torch_computes_with_and_what_is_recorded(shell):
    import torch

    set_threads(2)
    assert os.environ[VARIABLE] == "2"
    assert torch.get_num_threads() == describe_environment(None)["threads"] == 2


def test_auto_is_the_number_of_free_cores(shell):
    set_threads("auto")
    assert os.environ[VARIABLE] == str(free_cores())


def test_what_the_users_shell_says_counts_more(shell, monkeypatch):
    monkeypatch.setenv(VARIABLE, "3")
    set_threads(2)
    assert os.environ[VARIABLE] == "3"


def test_no_threads_at_all_are_refused_before_anything_loads(answer):
    assert "threads=0: must be a whole number of at least 1 and at most" in answer("threads=0")


def test_a_run_goes_on_with_the_number_that_it_was_begun_with(tmp_path: Path) -> None:
    """Unless the user sets another: the last digits of its results depend on it."""
    Journal(identity="a").write(tmp_path)
    (tmp_path / "environment.json").write_text(json.dumps({"threads": 3}))
    asked = [("auto", "auto"), ("auto", 2), (None, "auto")]
    found = [
        threads_begun_with(OmegaConf.create({"resume": resume, "threads": threads}), tmp_path)
        for resume, threads in asked
    ]
    assert found == [3, None, None]
    assert threads_begun_with(OmegaConf.create({"resume": "auto", "threads": "auto"}), tmp_path / "new") is None


def test_a_machine_with_fewer_cores_says_so(shell, monkeypatch, caplog):
    monkeypatch.setattr(setup, "usable_cores", lambda: 2)
    set_threads_as_begun(2)
    assert not caplog.records
    monkeypatch.delenv(VARIABLE)
    set_threads_as_begun(4)
    assert os.environ[VARIABLE] == "4"
    assert "begun with 4 threads, and this process may use 2 cores. It goes on with 4 threads" in caplog.text
    assert "threads=2 is faster here" in caplog.text


@pytest.mark.parametrize(
    ("seconds", "busy", "said"),
    [
        ({1: 1.0, 2: 0.7}, 0.0, "threads=auto takes 1 of 2 cores, the same each time; threads=2 is 1.43 times as fast"),
        ({1: 1.0, 2: 0.99}, 0.0, "no other of [1, 2] is faster on a small model"),
        ({1: 1.0, 2: 3.0}, 0.6, "faster on a small model; other processes keep 60% of the machine busy: look again"),
    ],
    ids=["two", "one", "busy"],
)
def test_the_doctor_says_which_number_is_fastest(seconds, busy, said):
    assert said in doctor.threads_found(seconds, auto=1, busy=busy, cores=2)
