"""A lock ends with the process that holds it, and with nothing else."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from blurr.runs.lock import held, is_held


def hold(path: Path, connection) -> None:
    with held(path) as is_mine:
        connection.send(is_mine)
        time.sleep(60)


@pytest.fixture
def holder(tmp_path: Path):
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=hold, args=(tmp_path / "lock", theirs), daemon=True)
    process.start()
    assert ours.recv() is True
    yield process
    process.kill()
    process.join()


def test_a_second_process_does_not_get_it(holder, tmp_path: Path):
    assert is_held(tmp_path / "lock")
    with held(tmp_path / "lock") as is_mine:
        assert not is_mine
    assert is_held(tmp_path / "lock")


def test_it_is_free_once_its_process_is_killed_though_the_file_stays(holder, tmp_path: Path):
    os.kill(holder.pid, signal.SIGKILL)
    holder.join()
    assert (tmp_path / "lock").exists()
    assert not is_held(tmp_path / "lock")
    with held(tmp_path / "lock") as is_mine:
        assert is_mine
    assert not (tmp_path / "lock").exists()


def test_a_child_that_outlives_its_parent_does_not_hold_it(tmp_path: Path):
    lock = tmp_path / "lock"
    with held(lock) as is_mine:
        assert is_mine
        child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,), daemon=True)
        child.start()
    lock.touch()  # as a killed parent would have left it
    assert not is_held(lock)
    child.kill()
    child.join()


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
