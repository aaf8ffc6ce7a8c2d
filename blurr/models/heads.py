"""What a checkpoint lacks: its head is kept or reinitialized, missing tensors of the body are refused."""

import logging
import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

import torch
from transformers import MODEL_MAPPING, AutoModel, PretrainedConfig, PreTrainedModel

from blurr.errors import InputError

log = logging.getLogger(__name__)

HEAD = re.compile(
    r"For(SequenceClassification|TokenClassification|QuestionAnswering|MultipleChoice|ImageClassification"
    r"|SemanticSegmentation|ObjectDetection|AudioClassification)(Simple)?$"
)
UNNAMED = re.compile(r"LABEL_\d+")  # what transformers calls the labels of a config that names none
MOST_SHOWN = 8
BELOW = ".base_layer."  # how peft names the layer that an adapter stands beside


def names_in_order(config: PretrainedConfig) -> list[str]:
    """Return the names of the labels, in the order of their ids."""
    return [str(name) for _, name in sorted((config.id2label or {}).items())]


def are_named(names: Sequence[str]) -> bool:
    """Return whether somebody chose these names; transformers calls unnamed labels LABEL_0 and so on."""
    return not all(UNNAMED.fullmatch(name) for name in names)


def in_stored_order(values: Mapping[str, Any], stored: PretrainedConfig) -> dict[str, Any]:
    """Return config values with the labels in the order of the checkpoint, if it has the same ones.

    The rows of the head are in that order; with another order, every class would get the name of another class.

    Args:
        values: Config values, possibly with `id2label`.
        stored: Config of the checkpoint.
    """
    if "id2label" not in values:
        return dict(values)
    asked = [str(name) for _, name in sorted(values["id2label"].items(), key=lambda pair: int(pair[0]))]
    names = names_in_order(stored)
    if asked == names or sorted(asked) != sorted(names):
        names = asked
    else:
        log.info("Labels are in the order of the checkpoint's head: %s.", shown(names))
    # timm's configs have the names a second time, which are the ones that are saved
    return {**values, **named_labels(names), **({"label_names": names} if "label_names" in stored.to_dict() else {})}


def named_labels(names: Sequence[str]) -> dict[str, Any]:
    """Return the config values of a model whose labels have these names, in the order of their ids."""
    ids = {name: i for i, name in enumerate(names)}
    return {"num_labels": len(names), "id2label": dict(enumerate(names)), "label2id": ids}


def check_order(vocab: Sequence[str], config: PretrainedConfig) -> None:
    """Refuse loaders with the model's labels in another order than its head: saved predictions would be misnamed.

    Raises:
        InputError: the same labels, in another order.
    """
    names = names_in_order(config)
    if list(vocab) != names and sorted(vocab) == sorted(names):
        raise InputError(
            f"The loaders have the labels in the order {shown(vocab)}, and the model in the order {shown(names)}. Give "
            "your block the model's: CategoryBlock(vocab=hf.label_names)."
        )


def shown(names: Sequence[str]) -> str:
    """Return at most the first eight names, for a message."""
    more = f" and {len(names) - MOST_SHOWN} more" if len(names) > MOST_SHOWN else ""
    return ", ".join(repr(name) for name in names[:MOST_SHOWN]) + more


def fit_head(model: PreTrainedModel, stored: PretrainedConfig, *, missing: set[str], resized: set[str]) -> set[str]:
    """Reinitialize the last layer of the head where its rows stand for other labels, and log it.

    Args:
        model: As loaded; its config has the labels of the task.
        stored: Config of the checkpoint.
        missing: Names of the parameters that the checkpoint lacks.
        resized: Names of those that it has in another size.

    Returns:
        The names of the parameters that were reinitialized.
    """
    before, names = names_in_order(stored), names_in_order(model.config)
    if before == names and head_of_another_task(model, stored) is None:
        return set()
    last = label_parameters(model)
    if last & resized:
        log.info("New head: %s in place of %s.", _counted(names), len(before))
    if last <= missing | resized:
        return set()
    theirs = head_of_another_task(model, stored)
    if theirs is not None:
        renew(model, last)
        log.info("New head: the one of the checkpoint is of another task (%s).", theirs)
        return last
    if not are_named(before):
        named = ", ".join(f"{old} = {name}" for old, name in zip(before, names, strict=True))
        log.info("The labels of the checkpoint's head have no names; they are taken for %s.", named)
    elif sorted(before) != sorted(names):
        renew(model, last)
        log.info("New head: the labels %s in place of %s.", shown(names), shown(before))
        return last
    return set()


