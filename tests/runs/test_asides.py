"""What a killed process has left half-written is deleted, and nothing that a process still writes."""

import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from blurr.runs.asides import ASIDE, delete_abandoned, new_aside, scratch
from blurr.runs.checksums import write_whole


def forked(call: Callable[[], None]) -> int:
    """Start a process that makes a call and then waits."""
    child = os.fork()
    if not child:
        try:
            call()
        finally:
            os._exit(1)
    return child


def wait_for(folder: Path, pattern: str) -> Path:
    end = time.monotonic() + 20
    while not (found := list(folder.glob(pattern))):
        assert time.monotonic() < end
        time.sleep(0.01)
    return found[0]


def test_a_folder_of_a_killed_process_goes_and_one_that_is_written_stays(tmp_path: Path):
    def write() -> None:
        with new_aside(tmp_path / "entry") as made:
            (made / "half").touch()
            time.sleep(60)

    child = forked(write)
    made = wait_for(tmp_path, f"{ASIDE}/half").parent
    delete_abandoned(tmp_path.glob(ASIDE))
    assert made.exists()
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with new_aside(tmp_path / "another"):
        assert made.exists()
    with new_aside(tmp_path / "entry") as again:  # the next attempt at the same thing
        assert list(tmp_path.glob(ASIDE)) == [again]
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_swept_up_before_it_is_locked_is_made_again(tmp_path: Path):
    ended = threading.Event()

    def sweep() -> None:
        while not ended.is_set():
            delete_abandoned(tmp_path.glob(ASIDE))

    usual = sys.getswitchinterval()
    sweepers = [threading.Thread(target=sweep) for _ in range(2)]
    sys.setswitchinterval(1e-5)
    try:
        for sweeper in sweepers:
            sweeper.start()
        for _ in range(1000):
            with new_aside(tmp_path / "entry") as made:
                (made / "half").touch()
    finally:
        ended.set()
        sys.setswitchinterval(usual)
        for sweeper in sweepers:
            sweeper.join()
    assert not list(tmp_path.iterdir())


def test_temporary_files_of_a_killed_run_are_deleted_by_the_next(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def run() -> None:
        with scratch():
            tempfile.mkdtemp(prefix="library-")
            time.sleep(60)

    child = forked(run)
    left = wait_for(tmp_path, "*/library-*").parent
    with scratch():
        assert left.exists()
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with scratch():
        assert not left.exists()
        assert Path(tempfile.gettempdir()).parent == tmp_path
    assert (tempfile.gettempdir(), list(tmp_path.iterdir())) == (str(tmp_path), [])


def test_a_file_that_cannot_be_written_leaves_nothing_beside_it(tmp_path: Path):
    write_whole(tmp_path / "file", "before")
    with pytest.raises(UnicodeEncodeError):
        write_whole(tmp_path / "file", "half \udcff")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("file", "before")]
