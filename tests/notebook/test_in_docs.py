"""docs/notebook.ipynb runs from top to bottom, and what it keeps can be read and tells nothing of a machine."""

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from blurr.loading.dataloader import html_of
from blurr.text.modeling.all import BlearnerForSequenceClassification

FILE = Path(__file__).parents[2] / "docs" / "notebook.ipynb"
NOTEBOOK = json.loads(FILE.read_text(encoding="utf-8"))
CODE = [cell for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]
OUTPUTS = [output for cell in CODE for output in cell["outputs"]]
PLACES = r"(?<![\w.:/])/(home/(?!you\b)|tmp|opt|root|work|var|mnt|Users|usr)/"


def texts_of(output: dict[str, Any]) -> str:
    values = {**output.get("data", {}), "text": output.get("text", "")}
    return "".join("".join(value) for kind, value in values.items() if not kind.startswith("image/"))


@pytest.mark.slow
def test_the_notebook_of_the_docs_runs_from_top_to_bottom(work: Path):
    names: dict[str, Any] = {}
    for cell in CODE:
        exec(compile("".join(cell["source"]), FILE.name, "exec"), names)  # noqa: S102
    run = names["run"]
    assert run.scores["valid/accuracy"] > 0.8
    assert run.folder.parent == work / "outputs" / "my-run"
    assert (run.folder / "report.html").is_file()


def test_a_sentence_stands_before_each_cell():
    kinds = [cell["cell_type"] for cell in NOTEBOOK["cells"]]
    assert kinds == ["markdown", "code"] * len(CODE) + kinds[2 * len(CODE) :]
    assert 8 <= len(CODE) <= 12


def test_what_the_notebook_keeps_tells_nothing_of_a_machine():
    for output in OUTPUTS:
        assert re.findall(PLACES, texts_of(output)) == []
    assert NOTEBOOK["metadata"]["language_info"] == {"name": "python"}
    assert all(cell["metadata"] == {} for cell in NOTEBOOK["cells"])


def test_what_the_notebook_keeps_is_small():
    assert FILE.stat().st_size <= 250_000
    pictures = [output["data"]["image/png"] for output in OUTPUTS if "image/png" in output.get("data", {})]
    assert len(pictures) == 2
    assert max(map(len, pictures)) <= 60_000


def test_the_notebook_shows_no_noise():
    assert not [output for output in OUTPUTS if output.get("name") == "stderr" or output["output_type"] == "error"]
    assert CODE[0]["outputs"] == []  # the imports
    said = [output for output in OUTPUTS if output["output_type"] == "stream"]
    assert "valid/accuracy" in texts_of(said[0])  # one text for the whole of the closing table
    assert len(said) == 1


def test_a_table_of_a_notebook_escapes_texts_and_lists():
    html = html_of([{"<a>": "<b>", "words": [("<i>", "O")], "loss": 0.123456}])
    assert "text-align: left" in html
    assert "0.1235" in html
    assert not re.search("<(a|b|i)>", html)


def test_a_model_from_scratch_reads_the_words_of_the_rows(reviews: pd.DataFrame):
    small = {"dim": 32, "n_layers": 1, "n_heads": 2, "hidden_dim": 32}
    options = {"weights": "scratch", "arch": "distilbert", "scratch": small}
    learn = BlearnerForSequenceClassification.from_data(reviews, "distilbert-base-uncased", hf_kwargs=options)
    assert {"film", "superb", "awful"} <= set(learn.dls.tokenizer.get_vocab())
