"""Every command answers what is missing, broken or down in one message, with the exit code of its kind."""

import json
import resource
import sys
from pathlib import Path

import pytest

from blurr import cli
from blurr.config import composing
from blurr.errors import ResourceError
from blurr.report.page import write_report
from blurr.runs.record import Record

DOWN = "http://127.0.0.1:9"
RUN = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def call(work: Path, monkeypatch, capsys):
    """Call `blurr` in this process, in an empty folder; return the exit code and what it says on stderr."""
    monkeypatch.setattr(composing, "prepare_process", composing.register)

    def call(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["blurr", *words])
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            cli.main()
        return int(left.value.code or 0), capsys.readouterr().err

    return call


def commands(place: str) -> dict[str, list[str]]:
    """Every command that reads what a run or a sweep has left, for a place where there is none."""
    return {
        "report": ["report", place],
        "compare": ["compare", place, place],
        "leaderboard": ["leaderboard", place],
        "reproduce": ["reproduce", place],
        "predict": ["predict", place, "--input", "in.csv", "--output", "out.csv"],
        "evaluate": ["evaluate", place, "data=sample"],
        "export": ["export", place, "--output", "new"],
        "push": ["push", place, "me/mine"],
        "serve": ["serve", place, "--port", "0"],
        "track sync": ["track", "sync", place],
        "sweep show": ["sweep", "show", place],
        "sweep best": ["sweep", "best", place],
        "sweep export": ["sweep", "export", place],
    }


@pytest.mark.parametrize("name", commands(""))
def test_a_folder_that_is_missing_or_of_something_else_is_a_mistake(call, work: Path, name: str):
    (work / "in.csv").write_text("text,label\na,b\n")
    (work / "notes").mkdir()
    (work / "notes" / "notes.txt").write_text("nothing of blurr's")
    for place in ("gone", "notes"):
        code, said = call(*commands(place)[name])
        assert code == 2, said
        assert place in said
        assert "Traceback" not in said
    assert sorted(path.name for path in work.iterdir()) == ["in.csv", "notes"]


def test_no_sweep_at_all_is_an_empty_list(call):
    assert call("sweep", "ls") == (0, "")


def test_a_sweep_that_was_killed_before_its_first_trial_is_listed_and_not_shown(call, work: Path, capsys):
    (work / "multirun" / "early").mkdir(parents=True)
    begun = {"event": "sweep", "name": "early", "argv": [], "words": [], "weights": "scratch", "time": 1.0}
    (work / "multirun" / "early" / "ledger.jsonl").write_text(json.dumps(begun) + "\n")
    assert call("sweep", "ls")[0] == 0
    code, said = call("sweep", "show", "early")
    assert (code, "sweep.resume=early" in said) == (2, True)


def test_a_broken_sweep_is_named_and_does_not_hide_the_others(call, work: Path, capsys):
    begun = {"event": "sweep", "name": "early", "argv": [], "words": [], "weights": "scratch", "time": 1.0}
    for name, text in (("early", json.dumps(begun) + "\n"), ("broken", "[1]\n"), ("another", "\0\n")):
        (work / "multirun" / name).mkdir(parents=True)
        (work / "multirun" / name / "ledger.jsonl").write_text(text)
    printed: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rich.console.Console.print", lambda _, table, **__: printed.extend(table.columns[0]._cells))
        code, said = call("sweep", "ls")
    assert printed == ["early"]
    assert code == 2
    assert sorted(line.split("multirun/")[1][:7] for line in said.splitlines()) == ["another", "broken/"]


BROKEN = {
    "config.yaml": (b"a: [", b"\xff\xfe\x00", b"only a text", b""),
    "overrides.yaml": (b"a: b", b"- ["),
    "environment.json": (b"{", b"[]"),
    "facts.json": (b"{", b"[]"),
    "metrics.json": (b"{", b"[1]", b"\x00"),
    "metrics.jsonl": (b'{"step": 1\n{"step": 2, "time": 1}\n', b"\xff\n"),
    "predictions.jsonl": (b"[1,2\n{}\n",),
}


