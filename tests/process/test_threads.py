"""How many threads a run computes with: by the machine, by the config, or by what the user's shell says."""

import os

import psutil
import pytest

from blurr.process.setup import VARIABLE, free_cores, set_threads
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
