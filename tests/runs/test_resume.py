"""A run that dies goes on where it was: the same weights, scores and records as if nothing had happened."""

import json
import shutil
import signal
from collections.abc import Callable
from inspect import signature
from pathlib import Path

import pytest
import running
import torch
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from safetensors import SafetensorError
from safetensors.torch import load_file
from stopping import StopAt

from blurr.config import paths
from blurr.config.trust import quoted
from blurr.errors import InputError, ResourceError
from blurr.models.media import build_media_model
from blurr.models.objects import build_model
from blurr.process.signals import Interrupted
from blurr.runs import resume
from blurr.runs.checksums import seal
from blurr.tracking.finding import find_run
from blurr.training.checkpoints import STATE, WEIGHTS, Checkpointing, latest

STOPPER = "+callbacks.stopper={_target_: stopping.StopAt}"
# two phases, and every callback that has a state
WORDS = [
    *("data.rows=120", "loader.batch_size=8", "schedule=fine_tune", "schedule.epochs=2", "checkpoint.every_steps=3"),
    "callbacks=[ema,gradient_accumulation,save_best,early_stopping]",
    "callbacks.gradient_accumulation.batches=2",
    *running.TINY_BERT,
]


def run(folder: Path, *words: str) -> None:
    running.run(folder, *words, usual=(STOPPER,))


@pytest.fixture
def stop(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def at(batch: int, signum: int | None = None) -> None:
        monkeypatch.setattr(StopAt, "batch", batch)
        monkeypatch.setattr(StopAt, "signum", signum)

    return at


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    run(folder, *WORDS, "tracking=none")
    return folder


def records(folder: Path) -> list[dict[str, float]]:
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    differs = ("time", "identity")
    return [{key: x for key, x in json.loads(line).items() if not key.startswith(differs)} for line in lines]


def assert_same(one: Path, other: Path) -> None:
    a, b = (load_file(folder / "model" / "model.safetensors") for folder in (one, other))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert (one / "metrics.json").read_text() == (other / "metrics.json").read_text()
    assert (one / "predictions.jsonl").read_text() == (other / "predictions.jsonl").read_text()
    assert records(one) == records(other)


@pytest.mark.parametrize("batch", [1, 8, 17, 36], ids=["first batch", "first phase", "within an epoch", "last batch"])
@pytest.mark.slow
def test_a_run_that_broke_down_goes_on_to_the_same_end(work: Path, undisturbed: Path, stop, batch: int):
    stop(batch)
    with pytest.raises(RuntimeError, match="the power is gone"):
        run(work / "out", *WORDS, "tracking=none")
    stop(0)
    run(work / "out", *WORDS, "tracking=none", "resume=auto")
    assert_same(work / "out", undisturbed)
    assert not (work / "out" / "error.txt").exists()


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGUSR1, 138)])
def test_a_signal_is_answered_after_the_step_with_a_checkpoint(work: Path, undisturbed: Path, stop, signum, code):
    before = signal.getsignal(signum)
    stop(16, signum)
    with pytest.raises(Interrupted) as stopped:
        run(work / "out", *WORDS, "tracking=none", "checkpoint.every_steps=null")
    assert stopped.value.code == code
    assert signal.getsignal(signum) is before
    place = latest(work / "out" / "checkpoints").place
    assert (place.fit, place.epoch, place.batch) == (1, 0, 4)
    stop(0)
    run(work / "out", *WORDS, "tracking=none", "checkpoint.every_steps=null", "resume=auto")
    assert_same(work / "out", undisturbed)


WIDE = ("model=auto", "model.weights=pretrained", "data.rows=60", "loader.batch_size=8", "tracking=none")


@pytest.mark.parametrize("words", [[], ["callbacks=[ema,save_best]"]], ids=["", "ema and save_best"])
@pytest.mark.parametrize("switch", [(True, True), (True, False), (False, True)], ids=str)
@pytest.mark.slow
def test_a_run_goes_on_with_compact_embeddings_or_without(work: Path, wide_bert: Path, stop, switch, words):
    common = [*WIDE, f"model.name={wide_bert}", "schedule=gradual_unfreezing", "checkpoint.every_steps=2", *words]
    begun, resumed = (f"model.compact_embeddings={str(each).lower()}" for each in switch)
    stop(16)  # in the last of three phases, which trains the embedding
    with pytest.raises(RuntimeError, match="the power is gone"):
        run(work / "out", *common, begun)
    stop(0)
    run(work / "out", *common, resumed, "resume=auto")
    run(work / "whole", *common, "model.compact_embeddings=false")
    a, b = (load_file(work / name / "model" / "model.safetensors") for name in ("out", "whole"))
    for name, weight in a.items():
        torch.testing.assert_close(weight, b[name], atol=1e-6, rtol=0)


