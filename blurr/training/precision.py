"""Train in less than 32 bits, on the CPU or an accelerator, and seed the random generators."""

import random
from contextlib import ExitStack
from typing import Literal

import numpy as np
import torch
from fastai.callback.core import Callback
from fastai.callback.fp16 import MixedPrecision

from blurr.errors import InputError
from blurr.training.callbacks.base import ORDER

Precision = Literal["fp32", "tf32", "bf16", "fp16"]


class BFloat16(Callback):  # type: ignore[misc]  # fastai is not typed
    """Run the model under bfloat16 autocast on any device; the weights stay fp32, and the loss needs no scaling."""

    order = ORDER["BFloat16"]

    def before_batch(self) -> None:
        device = next(self.model.parameters()).device.type
        self.context = ExitStack()
        self.context.enter_context(torch.autocast(device, dtype=torch.bfloat16))

    def after_pred(self) -> None:
        self.learn.pred = self.pred.float()

    def after_loss(self) -> None:
        self.context.close()

    after_cancel_batch = after_loss


def precision_callbacks(precision: Precision) -> list[Callback]:
    """Return the callbacks with which a learner trains in a precision.

    Args:
        precision: `fp32`; `tf32` (shorter factors in matrix products, on Ampere GPUs and newer); `bf16` (autocast);
            `fp16` (autocast with gradient scaling, needs a CUDA device).

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
