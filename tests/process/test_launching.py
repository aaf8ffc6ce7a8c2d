"""Several processes of one training: how they start, and how all of them end when one does."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from forked import Forked, door_with

from blurr.config.combinations import check_processes
from blurr.errors import InputError
from blurr.process import launched, launching
from blurr.process.listening import free_port

EXPERIMENT = """
import ctypes, os, signal, sys, time
from blurr.errors import InputError
from blurr.process import launched, signals
from blurr.training.distributed import current, from_first

def run_experiment(cfg, *, folder, overrides, choices, report=None, tags=None):
    rank = current().rank
    print(f"rank {rank} of {cfg.processes} in {folder}, threads {os.environ['OMP_NUM_THREADS']}", file=sys.stderr)
    (folder.parent / f"{rank}.pid").write_text(str(os.getpid()))
    fate = os.environ.get(f"FATE_{rank}", "")
    if fate == "raise": raise RuntimeError("it failed")
    if fate == "refuse": raise InputError("a column is missing")
    if fate == "memory": raise MemoryError
    if fate == "segfault": ctypes.string_at(0)
    if fate == "kill": os.kill(os.getpid(), signal.SIGKILL)
    with signals.handled():
        if fate == "hang": time.sleep(100)
        for step in range(int(os.environ.get("STEPS", 1))):
            assert from_first(lambda: rank) == 0
            time.sleep(0.1)
    return 0.0
"""
WORDS = ("model.weights=scratch", "tracking=none", "output_dir=run/a")
KILLED = "was killed (SIGKILL), as when the system runs out of memory."


class Launch:
    """Calls `python -m blurr.run` in a folder, with that experiment in place of the real one."""

    def __init__(self, folder: Path, experiment: Path) -> None:
        self.folder, self.experiment = folder, experiment

    def start(self, *words: str, **environment: str) -> Forked:
        return Forked(door_with, self.experiment, "blurr.run", *WORDS, *words, cwd=self.folder, **environment)

    def started(self, count: int, **environment: str) -> tuple[Forked, list[int]]:
        """Start, and wait until all take steps; return the process ids by rank, too."""
        process = self.start(f"processes={count}", STEPS="200", **environment)
        until = time.monotonic() + 60
        while len(list(self.folder.glob("run/*.pid"))) < count and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(0.5)
        return process, [int((self.folder / f"run/{rank}.pid").read_text()) for rank in range(count)]


@pytest.fixture
def launch(work: Path, tmp_path_factory: pytest.TempPathFactory) -> Launch:
    experiment = tmp_path_factory.mktemp("stub") / "experiment.py"
    experiment.write_text(EXPERIMENT)
    return Launch(work, experiment)


def lives(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_all_processes_run_and_the_first_alone_speaks(launch):
    out, err = launch.start("processes=2").communicate()
    assert err.splitlines() == [f"rank 0 of 2 in {launch.folder}/run/a, threads 1"]
    assert sorted(file.name for file in launch.folder.glob("run/*.pid")) == ["0.pid", "1.pid"]


@pytest.mark.parametrize(
    ("fates", "code", "said"),
    [
        ({0: "refuse", 1: "refuse"}, 2, ["a column is missing"]),
        ({1: "refuse"}, 2, ["a column is missing"]),
        ({1: "memory"}, 1, ["Process 2 of 2 has failed: Out of memory: MemoryError. Lower the batch size"]),
        ({1: "kill"}, 1, [f"Process 2 of 2 {KILLED}"]),
        ({0: "kill"}, 1, [f"Process 1 of 2 {KILLED} Go on with: blurr run resume=run/a"]),
        ({1: "segfault"}, 1, ["Process 2 of 2 was killed (SIGSEGV). It said:", "rank 1 of 2"]),
    ],
    ids=["mistake of all", "mistake of one", "memory of one", "one killed", "the first killed", "crash of one"],
)
def test_what_ends_one_process_ends_all_with_one_message(launch, fates, code, said):
    process = launch.start("processes=2", STEPS="200", **{f"FATE_{rank}": fate for rank, fate in fates.items()})
    _, err = process.communicate(timeout=30)
    assert process.returncode == code
    lines = err.splitlines()[1:]
    assert [line[: len(each)] for line, each in zip(lines, said, strict=True)] == said


def test_the_traceback_of_another_process_is_shown_once(launch):
    process = launch.start("processes=2", FATE_1="raise")
    _, err = process.communicate()
    assert process.returncode == 1
    assert err.count("Traceback") == err.count("RuntimeError: it failed") == 1
    assert "Process 2 of 2 has failed: Traceback" in err


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"])
def test_a_signal_is_the_first_processs_to_answer(launch, signum, code):
    process, pids = launch.started(2)
    process.send_signal(signum)
    _, err = process.communicate(timeout=20)
    assert process.returncode == code
    assert err.count("Ending in order; a second time ends at once.") == 1
    assert not any(map(lives, pids))


def test_no_process_outlives_the_one_that_has_started_it(launch):
    process, pids = launch.started(2)
    process.kill()
    process.wait()
    time.sleep(0.5)
    assert not any(map(lives, pids))


def test_one_that_does_not_notice_is_ended(launch, monkeypatch):
    monkeypatch.setattr(launching, "NOTICE_SECONDS", 0.5)
    code, err = watched(lambda: time.sleep(100), lambda: os._exit(2), said="a column is missing")
    assert code == 2
    assert "Process 2 of 2 has ended with exit code 2. It said:\na column is missing" in err
    assert "Process 1 of 2 did not notice that in 0 seconds, and was ended." in err


def watched(first: Callable[[], None], other: Callable[[], None], *, said: str) -> tuple[int, str]:
    """Become two processes, each of which calls a function; return the exit code and what is said on stderr."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.dup2(writer, 2)
            launching.become(2, folder="a")
            if not launched.is_first():
                os.write(2, said.encode())
            (first if launched.is_first() else other)()
        finally:
            os._exit(0)
    os.close(writer)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with os.fdopen(reader) as lines:
        return code, lines.read()