def test_a_resumed_run_is_one_run_in_mlflow_with_every_value_once(work: Path, store_uri: str, client, stop):
    words = [*WORDS, f"tracking.uri={store_uri}", "tracking.experiment=resumed"]
    stop(17)
    with pytest.raises(RuntimeError):
        run(work / "out", *words)
    stop(0)
    run(work / "out", *words, "resume=auto")
    (found,) = client.search_runs([client.get_experiment_by_name("resumed").experiment_id])
    assert found.info.status == "FINISHED"
    for key in ("train/loss", "valid/loss"):
        values = {(value.step, value.value) for value in client.get_metric_history(found.info.run_id, key)}
        written = [(row["step"], row[key]) for row in records(work / "out") if key in row]
        assert len(client.get_metric_history(found.info.run_id, key)) == len(written)
        assert values == set(written)


@pytest.mark.slow
@pytest.mark.parametrize("task", sorted(paths.options("task")))
def test_every_task_goes_on_to_the_same_end(work: Path, stop, task: str):
    words = [f"task={task}", "tracking=none", "data.rows=60", "schedule.epochs=2", "checkpoint.every_steps=2"]
    words.append("loader.batch_size=8")
    run(work / "whole", *words)
    stop(7)
    with pytest.raises(RuntimeError):
        run(work / "out", *words)
    stop(0)
    run(work / "out", *words, "resume=auto")
    assert_same(work / "out", work / "whole")


KEPT = [
    *("tracking=none", "data.rows=60", "loader.batch_size=8", "callbacks=[cache_frozen_features]"),
    *("checkpoint.every_epochs=1", "checkpoint.every_steps=4", "checkpoint.keep=9"),
]


@pytest.mark.parametrize(
    "words",
    [
        ["schedule=one_cycle", "schedule.epochs=3", "schedule.freeze=true"],
        pytest.param(
            ["task=token_classification", "schedule=constant", "schedule.epochs=3", "schedule.freeze=true"],
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ["task=masked_lm", "schedule=constant", "schedule.epochs=2", "schedule.freeze=true"], marks=pytest.mark.slow
        ),
        ["schedule=fine_tune", "schedule.freeze_epochs=2", "callbacks=[cache_frozen_features,ema]"],
        ["callbacks=[save_best]", "schedule=constant", "schedule.epochs=2"],
    ],
    ids=["rows", "tokens", "masked tokens", "two phases", "a body that is trained"],
)
def test_a_run_goes_on_from_each_of_its_checkpoints_to_the_same_end(work: Path, stop, words: list[str]):
    run(work / "whole", *KEPT, *words)
    checkpoints = sorted((work / "whole" / "checkpoints").glob("step-*"))
    for number, last in enumerate(checkpoints):  # as if the run had been killed after each of them
        broken = work / last.name
        shutil.copytree(work / "whole", broken)
        for later in checkpoints[number + 1 :]:
            shutil.rmtree(broken / "checkpoints" / later.name)
        for name in ("metrics.json", "model", "predictions.jsonl"):
            path = broken / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        run(broken, *KEPT, *words, "resume=auto")
        assert_same(broken, work / "whole")


# -- what a checkpoint is


def test_a_checkpoint_holds_no_pickled_code_and_the_last_ones_stay(work: Path, stop):
    stop(17)
    with pytest.raises(RuntimeError):
        run(work / "out", *WORDS, "tracking=none", "checkpoint.every_steps=1", "checkpoint.keep=2")
    checkpoints = work / "out" / "checkpoints"
    assert sorted(path.name for path in checkpoints.iterdir() if path.is_dir()) == ["step-00000007", "step-00000008"]
    torch.load(latest(checkpoints).folder / STATE, weights_only=True)  # refuses anything but tensors and plain values
    assert load_file(latest(checkpoints).folder / WEIGHTS)


@pytest.fixture(scope="module")
def broken_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("broken")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(RuntimeError):
        patch.setattr(StopAt, "batch", 17)
        run(folder, *WORDS, "tracking=none")
    return folder


@pytest.fixture
def broken(broken_once: Path, work: Path) -> Path:
    """A run that broke down, with checkpoints."""
    return shutil.copytree(broken_once, work / "out")


def test_a_broken_checkpoint_is_refused(broken: Path):
    (latest(broken / "checkpoints").folder / WEIGHTS).write_bytes(b"no weights")
    with pytest.raises(InputError, match=r"checkpoint .*step-.* does not fit: .* Delete it"):
        run(broken, *WORDS, "tracking=none", "resume=auto")


def test_another_config_is_refused_and_named(broken: Path):
    with pytest.raises(InputError, match=r"cannot go on with another config: seed=7 \(was 42\)"):
        run(broken, *WORDS, "tracking=none", "resume=auto", "seed=7", "loader.seed=42")


def test_a_run_without_a_checkpoint_says_that_it_is_trained_from_its_beginning(broken: Path, undisturbed, caplog):
    shutil.rmtree(broken / "checkpoints")
    with caplog.at_level("INFO", "blurr"):
        run(broken, *WORDS, "tracking=none", "resume=auto")
    assert f"{broken} has no checkpoint: the run is trained again from its beginning" in caplog.text
    assert_same(broken, undisturbed)


