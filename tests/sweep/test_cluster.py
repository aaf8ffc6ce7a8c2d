"""Sweeps on a Ray cluster of this machine: the same trials, and workers that are lost."""

import os
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from forked import ROOT, start_server

pytestmark = pytest.mark.slow
RAY = ("sweep/executor=ray", "sweep.workers=2")
TWO = ("processes=2", "seed=1,2")


@pytest.fixture(autouse=True)
def package(sweeping, tmp_path_factory, monkeypatch) -> Path:
    """The package with that experiment in it, for the processes that Ray starts."""
    copy = tmp_path_factory.mktemp("package")
    for name in ("conf", "experiments", "blurr", "hydra_plugins"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(sweeping.experiment, copy / "blurr" / "experiment.py")
    start_server()  # with the package itself, for the tests that come later
    monkeypatch.setattr("forked.PATH", str(copy))


def test_the_trials_and_the_best_are_those_of_local_processes(sweeping):
    words = ("optimizer.lr=1,3,2,4", "seed=1,2")
    local = sweeping.sweep(*words, "sweep.name=local")
    there = sweeping.sweep(*words, *RAY)
    assert (local.returncode, there.returncode) == (0, 0), there.stderr
    ours, theirs = (list(sweeping.ledger(name).trials.values()) for name in ("local", "a"))
    assert [(t.hash, t.point, t.values) for t in ours] == [(t.hash, t.point, t.values) for t in theirs]
    best = re.compile(r"best by .*")
    assert best.search(local.stdout)[0] == best.search(there.stdout)[0]


def test_a_trial_whose_worker_is_killed_is_run_again(sweeping, wait_until):
    process = sweeping.start_sweep("seed=1,2,3", *RAY, SECONDS="5")
    wait_until(lambda: len(sweeping.starts()) >= 2, process, seconds=120)
    os.kill(sweeping.worker(), signal.SIGKILL)
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    assert "lost its worker and is run again" in err
    assert sweeping.finished() == {0, 1, 2}
    assert len(sweeping.starts()) == 4


def test_a_pruner_works_there_too(sweeping):
    done = sweeping.sweep("optimizer.lr=8,4,2,1", "schedule.epochs=4", "sweep=asha", *RAY)
    assert done.returncode == 0, done.stderr
    assert {trial.state for trial in sweeping.ledger().trials.values()} == {"finished", "pruned"}


@pytest.fixture
def two_machines() -> Iterator[str]:
    """The address of a cluster of two nodes with a core each: a trial of two processes needs both."""
    from ray.cluster_utils import Cluster  # of an extra

    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    nodes.add_node(num_cpus=1)
    try:
        yield nodes.address
    finally:
        nodes.shutdown()


def test_a_trial_of_two_processes_runs_on_two_machines(sweeping, two_machines):
    done = sweeping.sweep(*TWO, *RAY, f"sweep.executor.address={two_machines}")
    assert done.returncode == 0, done.stderr
    assert sweeping.finished() == {0, 1}  # the first process waits until the other one has come
