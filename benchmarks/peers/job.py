"""A job as its scripts are told it, its rows and its scores; imports nothing that a script need not have."""

import csv
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

Rows = list[dict[str, Any]]
Task = Literal["sst2", "wnut17", "dialogsum"]


@dataclass(frozen=True)
class Job:
    """What every script does: the same files, first weights, steps, rates and validation.

    Args:
        task: which rows, and what is learned.
        train: file of the training rows.
        valid: file of the validation rows.
        model: folder of tokenizer and first weights.
        output: folder for the trained model and `scores.json`.
        epochs: over the training rows.
        lr: the highest rate, reached after a tenth of the steps, from which it falls to 0 in a line.
        seed: of the order of rows, and of dropout.
        max_length: tokens of a row.
        new_tokens: that are generated at most.
        store: address of MLflow's store; `None`: no record.
        grouped: Trainer's batches of rows of similar length.
    """

    task: Task
    train: str
    valid: str
    model: str
    output: str
    epochs: int
    lr: float
    seed: int
    batch_size: int = 16
    weight_decay: float = 0.01
    warmup: float = 0.1
    max_grad_norm: float = 1.0
    max_length: int = 256
    new_tokens: int = 32
    store: str | None = None
    grouped: bool = False

    def write(self, path: Path) -> Path:
        """Write the job for a script."""
        path.write_text(json.dumps(asdict(self)))
        return path

    @classmethod
    def read(cls, path: str) -> "Job":
        """Read what `write` wrote."""
        return cls(**json.loads(Path(path).read_text()))

    def keep(self, scores: dict[str, float]) -> None:
        """Write the scores beside the model."""
        Path(self.output, "scores.json").write_text(json.dumps(scores))


def rows_of(job: Job, path: str) -> Rows:
    """Read the rows of a file: tsv, conll or jsonl, by the task."""
    with Path(path).open(encoding="utf-8", newline="") as file:
        if job.task == "sst2":
            return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
        if job.task == "dialogsum":
            return [json.loads(line) for line in file]
        sentences = [block.splitlines() for block in re.split(r"\n\s*\n", file.read().strip())]
    pairs = [[line.split("\t") for line in lines] for lines in sentences]
    return [{"tokens": [word for word, _ in each], "tags": [tag for _, tag in each]} for each in pairs]


def tags_in(rows: Rows) -> list[str]:
    """Return all tags, sorted."""
    return sorted({tag for row in rows for tag in row["tags"]})


def class_scores(predicted: Sequence[int], true: Sequence[int]) -> dict[str, float]:
    """Score two classes."""
    from sklearn.metrics import accuracy_score, f1_score

    return {"accuracy": accuracy_score(true, predicted), "f1": f1_score(true, predicted)}


def tag_scores(predicted: list[list[str]], true: list[list[str]]) -> dict[str, float]:
    """Score entities."""
    from seqeval.metrics import accuracy_score, f1_score, precision_score, recall_score

    scores = {"precision": precision_score, "recall": recall_score, "f1": f1_score, "accuracy": accuracy_score}
    return {name: float(score(true, predicted)) for name, score in scores.items()}


def summary_scores(written: Sequence[str], true: Sequence[str]) -> dict[str, float]:
    """Score summaries."""
    from rouge_score.rouge_scorer import RougeScorer

    kinds = ["rouge1", "rouge2", "rougeL", "rougeLsum"]
    scorer = RougeScorer(kinds, use_stemmer=True)
    scores = [scorer.score(reference, text) for reference, text in zip(true, written, strict=True)]
    return {kind: sum(each[kind].fmeasure for each in scores) / len(scores) for kind in kinds}
