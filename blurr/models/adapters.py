"""Adapters, each an option of `adapter`: what a method adds to a pretrained model, and how much of it.

All of them train the head in full, and whatever else the checkpoint does not give.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from blurr.config.annotations import Count, Fraction, Positive
from blurr.errors import InputError
from blurr.models.adapted import AdapterOptions, Base, attach
from blurr.models.adapter_targets import ALL_LINEAR
from blurr.models.objects import HFObjects
from blurr.models.quantizing import Quantize

log = logging.getLogger(__name__)
Targets = str | Sequence[str]


def lora(
    r: Count = 8,
    alpha: Positive = 32.0,
    dropout: Fraction = 0.0,
    targets: Targets = ALL_LINEAR,
    train: Sequence[str] = (),
    merge: bool = True,
) -> AdapterOptions:
    """Add to each layer the product of two narrow matrices (Hu et al. 2021, arXiv:2106.09685).

    Args:
        r: rank: the width of the matrices.
        alpha: the product is scaled by `alpha / r`. 32 is what ten times the usual learning rate was found with
            (Schulman et al. 2025, LoRA Without Regret).
        dropout: share of its inputs that the adapter does not see in training.
        targets: `all-linear`, or the ends of the names of layers, such as `["query", "value"]`.
        train: regular expressions, searched in the names of weights that are trained themselves, besides the head.
        merge: save the model with the adapter added to its weights; else save the adapter alone, and where its base is.
    """
    return AdapterOptions("lora", r, alpha, dropout, targets, train, merge)


def dora(
    r: Count = 8,
    alpha: Positive = 32.0,
    dropout: Fraction = 0.0,
    targets: Targets = ALL_LINEAR,
    train: Sequence[str] = (),
    merge: bool = True,
) -> AdapterOptions:
    """Learn the length of each weight vector apart from its direction (Liu et al. 2024, arXiv:2402.09353).

    The arguments are those of `lora`. A step takes longer than one of `lora`.
    """
    return AdapterOptions("dora", r, alpha, dropout, targets, train, merge)


def rslora(
    r: Count = 8,
    alpha: Positive = 16.0,
    dropout: Fraction = 0.0,
    targets: Targets = ALL_LINEAR,
    train: Sequence[str] = (),
    merge: bool = True,
) -> AdapterOptions:
    """Scale by `alpha / sqrt(r)`, so that high ranks learn as fast as low ones (Kalajdzievski 2023, arXiv:2312.03732).

    The arguments are those of `lora`.
    """
    return AdapterOptions("rslora", r, alpha, dropout, targets, train, merge)


def pissa(
    r: Count = 8,
    alpha: Positive = 8.0,
    dropout: Fraction = 0.0,
    targets: Targets = ALL_LINEAR,
    train: Sequence[str] = (),
    merge: bool = True,
) -> AdapterOptions:
    """Train the largest singular values and vectors of each layer (Meng et al. 2024, arXiv:2404.02948).

    They are taken out of the base, so checkpoints hold all weights; the saved adapter fits the original base, and has
    twice the rank. The arguments are those of `lora`.
    """
    return AdapterOptions("pissa", r, alpha, dropout, targets, train, merge)


def vera(
    r: Count = 256,
    dropout: Fraction = 0.0,
    targets: Targets = ALL_LINEAR,
    train: Sequence[str] = (),
    merge: bool = True,
) -> AdapterOptions:
    """Learn two vectors for each layer between random matrices that all share (Kopiczko et al. 2023, arXiv:2310.11454).

    The arguments are those of `lora`.
    """
    return AdapterOptions("vera", r, None, dropout, targets, train, merge)


def ia3(targets: Targets = ALL_LINEAR, train: Sequence[str] = (), merge: bool = True) -> AdapterOptions:
    """Learn a factor for each output of a layer (Liu et al. 2022, arXiv:2205.05638).

    The arguments are those of `lora`.
    """
    return AdapterOptions("ia3", targets=targets, train=train, merge=merge)


def with_adapter(
    hf: HFObjects,
    options: AdapterOptions,
    *,
    name: str,
    revision: str | None = None,
    quantize: Quantize | None = None,
) -> HFObjects:
    """Attach an adapter to a model, which is changed in place.

    Args:
        hf: the model.
        options: what to attach.
        name: of the checkpoint: a Hub id or a local folder.
        revision: of the checkpoint on the Hub.
        quantize: how its weights are quantized.

    Raises:
        InputError: peft is not installed, the model has nothing that can be adapted, or its weights are random and not
            to be saved.
    """
    is_random, is_meta = hf.weights == "scratch", hf.model.device.type == "meta"
    if is_random and not options.merge:
        raise InputError(
            "adapter.merge=false saves an adapter without its base, and random weights are nowhere to be had again. "
            "Take a pretrained checkpoint (model.name=…), or adapter.merge=true."
        )
    if is_random and not is_meta:
        log.warning(
            "adapter=%s: the weights that it is added to are RANDOM, and stay so: only the head and the adapter learn. "
            "Take a pretrained checkpoint (model.name=…), or adapter=none.",
            options.kind,
        )
    base = None
    if not (is_random or is_meta):
        place = str(Path(name).absolute()) if Path(name).is_dir() else name
        dtype: Any = str(hf.model.dtype).removeprefix("torch.")
        base = Base(place, revision, dtype, "", quantize)
    adapter = attach(hf.model, options, new=None if is_random or is_meta else hf.new, base=base)
    return replace(hf, adapter=adapter)
