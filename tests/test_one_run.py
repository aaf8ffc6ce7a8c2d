"""A folder is one run, from its first moment to its last; and what was written is checked when it is read."""

import json
import logging
import random
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import running
import torch
from fastai.callback.core import Callback
from stopping import StopAt

from blurr.errors import InputError
from blurr.runs import folder as files
from blurr.runs import resume
from blurr.runs.checksums import SEAL, sealed_by
from blurr.runs.folder import claimed, identity_of
from blurr.runs.jsonlines import read_lines
from blurr.runs.record import Record
from blurr.serve.model_folder import check_model
from blurr.serve.predictor import Predictor
from blurr.tracking.finding import find_run
from blurr.tracking.run import Run
from blurr.tracking.sink import Sink
from blurr.training.checkpoints import STATE, WEIGHTS, Checkpointing, Checkpoints, latest
from blurr.training.progress import TerminalProgress

STOPPER = "+callbacks.stopper={_target_: stopping.StopAt}"
WORDS = ["data.rows=40", "loader.batch_size=8", "schedule.epochs=2", STOPPER, *running.TINY_BERT]
WORDS += ["checkpoint.every_steps=2", "checkpoint.keep=2", "schedule=constant"]


def run(folder: Path, *words: str) -> None:
    tracked = any(word.startswith("tracking") for word in words)
    running.run(folder, *words, usual=(*WORDS, *(() if tracked else ("tracking=none",))))


@pytest.fixture(scope="module")
def broken_once(tmp_path_factory) -> Path:
    """A run that broke down in its seventh batch, with checkpoints at steps 4 and 6."""
    folder = tmp_path_factory.mktemp("broken")
    StopAt.batch = 7
    try:
        with pytest.raises(RuntimeError, match="the power is gone"):
            run(folder)
    finally:
        StopAt.batch = 0
    return folder


@pytest.fixture
def broken(broken_once: Path, work: Path) -> Path:
    return shutil.copytree(broken_once, work / "out")


@pytest.fixture(scope="module")
def finished(broken_once: Path, tmp_path_factory) -> Path:
    """The same run, gone on with to its end."""
    folder = shutil.copytree(broken_once, tmp_path_factory.mktemp("finished") / "out")
    run(folder, "resume=auto")
    return folder


def first_line(folder: Path) -> dict:
    return json.loads((folder / files.METRICS).read_text().partition("\n")[0])


def test_the_identity_stands_in_all_that_a_run_leaves_and_a_resumed_run_keeps_it(broken_once: Path, finished: Path):
    identity = identity_of(broken_once)
    assert identity
    for folder in (broken_once, finished):
        assert identity_of(folder) == first_line(folder)["identity"] == identity
        for place in (folder / "checkpoints").glob("step-*/place.json"):
            assert json.loads(place.read_text())["identity"] == identity
    assert sealed_by(finished / "model") == identity
    assert Record(finished).identity == identity
    assert identity in Record(finished).name
    assert (finished / files.METRICS).read_text().count("identity") == 1


def test_another_run_in_the_folder_is_refused_and_leaves_the_first_as_it_was(broken: Path):
    before = (broken / "config.yaml").read_bytes()
    with pytest.raises(InputError, match=r"holds the run .* at step 6\)\. Go on with it: resume=.*overwrite=true"):
        run(broken, "optimizer.lr=3e-3")
    assert (broken / "config.yaml").read_bytes() == before
    assert latest(broken / "checkpoints").folder.name == "step-00000006"


def test_an_overwritten_folder_holds_the_new_run_alone(broken: Path, monkeypatch):
    (broken / "mine.txt").write_text("mine")
    identity = identity_of(broken)
    monkeypatch.setattr(StopAt, "batch", 3)
    with pytest.raises(RuntimeError):
        run(broken, "optimizer.lr=3e-3", "overwrite=true")
    monkeypatch.setattr(StopAt, "batch", 0)
    assert [path.name for path in (broken / "checkpoints").iterdir()] == ["step-00000002"]
    assert identity_of(broken) == latest(broken / "checkpoints").facts["identity"] != identity
    assert [row["train/lr"] for row in read_lines(broken / files.METRICS)] == [3e-3, 3e-3]
    assert (broken / "mine.txt").read_text() == "mine"


def test_a_resumed_run_says_so_above_its_table(broken: Path, monkeypatch, caplog):
    """It was said below the header, as if it were an epoch."""
    above = []
    begin = TerminalProgress.before_fit
    monkeypatch.setattr(TerminalProgress, "before_fit", lambda self: (above.append(caplog.text), begin(self)))
    with caplog.at_level("INFO", logger="blurr"):
        run(broken, "resume=auto")
    assert f"Resuming at step 6, from {broken}" in above[0]
    assert caplog.text.count("Resuming") == 1


