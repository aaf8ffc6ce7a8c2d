"""Records are read as strictly as they are written."""

import json
from pathlib import Path

import pytest

from blurr.errors import InputError
from blurr.report.rows import checked
from blurr.runs.checksums import SEAL, Damaged, seal, verify
from blurr.runs.folder import RECORD
from blurr.runs.journal import Journal
from blurr.runs.parsing import parse_json, parse_yaml, validated
from blurr.runs.record import Record
from blurr.runs.shapes import Facts
from blurr.sweep.ledger import Ledger

LONE = '{"a": "\\ud800"}'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1, "a": 2}', "a key stands twice"),
        ("[" * 70 + "]" * 70, "nested more than 60 levels deep"),
        ("[" * 9000, "holds what blurr never writes"),
        ("9" * 400, "a number has 400 digits"),
        (LONE, "surrogates not allowed"),
    ],
    ids=["twice", "deep", "too deep for Python", "digits", "half a pair"],
)
def test_json_that_no_run_writes_is_refused(text: str, message: str):
    with pytest.raises(ValueError, match=message):
        parse_json(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &x [1]\nb: *x", r"an alias \(\*\), which blurr never writes"),
        ("a: 1\na: 2", "a key stands twice"),
        ("- " * 70 + "a", "nested more than 60 levels deep"),
        ("- " * 2000 + "a", "holds what blurr never writes"),
        ("a: 2020-01-01", "holds what blurr never writes .*date"),
        ("a: !!binary aGk=", "holds what blurr never writes .*bytes"),
        ("!!python/object:os.system {}", "could not determine a constructor"),
        ("a: " + "9" * 400, "a number has 400 digits"),
        (LONE, "surrogates not allowed"),
    ],
    ids=["alias", "twice", "deep", "too deep for Python", "date", "bytes", "python", "digits", "half a pair"],
)
def test_yaml_that_no_run_writes_is_refused(text: str, message: str):
    with pytest.raises(ValueError, match=message):
        parse_yaml(text)


def test_a_bomb_of_aliases_is_refused_at_once():
    names = "abcdefghijklmnopqrstuvwxyz"
    bomb = "a: &a [x, x]\n" + "".join(
        f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip(names, names[1:], strict=False)
    )
    with pytest.raises(ValueError, match="alias"):
        parse_yaml(bomb)


FIGURES = {"rows": 1, "tokens": 1, "padding": 0, "batches": 1, "limit": None, "at_limit": 0}
QUANTILES = {"0.0": 1, "0.5": 1, "0.95": 1, "1.0": 1}


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"rows": {"train": -1}}, r"rows\.train is '-1': .*greater than or equal to 0"),
        ({"labels": [1]}, r"labels\.0 is '1'"),
        (
            {"tokens": {"train": {**FIGURES, "quantiles": QUANTILES, "histogram": {"edges": [1], "counts": [1]}}}},
            "1 edges do not fit 1 counts",
        ),
        (
            {"tokens": {"train": {**FIGURES, "quantiles": {}, "histogram": {"edges": [1, 2], "counts": [1]}}}},
            r"of the quantiles there are \[\]",
        ),
    ],
    ids=["a negative number", "a label", "edges", "quantiles"],
)
def test_what_is_wrong_is_named_with_its_place(facts: dict, message: str):
    with pytest.raises(ValueError, match=message):
        validated(Facts, json.dumps(facts))


def test_a_row_of_another_kind_than_the_first_is_named():
    rows = [{"tokens": ["a"], "target": ["O"], "prediction": ["O"], "loss": 1.0} for _ in range(3)]
    assert checked(rows, "words")[1] == "words"
    rows[2] = {**rows[2], "target": ["O", "O"]}
    with pytest.raises(InputError, match=r"Row 3 of the predictions .*1 words, 2 and 1 labels.*Put back a copy"):
        checked(rows, "words")


def test_a_figure_that_is_no_number_is_read_as_what_it_was():
    rows, kind = checked([{"target": "a", "prediction": "b", "loss": "nan"}], "")
    assert kind == "texts"
    assert rows[0]["loss"] != rows[0]["loss"]
    assert checked([{"anything": 1}], "texts")[1] is None


def test_a_change_of_a_file_or_of_the_record_itself_is_found(tmp_path: Path):
    journal = Journal(identity="me")
    with journal.sealing(tmp_path, "config.yaml"):
        (tmp_path / "config.yaml").write_text("seed: 1\n")
    assert Record(tmp_path).config == {"seed": 1}
    (tmp_path / "config.yaml").write_text("seed: 2\n")
    with pytest.raises(InputError, match=r"config\.yaml is not as it was written: its checksum is another\. Put back"):
        _ = Record(tmp_path).config
    (tmp_path / RECORD).write_text((tmp_path / RECORD).read_text().replace('"me"', '"you"'))
    with pytest.raises(InputError, match=r"run\.json is not as it was written: its checksum is another\. Put back"):
        _ = Record(tmp_path).identity


def test_while_a_file_is_written_it_has_no_checksum(tmp_path: Path):
    journal = Journal(identity="me")
    for text in ("seed: 1\n", "seed: 2\n"):
        with journal.sealing(tmp_path, "config.yaml"):
            (tmp_path / "config.yaml").write_text(text)
            assert "config.yaml" not in journal.checksums  # a kill now leaves a run that can be read
        assert Record(tmp_path).config == {"seed": int(text[6])}


def test_a_list_of_checksums_names_what_is_in_its_folder(tmp_path: Path):
    (tmp_path / "a").write_text("a")
    seal(tmp_path)
    with pytest.raises(Damaged, match=rf"{SEAL} is not as it was written: it has b, or lacks it"):
        verify(tmp_path, "b")


HEAD = {"event": "sweep", "name": "a", "argv": [], "words": [], "weights": "auto"}
PLAN = {"event": "sweep", "fixed": [], "goals": [["valid/loss", "minimize"]], "total": 2}
FIRST = {"event": "trial", "number": 0, "hash": "0", "point": {}}


@pytest.mark.parametrize(
    ("events", "message"),
    [
        ([FIRST], r"Line 1 .*nothing up to it says what the sweep is \(its argv, fixed, goals, name"),
        ([PLAN], r"Line 1 .*nothing up to it says what the sweep is \(its argv, name, weights, words\)"),
        ([HEAD, FIRST], r"Line 2 .*\(its fixed, goals, total\)"),
        ([HEAD, PLAN, {"event": "started", "number": 0}], "Line 3 .*no line before it begins trial 0"),
        ([HEAD, PLAN, FIRST, FIRST], "Line 4 .*it names a trial twice, or leaves one out"),
        ([HEAD, PLAN, FIRST, {"event": "ended", "number": 0, "state": "finished"}], "Line 4 .*compares 1 values"),
        ([HEAD, PLAN, FIRST, {"event": "ended", "number": 0, "state": "lost"}], r"Line 4 .*ended\.state is 'lost'"),
        ([HEAD, {"event": "other"}], "Line 2 .*other"),
    ],
    ids=["no head", "half a head", "no plan", "unknown trial", "twice", "no values", "a state", "an event"],
)
def test_a_ledger_whose_lines_do_not_follow_is_refused(tmp_path: Path, events: list[dict], message: str):
    (tmp_path / "ledger.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    with pytest.raises(InputError, match=rf"(?s){message}.*Put back a copy .*delete this line"):
        Ledger(tmp_path)
