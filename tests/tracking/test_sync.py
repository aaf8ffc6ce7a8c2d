"""What never reached MLflow lies in the run's folder and can be sent; dead runs are closed."""

import json
import sys

import pytest
from forked import ROOT, Forked, code
from mlflow.exceptions import MlflowException

from blurr.cli import main
from blurr.errors import InputError, ResourceError
from blurr.runs.journal import Journal, writing
from blurr.tracking.processes import HOST, PROCESS, is_dead, this_process
from blurr.tracking.sink import PARENT, TRIAL
from blurr.tracking.sync import sync
from blurr.tracking.trackers import MLflowTracker, NoTracker, tracked_run


class Dead:
    def __getattr__(self, name):
        def fail(*args, **kwargs):
            raise MlflowException("gone")

        return fail


def opened(tracker, folder, **options):
    return tracked_run(tracker, folder=folder, config={"a": {"b": 1}}, overrides=[], tags={}, **options)


@pytest.fixture
def cut_off(store_uri, folder, monkeypatch):
    """A run whose store took its first two steps and then nothing more."""
    with opened(MLflowTracker(uri=store_uri, experiment="sync", wait=0), folder) as run:
        for step in (1, 2):
            run.log({"train/loss": step / 10}, step=step)
        run.flush()
        assert run._sink._spool.settle(10)
        monkeypatch.setattr(run._sink, "_client", Dead())
        run.log({"train/loss": 0.3, "valid/loss": 0.5}, step=3)
        run.table("predictions", [{"text": "a"}, {"text": "b"}])
        run.finish({"valid/loss": 0.4})
    return run


def history(client, run, key):
    # MLflow's clock has milliseconds, and its history of one millisecond has no order
    return sorted((value.step, value.value) for value in client.get_metric_history(run.id, key))


def test_sync_sends_the_rest_once_however_often_it_is_called(cut_off, store_uri, client, folder):
    assert history(client, cut_off, "train/loss") == [(1, 0.1), (2, 0.2)]
    assert client.get_run(cut_off.id).info.status == "RUNNING"
    for _ in range(2):
        assert sync(folder, uri=store_uri) == 0
        assert history(client, cut_off, "train/loss") == [(1, 0.1), (2, 0.2), (3, 0.3)]
        assert history(client, cut_off, "valid/loss") == [(3, 0.4), (3, 0.5)]
        found = client.get_run(cut_off.id)
        assert found.info.status == "FINISHED"
        assert found.info.end_time == Journal.read(folder).ended
        assert found.data.params["a.b"] == "1"
        table = client.download_artifacts(cut_off.id, "predictions.json")
        with open(table) as file:
            assert json.load(file)["data"] == [["a"], ["b"]]
        assert {"config.yaml", "metrics.json"} <= {file.path for file in client.list_artifacts(cut_off.id)}


def test_the_command_says_that_nothing_is_left(cut_off, store_uri, folder, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store_uri)
    monkeypatch.setattr(sys, "argv", ["blurr", "track", "sync", str(folder)])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 0
    assert "MLflow has everything." in capsys.readouterr().out


def test_a_folder_that_is_no_runs_cannot_be_synced(tmp_path):
    with pytest.raises(InputError, match=r"is not the folder of a run: it has no run\.json"):
        sync(tmp_path)


def test_a_journal_that_is_broken_is_an_input_error(tmp_path):
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(InputError, match=r"run\.json cannot be read as a run of blurr wrote it: .*Put back a copy"):
        sync(tmp_path)


def test_a_run_without_mlflow_has_nothing_to_sync(folder):
    with opened(NoTracker(), folder):
        pass
    with pytest.raises(InputError, match=r"was made with tracking=none"):
        sync(folder)


def test_a_run_that_goes_on_is_not_synced(tracker, folder):
    with opened(tracker, folder), pytest.raises(InputError, match=r"has not ended; it sends its records itself"):
        sync(folder)


def test_an_address_without_its_password_is_asked_for(cut_off, folder):
    journal = Journal.read(folder)
    journal.uri = "postgresql://me:***@host/db"
    journal.write(folder)
    with pytest.raises(InputError, match=r"has a password, which is not recorded\. Give all of it: --uri"):
        sync(folder)


