"""Choose the implementation of attention by name."""

from typing import Literal

from transformers import PreTrainedModel

from blurr.errors import InputError

Attention = Literal["eager", "sdpa", "flash_attention_2"]


def set_attention(model: PreTrainedModel, attention: Attention) -> None:
    """Set the attention implementation of a model.

    Args:
        model: Changed in place.
        attention: `eager` is written out in torch and returns attentions; `sdpa` is torch's fused kernel;
            `flash_attention_2` needs an Ampere GPU or newer, the package flash-attn, and bf16 or fp16.

    Raises:
        InputError: the machine or the architecture lacks it.
    """
    reason = "the architecture has one of its own"
    try:
        model.set_attn_implementation(attention)
    except (ImportError, ValueError) as error:
        reason = str(error).split("\n")[0]
    if model.config._attn_implementation != attention:
        raise InputError(
            f"model.attention={attention} is not available for {type(model).__name__} here: {reason} Set "
            f"model.attention=null, which is {model.config._attn_implementation} here."
        )
