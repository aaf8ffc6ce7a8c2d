"""`sweep.keep=best` leaves the weights of the best trials, and every door says where those of the others went."""

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ledgers import ACCURACY, BOTH, LUCKY, ledger_of

from blurr.cli import main
from blurr.errors import InputError
from blurr.serve.model_folder import model_folder
from blurr.serve.predictor import Predictor
from blurr.sweep.keeping import free, size
from blurr.sweep.ledger import Ledger
from blurr.tracking.run import Run
from blurr.tracking.sink import PARENT, TRIAL, ModelForm, Sink
from blurr.tracking.trackers import MLflowTracker, tracked_run

WEIGHTS = {"model/model.safetensors", "checkpoints/best.pth", "checkpoints/last.pth", "checkpoints/step-3/state.pt"}
OTHERS = {"model/blurr.json", "metrics.json", "predictions.jsonl"}


def leave_files(ledger: Ledger) -> None:
    """Leave in the folder of each trial what a run leaves."""
    for number in ledger.trials:
        for name in WEIGHTS | OTHERS:
            file = ledger.folder / str(number) / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("{}" * 50)


def there(ledger: Ledger) -> dict[int, set[str]]:
    return {
        number: {name for name in WEIGHTS | OTHERS if (ledger.folder / str(number) / name).is_file()}
        for number in ledger.trials
    }


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    folder = tmp_path / "of-the-sweep"
    folder.mkdir()
    with Run(folder, Sink()) as opened:
        yield opened


@pytest.mark.parametrize(
    ("keep", "kept", "said"),
    [
        ("all", {0, 1, 2, 3}, ""),
        ("best", {0, 1}, "those of trials 0, 1 kept (sweep.keep=best), 800 bytes of 2 others freed"),
        ("none", set(), "none kept (sweep.keep=none), 1.6 kB of 4 others freed"),
    ],
)
def test_the_weights_of_the_best_configuration_are_kept_with_all_its_seeds(work, run, keep, kept, said):
    ledger = ledger_of(work / "a", LUCKY)
    leave_files(ledger)
    assert free(ledger, ACCURACY, keep, run) == said
    assert there(ledger) == {number: OTHERS | (WEIGHTS if number in kept else set()) for number in range(4)}
    assert not free(ledger, ACCURACY, keep, run).partition("kept")[2].startswith(" 8")


def test_all_that_no_other_one_beats_are_kept(work, run):
    ledger = ledger_of(work / "a", [("1", "1", [0.9, 0.5]), ("2", "1", [0.8, 0.2]), ("3", "1", [0.7, 0.6])], key="x")
    leave_files(ledger)
    free(ledger, BOTH, "best", run)
    assert {number for number, files in there(ledger).items() if files >= WEIGHTS} == {0, 1}


def test_trials_that_a_resumed_sweep_runs_again_keep_their_checkpoints(work, run):
    rows = [("1", "1", [0.9]), ("2", "1", []), ("3", "1", None)]
    ledger = ledger_of(work / "a", rows, key="x")  # finished, failed, pruned
    ledger.propose(3, "3", {"optimizer.lr": "4"})
    ledger.start(3)
    leave_files(ledger)
    free(ledger, ACCURACY, "best", run)
    assert {number for number, files in there(ledger).items() if files >= WEIGHTS} == {0, 1, 3}


def test_a_sweep_without_a_finished_trial_keeps_all(work, run):
    ledger = ledger_of(work / "a", [("1", "1", None), ("2", "1", None)], key="x")
    leave_files(ledger)
    assert free(ledger, ACCURACY, "none", run) == ""
    assert all(files >= WEIGHTS for files in there(ledger).values())


def test_a_kill_while_weights_are_deleted_is_made_up_for(work, run, monkeypatch):
    ledger = ledger_of(work / "a", LUCKY)
    leave_files(ledger)
    usual, calls = Path.unlink, []

    def killed(path: Path, missing_ok: bool = False) -> None:
        if path.suffix != ".part":
            calls.append(path)
        if len(calls) == 2:
            raise KeyboardInterrupt
        usual(path, missing_ok=missing_ok)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", killed)
        with pytest.raises(KeyboardInterrupt):
            free(ledger, ACCURACY, "best", run)
    with pytest.raises(InputError, match="has no weights"):  # never a model without a part of its weights
        model_folder(work / "a" / "2")
    free(ledger, ACCURACY, "best", run)
    assert there(ledger) == {0: WEIGHTS | OTHERS, 1: WEIGHTS | OTHERS, 2: OTHERS, 3: OTHERS}


@pytest.mark.parametrize("door", [model_folder, Predictor.load], ids=["folder", "predictor"])
@pytest.mark.parametrize("place", ["", "model"])
def test_a_trial_without_weights_is_told_from_a_broken_one(work, run, door, place):
    ledger = ledger_of(work / "a b", LUCKY)
    leave_files(ledger)
    free(ledger, ACCURACY, "best", run)
    kept = f"kept those in {work}/a b/0, {work}/a b/1"
    again = f"blurr reproduce {shlex.quote(f'{work}/a b/2')}"
    with pytest.raises(InputError, match=f"trial 2 of the sweep a b was not one.*{kept}.*train it again: {again}$"):
        door(work / "a b" / "2" / place)


@pytest.mark.parametrize(
    "words", [("predict", "a/2", "--text=x"), ("serve", "a/2"), ("evaluate", "a/2", "data=sample")]
)
def test_commands_say_which_trials_were_kept(work, run, capsys, monkeypatch, words):
    ledger = ledger_of(work / "a", LUCKY)
    leave_files(ledger)
    free(ledger, ACCURACY, "none", run)
    monkeypatch.setattr(sys, "argv", ["blurr", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "It has kept none. To train it again: blurr reproduce" in " ".join(capsys.readouterr().err.split())


def test_mlflow_keeps_no_second_copy_of_weights_that_are_deleted(client, store_uri, work, monkeypatch):
    tracker = MLflowTracker(uri=store_uri, experiment="keeping", run_name="auto")
    ledger = ledger_of(work / "a", [("1", "1", [0.9]), ("2", "1", [0.8])], key="x")
    leave_files(ledger)
    with tracked_run(tracker, folder=work / "sweep", config={}, overrides=[], tags={}) as parent:
        ids = []
        for number in (0, 1):
            tags = {PARENT: str(parent.id), TRIAL: str(number)}
            with tracked_run(tracker, folder=work / "run" / str(number), config={}, overrides=[], tags=tags) as trial:
                trial.model(work / "a" / str(number) / "model", ModelForm({"text": "a"}, [], {}))
            ids.append(str(trial.id))
        free(ledger, ACCURACY, "best", parent)
        free(ledger, ACCURACY, "best", parent)
    weights = [[each.path for each in client.list_artifacts(run, "model") if "safetensors" in each.path] for run in ids]
    assert weights == [["model/model.safetensors"], []]
    experiment = client.get_experiment_by_name("keeping").experiment_id
    assert [each.source_run_id for each in client.search_logged_models([experiment])] == ids[:1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store_uri)
    with pytest.raises(InputError, match="has no weights: trial 1 of the sweep a"):
        model_folder(ids[1])


def test_bytes_are_said_in_the_unit_of_files():
    assert [size(n) for n in (12, 90_800_000, 1_234_000_000)] == ["12 bytes", "90.8 MB", "1.23 GB"]
