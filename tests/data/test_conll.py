"""Conll files in all their variety become sentences, and broken ones end in one clear message."""

from io import StringIO
from pathlib import Path

import pytest

from blurr.data.at_hand import from_data
from blurr.data.core import Schema
from blurr.data.files import load_files
from blurr.data.formats.conll import parse_conll
from blurr.data.formats.content import FileOptions
from blurr.data.readers import read_files
from blurr.data.splits import Splits
from blurr.errors import InputError

TWO = [{"tokens": ["EU", "rejects"], "labels": ["B-ORG", "O"]}, {"tokens": ["Peter"], "labels": ["B-PER"]}]
SCHEMA = Schema(required=("tokens", "labels"), optional=(), label="labels", sample=lambda rng: TWO[0])

VARIETIES = {
    "tabs": "EU\tB-ORG\nrejects\tO\n\nPeter\tB-PER\n",
    "spaces": "EU B-ORG\nrejects O\n\nPeter B-PER",
    "blank line holds a tab": "EU\tB-ORG\nrejects\tO\n\t\nPeter\tB-PER\n\t\n",
    "blank line holds spaces": "EU  B-ORG\nrejects O \n   \nPeter B-PER\n",
    "several blank lines": "\n\nEU\tB-ORG\nrejects\tO\n\n\n\nPeter\tB-PER\n\n\n",
    "windows line ends": "EU\tB-ORG\r\nrejects\tO\r\n\r\nPeter\tB-PER\r\n",
    "comments": "# id = 1\nEU\tB-ORG\nrejects\tO\n\n#\thttp://x.org\t[2009]\nPeter\tB-PER\n",
}


@pytest.mark.parametrize("content", VARIETIES.values(), ids=VARIETIES)
def test_sentences_are_read_from(content):
    assert parse_conll(StringIO(content), "x.conll") == TWO


def test_a_hash_sign_can_be_a_token():
    assert parse_conll(StringIO("#\tO\none\tO\n"), "x")[0]["tokens"] == ["#", "one"]


def test_tokens_may_hold_signs_that_elsewhere_end_a_line():
    rows = parse_conll(StringIO("a\u2028b\tO\n\x85\tO\nNew York\tB-LOC\n"), "x")
    assert rows == [{"tokens": ["a\u2028b", "\x85", "New York"], "labels": ["O", "O", "B-LOC"]}]


def test_marked_documents_are_numbered_and_their_marks_are_no_tokens():
    content = "-DOCSTART- -X- O O\n\nEU NNP B-NP B-ORG\n\n-DOCSTART- -X- O O\nPeter NNP B-NP B-PER\n\nBill NNP B-NP O\n"
    rows = parse_conll(StringIO(content), "x.conll")
    assert [(row["document"], row["tokens"], row["labels"]) for row in rows] == [
        (0, ["EU"], ["B-ORG"]),
        (1, ["Peter"], ["B-PER"]),
        (1, ["Bill"], ["O"]),
    ]
    assert rows[0]["column_2"] == ["NNP"]


def test_any_column_can_be_the_tokens_or_the_labels(tmp_path: Path):
    path = tmp_path / "train.conll"
    path.write_text("".join(f"1\tEU\tEU\tPROPN\t_\n2\tvotes{i}\tvote\tVERB\t_\n\n" for i in range(5)))
    raw = load_files(SCHEMA, train=path, columns={"tokens": "column_2", "labels": "column_4"})
    row = min(raw.train.to_list() + raw.valid.to_list(), key=lambda row: row["tokens"])
    assert (row["tokens"], row["labels"]) == (["EU", "votes0"], ["PROPN", "VERB"])
    with pytest.raises(InputError, match=r"'column_2', 'column_3', 'column_4', 'labels'"):
        load_files(SCHEMA, train=path, columns={"labels": "pos"})


@pytest.mark.parametrize(("name", "format"), [("a.conll", "auto"), ("a.txt", "conll"), ("a.data", "conll")])
def test_the_format_goes_by_the_extension_or_is_said(tmp_path: Path, name: str, format: str):
    path = tmp_path / name
    path.write_text((VARIETIES["tabs"] + "\n") * 3, encoding="utf-8-sig")
    rows = read_files(path, FileOptions(format=format))
    assert (rows.num_rows, rows.column_names) == (6, ["tokens", "labels"])
    assert rows[0] == TWO[0]


def test_a_text_file_that_may_be_conll_is_answered_with_the_format(tmp_path: Path):
    path = tmp_path / "a.txt"
    path.write_text(VARIETIES["tabs"])
    with pytest.raises(InputError, match=r"no column 'tokens'.*for example data.format=conll"):
        load_files(SCHEMA, train=path)


def test_a_notebook_reads_a_path_and_a_split_keeps_documents_together(tmp_path: Path):
    path = tmp_path / "a.conll"
    path.write_text("".join(f"-DOCSTART- O\n\na{i} O\n\nb{i} O\n\n" for i in range(10)))
    raw = from_data(SCHEMA, path, splits=Splits(by="group", column="document"))
    assert not set(raw.train["document"]) & set(raw.valid["document"])


def test_another_delimiter_can_be_said():
    assert parse_conll(StringIO("New York|B-LOC\n\nRome|B-LOC\n"), "x", "|")[0]["tokens"] == ["New York"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("EU\tB-ORG\nrejects\n", r"x.conll has 1 fields in line 2 \('rejects'\) where the other lines have 2"),
        ("EU B-ORG\nNew York B-LOC\n", "has 3 fields in line 2"),
        ("one\ntwo\n", "x.conll has no tags: its first line of tokens is 'one'"),
        ("\n\t\n", "x.conll has no tags"),
    ],
    ids=["tag lacks", "token of two words", "no tags", "blank"],
)
def test_a_broken_file_is_answered_with_its_line(content, message):
    with pytest.raises(InputError, match=message):
        parse_conll(StringIO(content), "x.conll")
