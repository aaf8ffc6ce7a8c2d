"""Write a trained model in a form that other libraries run: transformers, fastai or ONNX."""

import shutil
from pathlib import Path

from blurr.errors import InputError, writing
from blurr.loading.rows import InputNames, Inputs
from blurr.runs.asides import new_aside
from blurr.runs.checksums import is_sealed, put, seal, sealed_by
from blurr.runs.folder import CARD
from blurr.serve.graphs import MANIFEST, export_graphs
from blurr.serve.predictor import Predictor
from blurr.tasks.saved import save_model, save_task

LEARNER = "learner.pkl"


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
        rows, names = _two_rows(predictor)
        options = {"quantize": quantize, "one_size": not names.unit, "constants": predictor.learner.model.options}
        export_graphs(predictor.hf.model, rows, folder, **options)
        predictor.hf.processor.save_pretrained(folder)
        save_task(folder, predictor.saved)
    elif form == "transformers":
        save_model(folder, predictor.saved, predictor.hf)
    else:
        predictor.learner.export(folder.resolve() / LEARNER)


def _two_rows(predictor: Predictor) -> tuple[Inputs, InputNames]:
    """Return the inputs of two rows without padding, `(2, …)`, cut to the shorter one where they have lengths."""
    learner, examples = predictor.learner, predictor.examples(2)
    dl = learner.dls.test_dl(examples, bs=2)
    names: InputNames = dl.dataset.names
    if names.unit and not names.mask:  # nothing tells where the padding of the shorter one begins
        dl = learner.dls.test_dl([examples[0]] * 2, bs=2)
    batch = next(iter(dl))[0]
    known = {name: values[:2] for name, values in batch.items() if name in learner.model.known and name != "labels"}
    if not names.unit or not names.mask:
        return known, names
    length = int(batch[names.mask].sum(1).min())
    return {name: values[:, :length] if values.ndim > 1 else values for name, values in known.items()}, names
