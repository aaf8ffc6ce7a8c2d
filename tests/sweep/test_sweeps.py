"""Whole sweeps, in processes of their own: what is run, what is kept, and what is said at the end."""

import re
import signal
import sqlite3
from contextlib import closing

import psutil
import pytest
from mlflow import MlflowClient

from blurr.sweep.executors import shares_of_gpus

LOCAL = ("tracking=local", "tracking.experiment=sweeps")


def test_a_grid_is_run_in_order_and_its_best_trial_is_named(sweeping):
    done = sweeping.sweep("optimizer.lr=1,3,2")
    assert done.returncode == 0, done.stderr
    assert "best by valid/accuracy: trial 1 (3)" in done.stdout
    trials = sweeping.ledger().trials.values()
    assert [trial.values for trial in trials] == [[1.0], [3.0], [2.0]]
    assert [(trial.state, trial.attempts) for trial in trials] == [("finished", 1)] * 3


@pytest.mark.slow
def test_a_sweep_keeps_the_weights_that_it_is_asked_to_also_once_it_has_ended(sweeping):
    def kept() -> list[str]:
        return sorted(file.parts[-3] for file in (sweeping.folder / "multirun" / "a").glob("*/model/*.safetensors"))

    done = sweeping.sweep("optimizer.lr=1,3,2", "sweep.keep=best", WEIGHTS="1")
    assert "those of trial 1 kept (sweep.keep=best), 3 kB of 2 others freed" in " ".join(done.stdout.split())
    assert kept() == ["1"]
    done = sweeping.call("-m", "sweep.resume=a", "sweep.keep=none")
    assert "none kept (sweep.keep=none), 1.5 kB of 3 others freed" in " ".join(done.stdout.split())
    assert kept() == []
    assert [trial.attempts for trial in sweeping.ledger().trials.values()] == [1] * 3  # none was run again


@pytest.mark.slow
def test_what_a_trial_prints_is_in_its_folder_and_not_on_the_terminal(sweeping):
    done = sweeping.sweep("seed=1", "optimizer.lr=1,2", FATE_1="raise")
    assert "Error executing job" not in done.stderr
    assert "Error executing job" in (sweeping.folder / "multirun" / "a" / "0" / "output.txt").read_text()


ENDS = {
    "raise": "RuntimeError: it failed",
    "memory": r"Out of memory: MemoryError",
    "segfault": "died of SIGSEGV",
    "exit": r"exited without a report, with exit code 3 \(os._exit\?\)",
    "hang": r"it took longer than sweep.trial_timeout=6 seconds",
    "leave": r"sys.exit\(4\) was called",
    "kill": "died of SIGKILL, as when the system runs out of memory",
    "nan": "the objective is nan",
}


@pytest.mark.slow
def test_a_trial_that_fails_in_whatever_way_ends_alone_and_says_why(sweeping):
    fates = {f"FATE_{seed}": fate for seed, fate in enumerate(ENDS)}
    done = sweeping.sweep("seed=range(0,11)", "sweep.workers=2", "sweep.trial_timeout=6", "sweep.memory=4", **fates)
    assert done.returncode == 1
    trials = sweeping.ledger().trials
    assert [trial.state for trial in trials.values()] == ["failed"] * len(ENDS) + ["finished"] * 3
    for number, reason in enumerate(ENDS.values()):
        assert re.match(reason, trials[number].reason)
        assert re.search(f"trial {number} failed: {reason}", done.stdout)
        assert (sweeping.folder / "multirun" / "a" / str(number) / "error.txt").read_text()
    assert "raise RuntimeError" in trials[0].details
    assert "experiment.py" in trials[2].details  # where it crashed
    assert "experiment.py" in trials[4].details  # where it hung