def test_a_record_does_not_choose_what_is_sent_or_where(cut_off, store_uri, client, folder, tmp_path, caplog):
    with pytest.raises(
        InputError, match=rf"nor your environment name.*say so: blurr track sync .* --uri='{store_uri}'"
    ):
        sync(folder)
    (tmp_path / "key").write_text("of somebody")
    journal = Journal.read(folder)
    journal.artifacts[str(tmp_path / "key")] = None
    journal.tables.append("../key")
    journal.write(folder)
    (folder / "key.jsonl").write_text("")
    assert sync(folder, uri=store_uri) == 1
    assert "key, which lies outside of the run's folder" in caplog.text
    assert "key" not in {file.path for file in client.list_artifacts(cut_off.id)}
    (folder / "plots").symlink_to(tmp_path)
    with pytest.raises(InputError, match="plots is a link to .*, out of the folder"):
        sync(folder, uri=store_uri)


def test_a_resumed_run_sends_what_its_first_life_did_not(cut_off, store_uri, client, folder):
    kept = len("".join((folder / "metrics.jsonl").read_text().splitlines(keepends=True)[:1]))
    with opened(MLflowTracker(uri=store_uri, experiment="sync"), folder, kept=kept) as run:
        for step in (2, 3):
            run.log({"train/loss": step / 10}, step=step)
        run.log({"valid/loss": 0.5}, step=3)
        run.finish({"valid/loss": 0.4})
    assert run.id == cut_off.id
    assert history(client, run, "train/loss") == [(1, 0.1), (2, 0.2), (3, 0.3)]
    assert history(client, run, "valid/loss") == [(3, 0.4), (3, 0.5)]
    assert Journal.read(folder).status == "FINISHED"


# -- processes that died


def dead_process():
    program = "from blurr.tracking.processes import *; print(this_process()[PROCESS])"
    return Forked(code, program, cwd=ROOT).communicate()[0].strip()


def test_a_process_is_dead_when_it_has_ended_or_its_number_is_anothers():
    mine = this_process()[PROCESS]
    pid, _, began = mine.partition(" ")
    assert not is_dead(mine)
    assert is_dead(f"{pid} {float(began) - 100:.0f}")
    assert is_dead(dead_process())


def test_the_next_run_closes_those_whose_process_died(tracker, client, folder):
    with opened(tracker, folder / "live") as live:
        experiment = client.get_run(live.id).info.experiment_id
        here = this_process()
        dead = client.create_run(experiment, tags={**here, PROCESS: dead_process()}).info.run_id
        elsewhere = client.create_run(experiment, tags={HOST: "another", PROCESS: "1 0"}).info.run_id
        with opened(tracker, folder / "next"):
            pass
        assert client.get_run(live.id).info.status == "RUNNING"
    found = client.get_run(dead)
    assert found.info.status == "FAILED"
    assert "was killed, or the machine went down" in found.data.tags["blurr.error"]
    assert client.get_run(elsewhere).info.status == "RUNNING"


def test_a_trial_that_had_finished_is_so_in_mlflow_though_its_process_was_found_dead_first(tracker, client, folder):
    with opened(tracker, folder / "sweep") as parent:
        experiment = client.get_run(parent.id).info.experiment_id
        tags = {**this_process(), PROCESS: dead_process(), PARENT: parent.id, TRIAL: "0"}
        trial = client.create_run(experiment, tags=tags).info.run_id
        with opened(tracker, folder / "next"):
            pass
        assert client.get_run(trial).info.status == "FAILED"
        parent.amend(0, status="FINISHED")
    found = client.get_run(trial)
    assert found.info.status == "FINISHED"
    assert "blurr.error" not in found.data.tags


# -- disks


def test_a_full_disk_ends_the_run_with_a_clear_message_and_the_status_in_mlflow(tracker, client, folder):
    folder.mkdir()
    (folder / "metrics.jsonl").symlink_to("/dev/full")
    with (
        pytest.raises(ResourceError, match=r"metrics\.jsonl cannot be written: No space left"),
        opened(tracker, folder) as run,
    ):
        run.log({"train/loss": 0.5}, step=1)
        run.flush()
    assert client.get_run(run.id).info.status == "FAILED"


def test_a_folder_that_is_a_file_is_an_input_error(tracker, tmp_path):
    (tmp_path / "taken").write_text("")
    with (
        pytest.raises(ResourceError, match=r"taken cannot be written: .*choose another output_dir"),
        opened(tracker, tmp_path / "taken"),
    ):
        pass


def test_writing_names_the_file(tmp_path):
    with pytest.raises(ResourceError, match=r"x/y cannot be written: No such file"), writing(tmp_path / "x/y"):
        (tmp_path / "x/y").write_text("")