def head_of_another_task(model: PreTrainedModel, stored: PretrainedConfig) -> str | None:
    """Return the checkpoint's class if its head is for another task than the model's, else `None`.

    In many architectures the heads for texts and for tokens have parameters of the same names and sizes.
    """
    ours = HEAD.search(type(model).__name__)
    for name in stored.architectures or []:
        theirs = HEAD.search(name)
        if theirs is not None and (ours is None or ours[1] != theirs[1]):
            return str(name)
    return None


def _counted(names: Sequence[str]) -> str:
    return "1 label" if len(names) == 1 else f"{len(names)} labels"


def label_parameters(model: PreTrainedModel) -> set[str]:
    """Return the names of the parameters that have a row for each label."""
    other = deepcopy(model.config)
    other.num_labels = len(names_in_order(other)) + 1
    with torch.device("meta"):
        shapes = {name: value.shape for name, value in type(model)(other).named_parameters()}
    named = [
        (name, value) for name, value in model.named_parameters() if value.is_floating_point()
    ]  # not packed in bits
    return {name for name, value in named if shapes.get(name, value.shape) != value.shape}


def renew(model: PreTrainedModel, names: set[str]) -> None:
    """Reinitialize parameters as the architecture does."""
    fresh = dict(type(model)(deepcopy(model.config)).named_parameters())
    with torch.no_grad():
        for name, value in model.named_parameters():
            if name in names:
                value.copy_(fresh[name])


MOST_NAMED = 5  # of the tensors that an error lists
POOLER = re.compile(r"(^|\.)[\w]*pooler\b")


def check_new(model: PreTrainedModel, new: set[str], name: str, *, allowed: Sequence[str], complete: bool) -> None:
    """Refuse a checkpoint that lacks tensors of the body, and log the ones that are initialized anew.

    Args:
        model: as loaded.
        new: names of its tensors that the checkpoint lacks, or has in another size; those that transformers ties to
            others, or marks as made anew, are not among them.
        name: of the checkpoint, for messages.
        allowed: regular expressions, searched in the names of tensors that may be made anew, besides head and pooler.
        complete: refuse any, since the model will not be trained.

    Raises:
        InputError: names what is missing.
    """
    if not new:
        return
    if complete:
        raise InputError(
            f"The checkpoint {name!r} lacks {listed(new)}, which {type(model).__name__} needs: what it says would be "
            "random. Train it first (`blurr run`), or take a checkpoint whose head is of this task."
        )
    body = body_names(model)
    needed = {key for key in new & body if not POOLER.search(key) and not any(re.search(p, key) for p in allowed)}
    if needed == {key for key, _ in model.named_parameters()} & body:
        raise InputError(
            f"Cannot load a model from {name!r}: its weights are of another architecture than its config.json says "
            f"({model.config.model_type}). Take both from one checkpoint."
        )
    if needed:
        raise InputError(
            f"The checkpoint {name!r} lacks weights of the model's body, or has them in another size: "
            f"{listed(needed)}. Take a whole checkpoint; if they are to be made anew, at random, say so: "
            f"'model.allow_missing=[{_common(needed)}]'"
        )
    sizes = {key: parameter.numel() for key, parameter in model.named_parameters() if key in new}
    parts = sorted({key.removeprefix(f"{model.base_model_prefix}.").split(".")[0] for key in new})
    log.info("New head: %s, %s parameters.", ", ".join(parts), f"{sum(sizes.values()):,}")
    log.debug("Made anew, since the checkpoint lacks them: %s.", ", ".join(sorted(new)))


def body_names(model: PreTrainedModel) -> set[str]:
    """Return the names of the parameters that the architecture has without a head."""
    names = [name for name, _ in model.named_parameters()]
    if model.base_model is not model:
        inside = {name for name in names if name.startswith(f"{model.base_model_prefix}.")}
        # Perceiver and timm have their heads within; a head that is the input embedding has no name of its own
        if len(inside) < len(names) or not label_parameters(model):
            return inside
    if type(model.config) not in MODEL_MAPPING:  # it is only there with its head
        return set(names) - label_parameters(model)
    with torch.device("meta"):
        bare: Any = AutoModel.from_config(model.config)  # type: ignore[no-untyped-call]
    known = {name for name, _ in bare.named_parameters()}
    # Llama 4 has its body under a name that its class does not tell
    inside = {name for name in names if name in known or name.partition(".")[2] in known}
    adapted = {name.partition(BELOW)[0] for name in names if BELOW in name}  # modules that have an adapter beside them
    places = {name.rpartition(".")[0] for name in known} & adapted
    return inside | {name for name in names if any(name.startswith(f"{place}.") for place in places)}


def listed(names: set[str]) -> str:
    """Return names for a message, the first few of many."""
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(sorted(names)[:MOST_NAMED]) + more


def _common(names: set[str]) -> str:
    """Return the pattern of a single name, or of what several names begin with."""
    first, last = min(names), max(names)
    same = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    return re.escape(first[:same]) or "."