def test_a_checkpoint_of_another_run_is_refused(broken: Path):
    record = json.loads((broken / files.RECORD).read_text())
    (broken / files.RECORD).write_text(json.dumps({**record, "identity": "another", "checksum": None}))
    (broken / files.METRICS).unlink()
    with pytest.raises(InputError, match=r"step-00000006 is a checkpoint of the run .*, and .* holds the run another"):
        run(broken, "resume=auto")


def test_a_rollback_goes_back_within_its_own_run_alone(broken: Path):
    for known, said in (("another", "is a checkpoint of the run"), (None, None)):
        saving = Checkpointing(Checkpoints(), broken / "checkpoints", lambda known=known: {"identity": known})
        saving.learn = Callback()
        if said:
            with pytest.raises(InputError, match=said):
                saving.go_back()
    shutil.rmtree(broken / "checkpoints")
    with pytest.raises(InputError, match="finds no checkpoint in .* to go back to"):
        saving.go_back()


def test_a_resumed_run_whose_records_are_of_another_is_refused(broken: Path):
    (broken / files.METRICS).write_text('{"identity": "another", "step": 1, "time": 1.0}\n')
    with pytest.raises(InputError, match=r"metrics\.jsonl is of the run another"):
        run(broken, "resume=auto")


def test_logged_values_that_have_changed_are_not_gone_on_with(broken: Path):
    file = broken / files.METRICS
    whole = file.read_text()
    for changed in (whole.replace("0.", "1.", 1), "", whole.partition("\n")[2]):
        file.write_text(changed)
        with pytest.raises(InputError, match=r"metrics\.jsonl is not as it was when .*or move it away"):
            run(broken, "resume=auto")
    file.unlink()
    run(broken, "resume=auto")
    assert (broken / files.SCORES).is_file()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
def test_a_spoiled_state_without_checksums_is_refused_or_gone_on_with(broken: Path, seed: int):
    step, rng = latest(broken / "checkpoints").folder, random.Random(seed)
    (step / SEAL).unlink()
    state = torch.load(step / STATE, weights_only=True)
    if seed % 2:
        keys = [key for key in state if seed % 4 == 1 or isinstance(state[key], dict)]
        inside = state if seed % 4 == 1 else state[rng.choice(keys)]
        key = rng.choice(list(inside))
        inside[key] = rng.choice([None, 3, -1, "x", [], {}, [None], {"x": 1}, 2**70, 1e308, torch.zeros(2)])
        torch.save(state, step / STATE)
    else:
        file = step / rng.choice([STATE, WEIGHTS])
        data = bytearray(file.read_bytes())
        start = rng.randrange(len(data))
        data[start : start + rng.choice([1, 40])] = rng.choice([b"", b"\xff", b"\0" * 40])
        file.write_bytes(data[: rng.choice([start, len(data)])])
    with suppress(InputError, FloatingPointError):  # nothing else is raised
        run(broken, "resume=auto")


# -- the first moment


class Killed(BaseException):
    """Ends a run as `kill -9` does: nothing is closed or written any more."""


@pytest.mark.parametrize(
    ("moment", "place"),
    [("mlflow is open", "blurr.tracking.run.journal_of"), ("no config yet", "blurr.tracking.run.Run.describe")],
)
@pytest.mark.slow
def test_a_run_that_is_killed_in_its_first_moments_goes_on_in_the_same_mlflow_run(
    work: Path, store_uri: str, client, monkeypatch, moment, place
):
    words = (f"tracking.uri={store_uri}", f"tracking.experiment={moment}", "schedule.epochs=1")

    def killed(*given, **named):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(place, killed)
        patch.setattr(Run, "__exit__", lambda run_, *given: run_._metrics.close())
        with pytest.raises(Killed):
            run(work / "out", *words)
    assert not (work / "out" / "config.yaml").exists()
    identity = identity_of(work / "out")
    run(work / "out", *words, "resume=auto")
    assert identity_of(work / "out") == identity
    (found,) = client.search_runs([client.get_experiment_by_name(moment).experiment_id])
    assert found.info.status == "FINISHED"
    assert found.data.tags["blurr.identity"] == identity
    assert found.data.params["schedule.epochs"] == "1"
    assert "config.yaml" in {file.path for file in client.list_artifacts(found.info.run_id)}


# -- the last step


