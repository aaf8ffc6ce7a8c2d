"""Compare two forms of one trained model: its weights, those in 16 bits, and what was exported of it."""

import json
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from blurr.loading.rows import Inputs
from blurr.models.wrapper import logits_of
from blurr.runs.folder import TABLES
from blurr.serve.predictor import Predictor
from blurr.training.inference import infer_windows

ROWS = 100  # that are compared
BEGUN = 8  # tokens that a decoder is given, to compare the logits of the next ones


@dataclass(frozen=True)
class Parity:
    """How another form of a model differs from it.

    Attributes:
        rows: number of rows that both have predicted on.
        difference: the largest absolute difference between two logits.
        alike: number of rows with the same answer, scores aside.
        kind: what the rows are, for messages.
    """

    rows: int
    difference: float
    alike: int
    kind: str = "generated rows"

    def __str__(self) -> str:
        far = f"logits differ by at most {self.difference:.1e}"
        return f"{self.rows} {self.kind}: {far}, {self.alike} answers are alike"


def parity(predictor: Predictor, other: Predictor, rows: int = ROWS) -> Parity:
    """Compare the predictions of two forms of one model on rows that its run has kept, else on generated ones."""
    kept = kept_rows(predictor, rows)
    items = kept or predictor.examples(rows)
    pairs = zip(_logits(predictor, items), _logits(other, items), strict=True)
    difference = max(float((one - two).abs().max()) for one, two in pairs)
    answers = zip(predictor.predict_each(items), other.predict_each(items), strict=True)
    alike = sum(_without_scores(one) == _without_scores(two) for one, two in answers)
    return Parity(len(items), difference, alike, "validation rows" if kept else "generated rows")


def kept_rows(predictor: Predictor, most: int) -> list[Any]:
    """Return the first validation rows of the run whose model it is; none if they lack a role or a file."""
    file = predictor.folder.parent / TABLES["valid"] if predictor.folder else None
    if file is None or not file.is_file():
        return []
    with file.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in islice(lines, most)]
    roles = predictor.saved.needed
    kept = [{role: row[role] for role in roles} for row in rows if row.keys() >= {*roles}]
    return kept if len(kept) == len(rows) and all(map(_is_there, _files(kept, predictor))) else []


def _files(rows: list[dict[str, Any]], predictor: Predictor) -> list[str]:
    return [row[role] for row in rows for role in predictor.media if role in row]


def _is_there(name: str) -> bool:
    """Return whether a row was written down with a file of its own that is still there, and not with a name alone."""
    return Path(name).is_absolute() and Path(name).is_file()


def _logits(predictor: Predictor, items: list[Any]) -> list[torch.Tensor]:
    """Return the logits of each window of the items; those per token without the padding."""
    model, names = predictor.learner.model, predictor.saved.task.inputs.rows_cls.names

    def step(x: Inputs) -> list[torch.Tensor]:
        if predictor.hf.config.is_encoder_decoder and predictor.hf.model.can_generate():
            x = {**x, "decoder_input_ids": x[names.main][:, :BEGUN]}
        logits = logits_of(model(x))
        if names.mask not in x:
            return list(logits)
        mask = x[names.mask].bool()
        per_token = logits.ndim == 3 and logits.shape[1] == mask.shape[1]
        return [row[real] if per_token else row for row, real in zip(logits, mask, strict=True)]

    return [window for windows in infer_windows(predictor.learner, items, step) for window in windows]


def _without_scores(answer: Any) -> Any:
    if isinstance(answer, dict):
        return {name: _without_scores(value) for name, value in answer.items()}
    if isinstance(answer, list):
        return [_without_scores(value) for value in answer]
    return None if isinstance(answer, float) else str(answer)