def test_a_trial_lost_to_memory_disk_or_a_service_is_tried_again_and_a_mistake_is_not(sweeping):
    fates = {"FATE_1": "memory once", "FATE_2": "disk once", "FATE_3": "service once", "FATE_4": "refuse"}
    words = ("seed=range(1,6)", "sweep.workers=2", "sweep.memory=4", "sweep.on_failure=retry(2)")
    done = sweeping.sweep(*words, **fates)
    assert done.returncode == 1
    trials = sweeping.ledger().trials
    assert [trial.state for trial in trials.values()] == ["finished", "finished", "finished", "failed", "finished"]
    assert [trial.attempts for trial in trials.values()] == [2, 2, 2, 1, 1]
    assert trials[3].reason == "a column is missing"
    for number, reason in enumerate(("Out of memory: MemoryError", ".*No space left on device", "MLflow is gone")):
        assert re.search(f"trial {number} failed and is tried again: {reason}", done.stderr)


@pytest.mark.slow
def test_a_trial_whose_process_dies_after_its_end_is_finished(sweeping):
    done = sweeping.sweep("seed=1,2", FATE_1="die late")
    assert done.returncode == 0
    assert sweeping.starts() == ["0", "1"]


@pytest.mark.slow
class TestOnFailure:
    """`sweep.on_failure`."""

    def test_a_failed_trial_is_tried_again_as_often_as_is_wished(self, sweeping):
        done = sweeping.sweep("seed=1", "optimizer.lr=1,2", "sweep.on_failure=retry(2)", FATE_1="once")
        assert done.returncode == 0, done.stderr
        assert sweeping.starts() == ["0", "0", "1", "1"]
        assert "trial 0 failed and is tried again: RuntimeError: the first time" in done.stderr

    def test_it_stops_the_sweep_where_that_is_wished(self, sweeping):
        assert sweeping.sweep("seed=1,2,3", "sweep.on_failure=stop", FATE_1="raise").returncode == 1
        assert sweeping.starts() == ["0"]

    def test_a_mistake_that_all_trials_have_is_one_message(self, sweeping):
        done = sweeping.sweep("seed=1", "optimizer.lr=1,2", FATE_1="refuse")
        assert done.returncode == 2
        assert done.stderr.splitlines()[-1] == "a column is missing"


@pytest.mark.slow
def test_a_sweep_whose_time_is_over_stops_what_runs_and_can_go_on(sweeping):
    done = sweeping.sweep("seed=1,2", "sweep.timeout=20", FATE_1="hang")
    assert "sweep.timeout=20 is over" in done.stderr
    assert (sweeping.starts(), sweeping.finished()) == (["0"], set())
    assert sweeping.call("sweep.resume=a", "sweep.timeout=null").returncode == 0
    assert sweeping.finished() == {0, 1}


class TestResume:
    """A sweep that was stopped, whatever by."""

    @pytest.mark.slow
    @pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda sent: sent.name)
    def test_it_goes_on_with_what_had_not_finished(self, sweeping, wait_until, sent):
        words = ("optimizer.lr=1,2,3,4", "sweep.workers=2")
        process = sweeping.start_sweep(*words, SECONDS="1")
        wait_until(sweeping.finished, process)
        process.send_signal(sent)
        _, said = process.communicate(timeout=60)
        before = sweeping.finished()
        if sent != signal.SIGKILL:
            last = said.rstrip().splitlines()[-1]
            assert re.fullmatch(r"Stopped after \d of 4 trials; go on with: blurr run sweep.resume=a", last)
        done = sweeping.call("sweep.resume=a")
        assert done.returncode == 0, done.stderr
        assert sweeping.finished() == {0, 1, 2, 3}
        starts = sweeping.starts()
        assert all(starts.count(str(number)) == 1 for number in before)
        assert "best by valid/accuracy: trial 3 (4)" in done.stdout
        assert sweeping.sweep(*words).returncode == 0  # the same command goes on, too, and finds nothing to do
        assert sweeping.starts() == starts

    @pytest.mark.slow
    def test_the_trials_of_a_killed_sweep_die_with_it(self, sweeping, wait_until):
        process = sweeping.start_sweep("seed=1", "optimizer.lr=1,2", "sweep.workers=1", FATE_1="hang")
        wait_until(sweeping.starts, process)
        process.kill()
        process.communicate(timeout=20)
        done = sweeping.call("sweep.resume=a")  # would wait for the lock, and give up, if a trial had survived
        assert done.returncode == 0, done.stderr
        assert sweeping.starts() == ["0", "0", "1"]

    @pytest.mark.slow
    def test_failed_trials_are_tried_again(self, sweeping):
        sweeping.sweep("seed=1,2", FATE_1="raise")
        assert sweeping.call("sweep.resume=a").returncode == 0
        assert sweeping.starts() == ["0", "1", "0"]

    @pytest.mark.slow
    def test_other_words_are_another_sweep(self, sweeping):
        sweeping.sweep("seed=1,2")
        done = sweeping.sweep("seed=1,3")
        assert done.returncode == 2
        assert re.search(r"was begun with .*seed=1,2.* has .*seed=1,3.*another sweep\.name", done.stderr)

    @pytest.mark.slow
    def test_a_sweep_that_there_is_not_is_answered_with_those_there_are(self, sweeping):
        sweeping.sweep("seed=1,2", "sweep.name=first")
        done = sweeping.call("sweep.resume=frist")
        assert done.returncode == 2
        assert re.search(r"There is no sweep 'frist'.* Did you mean 'first'\? multirun/ has: first\.", done.stderr)