class SpoilWeights(Callback):
    """Makes a weight no number: in the last step, or when the fit has ended, as an average may."""

    def __init__(self, when: str) -> None:
        self.when = when

    def spoil(self) -> None:
        with torch.no_grad():
            next(self.model.parameters()).view(-1)[0] = float("nan")

    def after_step(self) -> None:
        if self.when == "last step" and self.epoch == self.n_epoch - 1 and self.iter == self.n_iter - 1:
            self.spoil()

    def after_fit(self) -> None:
        if self.when == "end" and hasattr(self.learn, "opt"):
            self.spoil()


@pytest.mark.parametrize(
    ("when", "said"),
    [
        ("last step", r"weights are not finite after batch 3 of epoch 1, the last one; its training rows are .*lower"),
        ("end", r"The final weights are not finite: .* No model is saved"),
    ],
)
def test_a_run_whose_weights_are_no_numbers_has_not_finished(work: Path, monkeypatch, when, said):
    monkeypatch.setattr(StopAt, "after_step", SpoilWeights.after_step, raising=False)
    monkeypatch.setattr(StopAt, "after_fit", SpoilWeights.after_fit, raising=False)
    monkeypatch.setattr(StopAt, "spoil", SpoilWeights.spoil, raising=False)
    monkeypatch.setattr(StopAt, "when", when, raising=False)
    with pytest.raises(InputError, match=said):
        run(work / "out")
    assert json.loads((work / "out" / files.RECORD).read_text())["status"] == "FAILED"
    assert not (work / "out" / files.SCORES).exists()
    assert not (work / "out" / "model").exists()


# -- a flipped byte


def flip(path: Path, place: int, bit: int = 3) -> Callable[[], int]:
    """Flip a bit of a file; return what puts it back."""
    whole = path.read_bytes()
    changed = bytearray(whole)
    changed[place] ^= 1 << bit
    path.write_bytes(changed)
    return lambda: path.write_bytes(whole)


@pytest.mark.parametrize("name", ["model.safetensors", "state.pt", "place.json", SEAL])
def test_a_flipped_bit_of_a_checkpoint_is_found_and_the_one_before_is_named(broken: Path, name: str):
    checkpoint = latest(broken / "checkpoints")
    last, rng = checkpoint.folder, random.Random(name)
    saving = Checkpointing(Checkpoints(), broken / "checkpoints", dict)
    for _ in range(10):
        put_back = flip(last / name, rng.randrange((last / name).stat().st_size), rng.randrange(8))
        said = rf"step-00000006 does not fit: .*{name} is not as it was written.* from the one before, .*step-00000004"
        with pytest.raises(InputError, match=said):
            saving.restore_from(checkpoint)
        if name in ("place.json", SEAL):  # read before anything else of the run is touched
            with pytest.raises(InputError, match=said):
                latest(broken / "checkpoints")
        put_back()
    shutil.rmtree(last)
    assert latest(broken / "checkpoints").folder.name == "step-00000004"


def test_a_run_does_not_go_on_from_a_checkpoint_that_is_damaged_and_touches_nothing(broken: Path):
    flip(latest(broken / "checkpoints").folder / "model.safetensors", 9_999)
    before = (broken / files.METRICS).read_bytes()
    with pytest.raises(InputError, match="step-00000006 does not fit"):
        run(broken, "resume=auto")
    assert (broken / files.METRICS).read_bytes() == before


def test_the_only_checkpoint_that_does_not_fit_is_said_to_be_that(broken: Path):
    shutil.rmtree(broken / "checkpoints" / "step-00000004")
    (broken / "checkpoints" / "step-00000006" / "place.json").unlink()
    with pytest.raises(InputError, match=r"place\.json is missing\. Delete it to start again, .*checkpoint\.keep=2"):
        latest(broken / "checkpoints")


def test_a_flipped_bit_of_any_file_of_a_model_is_found(finished: Path, work: Path):
    model = shutil.copytree(finished / "model", work / "model")
    names = [path.name for path in model.iterdir() if path.name not in (files.CARD,)]
    assert {"model.safetensors", "config.json", "blurr.json", "tokenizer.json", SEAL} <= set(names)
    rng = random.Random(0)
    for name in names:
        put_back = flip(model / name, rng.randrange((model / name).stat().st_size), rng.randrange(8))
        with pytest.raises(InputError, match=rf"{name} is not as it was written.*blurr run resume=.*delete .*{SEAL}"):
            Predictor.load(model)
        put_back()
    check_model(model)


def test_what_an_earlier_version_left_is_read_and_said(finished: Path, broken: Path, work: Path, caplog):
    caplog.set_level(logging.INFO)
    model = shutil.copytree(finished / "model", work / "model")
    (model / SEAL).unlink()
    check_model(model)
    assert caplog.text.count("model has no checksums") == 1
    for path in broken.glob(f"checkpoints/*/{SEAL}"):
        path.unlink()
    run(broken, "resume=auto")
    assert caplog.text.count("step-00000006 has no checksums") == 1


