"""Train, predict, export and load a tiny model of every class that transformers has for image classification.

`python -m benchmarks.vision_families` prints which checks each class passes, and why not. A
checkpoint with random weights and the image processor of its architecture is fine-tuned on generated shapes:

- train: two steps have a finite loss, and change weights;
- alone: each picture has the same prediction alone as in a batch;
- export: `learner.export` and `load_learner` give the same predictions;
- saved: so does the saved model folder, read by `Predictor`;
- onnx: with `--onnx`, the exported graph gives the same logits within 1e-3.
"""

import argparse
import json
import math
import random
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoConfig
from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING_NAMES
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES

from benchmarks.commands import line, markdown, show
from benchmarks.families import StepLosses, in_a_process
from benchmarks.predictions import CheckError, alike, check_alone, check_export, check_predictions, stage
from benchmarks.vision_architectures import PROCESSORS, SIDE, SIDES, SIZES
from blurr.serve.exporting import export
from blurr.serve.parity import parity
from blurr.serve.predictor import Predictor
from blurr.tasks.saved import SavedTask, save_model
from blurr.training.learner import Blearner
from blurr.vision import samples
from blurr.vision.image_classification import BlearnerForImageClassification

TASK = "image_classification"
ROWS, NEAR, NEAR_ONNX = 24, 1e-5, 1e-3
CHECKS = ("train", "alone", "export", "saved", "onnx")
FIELDS = {"label", "score", "class_index", "class_labels", "probs"}


def classes() -> Iterator[tuple[str, str]]:
    """Yield each architecture with each of its classes for image classification."""
    for arch, names in MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES.items():
        yield from ((arch, name) for name in ([names] if isinstance(names, str) else names))


def make_checkpoint(arch: str, name: str, folder: Path) -> Path:
    """Save a tiny model with random weights, with the image processor of its architecture."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(arch, **{**SIZES[arch], "num_labels": 3})
    getattr(transformers, name)(config).save_pretrained(folder)
    kinds = IMAGE_PROCESSOR_MAPPING_NAMES.get(arch) or {"torchvision": "BitImageProcessor"}
    if arch != "timm_wrapper":  # its processor is in its config
        kind = getattr(transformers, kinds["torchvision"])
        kind(**PROCESSORS.get(arch, {})).save_pretrained(folder)
    return folder


def try_out(arch: str, name: str, folder: Path, *, onnx: bool) -> str:
    """Do all checks of one class, and return which it passes and why it does not pass the next, as JSON."""
    passed: list[str] = []
    try:
        for check in _checks(arch, name, folder, onnx=onnx):
            passed.append(check)
    except CheckError as error:
        return json.dumps([passed, str(error)])
    return json.dumps([passed, ""])


def _checks(arch: str, name: str, folder: Path, *, onnx: bool) -> Iterator[str]:
    """Do one check after the other, and yield its name once it is passed."""
    rows = shapes()
    items = [row["image"] for row in rows if row["is_valid"]]
    with stage("checkpoint"):
        make_checkpoint(arch, name, folder / "checkpoint")
    with stage("train"):
        learner = BlearnerForImageClassification.from_data(
            rows, folder / "checkpoint", size=SIDES.get(arch, SIDE), dl_kwargs={"bs": 17}
        )
        check_training(learner)
    yield "train"
    predicted = check_predictions(learner, items, FIELDS)
    check_alone(learner, items, predicted, NEAR)
    yield "alone"
    check_export(learner, items, predicted, folder, NEAR)
    yield "export"
    with stage("saved"):
        saved = save(learner, folder / "saved")
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


def shapes() -> list[dict[str, Any]]:
    """Draw the rows; every fourth is for validation."""
    rng = random.Random(0)
    return [{**samples.shapes(rng), "is_valid": i % 4 == 0} for i in range(ROWS)]


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


def save(learner: Blearner, folder: Path) -> Predictor:
    """Save the model of a learner as a run does, and load it."""
    folder.mkdir()
    origin = learner.origin
    save_model(folder, SavedTask(origin.task.resolved(learner), choices={"task": TASK}), origin.hf)
    return Predictor.load(folder, device="cpu")


def main() -> None:
    """Print a table of all classes, a row at a time, the passes by check, and the failures with their causes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(SIZES), help="architectures, separated by commas")
    parser.add_argument("--onnx", action="store_true", help="compare exported graphs, too")
    given = parser.parse_args()
    onnx, only = given.onnx, given.only.split(",")
    wanted = CHECKS if onnx else CHECKS[:-1]
    passes, reasons, count = dict.fromkeys(wanted, 0), [], 0
    show(markdown(["architecture", "class", *wanted], []))
    for arch, name in classes():
        if arch not in only:
            continue
        count += 1
        getattr(transformers, name)  # imported here, for the process of its own
        with tempfile.TemporaryDirectory() as folder:
            answer = in_a_process(partial(try_out, arch, name, Path(folder), onnx=onnx))
        passed, reason = json.loads(answer) if answer.startswith("[") else ([], answer)
        show(line([arch, name, *("yes" if check in passed else "**no**" for check in wanted)]))
        reasons += [[arch, name, reason]] if reason else []
        passes = {check: n + (check in passed) for check, n in passes.items()}
    show(line(["all", str(count), *map(str, passes.values())]))
    if reasons:
        show("\n" + markdown(["architecture", "class", "reason"], reasons))


if __name__ == "__main__":
    main()
