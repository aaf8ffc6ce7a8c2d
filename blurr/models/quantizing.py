"""Load the base of an adapter with weights of 4 or 8 bits, by bitsandbytes on a CUDA device."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, Literal

import torch
from transformers import AutoConfig, BitsAndBytesConfig

from blurr.errors import InputError
from blurr.models.heads import body_names

Quantize = Literal["4bit", "8bit"]


def quantization(quantize: Quantize, name: str, model_cls: Any, values: Mapping[str, Any]) -> BitsAndBytesConfig:
    """Return how `from_pretrained` is to quantize a model: all linear layers but those of the head.

    4 bits are NF4 with scales that are quantized, too (Dettmers et al. 2023, arXiv:2305.14314).

    Args:
        quantize: `4bit` or `8bit`.
        name: Hub id or local folder.
        model_cls: The auto class of the model.
        values: Of its config.

    Raises:
        InputError: There is no CUDA device, or bitsandbytes is not installed.
    """
    check_quantize(quantize)
    config = AutoConfig.from_pretrained(name, **values)
    with torch.device("meta"):
        model = model_cls.from_config(config)
    inside = body_names(model)
    head = sorted({key.rpartition(".")[0] for key, _ in model.named_parameters() if key not in inside})
    if quantize == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=head)  # type: ignore[no-untyped-call]
    options = {
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_use_double_quant": True,
        "bnb_4bit_compute_dtype": torch.bfloat16,
    }
    return BitsAndBytesConfig(load_in_4bit=True, llm_int8_skip_modules=head, **options)  # type: ignore[no-untyped-call]


def check_quantize(quantize: Quantize) -> None:
    """Refuse to quantize where it cannot be done.

    Raises:
        InputError: There is no CUDA device, or bitsandbytes is not installed.
    """
    if not torch.cuda.is_available():
        raise InputError(
            f"model.quantize={quantize} needs a CUDA device, and there is none. Leave it out: an adapter trains beside "
            "weights of model.dtype=bfloat16, too, which take half of the memory of float32."
        )
    if find_spec("bitsandbytes") is None:
        raise InputError(f"model.quantize={quantize} needs the package bitsandbytes: pip install bitsandbytes")