# -- what `resume=` names


@pytest.fixture
def runs(work: Path) -> Callable[..., Path]:
    """Leave runs as those that died leave them."""

    def leave(name: str, *words: str, identity: str = "me", **record: str) -> Path:
        folder = work / "outputs" / "a" / name
        folder.mkdir(parents=True)
        (folder / files.OVERRIDES).write_text("".join(f"- {word}\n" for word in words) or "[]")
        (folder / files.RECORD).write_text(json.dumps({"identity": identity, "run_id": None, "status": None, **record}))
        return folder

    return leave


def test_last_takes_the_last_unfinished_run_whatever_its_words(runs):
    runs("1", "seed=1")
    second = runs("2", "seed=2")
    (runs("3", "seed=3") / files.SCORES).write_text("{}")
    with claimed(runs("4", "seed=4"), goes_on=True):
        assert resume.expand(["resume=last"], find_run) == ["seed=2", f"output_dir='{second}'", "resume=auto"]


def test_last_refuses_where_there_is_none_and_where_a_folder_is_named(work: Path, runs):
    with pytest.raises(InputError, match=r"resume=last: there is no unfinished run in .*outputs"):
        resume.expand(["resume=last"], find_run)
    runs("1")
    with pytest.raises(InputError, match=r"resume=last finds the folder itself, and output_dir=x names one"):
        resume.expand(["resume=last", "output_dir=x"], find_run)


def test_auto_leaves_a_run_alone_that_is_alive(runs):
    folder = runs("1", "seed=1")
    with claimed(folder, goes_on=True):
        assert resume.expand(["seed=1", "resume=auto"], find_run) == ["seed=1", "resume=auto"]
    assert f"output_dir='{folder}'" in resume.expand(["seed=1", "resume=auto"], find_run)


def test_auto_that_begins_anew_says_so_and_names_the_last_unfinished_run(work: Path, runs):
    assert resume.begins_anew(work / "new") == (
        f"There is no unfinished run with these overrides: a new one begins in {work / 'new'}."
    )
    left = runs("1", "seed=1")
    assert resume.begins_anew(work / "new").endswith(
        f"The last unfinished run is {left}: resume={left} goes on with it."
    )


def test_an_identity_names_its_run(runs):
    runs("1", "seed=1", identity="one")
    other = runs("2", "seed=2", identity="other")
    assert find_run("other") == other
    assert "seed=1" in resume.expand(["resume=one"], find_run)


def test_an_id_whose_folder_holds_another_run_now_is_refused(work: Path, runs, store_uri: str, client):
    folder = runs("1", "seed=1", identity="other")
    tags = {"blurr.output_dir": str(folder), "blurr.identity": "gone"}
    made = client.create_run(client.get_experiment_by_name("blurr").experiment_id, tags=tags)
    for name in (made.info.run_id, "gone"):
        with pytest.raises(InputError, match=rf"The run {name} was in .*, which holds the run other now"):
            find_run(name, uri=store_uri)


def test_a_folder_without_a_run_is_gone_on_with_by_auto_alone(work: Path):
    assert not resume.may_go_on(work, {}, "auto")
    with pytest.raises(InputError, match=r"resume=last: .* holds no run to go on with"):
        resume.may_go_on(work, {}, "last")


def test_an_id_is_not_taken_for_the_run_in_the_launch_folder(work: Path):
    (work / files.CHECKPOINTS).mkdir()
    with pytest.raises(InputError, match="There is no run 0123: no folder of that name"):
        find_run("0123")


def test_a_config_of_something_else_is_not_gone_on_with(work: Path):
    (work / files.CONFIG).write_text("mine: 1\n")
    with pytest.raises(InputError, match=r"holds no run to go on with: it has no overrides\.yaml"):
        resume.expand([f"resume={work}"], find_run)


def test_a_run_that_made_no_step_begins_anew_with_another_config(runs):
    folder = runs("1")
    (folder / files.CONFIG).write_text("seed: 1\n")
    assert resume.may_go_on(folder, {"seed": 1}, "auto")
    assert not resume.may_go_on(folder, {"seed": 2}, "auto")
    (folder / files.METRICS).write_text('{"step": 1}\n')
    assert resume.may_go_on(folder, {"seed": 2}, "auto")


def test_a_run_keeps_its_identity_where_no_line_was_written(work: Path):
    with Run(work, Sink(), identity="me") as run_:
        assert run_.identity == "me"
    assert identity_of(work) == "me"
