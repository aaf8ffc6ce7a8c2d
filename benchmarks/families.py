"""Train, predict, export and load a tiny model of every architecture family: `python -m benchmarks.families`.

For each task that transformers has a head for: a few steps on one repeated batch give a finite and falling loss,
predictions are one for each item and have their fields, each item has the same one alone, and the exported and loaded
learner predicts the same. Each combination has a process of its own. `--only bert,t5` takes some of the families,
`--task translation` some tasks. `by length` is a yes, too: of a model that reads pads, see
`blurr.training.inference`.
"""

import argparse
import math
import multiprocessing
import tempfile
from collections.abc import Callable
from contextlib import redirect_stdout
from copy import deepcopy
from functools import cache, partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
import transformers
from fastai.callback.core import Callback
from omegaconf import DictConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from benchmarks.architectures import FAMILIES, Family
from benchmarks.commands import line, markdown, show
from benchmarks.predictions import FIELDS, CheckError, check_alone, check_export, check_predictions, items_of, stage
from blurr.config import composing, paths
from blurr.config.building import build
from blurr.data.core import RawData
from blurr.data.samples import load_samples
from blurr.loading.loader import Loader
from blurr.models.objects import HFObjects, build_model
from blurr.tasks.base import Task
from blurr.text.inputs import TEXT

STEPS, ROWS, VOCABULARY, SECONDS = 6, 20, 600, 300
NO_HEAD, YES, BY_LENGTH = "–", "yes", "by length"
FINE = (NO_HEAD, YES, BY_LENGTH)


class StepLosses(Callback):  # type: ignore[misc]  # fastai is not typed
    """Keep the plain loss of every training step."""

    def before_fit(self) -> None:
        self.values: list[float] = []

    def after_loss(self) -> None:
        if self.training:
            self.values.append(float(self.loss.detach()))


def try_out(task_name: str, arch: str, family: Family, folder: Path) -> str:
    """Do all of it for one family and one task.

    Returns:
        `yes`, or `by length` of a model that reads pads, so that rows of one length make a batch.

    Raises:
        CheckError: names the stage and the reason.
    """
    torch.manual_seed(0)
    task = short_task(task_name, family)
    raw = load_samples(task.schema, rows=ROWS, valid=0.25)
    with stage("model"):
        hf = tiny_model(task, arch, family, raw)
    with stage("data"):
        learner = task.learner(task.dataloaders(raw, hf, Loader(batch_size=64)), hf, raw=raw, metrics={}, path=folder)
    losses = StepLosses()
    with stage("training"), learner.no_bar(), learner.no_logging():
        learner.fit(STEPS, family.rate, cbs=losses)
    check_falling(losses.values)
    items = items_of(task_name, task, raw, hf.tokenizer)
    predicted = check_predictions(learner, items, FIELDS.get(task_name, set()))
    check_alone(learner, items, predicted)
    check_export(learner, items, predicted, folder)
    return BY_LENGTH if learner.model.reads_pads else YES


def short_task(task_name: str, family: Family) -> Task:
    """Make a task as its YAML says, but for what the family needs, and for generated texts, which are short."""
    node = deepcopy(settings_of(task_name))
    node.update({key: value for key, value in family.task.items() if key in node})
    if "generation" in node:
        node.generation.max_new_tokens = 4
    task: Task = build(node)
    return task


@cache
def settings_of(task_name: str) -> DictConfig:
    """Compose what a task's YAML says."""
    node: DictConfig = composing.compose([f"task={task_name}"]).task
    return node


def tiny_model(task: Task, arch: str, family: Family, raw: RawData) -> HFObjects:
    """Make the model from its config with random weights, without dropout, and its tokenizer from the rows."""
    quiet = {k: 0.0 for k, v in CONFIG_MAPPING[arch]().to_dict().items() if "drop" in k and isinstance(v, float)}
    return build_model(
        arch,
        model_cls=task.model_cls,
        config=task.target.model_config(raw),
        corpus=partial(task.corpus, raw),
        load_weights=True,
        arch=arch,
        weights="scratch",
        scratch={**quiet, **family.sizes},
        scratch_tokenizer=family.tokenizer,
        scratch_vocab=VOCABULARY,
        inputs=TEXT,
    )


def check_falling(losses: list[float]) -> None:
    """Refuse losses that are not finite, or not lower at the end.

    Raises:
        CheckError: tells them.
    """
    told = ", ".join(f"{loss:.3g}" for loss in losses)
    if not all(math.isfinite(loss) for loss in losses):
        raise CheckError(f"training: the loss is not finite: {told}")
    if losses[-1] >= losses[0]:
        raise CheckError(f"training: the loss does not fall: {told}")


def of_texts() -> list[str]:
    """Return the tasks that read texts; `benchmarks.vision_families` is for pictures."""
    return [name for name in paths.options("task") if ".text." in settings_of(name)._target_]


@cache
def heads(task_name: str) -> frozenset[str]:
    """Give the architectures that transformers has a head for this task for."""
    return frozenset(mapping_of(task_name)._model_mapping)


def mapping_of(task_name: str) -> Any:
    """Return transformers' mapping of configs to the models that have a head for this task."""
    task: Task = build(settings_of(task_name))
    return getattr(transformers, task.model_cls)._model_mapping


def in_a_process(work: Callable[[], str]) -> str:
    """Do work in a process of its own, so that a crash is a result, too.

    Returns:
        What the work gives, or the reason of its failure.
    """
    context = multiprocessing.get_context("fork")  # everything heavy is imported already
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_report, args=(work, there))
    process.start()
    there.close()
    try:
        answer: str = here.recv() if here.poll(SECONDS) else f"no end after {SECONDS} seconds"
    except EOFError:
        process.join()
        answer = f"the process died with exit code {process.exitcode}"
    process.kill()
    process.join()
    return answer


def _report(work: Callable[[], str], connection: Connection) -> None:
    try:
        with redirect_stdout(None):  # some architectures print what they think of their inputs
            found = work()
        connection.send(found)
    except CheckError as e:
        connection.send(str(e))


def examine(task_name: str, arch: str) -> str:
    """Return what is to be said of one architecture and task: one of `FINE`, or the reason why not."""
    if arch not in heads(task_name):
        return NO_HEAD
    mapping_of(task_name)[CONFIG_MAPPING[arch]]  # imports its module, for the processes of all tasks
    with tempfile.TemporaryDirectory() as folder:
        return in_a_process(partial(try_out, task_name, arch, FAMILIES[arch], Path(folder)))


def main() -> None:
    """Print a table of all, a row at a time, and one of the failures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(FAMILIES), help="families, separated by commas")
    parser.add_argument("--task", default=",".join(of_texts()), help="tasks, separated by commas")
    given = parser.parse_args()
    tasks, reasons = given.task.split(","), []
    show(markdown(["architecture", *tasks], []))
    for arch in given.only.split(","):
        found = {task: examine(task, arch) for task in tasks}
        show(line([arch, *(what if what in FINE else "**no**" for what in found.values())]))
        if arch not in CONFIG_MAPPING:
            reasons.append([arch, "all", f"transformers {transformers.__version__} has no such architecture"])
        reasons += [[arch, task, what] for task, what in found.items() if what not in FINE]
    if reasons:
        show("\n" + markdown(["architecture", "task", "reason"], reasons))


if __name__ == "__main__":
    main()