# -- started from outside


def test_processes_that_others_have_started_run_what_the_first_composes(launch):
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2"}
    others = launch.start("output_dir=elsewhere/b", RANK="1", LOCAL_RANK="1", OMP_NUM_THREADS="1", **place)
    _, err = launch.start(RANK="0", LOCAL_RANK="0", OMP_NUM_THREADS="1", **place).communicate()
    assert others.communicate() == ("", "")
    assert err.splitlines() == [f"rank 0 of 2 in {launch.folder}/run/a, threads 1"]
    assert sorted(file.name for file in launch.folder.glob("run/*.pid")) == ["0.pid", "1.pid"]
    assert not (launch.folder / "elsewhere").exists()


@pytest.mark.parametrize("words", [["tasc=a"], ["processes=3"], ["-m", "seed=1,2"]], ids=" ".join)
def test_a_mistake_in_their_words_is_told_once(launch, words):
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2"}
    first, other = (launch.start(*words, RANK=rank, LOCAL_RANK=rank, **place) for rank in ("0", "1"))
    _, err = first.communicate()
    assert (first.returncode, len(err.splitlines())) == (2, 1)
    assert other.communicate() == ("", "")
    assert other.returncode != 0


def test_a_port_that_is_in_use_is_one_message(launch):
    import socket

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        port = str(listening.getsockname()[1])
        process = launch.start("processes=2", MASTER_PORT=port)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert err.splitlines() == [
        f"MASTER_PORT={port}: another program uses this port, at which the processes meet. Set another, or none."
    ]


def test_what_srun_says_is_put_as_torchrun_says_it(monkeypatch):
    given = {"SLURM_PROCID": "3", "SLURM_LOCALID": "1", "SLURM_STEP_NUM_TASKS": "4", "SLURM_JOB_ID": "1234567"}
    for name, value in {**given, "SLURM_STEP_NODELIST": "gpu[07-08],cpu1"}.items():
        monkeypatch.setenv(name, value)
    assert (launched.world(), launched.is_first()) == (4, False)
    names = (launched.RANK, launched.LOCAL_RANK, launched.WORLD, launched.ADDRESS, launched.PORT)
    for name in names:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    launched.adopt_srun()
    assert [os.environ[name] for name in names] == ["3", "1", "4", "gpu07", "24567"]


@pytest.mark.parametrize(
    ("nodes", "first"),
    [("gpu[03-05,9],cpu1", "gpu03"), ("node-1,node-2", "node-1"), ("a", "a"), ("x[7].c,y", "x7.c")],
)
def test_the_first_host_of_a_list_is_found(nodes, first):
    assert launched.first_host(nodes) == first


def test_one_task_or_a_batch_script_is_one_process(monkeypatch):
    monkeypatch.setenv("SLURM_PROCID", "0")
    monkeypatch.setenv("SLURM_NTASKS", "4")  # of a batch script, which runs once
    assert launched.world() == 1


# -- what is refused


@pytest.mark.parametrize(
    ("config", "gpus", "started", "message"),
    [
        (
            (4, "auto"),
            "0,1",
            "1",
            r"processes=4: each takes a GPU of its own, and there are 2 \(0, 1\). Set processes=2",
        ),
        ((2, "cuda:1"), "0,1", "1", "device=cuda:1: 2 processes train on as many CUDA devices, or on the CPU."),
        ((2, "mps"), "", "1", "device=mps: 2 processes"),
        ((4, "auto"), "", "2", "processes=4, and 2 processes were started"),
    ],
    ids=["too few GPUs", "one GPU", "mps", "another number"],
)
def test_numbers_and_devices_that_do_not_fit_are_refused(monkeypatch, config, gpus, started, message):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpus)
    monkeypatch.setenv("WORLD_SIZE", started)
    monkeypatch.setenv("RANK", "0")
    count, device = config
    with pytest.raises(InputError, match=message):
        check_processes({"processes": count, "device": device})


def test_as_many_as_there_are_gpus_or_on_the_cpu_are_taken(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    for count, device in ((2, "auto"), (2, "cuda"), (4, "cpu"), (1, "cuda:1")):
        check_processes({"processes": count, "device": device})
