"""The cross-entropy that `task.loss` asks for, weighted or smoothed."""

from typing import Literal

import torch
from fastai.losses import CrossEntropyLossFlat

from blurr.errors import InputError

Loss = Literal["auto", "model", "cross_entropy"]


def weighted_cross_entropy(
    loss: Loss, weights: torch.Tensor | None, label_smoothing: float
) -> CrossEntropyLossFlat | None:
    """Return the loss that `task.loss` asks for; `None` stands for the model's own.

    Args:
        loss: `auto` is the model's own unless class weights or label smoothing are requested.
        weights: Of the classes, `(classes,)`.
        label_smoothing: From 0 to 1.

    Raises:
        InputError: the model's own loss is requested together with what it cannot do.
    """
    plain = weights is None and label_smoothing == 0
    if loss == "model" and not plain:
        raise InputError(
            "task.loss=model is the loss of the Hugging Face model, which has no class weights and no label smoothing. "
            "Set task.loss=cross_entropy, or leave task.class_weights and task.label_smoothing out."
        )
    if loss == "model" or (loss == "auto" and plain):
        return None
    return CrossEntropyLossFlat(weight=weights, label_smoothing=label_smoothing)
