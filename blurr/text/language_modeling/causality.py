"""Refuse models that look at the tokens that they are to predict, or at other texts of a packed row."""

import torch
from transformers import PreTrainedModel

from blurr.errors import InputError
from blurr.loading.rows import Inputs
from blurr.models.objects import HFObjects
from blurr.models.wrapper import without_cache
from blurr.text.language_modeling.chunking import special_ids
from blurr.text.language_modeling.packing import PACKED, first_position, kept_apart

LENGTHS = [5, 3]  # tokens of the two texts that test packing
SHARE = 1e-3  # of the largest logit: rounding moves logits by less, another position or text by far more


def check_causal(hf: HFObjects) -> None:
    """Refuse a model whose logits for a token depend on later tokens: it would learn to copy.

    XLNet has a head for language modelling, but reads in both directions; so does XLM, unless its config says `causal`.

    Raises:
        InputError: The logits depend on later tokens.
    """
    ids = _ordinary_ids(hf, 8)
    other = ids.clone()
    other[0, -1] = ids[0, 0]  # only the last token differs: no earlier logit may change
    before, after = (_logits(hf.model, {"input_ids": x})[0, :-1] for x in (ids, other))
    if not torch.allclose(before, after, rtol=0, atol=1e-6):  # masked tokens have no weight at all
        raise InputError(
            f"{hf.arch} reads the tokens that it is to predict, so it cannot learn to go on with texts. Choose a "
            "model that reads from left to right, such as model=gpt2, or task=masked_lm."
        )


def check_packing(hf: HFObjects, *, causal: bool) -> None:
    """Refuse a model whose logits for two packed texts differ from those for each text alone.

    Args:
        hf: The model.
        causal: It reads from left to right.

    Raises:
        InputError: The model takes no mask between texts, or no positions, or counts positions differently.
    """
    ids = _ordinary_ids(hf, sum(LENGTHS))
    numbers = torch.repeat_interleave(torch.tensor([1, 2]), torch.tensor(LENGTHS))[None]
    inputs = {"input_ids": ids, PACKED: numbers}
    together = kept_apart(inputs, first_position=first_position(hf.model), causal=causal)  # as the collators do it
    alone = torch.cat([_logits(hf.model, {"input_ids": text}) for text in torch.split(ids, LENGTHS, dim=1)], dim=1)
    try:
        packed = _logits(hf.model, together)
        reason = f"moves its logits by {float((packed - alone).abs().max()):.2g}"
        fits = torch.allclose(packed, alone, rtol=0, atol=SHARE * float(alone.abs().max()))
    except (TypeError, ValueError, IndexError, RuntimeError) as error:  # architectures refuse in different ways
        reason, fits = f"ends in {type(error).__name__}: {error}", False
    if not fits:
        raise InputError(
            f"{hf.arch} cannot keep packed texts apart: to pack two of them {reason}. Set task.packing=false (of "
            "task=causal_lm and masked_lm with task.chunk=false, for a row per text), or choose another model or "
            "model.attention=sdpa."
        )


def _ordinary_ids(hf: HFObjects, count: int) -> torch.Tensor:
    """Return ids of tokens that are not special, `(1, count)`: XLM counts how long a text is by its pads."""
    special = set(special_ids(hf.tokenizer).tolist())
    ordinary = [i for i in range(len(hf.tokenizer)) if i not in special]
    return torch.tensor([[ordinary[i % len(ordinary)] for i in range(count)]])


def _logits(model: PreTrainedModel, inputs: Inputs) -> torch.Tensor:
    was_training = model.training  # dropout would move the logits
    model.train(False)
    try:
        with torch.no_grad():
            given = {name: values.to(model.device) for name, values in inputs.items()}
            logits: torch.Tensor = model(**given, **without_cache(model)).logits
    finally:
        model.train(was_training)
    return logits
