"""The decoder of a sequence-to-sequence model: what it reads in training, and how generation begins and ends alike."""

import logging
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.modeling_outputs import BaseModelOutput

from blurr.errors import InputError
from blurr.loading.rows import Inputs

log = logging.getLogger(__name__)


@runtime_checkable
class ShiftsLabels(Protocol):
    """A model that shifts labels into its decoder's inputs; most sequence-to-sequence models can, M2M100 cannot."""

    def prepare_decoder_input_ids_from_labels(self, labels: torch.Tensor) -> torch.Tensor: ...


@dataclass
class Encoded(BaseModelOutput):
    """The output of an encoder, with the router logits that decoders of mixture-of-experts models read."""

    router_logits: tuple[torch.Tensor, ...] | None = None


def decoder_inputs(inputs: Inputs, hf_model: PreTrainedModel, *, own_loss: bool) -> Inputs:
    """Add the inputs of the decoder to a batch, and drop the labels unless the model computes its own loss.

    Args:
        inputs: With `labels`, `(batch,)` or `(batch, sequence)`; not changed.
        hf_model: The model that reads them.
        own_loss: The model computes the loss itself.
    """
    labels = inputs["labels"]
    kept = dict(inputs) if own_loss else {k: v for k, v in inputs.items() if k != "labels"}
    if labels.ndim != 2 or labels.is_floating_point() or not hf_model.config.is_encoder_decoder:
        return kept
    if isinstance(hf_model, ShiftsLabels):
        # given labels alone, FSMT's decoder would read the source; its shift writes into its argument, so clone
        return {**kept, "decoder_input_ids": hf_model.prepare_decoder_input_ids_from_labels(labels=labels.clone())}
    return inputs


def first_token(hf_model: PreTrainedModel, labels: list[int]) -> int:
    """Return the token that the decoder reads first in training, for a target of these ids."""
    if isinstance(hf_model, ShiftsLabels):
        given = torch.tensor([labels], device=hf_model.device)
        return int(hf_model.prepare_decoder_input_ids_from_labels(labels=given)[0, 0])
    first: int = hf_model.config.decoder_start_token_id
    return first


def begin_as_in_training(
    hf_model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, settings: GenerationConfig, asked: frozenset[str]
) -> None:
    """Make generation begin with the same token as training, and log what had to change.

    The generation settings of the checkpoint or the user name the token. Exceptions: mBART (the first) begins a target
    with its language code in training whatever they say, and a model composed of two checkpoints names none.

    Args:
        hf_model: With an encoder and a decoder; its config is changed.
        tokenizer: Set to the language of the targets.
        settings: Generation settings; changed.
        asked: Names of the settings that the user gave.

    Raises:
        InputError: no token can be found, or the user requests another one than that of training.
    """
    ids = (settings.decoder_start_token_id, settings.bos_token_id, tokenizer.cls_token_id, tokenizer.bos_token_id)
    start = next((i for i in ids if i is not None), None)
    if start is None:
        raise InputError(
            f"{type(hf_model).__name__} does not say with which token its decoder begins, and the tokenizer has "
            "neither cls nor bos. Say which: +task.generation.decoder_start_token_id=0"
        )
    if settings.decoder_start_token_id is None:
        _say("does not say with which token it begins to write: it is %s", hf_model, tokenizer, start)
    hf_model.config.decoder_start_token_id = settings.decoder_start_token_id = start
    target = [int(i) for i in tokenizer(text_target="a")["input_ids"]]
    first = first_token(hf_model, target)
    if first != start and "decoder_start_token_id" in asked:
        raise InputError(
            f"task.generation.decoder_start_token_id={start} is {_token(tokenizer, start)}, but in training the "
            f"decoder of {type(hf_model).__name__} begins with {_token(tokenizer, first)} (id {first}). Leave it out."
        )
    if first != start:
        _say("begins a text with %s in training, so it begins to generate with that, too", hf_model, tokenizer, first)
        hf_model.config.decoder_start_token_id = settings.decoder_start_token_id = first
    forced = settings.forced_bos_token_id
    if forced not in (None, target[0]) and "forced_bos_token_id" not in asked:
        _say("would have to write %s first, which no target begins with: it need not", hf_model, tokenizer, forced)
        settings.forced_bos_token_id = None


def end_as_in_training(tokenizer: PreTrainedTokenizerBase, settings: GenerationConfig) -> None:
    """Make generation end with the token that ends texts in training: eos, else sep (BERT-like tokenizers)."""
    if settings.eos_token_id is None:
        ends = (tokenizer.eos_token_id, tokenizer.sep_token_id)
        settings.eos_token_id = next((i for i in ends if i is not None), None)


def _say(what: str, hf_model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, token: int) -> None:
    log.warning(f"%s {what}.", type(hf_model).__name__, _token(tokenizer, token))


def _token(tokenizer: PreTrainedTokenizerBase, token: int) -> str:
    return repr(tokenizer.convert_ids_to_tokens(token))
