"""`blurr predict` and `blurr evaluate`, as a shell calls them."""

import io
import json
import os
import re
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
import rich.progress

from blurr import cli
from blurr.config import composing, paths
from blurr.errors import InputError, ResourceError
from blurr.runs.journal import Journal
from blurr.runs.jsonlines import read_lines
from blurr.serve.files import predict_file
from blurr.serve.handlers import pairs, typed
from blurr.serve.predictor import Predictor


@pytest.fixture
def in_process(work: Path, monkeypatch):
    """Call a command here: a process of its own takes seconds to import what it needs."""
    monkeypatch.setattr(composing, "prepare_process", lambda: None)

    def call(*words: str) -> int:
        arguments = cli.commands().parser.parse_args(words)
        return arguments.command(arguments)

    return call


@pytest.fixture
def rows(work: Path) -> Path:
    (work / "in.csv").write_text("review,label\nthe film was good,up\nit is bad,down\n,up\n")
    return work / "in.csv"


def test_predict_writes_a_file_and_names_bad_rows_with_exit_code_1(blurr, saved, work: Path):
    (work / "in.jsonl").write_text('{"text": "good"}\n{"text": 3}\n')
    folder = saved("sequence_classification")[1]
    done = blurr("predict", str(folder.parent), "--input", "in.jsonl", "--output", "out.csv")
    assert done.returncode == 1
    assert "row 2: An item to predict on needs a text under 'text'" in done.stderr
    assert "2 rows in" in done.stderr
    assert "1 of them without a prediction" in done.stderr
    assert (work / "out.csv").read_text().startswith("text,prediction.label")


def test_predict_takes_columns_and_options(in_process, saved, rows: Path, work: Path, capsys):
    words = ("--input", "in.csv", "--output", "out.jsonl", "--column", "text=review", "--option", "threshold=0.4")
    assert in_process("predict", str(saved("sequence_classification")[1]), *words) == 0
    assert "3 rows in" in capsys.readouterr().err
    first = read_lines(work / "out.jsonl")[0]
    assert first["review"] == "the film was good"
    assert first["prediction"]["label"] in ("up", "down")


def test_a_text_file_is_one_row_without_labels_and_said_to_be_so(in_process, saved, work: Path, capsys):
    """A file of a text on each line was one row in silence, and was to be scored though it has no labels."""
    (work / "in.txt").write_text("the film was good\n\nit is bad\n")
    folder = str(saved("sequence_classification")[1])
    assert in_process("predict", folder, "--input", "in.txt", "--output", "out.csv") == 0
    told = capsys.readouterr().err
    assert "in.txt was read as one text. --format lines reads its 2 lines." in told
    assert "blurr serve" in told
    assert "blurr evaluate" not in told
    assert in_process("predict", folder, "--input", "in.txt", "--output", "out.csv", "--format", "lines") == 0
    assert "was read as one text" not in capsys.readouterr().err


def test_evaluate_writes_over_no_run(in_process, saved, work: Path):
    Journal(identity="me").write(work)
    with pytest.raises(InputError, match=r"--output \. holds a run, whose scores and predictions stay"):
        in_process("evaluate", str(saved("sequence_classification")[1]), "data=sample", "--output", ".")


def test_evaluate_prints_and_writes_the_scores(in_process, saved, rows: Path, work: Path, capsys):
    rows.write_text(rows.read_text().replace("\n,up", ""))
    words = ("data=files", "data.test=in.csv", "data.columns.text=review", "metrics=[accuracy]", "--output", "scores")
    assert in_process("evaluate", str(saved("sequence_classification")[1]), *words) == 0
    scores = json.loads((work / "scores" / "metrics.json").read_text())
    assert re.search(rf"test/accuracy +{scores['test/accuracy']:.4g}", capsys.readouterr().out)


def test_a_model_that_is_not_there_is_answered(in_process):
    words = ("predict", "nowhere", "--input", "in.csv", "--output", "out.csv")
    with pytest.raises(InputError, match="There is no folder nowhere"):
        in_process(*words)
    with pytest.raises(InputError, match="--batch-size 0: a batch has at least one row"):
        in_process(*words, "--batch-size", "0")


def test_options_are_read_as_their_types():
    types = {"num_beams": int, "top_p": float, "do_sample": bool}
    assert typed({"num_beams": "4", "top_p": "0.5", "do_sample": "true"}, types) == {
        "num_beams": 4,
        "top_p": 0.5,
        "do_sample": True,
    }
    with pytest.raises(InputError, match="--option num_beams=many: must be of type int"):
        typed({"num_beams": "many"}, types)
    with pytest.raises(InputError, match="--option top_p=nan: must be of type float"):
        typed({"top_p": "nan"}, types)
    with pytest.raises(InputError, match="--column review: give a name and a value"):
        pairs("--column", ["review"])


