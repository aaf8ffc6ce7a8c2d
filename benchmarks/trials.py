"""Try a tiny model of an architecture on a task: from a checkpoint in a folder to the predictions of an export."""

import math
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
import transformers
from fastai.callback.core import Callback
from omegaconf import DictConfig
from torch import nn
from transformers import PreTrainedModel

from benchmarks.architectures import NEAR, SETTINGS
from benchmarks.predictions import (
    FIELDS,
    ROUNDING,
    CheckError,
    check_alone,
    check_export,
    check_predictions,
    items_of,
    stage,
)
from benchmarks.tiny import CAUSAL, MASKED, SEQ2SEQ, tiny_config, tiny_tokenizer
from blurr.config import composing
from blurr.config.building import build
from blurr.data.core import RawData
from blurr.data.samples import load_samples
from blurr.loading.loader import Loader
from blurr.models.groups import groups_of
from blurr.models.objects import build_model
from blurr.tasks.base import Task
from blurr.text.inputs import TEXT
from blurr.training.learner import Blearner

ROWS, STEPS, RATE = 24, 6, 3e-3
MORE_STEPS, LOWER_RATE = 12, 3e-4  # for the few that jump over a minimum
MOST_WEIGHTS = 20_000_000
HEADS = (
    "sequence_classification",
    "token_classification",
    "question_answering",
)  # made anew for a checkpoint of a body
FROM_LEFT = {
    "is_decoder": True,
    "causal": True,
}  # instead of in both directions; `causal` is XLM's word
YES, BY_LENGTH = "yes", "by length"


@dataclass(frozen=True)
class Passed:
    """What is worth telling of an architecture that passes.

    Args:
        answer: `yes`, or `by length` of a model that reads pads, so that rows of one length make a batch.
        groups: Number of parameter groups, by layers.
        frozen: The name of the last group, which is trained where all others are frozen.
    """

    answer: str
    groups: int
    frozen: str


class StepLosses(Callback):  # type: ignore[misc]  # fastai is not typed
    """Keep the plain loss of every training step."""

    def before_fit(self) -> None:
        self.values: list[float] = []

    def after_loss(self) -> None:
        if self.training:
            self.values.append(float(self.loss.detach()))


def try_out(task_name: str, arch: str, folder: Path) -> Passed:
    """Do all of it for one architecture and one task.

    Raises:
        CheckError: names the stage and the reason.
    """
    torch.manual_seed(0)
    task = short_task(task_name, arch)
    raw = load_samples(task.schema, rows=ROWS, valid=0.25)
    with stage("checkpoint"):
        save_checkpoint(task_name, task, arch, raw, folder / "checkpoint")
    with stage("model"):
        hf = build_model(
            str(folder / "checkpoint"),
            model_cls=task.model_cls,
            inputs=TEXT,
            config=task.target.model_config(raw),
            corpus=tuple,
            load_weights=True,
            weights="pretrained",
            groups="layers",
        )
    with stage("data"):
        learner = task.learner(task.dataloaders(raw, hf, Loader(batch_size=64)), hf, raw=raw, metrics={}, path=folder)
    groups = check_groups(learner)
    train(learner)
    items = items_of(task_name, task, raw, hf.tokenizer)
    predicted = check_predictions(learner, items, FIELDS.get(task_name, set()))
    check_alone(learner, items, predicted, NEAR.get(arch, ROUNDING))
    check_export(learner, items, predicted, folder, ROUNDING)
    return Passed(BY_LENGTH if learner.model.reads_pads else YES, len(groups), groups[-1])


def short_task(task_name: str, arch: str) -> Task:
    """Make a task as its YAML says, but for what the architecture needs, and for generated texts, which are short."""
    node = deepcopy(settings_of(task_name))
    node.update({key: value for key, value in SETTINGS.get(arch, {}).items() if key in node})
    if "generation" in node:
        node.generation.max_new_tokens = 4
    task: Task = build(node)
    return task


@cache
def settings_of(task_name: str) -> DictConfig:
    """Compose what a task's YAML says."""
    node: DictConfig = composing.compose([f"task={task_name}"]).task
    return node


def save_checkpoint(task_name: str, task: Task, arch: str, raw: RawData, folder: Path) -> None:
    """Save a tiny model with random weights: a language model where there is one, so that a head must be made anew.

    Raises:
        CheckError: the model is not tiny.
    """
    tokenizer = tiny_tokenizer(arch, task.corpus(raw))
    is_causal = task_name == "causal_lm" and arch in MASKED
    writes = {
        name: True for name in ("is_decoder", "causal") if is_causal and name in tiny_config(arch, tokenizer).to_dict()
    }
    config = tiny_config(arch, tokenizer, **writes)
    known = {"AutoModelForMaskedLM": MASKED, "AutoModelForSeq2SeqLM": SEQ2SEQ, "AutoModelForCausalLM": CAUSAL}
    names = [*(name for name, archs in known.items() if arch in archs), task.model_cls]
    name = names[0] if task_name in HEADS else task.model_cls
    model = made(name, config)
    if type(model.config) is not type(config):  # the language model within one of pictures and texts
        model = made("AutoModelForImageTextToText" if task_name == "causal_lm" else task.model_cls, config)
    model.float().save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def made(auto_class: str, config: Any) -> PreTrainedModel:
    """Make a model, after a look at its size.

    Raises:
        CheckError: it is large.
    """
    cls = getattr(transformers, auto_class)
    with torch.device("meta"):
        size = cls.from_config(config).num_parameters()
    if size > MOST_WEIGHTS:
        raise CheckError(f"checkpoint: {size / 1e6:.0f} M parameters are not tiny")
    model: PreTrainedModel = cls.from_config(config)
    return model


def check_groups(learner: Blearner) -> list[str]:
    """Check that each weight is in one group, and that the last one alone is trained where the others are frozen.

    Returns:
        The names of the groups.

    Raises:
        CheckError: it is not so.
    """
    groups = groups_of(learner.model, "layers")
    together = [id(parameter) for group in groups for parameter in group.parameters]
    fixed = _trained(learner.model, False)
    if len(together) != len(set(together)) or set(together) != _trained(learner.model, True):
        raise CheckError("groups: not each weight in one of them")
    learner.freeze()
    if _trained(learner.model, True) != {id(parameter) for parameter in groups[-1].parameters}:
        raise CheckError(f"groups: frozen, not the last group ({groups[-1].name}) alone is trained")
    learner.unfreeze()
    if fixed - _trained(learner.model, False):
        raise CheckError("groups: unfreezing trains what the architecture keeps as it is")
    return [group.name for group in groups]


def _trained(model: nn.Module, is_trained: bool) -> set[int]:
    return {id(parameter) for parameter in model.parameters() if parameter.requires_grad == is_trained}


def train(learner: Blearner) -> None:
    """Train a few steps on one repeated batch; once more at a lower rate if the loss does not fall.

    Raises:
        CheckError: it still does not, or is not finite.
    """
    losses = StepLosses()
    with stage("training"), learner.no_bar(), learner.no_logging():
        learner.fit(STEPS, RATE, cbs=losses)
    first = losses.values[0]
    if math.isfinite(losses.values[-1]) and losses.values[-1] >= first:
        with stage("training"), learner.no_bar(), learner.no_logging():
            learner.fit(MORE_STEPS, LOWER_RATE, cbs=losses)
    check_falling([first, *losses.values])


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
