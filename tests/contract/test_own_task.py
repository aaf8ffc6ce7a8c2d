"""A task of the user's own, one module and one YAML beside her work, runs the whole line with no change to blurr."""

import json
from pathlib import Path

import pytest

from blurr.config import paths
from blurr.runs.jsonlines import read_lines

MODULE = '''
"""Tell whether two sentences stand in their order."""

from dataclasses import dataclass
from typing import Any, ClassVar

from blurr.config.annotations import Count
from blurr.data.core import Schema
from blurr.targets.base import Target
from blurr.tasks.base import Task
from blurr.text.inputs import TEXT, show_classification, tokenize_texts

NAMES = ["in order", "swapped"]


def two_sentences(rng) -> dict[str, Any]:
    pair, label = [f"first number {rng.randrange(900)} was made", "then it was sold"], rng.randrange(2)
    return {"text": pair[label], "text_pair": pair[1 - label] + " ." * rng.randrange(9), "label": NAMES[label]}


class Order(Target):
    def model_config(self, raw):
        return {"num_labels": 2, "id2label": dict(enumerate(NAMES))}

    def vocab(self, hf):
        return NAMES

    def decode(self, learner):
        return learner.pred.detach(), learner.y

    def describe(self, learner):
        pairs = zip(learner.y.tolist(), learner.pred.argmax(1).tolist())
        return [{"target": NAMES[t], "prediction": NAMES[p]} for t, p in pairs]


@dataclass
class Ordering(Task):
    schema: ClassVar[Schema] = Schema(("text", "text_pair", "label"), (), label="label", sample=two_sentences)
    model_cls: ClassVar[str] = "AutoModelForSequenceClassification"
    inputs = TEXT
    target_cls = Order
    show_rows = staticmethod(show_classification)

    max_length: Count | None = None

    def encode(self, rows, hf):
        columns = tokenize_texts(hf.tokenizer, rows["text"], rows["text_pair"], max_length=self.max_length)
        return {**columns, "labels": [NAMES.index(name) for name in rows["label"]]}
'''
YAML = """# @package _global_
# Tell whether two sentences stand in their order.
# python -m blurr.run task=ordering model=bert
defaults:
  - override /model: bert
  - override /metrics: [accuracy]
task:
  _target_: my_ordering.Ordering
  max_length: null
data:
  columns: {text: text, text_pair: text_pair, label: label}
objective: valid/accuracy
"""


@pytest.fixture
def beside(work: Path) -> Path:
    """A folder with the task in it."""
    (work / "my_ordering.py").write_text(MODULE)
    (work / "task").mkdir()
    (work / "task" / "ordering.yaml").write_text(YAML)
    return work


@pytest.mark.slow
def test_a_task_beside_the_users_work_runs_the_whole_line(beside: Path, blurr):
    words = ["task=ordering", "model.weights=scratch", "tracking=none", "data.rows=200", "output_dir=out"]
    done = blurr("run", *words, PYTHONSAFEPATH="1")  # which keeps the folder off the path, as a console script does
    assert done.returncode == 0, done.stderr
    assert json.loads((beside / "out" / "metrics.json").read_text())["valid/accuracy"] > 0.9
    rows = read_lines(beside / "out" / "predictions.jsonl")
    assert {"target", "prediction", "loss"} <= set(rows[0])


def test_a_task_beside_the_users_work_is_listed_with_its_headline(beside: Path):
    assert paths.headline(paths.options("task")["ordering"]) == "Tell whether two sentences stand in their order."