class TestSearch:
    """Trials that Optuna proposes."""

    RANGE = "optimizer.lr=interval(0.1,1.0)"

    @pytest.mark.slow
    def test_it_proposes_the_same_after_a_kill_as_without_one(self, sweeping, wait_until):
        words = ("sweep=tpe", self.RANGE, "sweep.trials=14")  # TPE begins with 10 at random
        sweeping.sweep(*words, "sweep.name=whole")
        process = sweeping.start_sweep(*words, SECONDS="0.2")
        wait_until(lambda: len(sweeping.finished()) >= 3, process)
        process.kill()
        process.communicate(timeout=20)
        assert sweeping.call("sweep.resume=a").returncode == 0
        whole, cut = (sweeping.ledger(name).trials.values() for name in ("whole", "a"))
        assert [trial.values for trial in whole] == [trial.values for trial in cut]

    @pytest.mark.slow
    def test_the_count_of_trials_is_a_total_that_can_be_raised(self, sweeping):
        sweeping.sweep("sweep=random", self.RANGE, "sweep.trials=2")
        done = sweeping.call("sweep.resume=a", "sweep.trials=3")
        assert done.returncode == 0, done.stderr
        assert sweeping.starts() == ["0", "1", "2"]

    @pytest.mark.slow
    def test_a_pruner_stops_what_does_worse_and_what_is_kept_does_all_its_steps(self, sweeping):
        done = sweeping.sweep("optimizer.lr=8,4,2,1,16", "schedule.epochs=4", "sweep=asha")
        assert done.returncode == 0, done.stderr
        trials = sweeping.ledger().trials
        best = next(trial for trial in trials.values() if trial.point == {"optimizer.lr": "16"})
        assert (best.state, best.values) == ("finished", [64.0])
        pruned = [trial for trial in trials.values() if trial.state == "pruned"]
        assert pruned
        assert all(len(trial.reports) < 4 for trial in pruned)

    @pytest.mark.slow
    def test_several_objectives_have_several_best_trials(self, sweeping):
        words = ("objective=[valid/accuracy,valid/loss]", "sweep.direction=[maximize,maximize]", "optimizer.lr=1,2,3")
        done = sweeping.sweep(*words)
        assert done.returncode == 0, done.stderr
        assert "trial 0 (1, -1), trial 1 (2, -2), trial 2 (3, -3)" in done.stdout

    @pytest.mark.slow
    def test_a_storage_has_every_trial_under_the_ledgers_number(self, sweeping):
        import optuna

        words = ("sweep=random", self.RANGE, "sweep.storage=sqlite:///optuna.db")
        sweeping.sweep(*words, "sweep.trials=2")
        sweeping.sweep(*words, "sweep.trials=3")
        refused = sweeping.call("sweep.resume=a")
        assert refused.returncode == 2
        assert "say so yourself: blurr run sweep.resume=a sweep.storage=sqlite:///optuna.db" in refused.stderr
        assert sweeping.call("sweep.resume=a", "sweep.storage=sqlite:///optuna.db", "sweep.trials=4").returncode == 0
        study = optuna.load_study(study_name="a", storage=f"sqlite:///{sweeping.folder}/optuna.db")
        assert [trial.values for trial in study.trials] == [t.values for t in sweeping.ledger().trials.values()]


