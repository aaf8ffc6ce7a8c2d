"""`blurr predict` and `blurr evaluate`, as a shell calls them."""

import json
import re
import socket
from pathlib import Path

import pytest

from blurr import cli
from blurr.config import composing
from blurr.errors import InputError, ResourceError
from blurr.runs.jsonlines import read_lines
from blurr.serve.commands import pairs, typed


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


def test_evaluate_writes_over_no_run(in_process, saved, work: Path):
    (work / "run.json").write_text('{"identity": "me"}')
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
