"""How a training computes: its precision, its seeds, and whether its model is compiled."""

import os
import random
import shutil
from contextlib import ExitStack
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from fastai.callback.core import Callback
from fastai.callback.fp16 import MixedPrecision

from blurr.errors import InputError
from blurr.loading.loader import Loader
from blurr.training.callbacks.base import ORDER
from blurr.training.distributed import Ranks

Precision = Literal["fp32", "tf32", "bf16", "fp16", "auto"]


class BFloat16(Callback):  # type: ignore[misc]  # fastai is not typed
    """Run the model under bfloat16 autocast on any device; the weights stay fp32, and the loss needs no scaling."""

    order = ORDER["BFloat16"]
    context = ExitStack()  # nothing to leave before the first batch

    def before_batch(self) -> None:
        device = next(self.model.parameters()).device.type
        self.context = ExitStack()
        self.context.enter_context(torch.autocast(device, dtype=torch.bfloat16))

    def after_pred(self) -> None:
        self.learn.pred = self.pred.float()

    def after_loss(self) -> None:
        self.leave()

    def after_cancel_batch(self) -> None:
        self.leave()

    def leave(self) -> None:
        """End autocast, which holds for the whole process; nothing happens if it has ended."""
        self.context.close()


def precision_callbacks(precision: Precision) -> list[Callback]:
    """Return the callbacks with which a learner trains in a precision.

    Args:
        precision: `fp32`; `tf32` (shorter factors in matrix products, on Ampere GPUs and newer); `bf16` (autocast);
            `fp16` (autocast with gradient scaling, needs a CUDA device); `auto`, until it is resolved, is `fp32`.

    Raises:
        InputError: fp16 without a CUDA device.
    """
    if precision == "fp16" and not torch.cuda.is_available():
        raise InputError("precision=fp16 needs a CUDA device, and there is none. Choose precision=bf16 or fp32.")
    # always set, because it holds for the process: a notebook may have asked for tf32 before
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    if precision == "bf16":
        return [BFloat16()]
    return [MixedPrecision()] if precision == "fp16" else []


def check_precision(dtype: torch.dtype, precision: Precision) -> None:
    """Refuse precision=fp16 for fp16 weights, whose gradients torch cannot scale.

    Raises:
        InputError: both the weights and the precision are fp16.
    """
    if precision == "fp16" and dtype == torch.float16:
        raise InputError(
            "precision=fp16 scales the gradients of weights in float32, and model.dtype makes them float16. Set "
            "model.dtype=auto, or precision=fp32."
        )


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch on every device."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def seed_rank(ranks: Ranks, steps: int = 0) -> None:
    """Seed a process by its number, so that it drops other units than the first, which stays as it is seeded.

    Args:
        ranks: which process this is.
        steps: how far the training is.
    """
    if not ranks.is_first:
        drawn = np.random.SeedSequence([torch.initial_seed() % 2**63, ranks.rank, steps]).generate_state(1)
        seed_everything(int(drawn[0]))


Compile = bool | Literal["reduce-overhead", "max-autotune"]
MULTIPLE = 32  # lengths are rounded up to it; it divides the number of positions of nearly all models


class CompileModel(Callback):  # type: ignore[misc]  # fastai is not typed
    """Compile the model in place before the first batch; the first batches take a minute or more.

    This is worth it on a GPU and for long trainings. Generation and the saved model use the uncompiled model.

    Args:
        mode: mode of `torch.compile`; `None` is its default.
    """

    def __init__(self, mode: Literal["reduce-overhead", "max-autotune"] | None = None) -> None:
        self.mode = mode
        self.is_compiled = False

    def before_fit(self) -> None:
        if not self.is_compiled:
            self.model.compile(mode=self.mode)
            self.is_compiled = True


def compile_callbacks(requested: Compile) -> list[Callback]:
    """Return the callbacks with which a learner trains a compiled model.

    Args:
        requested: `False`; `True`, torch's default; `reduce-overhead` (CUDA graphs); `max-autotune` (tries kernels).

    Raises:
        InputError: there is no C++ compiler, which torch needs.
    """
    if not requested:
        return []
    names = [os.environ.get("CXX", "g++"), "clang++"]
    if not any(map(shutil.which, names)):
        raise InputError(
            f"compile={requested} needs a C++ compiler, and none of {names} is installed. Set compile=false."
        )
    return [CompileModel(None if requested is True else requested)]


def for_compiling(loader: Loader) -> Loader:
    """Round lengths up to a multiple of 32, unless the user has set another multiple."""
    return replace(loader, pad_to_multiple_of=loader.pad_to_multiple_of or MULTIPLE)
