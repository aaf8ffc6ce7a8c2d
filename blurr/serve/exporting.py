"""Write a trained model in a form that other libraries run: transformers, fastai or ONNX."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from blurr.errors import InputError, writing
from blurr.loading.rows import Inputs
from blurr.models.wrapper import logits_of
from blurr.runs.asides import new_aside
from blurr.runs.checksums import is_sealed, put, seal, sealed_by
from blurr.runs.folder import CARD
from blurr.serve.graphs import MANIFEST, export_graphs
from blurr.serve.predictor import Predictor
from blurr.tasks.saved import save_model, save_task
from blurr.training.inference import infer_windows

LEARNER = "learner.pkl"
ROWS = 100  # generated rows on which an export is compared with its model
BEGUN = 8  # tokens that a decoder is given, to compare the logits of the next ones


@dataclass(frozen=True)
class Parity:
    """How an export differs from its model.

    Attributes:
        rows: number of rows that both have predicted on.
        difference: the largest absolute difference between two logits.
        alike: number of rows with the same answer, scores aside.
    """

    rows: int
    difference: float
    alike: int

    def __str__(self) -> str:
        far = f"logits differ by at most {self.difference:.1e}"
        return f"{self.rows} generated rows: {far}, {self.alike} answers are alike"


def export(predictor: Predictor, folder: Path, *, form: str, quantize: bool = False) -> None:
    """Write a model into a new or empty folder.

    Args:
        predictor: the model, on the CPU.
        folder: the folder.
        form: `onnx`, `transformers` or `fastai`.
        quantize: see `export_graphs`.

    Raises:
        InputError: the folder has files already, or the model cannot be exported in this form.
        ResourceError: the folder cannot be written.
    """
    if quantize and form != "onnx":
        raise InputError(f"--quantize is for --format onnx, and not for {form}.")
    source = predictor.folder
    if source is not None and (source / MANIFEST).is_file():
        raise InputError(f"{source} is an export itself, without weights. Export the model of its run instead.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"--output {folder} is there already, and not empty. Name a new folder.")
    with writing(folder), new_aside(folder.absolute()) as made:  # half an export would be mistaken for a whole one
        _write(predictor, made, form=form, quantize=quantize)
        seal(made, identity=sealed_by(source) if source is not None and is_sealed(source) else None)
        put(made, folder)
        if source is not None and (source / CARD).is_file():
            shutil.copy(source / CARD, folder / CARD)


def _write(predictor: Predictor, folder: Path, *, form: str, quantize: bool) -> None:
    if form == "onnx":
        export_graphs(predictor.hf.model, _two_rows(predictor), folder, quantize=quantize)
        predictor.hf.tokenizer.save_pretrained(folder)
        save_task(folder, predictor.saved)
    elif form == "transformers":
        save_model(folder, predictor.saved, predictor.hf)
    else:
        predictor.learner.export(folder.resolve() / LEARNER)


def _two_rows(predictor: Predictor) -> Inputs:
    """Return the inputs of two rows without padding, `(2, sequence)`, cut to the shorter one."""
    learner = predictor.learner
    batch = next(iter(learner.dls.test_dl(predictor.examples(2), bs=2)))[0]
    length = int(batch["attention_mask"].sum(1).min())
    known = {name: values for name, values in batch.items() if name in learner.model.known and name != "labels"}
    return {name: values[:2, :length] if values.ndim > 1 else values[:2] for name, values in known.items()}


def parity(predictor: Predictor, other: Predictor, rows: int = ROWS) -> Parity:
    """Compare the predictions of two forms of one model on generated rows."""
    items = predictor.examples(rows)
    pairs = zip(_logits(predictor, items), _logits(other, items), strict=True)
    difference = max(float((one - two).abs().max()) for one, two in pairs)
    answers = zip(predictor.predict_each(items), other.predict_each(items), strict=True)
    return Parity(rows, difference, sum(_without_scores(one) == _without_scores(two) for one, two in answers))


def _logits(predictor: Predictor, items: list[Any]) -> list[torch.Tensor]:
    """Return the logits of each window of the items; those per token without the padding."""
    model = predictor.learner.model

    def step(x: Inputs) -> list[torch.Tensor]:
        if predictor.hf.config.is_encoder_decoder and predictor.hf.model.can_generate():
            x = {**x, "decoder_input_ids": x["input_ids"][:, :BEGUN]}
        logits, mask = logits_of(model(x)), x["attention_mask"].bool()
        per_token = logits.ndim == 3 and logits.shape[1] == mask.shape[1]
        return [row[real] if per_token else row for row, real in zip(logits, mask, strict=True)]

    return [window for windows in infer_windows(predictor.learner, items, step) for window in windows]


def _without_scores(answer: Any) -> Any:
    if isinstance(answer, dict):
        return {name: _without_scores(value) for name, value in answer.items()}
    if isinstance(answer, list):
        return [_without_scores(value) for value in answer]
    return None if isinstance(answer, float) else str(answer)
