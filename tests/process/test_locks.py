"""A lock ends with the process that holds it, and with nothing else."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from blurr.process.locks import held, is_held

# Holds a lock, forks where it is told to, and says the number of the child.
HOLDER = """
import os, sys, time
from pathlib import Path
from blurr.process.locks import held
with held(Path(sys.argv[1])) as is_mine:
    said, say = os.pipe()
    child = os.fork() if sys.argv[2] == "fork" else 1
    os.write(say, b"x") if child in (0, 1) else os.read(said, 1)  # a child has begun once it says so
    if child:
        print(is_mine, child, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[Callable[[str], tuple[subprocess.Popen[str], int]]]:
    """Start a process that holds a lock."""
    started = []

    def start(how: str = "alone") -> tuple[subprocess.Popen[str], int]:
        words = [sys.executable, "-c", HOLDER, str(tmp_path / "lock"), how]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        started.append(process)
        is_mine, child = process.stdout.readline().split()
        assert is_mine == "True"
        return process, int(child)

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_second_process_does_not_get_it(holder, tmp_path: Path):
    holder()
    assert is_held(tmp_path / "lock")
    with held(tmp_path / "lock") as is_mine:
        assert not is_mine
    assert is_held(tmp_path / "lock")


def test_it_is_free_once_its_process_is_killed_though_the_file_stays(holder, tmp_path: Path):
    process, _ = holder()
    process.kill()
    process.wait()
    assert (tmp_path / "lock").exists()
    assert not is_held(tmp_path / "lock")
    with held(tmp_path / "lock") as is_mine:
        assert is_mine
    assert not (tmp_path / "lock").exists()


def test_a_child_that_outlives_its_killed_parent_does_not_hold_it(holder, tmp_path: Path):
    process, child = holder("fork")
    assert is_held(tmp_path / "lock")
    process.kill()
    process.wait()
    try:
        os.kill(child, 0)  # it lives
        assert not is_held(tmp_path / "lock")
    finally:
        os.kill(child, signal.SIGKILL)


def test_the_same_process_does_not_get_it_twice_either(tmp_path: Path):
    with held(tmp_path / "lock"), held(tmp_path / "lock") as again:
        assert not again


def test_a_file_system_without_locks_lets_all_in_and_says_so(tmp_path: Path, monkeypatch, caplog):
    def none(*given):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", none)
    with held(tmp_path / "lock") as is_mine:
        assert is_mine
    assert "This file system has no locks" in caplog.text
