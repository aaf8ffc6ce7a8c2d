"""A folder is one run: nothing is written over, and nothing else is lost."""

import json
from pathlib import Path

import pytest

from blurr.errors import InputError
from blurr.runs import folder as files
from blurr.runs.asides import aside
from blurr.runs.checksums import seal
from blurr.runs.folder import check_log, claimed, has_steps, holds_run, identity_of, is_alive

ME = "0123456789abcdef"


def leave_a_run(folder: Path, *, steps: int = 3, identity: str | None = ME) -> Path:
    """Leave what a run leaves, of whatever content."""
    folder.mkdir(exist_ok=True)
    known = {} if identity is None else {"identity": identity}
    artifacts = {f"{folder}/valid_own.txt": None, f"{folder}/data.csv": None}
    (folder / files.RECORD).write_text(
        json.dumps({**known, "run_id": "of MLflow", "status": None, "artifacts": artifacts})
    )
    lines = [
        {**(known if step == 1 else {}), "step": step, "time": 1.0, "train/loss": 1.0} for step in range(1, steps + 1)
    ]
    (folder / files.METRICS).write_text("".join(json.dumps(line) + "\n" for line in lines))
    names = ["config.yaml", "overrides.yaml", "environment.json", "facts.json", "predictions.jsonl", "blurr.log"]
    names += ["valid_entities.txt", "valid_own.txt", "report.html", "plots/loss.png", "plots/metrics_2.png"]
    names += ["plots/validation_confusion.png", "lr_find.png"]
    if steps:
        names += ["checkpoints/step-00000003/state.pt", "checkpoints/best.pth", f"checkpoints/.{'0a' * 16}/state.pt"]
        names += ["model/README.md", "model/MLmodel", ".model.part/config.json"]
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("of the run")
    if steps:
        made = folder / "model"
        (made / "weights.of-another-kind").write_text("of the run")
        seal(made, identity=identity)
    return folder


def those_of(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def refused(folder: Path, words: str, **how: bool) -> None:
    with pytest.raises(InputError, match=words), claimed(folder, **how):
        pass


def test_an_empty_folder_is_taken_and_given_back_as_it_was(tmp_path: Path):
    with claimed(tmp_path / "out") as claim:
        assert not claim.goes_on
        assert is_alive(tmp_path / "out")
    assert not is_alive(tmp_path / "out")
    assert those_of(tmp_path) == set()


@pytest.mark.parametrize(
    ("scores", "said"), [(False, "unfinished, at step 3"), (True, "finished")], ids=["unfinished", "finished"]
)
def test_a_run_is_not_written_over(tmp_path: Path, scores: bool, said: str):
    out = leave_a_run(tmp_path / "out")
    if scores:
        (out / files.SCORES).write_text("{}")
    before = {name: (out / name).read_bytes() for name in those_of(out)}
    refused(out, rf"holds the run {ME} \({said}\).*resume=.*output_dir; or overwrite=true")
    assert {name: (out / name).read_bytes() for name in those_of(out)} == before


def test_overwriting_deletes_the_files_of_the_run_and_nothing_else(tmp_path: Path):
    out = leave_a_run(tmp_path)
    mine = [
        "data.csv",
        "notes.txt",
        "model/mine.yaml",
        "model/my.json",
        "plots/mine.png",
        "plots/mine.svg",
        "checkpoints/mine/step-1/x",
        "train_x.txt",
        "test_data.txt",
    ]
    mine += ["metrics.csv", "report.md", "src/config.yaml", "outputs/a/b/run.json", "checkpoints/.mine/state.pt"]
    for name in mine:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text("mine")
    with claimed(out, overwrite=True) as claim:
        assert not claim.goes_on
        assert claim.identity != ME
    assert those_of(out) == {*mine, "blurr.log"}
    assert (out / "blurr.log").read_text() == ""
    assert all((out / name).read_text() == "mine" for name in mine)


def test_files_that_no_run_left_are_not_written_over_either(tmp_path: Path):
    (tmp_path / "config.yaml").write_text("mine")
    for overwrite in (False, True):
        refused(tmp_path, r"has config\.yaml, which a run would write over, and no run\.json", overwrite=overwrite)
    assert (tmp_path / "config.yaml").read_text() == "mine"


def test_a_run_of_an_earlier_blurr_can_be_gone_on_with_and_not_be_overwritten(tmp_path: Path):
    out = leave_a_run(tmp_path / "out", identity=None)
    refused(out, "resume=.*goes on with the run of an earlier blurr", overwrite=True)
    with claimed(out, goes_on=True) as claim:
        assert claim.goes_on


def test_a_run_that_made_no_step_blocks_nothing(tmp_path: Path):
    out = leave_a_run(tmp_path / "out", steps=0)
    assert holds_run(out)
    assert not has_steps(out)
    with claimed(out) as claim:
        assert claim.identity != ME
    assert those_of(out) == {"blurr.log"}


@pytest.mark.parametrize("how", [{}, {"overwrite": True}, {"goes_on": True}], ids=str)
def test_a_run_that_is_alive_is_neither_overwritten_nor_gone_on_with(tmp_path: Path, how: dict):
    out = leave_a_run(tmp_path / "out")
    with claimed(out, goes_on=True):
        before = those_of(out)
        refused(out, rf"A process works on the run {ME}", **how)
        assert those_of(out) == before


def test_a_run_that_goes_on_keeps_its_identity(tmp_path: Path):
    out = leave_a_run(tmp_path / "out")
    with claimed(out, goes_on=True, overwrite=True) as claim:
        assert (claim.goes_on, claim.identity) == (True, ME)


def test_what_a_kill_has_left_half_written_is_gone_once_the_run_goes_on(tmp_path: Path):
    out = leave_a_run(tmp_path / "out")
    before = those_of(out)
    half = [out / "run.json", out / "checkpoints" / "step-00000007" / "state.pt", out / "model" / "config.json"]
    for path in half[1:]:
        aside(path.parent).mkdir()
        (aside(path.parent) / path.name).parent.mkdir()
    aside(half[0]).write_text("{")
    aside(out / "model" / "README.md").write_text("half")
    with claimed(out, goes_on=True):
        left = {path.name for path in out.rglob("*") if path.name.startswith(".") or path.name.endswith(".part")}
        assert left == set()
        assert those_of(out) == {name for name in before if not name.startswith((".", "checkpoints/."))} | {"run.lock"}


def test_a_sweep_is_not_written_over(tmp_path: Path):
    out = leave_a_run(tmp_path / "out")
    (out / files.LEDGER).write_text("")
    refused(out, "holds a sweep, and no run writes over it", overwrite=True)
    refused(out, "holds a sweep, and no run writes over it or goes on with it", goes_on=True)


@pytest.mark.parametrize("text", ["[1]", "{", "", '{"identity": 3}'], ids=["a list", "cut off", "empty", "a number"])
def test_a_record_that_is_broken_names_no_run(tmp_path: Path, text: str):
    (tmp_path / files.RECORD).write_text(text)
    for ask in (identity_of, lambda folder: claimed(folder, overwrite=True).__enter__()):
        with pytest.raises(
            InputError, match=r"run\.json cannot be read as a run of blurr wrote it: .* Put back a copy"
        ):
            ask(tmp_path)


def test_metrics_of_another_run_are_refused(tmp_path: Path):
    out = leave_a_run(tmp_path / "out")
    check_log(out, ME)
    with pytest.raises(InputError, match=rf"metrics\.jsonl is of the run {ME}, and .* holds the run other"):
        check_log(out, "other")
    (out / files.METRICS).unlink()
    check_log(out, "other")