NOT_COMPARED = ("overrides.yaml", "environment.json", "metrics.jsonl")


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(("name", "content"), [(name, each) for name, all_ in BROKEN.items() for each in all_])
def test_a_broken_file_of_a_run_is_named(call, make_run, name: str, content: bytes):
    folder = make_run(name="a")
    (folder / name).write_bytes(content)
    for words in (["report", str(folder)], ["compare", str(folder), str(folder)]):
        code, said = call(*words)
        if words[0] == "compare" and name in NOT_COMPARED:
            assert code == 0, said
            continue
        assert code == 2, said
        assert f"{folder / name}" in said
        assert "as a run of blurr wrote it" in said


@pytest.mark.usefixtures("undrawn")
def test_a_line_that_a_kill_has_cut_off_is_left_out(call, make_run):
    folder = make_run(name="a")
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "ti')
    assert call("report", str(folder))[0] == 0


def test_a_broken_run_does_not_hide_the_others(call, make_run, work: Path, caplog):
    whole, broken = make_run(name="whole"), make_run(name="broken")
    (broken / "metrics.json").write_text("{")
    assert call("leaderboard", str(whole.parent))[0] == 0
    assert "broken is left out: " in caplog.text


DOWNS = {
    "report": ["report", RUN, "--uri", DOWN],
    "compare": ["compare", RUN, RUN, "--uri", DOWN],
    "leaderboard": ["leaderboard", "--experiment", "blurr", "--uri", DOWN],
    "reproduce": ["reproduce", RUN, "--uri", DOWN],
    "predict": ["predict", RUN, "--input", "in.csv", "--output", "out.csv"],
}


@pytest.mark.parametrize("name", DOWNS)
def test_an_mlflow_that_does_not_answer_is_a_failure_of_the_service(call, work: Path, monkeypatch, name: str):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", DOWN)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    (work / "in.csv").write_text("text\na\n")
    code, said = call(*DOWNS[name])
    assert code == 1, said
    assert "MLflow" in said
    assert "127.0.0.1:9" in said
    assert "Traceback" not in said


@pytest.mark.usefixtures("undrawn")
def test_a_report_that_the_disk_does_not_take_is_a_failure_of_the_machine(make_run):
    folder = make_run(name="a")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))  # a page has more bytes
    try:
        with pytest.raises(ResourceError, match=r"cannot be written: File too large"):
            write_report(Record(folder))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not [*folder.glob("report.html"), *folder.glob(".report.html*")]


def test_a_report_is_not_written_where_a_link_leads(call, make_run, tmp_path: Path):
    folder = make_run(name="a")
    (folder / "report.html").symlink_to(tmp_path / "elsewhere")
    code, said = call("report", str(folder))
    assert (code, "report.html is a link to" in said, (tmp_path / "elsewhere").exists()) == (2, True, False)


SPOILED = {
    "empty": "",
    "cut off": '{"a": [1, ',
    "a list": "[1]",
    "zeros": "\0" * 99,
    "a bomb": "a: &a [1]\nb: *a\n",
    "deep": "[" * 9000,
}


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("text", SPOILED.values(), ids=SPOILED)
@pytest.mark.slow
def test_a_broken_record_is_a_mistake_and_nothing_is_drawn_or_written(call, make_run, work: Path, text: str):
    spoiled = {
        "config.yaml": ["report", "compare", "reproduce"],
        "overrides.yaml": ["report", "reproduce", "resume"],
        "environment.json": ["report", "reproduce"],
        "facts.json": ["report", "compare"],
        "metrics.json": ["report", "compare"],
        "run.json": ["report", "compare", "reproduce", "track sync", "resume"],
        "metrics.jsonl": ["report"] if text else [],
        "model/blurr.json": ["predict", "evaluate", "export", "serve"],
        "ledger.jsonl": ["sweep show", "sweep best", "sweep export"],
    }
    (work / "in.csv").write_text("text,label\na,b\n")
    for name, read_by in spoiled.items():
        folder = make_run(name=f"run of {name.replace('/', ' ')}")
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text if name != "metrics.jsonl" else f"{text}\n{text}\n")
        before = sorted(folder.rglob("*"))
        for command in read_by:
            words = {**commands(str(folder)), "resume": ["run", f"resume='{folder}'"]}[command]
            code, said = call(*words)
            assert (code, "Traceback" in said) == (2, False), (command, name, said)
            assert Path(name).name in said, (command, name, said)
        assert sorted(folder.rglob("*")) == before, name
