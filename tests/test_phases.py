"""SIGTERM in every phase of a run: the status is KILLED, the exit code 143, and the run can be gone on with."""

import json
import signal
import time
from pathlib import Path

import pytest
from forked import Forked, door

WORDS = [
    *("task._target_=phases.Waiting", "tracking._target_=phases.WaitingTracker", "loader.cache=false", "report=false"),
    "+callbacks.waiting={_target_: phases.WaitingCallback}",
    *("model.weights=scratch", "data.rows=60", "loader.batch_size=8", "schedule.epochs=2", "output_dir=out"),
]


def start(folder: Path, store_uri: str, *words: str, stay_in: str = "") -> Forked:
    everything = (*WORDS, f"tracking.uri={store_uri}", *words)
    return Forked(door, "blurr.run", *everything, cwd=folder, STAY_IN=stay_in)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, store_uri: str) -> str:
    folder = tmp_path_factory.mktemp("undisturbed")
    process = start(folder, store_uri)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    return (folder / "out" / "metrics.json").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["load", "tokenize", "train", "evaluate", "upload"])
def test_sigterm_in_any_phase_kills_the_run_and_it_can_be_gone_on_with(phase, work, store_uri, client, undisturbed):
    process = start(work, store_uri, stay_in=phase)
    end = time.monotonic() + 300
    while not (work / "reached").exists():
        assert process.poll() is None, process.stderr
        assert time.monotonic() < end
        time.sleep(0.1)
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 143, said
    assert "Traceback" not in said
    journal = json.loads((work / "out" / "run.json").read_text())
    assert journal["status"] == client.get_run(journal["run_id"]).info.status == "KILLED"

    process = start(work, store_uri, "resume=auto")
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert (work / "out" / "metrics.json").read_text() == undisturbed
    again = json.loads((work / "out" / "run.json").read_text())
    assert again["run_id"] == journal["run_id"]
    assert client.get_run(again["run_id"]).info.status == "FINISHED"