@pytest.mark.slow
def test_the_sweep_s_own_run_has_every_value_after_a_kill_before_which_its_store_took_none(sweeping, wait_until):
    store = sweeping.folder / "mlflow.db"
    process = sweeping.start_sweep("optimizer.lr=range(1,7)", f"tracking.uri=sqlite:///{store}", *LOCAL, SECONDS="1")
    wait_until(lambda: sweeping.ledger().head.get("run"), process)
    with closing(sqlite3.connect(store)) as database:
        database.execute("BEGIN IMMEDIATE")  # nobody else can write
        wait_until(lambda: len(sweeping.finished()) > 3, process)
        process.kill()
        process.wait()
    done = sweeping.call("sweep.resume=a")
    assert done.returncode == 0, done.stderr
    ledger, client = sweeping.ledger(), MlflowClient(f"sqlite:///{store}")
    found = client.get_run(ledger.head["run"])
    assert found.data.params["optimizer.lr"]  # what was waiting beside the values
    expected = {"sweep/finished": [], "sweep/best valid/accuracy": []}
    for at, trials in ledger.ends():
        finished = [trial for trial in trials.values() if trial.state == "finished"]
        values = (len(finished), max(trial.values[0] for trial in finished))
        for name, value in zip(expected, values, strict=True):
            expected[name].append((len(finished), value, round(at)))
    assert len(expected["sweep/finished"]) == 6
    for name, values in expected.items():
        history = client.get_metric_history(found.info.run_id, name)
        assert [(each.step, each.value, round(each.timestamp / 1000)) for each in history] == values


@pytest.mark.slow
def test_a_fork_server_that_is_killed_ends_the_sweep_in_one_message_and_it_can_go_on(sweeping, wait_until):
    process = sweeping.start_sweep("optimizer.lr=1,2,3,4", "sweep.workers=2", SECONDS="3")
    wait_until(lambda: len(sweeping.starts()) == 2, process)
    server = psutil.Process(process.pid).children()[0]
    trials = server.children()
    assert len(trials) == 2
    server.kill()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert said.splitlines()[-1] == (
        "The process that starts the trials was killed, as when the system runs out of memory. Finished trials are "
        "kept: go on with sweep.resume=a."
    )
    assert "Traceback" not in said
    wait_until_gone(trials)
    assert sweeping.call("sweep.resume=a").returncode == 0
    assert sweeping.finished() == {0, 1, 2, 3}


def wait_until_gone(processes: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=10)
    assert all(each.status() == psutil.STATUS_ZOMBIE for each in alive)


def test_a_trial_of_several_processes_takes_as_many_workers(sweeping):
    done = sweeping.sweep("processes=2", "seed=1,2", "sweep.workers=2", SECONDS="0.5", FATE_2="kill")
    assert "trial 0 finished" in done.stderr + done.stdout
    assert sweeping.finished() == {0}
    assert sweeping.others() == ["0.process-2", "1.process-2"]
    assert "died of SIGKILL" in sweeping.ledger().trials[1].reason
    assert len(sweeping.starts()) == 2


def test_gpus_are_shared_out_among_trials_and_their_processes(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6")
    assert shares_of_gpus(2, 1) == ["4", "5"]
    assert shares_of_gpus(2, 2) == ["4,5", "6,4"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert shares_of_gpus(2, 2) == [None, None]
