"""A column that a file lacks is found from its header, before anything heavy loads, and leaves no trace."""

import json
import subprocess
import sys

import pandas as pd
import pytest
from forked import PATH

from blurr.config import composing
from blurr.data import checks
from blurr.data.formats.content import FileOptions
from blurr.data.headers import headers
from blurr.data.readers import read_files
from blurr.data.sources import find_files
from blurr.errors import InputError

ROWS = [{"review": f"text {number}", "stars": str(number % 2), "day": "2026-01-01"} for number in range(8)]
WRITE = {
    "csv": lambda frame, file: frame.to_csv(file, index=False),
    "csv of semicolons": lambda frame, file: frame.to_csv(file, index=False, sep=";"),
    "csv of Excel": lambda frame, file: file.write_text("sep=;\n" + frame.to_csv(index=False, sep=";")),
    "csv with a byte-order mark": lambda frame, file: frame.to_csv(file, index=False, encoding="utf-8-sig"),
    "csv with an index": lambda frame, file: frame.to_csv(file),
    "csv.gz": lambda frame, file: frame.to_csv(file, index=False),
    "tsv": lambda frame, file: frame.to_csv(file, index=False, sep="\t"),
    "jsonl": lambda frame, file: frame.to_json(file, orient="records", lines=True),
    "json": lambda frame, file: frame.to_json(file, orient="records"),
    "parquet": lambda frame, file: frame.to_parquet(file),
    "xlsx": lambda frame, file: frame.to_excel(file, index=False),
}
HEAVY = {"torch", "transformers", "datasets", "fastai", "mlflow", "pandas"}


@pytest.fixture(params=WRITE)
def file(request, work):
    """A file of each format, with the columns `review`, `stars` and `day`."""
    place = work / f"reviews.{request.param.partition(' ')[0]}"
    WRITE[request.param](pd.DataFrame(ROWS), place)
    return place


def check(*words: str) -> None:
    checks.check(composing.compose(["data=files", *words]))


def test_the_header_of_each_format_is_what_its_reader_finds(file):
    (header,) = headers(find_files(file, FileOptions()))
    assert header.names == read_files(file, FileOptions()).column_names


@pytest.mark.slow
def test_a_column_that_no_file_has_is_named_with_those_there_are(file):
    check(f"data.train={file}", "data.columns.text=review", "data.columns.label=stars")
    with pytest.raises(InputError, match=r"\(train\) has no column 'reviw' for 'text'. Did you mean 'review'\? It has"):
        check(f"data.train={file}", "data.columns.text=reviw", "data.columns.label=stars")


def test_all_columns_that_are_missing_come_at_once_with_other_mistakes(work, answer):
    (work / "reviews.csv").write_text("review,stars\nfine,1\n")
    said = answer("data=files", "data.train=reviews.csv", "schedule.epochs=abc", "data.columns.label=[stars,starz]")
    assert "has no column 'text' for 'text'" in said
    assert "has no column 'starz' for 'label'. Did you mean 'stars'?" in said
    assert "schedule.epochs=abc" in said


def test_a_run_with_a_wrong_column_leaves_nothing_and_ends_in_one_line(blurr, work, tmp_path_factory):
    file = tmp_path_factory.mktemp("rows") / "r.csv"
    file.write_text("review,label\nfine,1\n")
    done = blurr("run", "data=files", f"data.train={file}")
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        f"{file} (train) has no column 'text' for 'text'. It has ['review', 'label']; set data.columns.text=<column>."
    ]
    assert not list(work.iterdir())


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "xlsx", "parquet"])
@pytest.mark.slow
def test_nothing_heavy_is_loaded_for_it(suffix, tmp_path):
    file = tmp_path / f"r.{suffix}"
    WRITE[suffix](pd.DataFrame(ROWS), file)
    code = (
        "import sys\nfrom blurr.config import composing\nfrom blurr.data import checks\n"
        f"cfg = composing.compose(['data=files', 'data.train={file}'])\n"
        "try:\n    checks.check(cfg)\nexcept ValueError as error:\n    print(error)\nprint(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": PATH}, capture_output=True, text=True, check=True
    )
    said, loaded = done.stdout.strip().rsplit("\n", 1)
    assert "has no column 'text'" in said
    assert not HEAVY & set(loaded.split())


def test_a_column_that_only_later_rows_have_passes(work):
    rows = [{"text": "x"}] * 1000 + [{"text": "y", "label": "a"}]
    (work / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    check("data.train=rows.jsonl")
    with pytest.raises(InputError, match="has no column 'lable' for 'label'"):
        check("data.train=rows.jsonl", "data.columns.label=lable")


@pytest.mark.parametrize(
    "words",
    {
        "a nested one": ("task=translation", "data.train=t.jsonl", "data.columns.source=translation.de"),
        "one that a step makes": ("data.train=r.csv", "data.preprocess={_target_: builtins.len, _partial_: true}"),
        "one of several files": ("data.train=[r.csv,l.csv]", "data.columns.text=review"),
        "an optional one": ("data.train=r.csv", "data.columns.text=review", "data.columns.label=day"),
        "SQuAD's": ("task=question_answering", "data.train=squad.json"),
    }.items(),
    ids=lambda value: value[0],
)
def test_a_column_that_may_be_there_passes(work, words):
    (work / "t.jsonl").write_text('{"translation": {"de": "a", "en": "b"}, "target": "x"}\n')
    (work / "r.csv").write_text("review,day\nfine,1\n")
    (work / "l.csv").write_text("review,label\nfine,1\n")
    (work / "squad.json").write_text('{"data": [{"paragraphs": [{"context": "c", "qas": []}]}]}')
    check(*words[1])


def test_a_role_that_the_task_does_not_have_is_found_too(work, answer):
    (work / "r.csv").write_text("text,label\nfine,1\n")
    assert "data.columns.txt=review names a role" in answer(
        "data=files", "data.train=r.csv", "+data.columns.txt=review"
    )


@pytest.mark.parametrize("by", ["random", "stratified", "kfold"])
def test_rows_that_are_nearly_all_equal_say_why_none_are_left_to_validate_on(work, by):
    from blurr.data.files import load_files
    from blurr.data.splits import Splits
    from blurr.text.sequence_classification.task import SequenceClassification

    (work / "r.csv").write_text("text,label\n" + "fine,a\n" * 40)
    with pytest.raises(InputError, match=r"leaves none for .*Only 1 of them differ in 'text'.* never parted"):
        load_files(SequenceClassification.schema, train="r.csv", splits=Splits(by=by))
