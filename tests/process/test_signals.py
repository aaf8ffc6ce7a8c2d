"""A signal ends a process with one line and the exit code of a shell, whatever it is at."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from blurr.process import signals
from blurr.process.children import die_with

ROOT = Path(__file__).parents[2]
SAID = {143: "Ended by SIGTERM.", 130: "Interrupted.", 129: "Ended by SIGHUP."}
IN_ORDER = " Ending in order; a second time ends at once.\n"


def ended(call: Callable[[], None]) -> tuple[int, str]:
    """Make a call in a process of its own; return its exit code and what it wrote to stderr."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.dup2(writer, 2)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts jobs in the background without it
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # and nohup without this one
        try:
            call()
        except SystemExit as end:
            os._exit(int(str(end.code)))
        finally:
            os._exit(1)
    os.close(writer)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with os.fdopen(reader) as said:
        return code, said.read()


@pytest.mark.parametrize(
    ("signum", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)], ids=str
)
def test_a_signal_ends_a_process_at_once_and_a_run_in_order(signum, code):
    def at_once() -> None:
        signals.end_at_once()
        os.kill(os.getpid(), signum)

    def in_order() -> None:
        with signals.handled():
            os.kill(os.getpid(), signum)

    assert ended(at_once) == (code, f"{SAID[code]}\n")
    assert ended(in_order) == (code, f"{SAID[code]}{IN_ORDER}")


def test_a_signal_that_the_user_has_turned_off_stays_so():
    def nohup() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signals.end_at_once()
        with signals.handled():
            os.kill(os.getpid(), signal.SIGHUP)
        raise SystemExit(7)

    assert ended(nohup) == (7, "")


@pytest.mark.parametrize("trains_on", [True, False], ids=["at the next step", "at the end"])
def test_a_signal_that_a_library_catches_still_ends_the_run(trains_on: bool):
    def run() -> None:
        with signals.handled():
            try:
                os.kill(os.getpid(), signal.SIGTERM)
            except BaseException:  # noqa: BLE001  # as libraries do while they are imported
                os.write(2, b"caught\n")
            if trains_on:
                signals.wait()
                os._exit(0)

    assert ended(run) == (143, f"{SAID[143]}{IN_ORDER}caught\n")


def test_a_child_dies_with_its_parent(tmp_path: Path):
    def parent() -> None:
        number = os.getpid()
        if not os.fork():
            die_with(number)
            (tmp_path / str(os.getpid())).touch()
            time.sleep(60)
        time.sleep(60)

    child = os.fork()
    if not child:
        try:
            parent()
        finally:
            os._exit(1)
    end = time.monotonic() + 20
    while not (there := list(tmp_path.iterdir())):
        assert time.monotonic() < end
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while psutil.pid_exists(int(there[0].name)) and psutil.Process(int(there[0].name)).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.8, 3, 6, 10, 15])
@pytest.mark.parametrize("module", ["blurr.run", "blurr.cli run", "blurr run"])
def test_a_start_can_be_ended_at_any_moment(work: Path, module: str, seconds: float):
    words = [*module.split(), "model.weights=scratch", "schedule.epochs=200", "output_dir=out"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-m", *words], stderr=subprocess.PIPE, text=True, env=environment)
    time.sleep(seconds)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, "Traceback" in said, said.count(SAID[143])) == (143, False, 1)
    assert not list(work.rglob("*.part"))
    assert not list(work.rglob("run.lock"))
