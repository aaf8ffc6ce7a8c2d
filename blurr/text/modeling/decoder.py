"""Give the decoder of a sequence-to-sequence model what it reads in training: the target, a token later."""

from typing import Protocol, runtime_checkable

import torch
from transformers import PreTrainedModel

from blurr.text.data.core import Inputs


@runtime_checkable
class ShiftsLabels(Protocol):
    """A model that can make the decoder's inputs of the labels; most that write texts can, M2M100 cannot."""

    def prepare_decoder_input_ids_from_labels(self, labels: torch.Tensor) -> torch.Tensor: ...


def decoder_inputs(inputs: Inputs, hf_model: PreTrainedModel, *, own_loss: bool) -> Inputs:
    """Replace the labels of a batch by what the decoder reads, and keep them where the model needs them all the same.

    Args:
        inputs: with `labels`, `(batch,)` or `(batch, sequence)`; left as they are.
        hf_model: which reads them.
        own_loss: the model computes the loss itself, for which it needs the labels.
    """
    labels = inputs["labels"]
    kept = dict(inputs) if own_loss else {k: v for k, v in inputs.items() if k != "labels"}
    if labels.ndim != 2 or labels.is_floating_point() or not hf_model.config.is_encoder_decoder:
        return kept
    if isinstance(hf_model, ShiftsLabels):
        # given labels alone, FSMT would have its decoder read the source; and its shift writes into what it is given
        return {**kept, "decoder_input_ids": hf_model.prepare_decoder_input_ids_from_labels(labels=labels.clone())}
    return inputs
