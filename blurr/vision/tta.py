"""Predict pictures as the mean over the picture and changed copies of it: `task.tta`."""

from collections.abc import Mapping
from typing import Any

import torch
from transformers import PreTrainedModel
from transformers.utils.generic import ModelOutput

from blurr.models.wrapper import BaseModelWrapper
from blurr.vision.augment import light
from blurr.vision.inputs import NAMES, moments


class AveragingWrapper(BaseModelWrapper):
    """Answer, outside of training, by the mean of the probabilities of a picture and changed copies; of its numbers.

    The copies are changed as `augment=light` does by default, whatever the training used, and each in the same way for
    every picture: so a picture has one answer, alone and in a batch, today and tomorrow.

    Args:
        hf_model: The model.
        processor: Has mean and standard deviation of the channels.
        copies: Of each picture, besides itself.
        options: As for `BaseModelWrapper`.
    """

    def __init__(self, hf_model: PreTrainedModel, processor: Any, copies: int, **options: Any) -> None:
        super().__init__(hf_model, **options)
        self.copies, self.change = copies, light()
        self.mean, self.std = moments(processor)

    def forward(self, x: Mapping[str, Any]) -> ModelOutput:
        """Call the model for the batch and, outside of training, for each set of copies."""
        if self.training:
            return super().forward(x)
        given = {name: values for name, values in x.items() if name != "labels"}  # the loss is that of the mean
        output = super().forward(given)
        total = self._shares(output["logits"])
        for copy in range(1, self.copies + 1):
            changed = {**given, NAMES.main: self._changed(given[NAMES.main], copy)}
            total = total + self._shares(super().forward(changed)["logits"])
        output["logits"] = self._logits(total / (self.copies + 1))
        return output

    def _changed(self, pixels: torch.Tensor, copy: int) -> torch.Tensor:
        mean, std = (each.to(pixels.device).view(-1, 1, 1) for each in (self.mean, self.std))
        seeds = torch.full((len(pixels),), copy, device=pixels.device)
        changed, _ = self.change((pixels.float() * std + mean).clamp(0, 1), seeds)
        return ((changed - mean) / std).to(pixels.dtype)

    def _shares(self, logits: torch.Tensor) -> torch.Tensor:
        """Return probabilities; numbers as they are."""
        kind = self.hf_model.config.problem_type
        if kind == "regression":
            return logits.float()
        return logits.float().sigmoid() if kind == "multi_label_classification" else logits.float().softmax(-1)

    def _logits(self, shares: torch.Tensor) -> torch.Tensor:
        """Return logits that have these probabilities."""
        kind = self.hf_model.config.problem_type
        if kind == "regression":
            return shares
        tiny = torch.finfo(shares.dtype).tiny
        return shares.logit(1e-7) if kind == "multi_label_classification" else shares.clamp(min=tiny).log()
