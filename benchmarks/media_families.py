"""Check tiny models of many classes of pictures or sounds: what `vision_families` and `audio_families` share.

A checkpoint with random weights and the processor of its architecture is fine-tuned on generated rows:

- train: two steps have a finite loss, and change weights;
- alone: each row has the same prediction alone as in a batch;
- export: `learner.export` and `load_learner` give the same predictions;
- saved: so does the saved model folder, read by `Predictor`;
- onnx: with `--onnx`, the exported graph gives the same logits within 1e-3.
"""

import argparse
import json
import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers

from benchmarks.commands import line, markdown, show
from benchmarks.forks import in_a_process
from benchmarks.predictions import CheckError, alike, check_alone, check_export, check_predictions, stage
from benchmarks.trials import StepLosses
from blurr.serve.exporting import export
from blurr.serve.parity import parity
from blurr.serve.predictor import Predictor
from blurr.tasks.saved import SavedTask, save_model
from blurr.training.learner import Blearner

NEAR, NEAR_ONNX = 1e-5, 1e-3
CHECKS = ("train", "alone", "export", "saved", "onnx")
OF_CLASSES = frozenset({"label", "score", "class_index", "class_labels", "probs"})
Class = tuple[str, str]  # an architecture, and the name of its class


@dataclass(frozen=True)
class Kind:
    """What is tried with each class.

    Attributes:
        task: Name of the task.
        classes: Architectures and their classes.
        checkpoint: Saves a tiny model of one into a folder.
        learner: Makes a learner of an architecture from that folder.
        items: To predict on.
        fields: Of each prediction.
    """

    task: str
    classes: Sequence[Class]
    checkpoint: Callable[[str, str, Path], Path]
    learner: Callable[[str, Path], Blearner]
    items: Sequence[Any]
    fields: frozenset[str]


def classes_of(table: Any) -> list[Class]:
    """Return each architecture of a table of transformers with each of its classes."""
    return [(arch, name) for arch, names in table.items() for name in ([names] if isinstance(names, str) else names)]


def try_out(kind: Kind, arch: str, name: str, folder: Path, *, onnx: bool) -> str:
    """Do all checks of one class, and return which it passes and why it does not pass the next, as JSON."""
    passed: list[str] = []
    try:
        for check in _checks(kind, arch, name, folder, onnx=onnx):
            passed.append(check)
    except CheckError as error:
        return json.dumps([passed, str(error)])
    return json.dumps([passed, ""])


def _checks(kind: Kind, arch: str, name: str, folder: Path, *, onnx: bool) -> Iterator[str]:
    """Do one check after the other, and yield its name once it is passed."""
    with stage("checkpoint"):
        kind.checkpoint(arch, name, folder / "checkpoint")
    with stage("train"):
        learner = kind.learner(arch, folder / "checkpoint")
        check_training(learner)
    yield "train"
    items = list(kind.items)
    predicted = check_predictions(learner, items, set(kind.fields))
    check_alone(learner, items, predicted, NEAR)
    yield "alone"
    check_export(learner, items, predicted, folder, NEAR)
    yield "export"
    with stage("saved"):
        saved = save(learner, folder / "saved", kind.task)
        again = saved.predict(items)
    if not alike(again, predicted, NEAR):
        raise CheckError("saved: the saved model predicts something else")
    yield "saved"
    if onnx:
        with stage("onnx"):
            export(saved, folder / "onnx", form="onnx")
            found = parity(saved, Predictor.load(folder / "onnx")).difference
        if not found <= NEAR_ONNX:
            raise CheckError(f"onnx: a logit differs by {found:.3g}")
        yield "onnx"


def check_training(learner: Blearner) -> None:
    """Train a step with a frozen body and two of the whole model; the last batch of each epoch has one row.

    Raises:
        CheckError: a loss is not finite, the frozen body changes, the head does not, or the body does not in the end.
    """
    losses = StepLosses()
    learner.logger = lambda *_: None
    start = weights_of(learner)
    with learner.no_bar():
        learner.fit(steps=1, lr=1e-2, cbs=losses)
        head = changed(start, learner)
        frozen = {name for name, parameter in learner.model.named_parameters() if not parameter.requires_grad}
        trained = {name.rpartition(".")[0] for name in head - frozen}
        if not trained or any(name.rpartition(".")[0] not in trained for name in head):
            raise CheckError(f"train: with a frozen body, these change: {sorted(head)[:3]}")
        first = losses.values
        learner.unfreeze()
        learner.fit(steps=2, lr=1e-2, cbs=losses)
    if not all(math.isfinite(loss) for loss in [*first, *losses.values]):
        raise CheckError(f"train: the loss is not finite: {[*first, *losses.values]}")
    if not changed(start, learner) & frozen:
        raise CheckError("train: nothing of the body changes when it is not frozen")


def weights_of(learner: Blearner) -> dict[str, torch.Tensor]:
    """Return copies of all weights and buffers."""
    return {name: value.clone() for name, value in learner.model.state_dict().items()}


def changed(before: dict[str, torch.Tensor], learner: Blearner) -> set[str]:
    """Return the names of the weights and buffers that have changed."""
    return {name for name, value in learner.model.state_dict().items() if not torch.equal(value, before[name])}


def save(learner: Blearner, folder: Path, task: str) -> Predictor:
    """Save the model of a learner as a run does, and load it."""
    folder.mkdir()
    origin = learner.origin
    save_model(folder, SavedTask(origin.task.resolved(learner), choices={"task": task}), origin.hf)
    return Predictor.load(folder, device="cpu")


def print_table(kind: Kind, doc: str | None) -> None:
    """Print a table of all classes, a row at a time, the passes by check, and the failures with their causes."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="architectures, separated by commas (default: all)")
    parser.add_argument("--onnx", action="store_true", help="compare exported graphs, too")
    given = parser.parse_args()
    only = given.only.split(",") if given.only else [arch for arch, _ in kind.classes]
    wanted = CHECKS if given.onnx else CHECKS[:-1]
    passes, reasons, count = dict.fromkeys(wanted, 0), [], 0
    show(markdown(["architecture", "class", *wanted], []))
    for arch, name in kind.classes:
        if arch not in only:
            continue
        count += 1
        getattr(transformers, name)  # imported here, for the process of its own
        with tempfile.TemporaryDirectory() as folder:
            answer = in_a_process(partial(try_out, kind, arch, name, Path(folder), onnx=given.onnx))
        passed, reason = json.loads(answer) if answer.startswith("[") else ([], answer)
        show(line([arch, name, *("yes" if check in passed else "**no**" for check in wanted)]))
        reasons += [[arch, name, reason]] if reason else []
        passes = {check: n + (check in passed) for check, n in passes.items()}
    show(line(["all", str(count), *map(str, passes.values())]))
    if reasons:
        show("\n" + markdown(["architecture", "class", "reason"], reasons))