def test_a_report_or_none_and_what_else_decides_no_weights_may_change(broken: Path):
    config = yaml.safe_load((broken / "config.yaml").read_text())
    resume.check_same(broken, {**config, "report": not config["report"], "threads": 3, "objective": "valid/loss"})


@pytest.mark.parametrize(
    ("place", "error"),
    [
        ("training.checkpoints.torch.save", RuntimeError("PytorchStreamWriter failed writing file data/3")),
        (
            "training.checkpoints.save_model",
            SafetensorError("I/O error: No space left on device"),
        ),
        ("runs.checksums.os.fsync", OSError(28, "No space left on device")),
    ],
    ids=["torch", "safetensors", "the system"],
)
def test_a_disk_that_is_full_is_told_as_that_and_the_last_checkpoint_stays(work: Path, monkeypatch, place, error):
    def full(*arguments):
        raise error

    def written(saving):  # after the first checkpoint
        monkeypatch.setattr(f"blurr.{place}", full)

    monkeypatch.setattr(Checkpointing, "_delete_old", written)
    with pytest.raises(ResourceError, match=r"could not be written: .*(No space|failed writing).*go on with resume="):
        run(work / "out", "tracking=none", "data.rows=40", "checkpoint.every_steps=1")
    assert [each.name for each in (work / "out" / "checkpoints").iterdir()] == ["step-00000001"]
    assert latest(work / "out" / "checkpoints").facts["batch_size"] == 16


def test_other_rows_are_refused(broken: Path):
    file = next(broken.glob("checkpoints/step-*/place.json"))
    file.write_text(json.dumps({**json.loads(file.read_text()), "data": "of other rows"}))
    seal(file.parent)
    with pytest.raises(InputError, match="was trained on other rows"):
        run(broken, *WORDS, "tracking=none", "resume=auto")


def test_a_checkpoint_that_cannot_be_written_ends_in_one_message(work: Path):
    (work / "out").mkdir()
    (work / "out" / "checkpoints").write_text("a file where the folder should be")
    with pytest.raises(ResourceError, match=r"could not be written: .*go on with resume="):
        run(work / "out", "tracking=none", "data.rows=40", "checkpoint.every_steps=1")


# -- what `resume=` names


def leave_a_run(folder: Path, *words: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "overrides.yaml").write_text("\n".join(f"- {word}" for word in words))
    return folder


def test_a_folder_brings_its_words_and_later_ones_win(work: Path):
    folder = leave_a_run(work / "mine", "task=summarization", "seed=3", "output_dir=elsewhere")
    expanded = resume.expand(["resume=mine", "tracking=none"], find_run)
    assert expanded == ["task=summarization", "seed=3", "tracking=none", f"output_dir='{folder}'", "resume=auto"]


@pytest.mark.parametrize("name", ["a b", "it's", "a=b,c", "a\\b", "#a?%41", "日本", "[a]{b}"])
def test_a_folder_of_any_name_is_found_and_quoted_for_what_reads_it(work: Path, name: str):
    folder = leave_a_run(work / name, "seed=3")
    for said in (name, quoted(name)):
        (word,) = (each for each in resume.expand([f"resume={said}"], find_run) if each.startswith("output_dir="))
        assert OverridesParser.create().parse_override(word).value() == str(folder)


def test_auto_takes_the_last_unfinished_run_with_the_same_words(work: Path):
    begun = leave_a_run(work / "outputs/summarization-bart/1", "task=summarization")
    finished = leave_a_run(work / "outputs/summarization-bart/2", "task=summarization")
    (finished / "metrics.json").write_text("{}")
    leave_a_run(work / "outputs/summarization-bart/3", "task=summarization", "seed=3")
    assert f"output_dir='{begun}'" in resume.expand(["task=summarization", "resume=auto"], find_run)


@pytest.mark.parametrize(
    "words",
    [["seed=1"], ["resume=null"], ["resume=auto"], ["resume=auto", "output_dir=x"], ["-m", "resume=auto"]],
    ids=["no resume", "null", "nothing to go on with", "a folder of one's own", "a sweep"],
)
def test_other_words_stay_as_they_are(work: Path, words: list[str]):
    assert resume.expand(words, find_run) == words


def test_a_run_id_is_found_in_mlflow(work: Path, store_uri: str, client):
    folder = leave_a_run(work / "mine", "seed=3")
    experiment = client.get_experiment_by_name("blurr").experiment_id
    made = client.create_run(experiment, tags={"blurr.output_dir": str(folder)})
    assert "seed=3" in resume.expand([f"resume={made.info.run_id}", f"tracking.uri={store_uri}"], find_run)


def test_a_run_that_is_not_there_is_named_with_those_that_are(work: Path):
    leave_a_run(work / "outputs/a/b")
    with pytest.raises(InputError, match=r"There is no run nowhere: no folder of that name, .*outputs/a/b"):
        resume.expand(["resume=nowhere"], find_run)


def test_a_run_of_before_groups_were_chosen_goes_on_with_parts():
    assert "model.groups" in resume.ADDED
    assert signature(build_model).parameters["groups"].default == "parts"
    assert signature(build_media_model).parameters["groups"].default == "parts"
