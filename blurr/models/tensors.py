"""Allow or refuse tensors that a checkpoint lacks: a new head is normal, a missing body tensor is not."""

import logging
import re
from collections.abc import Sequence
from typing import Any

import torch
from transformers import AutoModel, PreTrainedModel

from blurr.errors import InputError

log = logging.getLogger(__name__)

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
    log.info("Made anew, since the checkpoint lacks them: %s.", ", ".join(sorted(new)))


def body_names(model: PreTrainedModel) -> set[str]:
    """Return the names of the parameters that the architecture has without a head."""
    names = [name for name, _ in model.named_parameters()]
    if model.base_model is not model:
        return {name for name in names if name.startswith(f"{model.base_model_prefix}.")}
    with torch.device("meta"):
        bare: Any = AutoModel.from_config(model.config)  # type: ignore[no-untyped-call]
    known = {name for name, _ in bare.named_parameters()}
    return {name for name in names if name in known}


def listed(names: set[str]) -> str:
    """Return names for a message, the first few of many."""
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(sorted(names)[:MOST_NAMED]) + more


def _common(names: set[str]) -> str:
    """Return the pattern of a single name, or of what several names begin with."""
    first, last = min(names), max(names)
    same = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    return re.escape(first[:same]) or "."
