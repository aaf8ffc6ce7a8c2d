"""The learning rate of who asks for none: it belongs to what the schedule trains, and to the weights."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from transformers import PretrainedConfig

from blurr.training import schedules
from blurr.training.learning_rate import LearningRate

SCRATCH = 1e-3  # the usual rate of fine-tuning BERT would not train a new model
# Convolutional networks normalize what passes through every layer, and take higher rates than transformers.
OF_CONVOLUTIONS = {"scratch": 3e-3, "pretrained": 1e-3}
CONVOLUTIONAL = frozenset({"hidden_sizes", "depth_multiplier", "width_coefficient", "architecture"})  # keys of configs
OF_TRANSFORMERS = re.compile(r"vit|deit|beit|eva|cait|mixer|swin")  # in timm's names of architectures
BASE, WIDTH = 5e-5, 768  # the usual rate of fine-tuning a BERT, and how wide that is
MOST = 2e-4  # of the narrowest
OF_ADAPTERS = 10  # times the rate of the weights that the adapter is beside
HEAD = 2e-3  # of a new head before a body that stands still, or learns much slower


@dataclass(frozen=True)
class DefaultRate:
    """A learning rate, and why it is taken where none is asked for."""

    rate: LearningRate
    reason: str


def default_rate(
    schedule: Callable[..., object], *, weights: str, config: PretrainedConfig, has_adapter: bool = False
) -> DefaultRate:
    """Return the learning rate for `optimizer.lr=null`.

    Args:
        schedule: as `conf/schedule` makes it; one that is not blurr's is taken to train all weights.
        weights: `pretrained` or `scratch`.
        config: of the model.
        has_adapter: an adapter is trained, and not the weights below it.
    """
    if has_adapter and weights != "scratch":
        return _of_adapter(schedule, config)
    body, width = rate_of_body(config)
    is_convolutional = width is None and _is_convolutional(config)
    if weights == "scratch" and not is_convolutional:
        return DefaultRate(SCRATCH, "weights from scratch")
    func, options = _parts(schedule)
    if func is schedules.fine_tune:
        return DefaultRate(HEAD, "of the head; the body of pretrained weights learns slower, see schedule.lr_mult")
    if func is schedules.gradual_unfreezing:
        return DefaultRate(slice(body / 4, HEAD), "from the first group of pretrained weights to a new head")
    if options.get("freeze"):
        return DefaultRate(HEAD, "the head alone is trained")
    if is_convolutional:
        return DefaultRate(OF_CONVOLUTIONS[weights], f"{weights} weights of a convolutional network")
    return DefaultRate(body, f"pretrained weights, {width} wide" if width else "pretrained weights")


def sets_rates_of_groups(schedule: Callable[..., object]) -> bool:
    """Return whether a schedule gives groups rates of their own, or freezes them one by one, whatever is asked for."""
    return _parts(schedule)[0] in (schedules.fine_tune, schedules.gradual_unfreezing)


def _parts(schedule: Callable[..., object]) -> tuple[Callable[..., object], Mapping[str, Any]]:
    """Return the function of a schedule, and the settings that it is called with."""
    return (schedule.func, schedule.keywords) if isinstance(schedule, partial) else (schedule, {})


def _of_adapter(schedule: Callable[..., object], config: PretrainedConfig) -> DefaultRate:
    """Return ten times the rate at which all weights would be trained (Schulman et al. 2025, LoRA Without Regret).

    The head is as new as without an adapter, and keeps its rate where it is trained by itself.
    """
    if _parts(schedule)[1].get("freeze"):
        return DefaultRate(HEAD, "the head alone is trained")
    body, _ = rate_of_body(config)
    rate = float(f"{OF_ADAPTERS * (OF_CONVOLUTIONS['pretrained'] if _is_convolutional(config) else body):.3g}")
    if sets_rates_of_groups(schedule):
        reason = f"from the first group of an adapter, {OF_ADAPTERS} times the usual, to a new head"
        return DefaultRate(slice(*sorted((rate / 4, HEAD))), reason)
    return DefaultRate(rate, f"an adapter: {OF_ADAPTERS} times the usual of pretrained weights, which stay as they are")


def _is_convolutional(config: PretrainedConfig) -> bool:
    values = config.to_dict()
    return bool(CONVOLUTIONAL & set(values)) and not OF_TRANSFORMERS.search(str(values.get("architecture", "")))


def rate_of_body(config: PretrainedConfig) -> tuple[float, int | None]:
    """Return the rate of pretrained weights, and their width, where the config tells one.

    Adam moves every weight by about the rate, whatever the width: the more weights meet in a sum, the more the sum
    moves. So a narrower model takes a higher rate (Yang et al. 2022, arXiv:2203.03466); a wider one keeps the usual.
    """
    width = config.to_dict().get(config.attribute_map.get("hidden_size", "hidden_size"))
    if not isinstance(width, int):
        return BASE, None
    return float(f"{min(max(BASE * WIDTH / width, BASE), MOST):.3g}"), width
