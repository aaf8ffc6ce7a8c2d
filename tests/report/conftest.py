"""Rows as each task describes them, and a run's folder made of them, with no training."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

ROWS: dict[str, list[dict[str, Any]]] = {
    "classes": [
        {
            "text": f"a film, number {i}",
            "label": "good" if i % 2 else "bad",
            "place": "Riga" if i < 12 else "Oslo",
            "target": "good" if i % 2 else "bad",
            "prediction": "good" if i % 3 else "bad",
            "score": 0.7,
            "probs": {"good": 0.7, "bad": 0.3} if i % 3 else {"bad": 0.7, "good": 0.3},
            "loss": 0.3 + i / 10,
            "token_count": 5 + i % 6,
        }
        for i in range(24)
    ],
    "labels": [
        {"text": "x", "target": ["a", "b"], "prediction": ["a"], "probs": {"a": 0.9, "b": 0.4, "c": 0.1}, "loss": 0.4},
        {"text": "y", "target": ["c"], "prediction": ["c"], "probs": {"c": 0.8, "a": 0.2, "b": 0.1}, "loss": 0.1},
    ],
    "numbers": [{"text": "x", "target": i / 2, "prediction": i / 2 + (-1) ** i, "loss": 1.0} for i in range(20)],
    "entities": [
        {
            "tokens": ["Ann", "Lee", "met", "Bob", "in", "Riga", "today"],
            "target": ["B-PER", "I-PER", "O", "B-PER", "O", "B-LOC", "O"],
            "prediction": ["B-PER", "I-PER", "O", "B-LOC", "O", "O", "B-LOC"],
            "loss": 0.8,
        },
        {
            "tokens": ["Ann", "Lee", "left"],
            "target": ["B-PER", "I-PER", "O"],
            "prediction": ["B-PER", "O", "O"],
            "loss": 0.2,
        },
    ],
    "answers": [
        {
            "question": "Where is she?",
            "context": "She is in Riga & not in Oslo.",
            "target": ["Riga"],
            "prediction": "Oslo",
            "start": 24,
            "end": 28,
            "score": 0.6,
            "exact_match": 0.0,
            "f1": 0.0,
            "others": [
                {"answer": "Riga", "start": 10, "end": 14, "score": 0.3},
                {"answer": None, "start": None, "end": None, "score": 0.1},
            ],
            "windows": 1,
            "loss": 2.0,
        },
        {
            "question": "Who is she?",
            "context": "She is in Riga.",
            "target": [],
            "prediction": "",
            "start": None,
            "end": None,
            "score": 0.9,
            "exact_match": 1.0,
            "f1": 1.0,
            "others": [],
            "windows": 1,
            "loss": 0.1,
        },
    ],
    "texts": [
        {"source": "Eine Katze schläft", "target": "a cat sleeps", "prediction": "a dog sleeps", "loss": 1.0},
        {"source": "Ein Hund", "target": "a dog", "prediction": "a dog", "loss": 0.1},
    ],
    "tokens": [
        {
            "text": "a",
            "target": "b",
            "prediction": "c",
            "loss": 1.0,
            "target_count": n,
            "right_count": 1,
            "token_count": n,
        }
        for n in (2, 2, 4, 8, 8, 16)
    ],
}
LOG = [
    {"step": 1, "time": 1.0, "train/loss": 1.0, "train/lr": 1e-3},
    {"step": 2, "time": 2.0, "train/loss": 0.8, "train/lr": 1e-4},
    {"step": 2, "time": 3.0, "valid/loss": 0.7, "valid/accuracy": 0.6, "time/epoch": 2.0},
]
TOKENS = {
    "rows": 40,
    "tokens": 400,
    "padding": 100,
    "batches": 4,
    "limit": 16,
    "at_limit": 3,
    "quantiles": {"0.0": 4, "0.25": 6, "0.5": 9, "0.75": 12, "0.95": 16, "1.0": 16},
    "histogram": {"edges": [4.0, 10.0, 16.0], "counts": [30, 10]},
}
FACTS = {
    "choices": {"task": "sequence_classification", "model": "bert", "data": "sample"},
    "weights": "scratch",
    "architecture": "bert",
    "parameters": 1234567,
    "source": "sample",
    "fingerprint": "abc",
    "rows": {"train": 40, "valid": 24},
    "labels": ["bad", "good"],
    "tokens": {"train": TOKENS},
}


def write_lines(file: Path, rows: list[dict[str, Any]]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports without their plots, which take most of their time."""
    monkeypatch.setattr("blurr.report.page.svg", lambda figure, title: "<svg></svg>")
    monkeypatch.setattr("blurr.report.page.write_png", lambda figure, path: path.touch())


@pytest.fixture
def make_run(tmp_path: Path):
    """Write the folder of a run."""

    def make(
        kind: str = "classes", name: str = "run", *, rows: list[dict[str, Any]] | None = None, **config: Any
    ) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        settings = {"seed": 1, "model": {"name": "bert-base"}, "optimizer": {"lr": 1e-3}, **config}
        (folder / "config.yaml").write_text(yaml.safe_dump(settings))
        (folder / "overrides.yaml").write_text(yaml.safe_dump(["model=bert", "data.name=a b"]))
        (folder / "environment.json").write_text(json.dumps({"blurr": "0.1.0", "packages": {"torch": "2.14"}}))
        (folder / "facts.json").write_text(json.dumps(FACTS))
        (folder / "metrics.json").write_text(json.dumps({"valid/loss": 0.7, "valid/accuracy": 0.6}))
        write_lines(folder / "metrics.jsonl", LOG)
        write_lines(folder / "predictions.jsonl", ROWS[kind] if rows is None else rows)
        return folder

    return make
