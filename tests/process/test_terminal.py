"""What a terminal shows from the first moment on, and what a pipe gets instead."""

import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from blurr.config import composing, paths
from blurr.process import terminal
from blurr.runs import opening

ROOT = Path(__file__).parents[2]
MOST_SECONDS = 1.0  # of CPU time, until the first line is there
TINY = ("model.weights=scratch", "data.rows=40", "schedule.epochs=1", "tracking=none", "report=false")


def typed(words: list[str], folder: Path) -> tuple[int, subprocess.Popen]:
    """Start a command on a terminal of its own; return its end of it."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"}
    process = subprocess.Popen(
        [sys.executable, "-m", *words], stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder, env=environment
    )
    os.close(theirs)
    return ours, process


def rest_of(screen: int) -> str:
    """Read all that is still written to a terminal, until it is closed."""
    parts = []
    try:
        while part := os.read(screen, 65536):
            parts.append(part)
    except OSError:  # what Linux raises once nobody has it open
        pass
    os.close(screen)
    return b"".join(parts).decode()


@pytest.mark.parametrize(
    ("words", "first"),
    [
        (["blurr", "run", "task=summarization", "model=t5"], "Training t5 for summarization on sample, in outputs/"),
        (["blurr.run", "data=imdb", "output_dir=out"], "Training bert for sequence_classification on imdb, in out "),
        (["blurr.run", "-m", "seed=1,2", "sweep.name=two"], "Sweeping seed=1,2: .* on sample, in multirun/two"),
        (["blurr.cli", "predict", "outputs/x", "--input=a.csv", "--output=b.csv"], "blurr predict outputs/x: loading"),
    ],
    ids=["run", "module", "sweep", "predict"],
)
def test_the_first_line_stands_in_the_terminal_after_a_second_of_work(tmp_path: Path, words, first: str):
    screen, process = typed(words, tmp_path)
    said = b""
    while b"0:00:0" not in said:  # the line has begun to move
        said += os.read(screen, 65536)
        times = psutil.Process(process.pid).cpu_times()
    process.kill()
    process.wait()
    os.close(screen)
    shown = said.decode().replace("\r\n", " ")
    assert times.user + times.system <= MOST_SECONDS
    assert re.search(first, shown)


def test_a_mistake_removes_the_moving_line_and_shows_the_cursor(tmp_path: Path):
    screen, process = typed(["blurr", "run", "model=brt"], tmp_path)
    said = rest_of(screen)
    assert process.wait() == 2
    assert said.count("\x1b[?25h") == said.count("\x1b[?25l") >= 1
    last = said.rsplit("\x1b[2K", 1)[1]
    assert "model=brt: there is no such option. Did you mean 'bert'?" in last + said


def test_a_refused_flag_is_answered_alone_in_lines_that_break_between_words(tmp_path: Path):
    screen, process = typed(["blurr", "run", "--epochs", "3"], tmp_path)
    lines = rest_of(screen).splitlines()
    assert process.wait() == 2
    assert len(lines) > 1
    assert max(map(len, lines)) <= 80
    assert " ".join(line.strip() for line in lines) == (
        "There is no flag '--epochs'. Values are set without dashes: schedule.epochs=3. `blurr run --help` shows the "
        "flags, the groups and the usual keys."
    )


def test_ctrl_c_ends_a_start_on_a_line_of_its_own(tmp_path: Path):
    screen, process = typed(["blurr", "run"], tmp_path)
    said = b""
    while b"\x1b[?25l" not in said:
        said += os.read(screen, 65536)
    process.send_signal(signal.SIGINT)
    said += rest_of(screen).encode()
    assert process.wait() == 130
    last = b"\r\x1b[2K\x1b[?25hInterrupted. No step was taken: there is nothing to go on with.\r\n"
    assert said.endswith(last)


@pytest.mark.parametrize("group", ["data", "task", paths.EXPERIMENTS])
@pytest.mark.slow
def test_the_first_line_names_the_options_that_hydra_chooses(work, group: str):
    from hydra.core.hydra_config import HydraConfig

    for option in paths.options(group):
        composing.compose([f"{group}={option}"])
        chosen = HydraConfig.get().runtime.choices
        expected = {name: str(chosen[name]) for name in ("data", "task", "model")}
        found = opening.choices({group: option})
        assert {name: found[name] for name in expected} == expected, option


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["resume=outputs/x"], "Going on with the run outputs/x"),
        (["sweep.resume=mine"], "Going on with the sweep mine"),
        (
            ["model=auto", "model.name=./minilm", "data=files", "data.train=a.csv", "output_dir=o"],
            "Training ./minilm for sequence_classification on a.csv, in o",
        ),
        (["-m", "model=bert,t5", "seed=1"], "Sweeping model=bert,t5: sequence_classification on sample, in multirun/…"),
    ],
    ids=["resume", "sweep.resume", "files", "sweep"],
)
def test_the_first_line_is_read_from_the_words(words, line):
    assert opening.line_of(words) == line


def test_a_file_that_includes_itself_or_is_broken_leaves_the_answer_to_composing(work):
    (work / "data").mkdir()
    (work / "data" / "round.yaml").write_text("defaults: [round, {override /task: translation}]\n")
    (work / "data" / "broken.yaml").write_text("defaults: [\n")
    assert opening.choices({"data": "round"})["task"] == "translation"
    assert opening.choices({"data": "broken"})["task"] == "sequence_classification"


@pytest.mark.parametrize("words", [["run", "--cfg", "job"], ["run", "--help"], ["ls"], ["predict", "-h"], []], ids=str)
def test_what_is_answered_at_once_has_no_first_line(words, capsys):
    opening.announce(words)
    assert capsys.readouterr().err == ""
    assert terminal._moving.process is None


def test_a_pipe_gets_each_phase_once_as_a_line_and_no_control_characters(blurr, work):
    done = blurr("run", *TINY, "output_dir=out")
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stderr + done.stdout
    lines = done.stderr.splitlines()
    assert lines[0] == "Training bert for sequence_classification on sample, in out"
    phases = ["Reading rows", "Loading the model", "Encoding rows", "Evaluating valid", "Saving the model"]
    assert [line for line in lines if line in phases] == phases
    logged = (work / "out" / "blurr.log").read_text()
    assert all(f": {name}\n" in logged for name in phases)


@pytest.mark.slow
def test_a_run_in_a_terminal_ends_with_its_table_and_nothing_that_moved(tmp_path: Path):
    pyte = pytest.importorskip("pyte")
    start = time.monotonic()
    screen, process = typed(["blurr", "run", *TINY, "output_dir=out"], tmp_path)
    shown = pyte.HistoryScreen(80, 50)
    pyte.Stream(shown).feed(rest_of(screen))
    assert process.wait() == 0, time.monotonic() - start
    lines = [line.rstrip() for line in shown.display]
    assert lines[0] == "Training bert for sequence_classification on sample, in out"
    assert not [line for line in lines if re.search("Loading|Encoding|Evaluating|━", line)]
    assert any(line.startswith("valid/accuracy") for line in lines)