def test_a_port_that_another_program_has_is_answered_before_the_model_is_loaded(in_process):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        with pytest.raises(ResourceError, match=f"--port {port}: another program uses this port"):
            in_process("serve", "nowhere", "--port", port)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--port", "70000"), "--port 70000: a port is a number from 0 to 65535"),
        (("--host", "192.0.2.1"), "--host 192.0.2.1 --port 8000: this machine cannot listen there"),
        (("--host", "no such host"), "--host no such host --port 8000: this machine cannot listen there"),
        (("--timeout", "0"), "--timeout and --max-bytes must be above 0"),
        (("--timeout", "inf"), "--timeout and --max-bytes must be above 0"),
        (("--port", "0", "--token", ""), "--token is empty. Give a long random word"),
        (("--port", "0", "--allowed-hosts", ""), "--allowed-hosts '' has no name"),
    ],
)
def test_a_place_to_listen_at_that_there_is_not_is_a_mistake(in_process, words, said):
    with pytest.raises(InputError, match=said):
        in_process("serve", "nowhere", *words)


def test_a_text_is_predicted_on_from_the_command_line(in_process, saved, capsys):
    folder = str(saved("sequence_classification")[1])
    assert in_process("predict", folder, "--text", "the film was good", "--text", "a = b") == 0
    out, told = capsys.readouterr()
    assert [json.loads(line)["label"] in ("up", "down") for line in out.splitlines()] == [True, True]
    assert told == ""


def test_texts_are_given_by_role_where_a_model_reads_several(in_process, saved, capsys):
    folder = str(saved("question_answering")[1])
    words = ("--text", "question=Who came?", "--text", "context=Ann came.")
    assert in_process("predict", folder, *words) == 0
    assert "answer" in json.loads(capsys.readouterr().out)
    with pytest.raises(InputError, match=r"This model reads .*\. Name each: --text "):
        in_process("predict", folder, "--text", "Who came?")
    with pytest.raises(InputError, match="--text lacks the context: --text context=…"):
        in_process("predict", folder, *words[:2])
    with pytest.raises(InputError, match="--text has the question twice"):
        in_process("predict", folder, *words, *words[:2])


@pytest.mark.parametrize(
    ("piped", "flags"),
    [
        ("the film was good\nit is bad\n", ["-"]),
        ('{"text": "the film was good"}\n{"text": "it is bad"}\n', ["--input", "-"]),
        ("review,n\nthe film was good,1\nit is bad,2\n", ["-", "--format", "csv", "--column", "text=review"]),
    ],
    ids=["lines", "jsonl", "csv"],
)
def test_what_is_piped_in_is_predicted_on_and_stdout_holds_rows_alone(
    in_process, saved, piped, flags, capsys, monkeypatch
):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(piped.encode())))
    assert in_process("predict", str(saved("sequence_classification")[1]), *flags) == 0
    out, told = capsys.readouterr()
    assert [json.loads(line)["prediction"]["label"] in ("up", "down") for line in out.splitlines()] == [True, True]
    assert "2 rows in" in told


def test_lines_are_too_little_for_a_model_that_reads_several_texts(in_process, saved, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"Who came?\n")))
    with pytest.raises(InputError, match=r"A line holds one text, and this model reads .*: pipe JSON lines"):
        in_process("predict", str(saved("question_answering")[1]), "-")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "blurr predict reads either --text or --input"),
        (("--text", "a", "--input", "b.csv"), "blurr predict reads either --text or --input"),
        (("--text", "a", "--output", "b.csv"), "--text answers on stdout"),
    ],
)
def test_one_source_of_rows_is_asked_for_before_a_model_is_loaded(in_process, words, said):
    with pytest.raises(InputError, match=said):
        in_process("predict", "nowhere", *words)


def test_the_bar_moves_with_every_batch_and_counts_small_files_first(saved, work: Path, monkeypatch):
    shares = []
    move = rich.progress.Progress.update
    monkeypatch.setattr(
        rich.progress.Progress, "update", lambda bar, *a, **k: (shares.append(k["completed"]), move(bar, *a, **k))
    )
    (work / "in.csv").write_text("\n".join(["text", *(f"film {i}" for i in range(20))]))
    predictor = Predictor.load(saved("sequence_classification")[1], batch_size=4)
    predict_file(predictor, "in.csv", work / "out.jsonl")
    assert shares == sorted(shares)
    assert shares[0] == 0
    assert shares[-1] == 1
    assert len(set(shares)) >= 6


@pytest.mark.slow
def test_a_server_says_where_it_answers_once_it_does(blurr, saved, work: Path):
    folder = saved("sequence_classification")[1]
    with start_server(folder, "--log", work=work) as process:
        said = [process.stderr.readline() for _ in range(3)]
        address = said[0].split()[0]
        with urllib.request.urlopen(f"{address}/health", timeout=30) as answer:
            assert answer.status == 200
        logged = process.stderr.readline()
        process.terminate()
    assert "a page to try it" in said[0]
    assert said[1].split()[0] == f"{address}/docs"
    assert said[2] == "ready; Ctrl-C ends it\n"
    assert re.fullmatch(r"\d\d:\d\d:\d\d GET /health 200 \d+ ms\n", logged)


def start_server(folder: Path, *words: str, work: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "ignore", "-m", "blurr", "serve", str(folder), "--port", "0", *words]
    environment = {**os.environ, "PYTHONPATH": str(paths.PACKAGE.parent)}
    return subprocess.Popen(command, cwd=work, env=environment, stderr=subprocess.PIPE, text=True)
