"""Build the model of a vision task and its image processor, as `model=` of the configuration asks for."""

from collections.abc import Mapping, Sequence
from typing import Any

from blurr.models.objects import DType, HFObjects, build_model
from blurr.models.weights import Weights
from blurr.models.wrapper import Attention


def build_vision_model(
    name: str,
    *,
    arch: str | None = None,
    weights: Weights = "auto",
    scratch: Mapping[str, Any] | None = None,
    revision: str | None = None,
    dtype: DType = "auto",
    allow_missing: Sequence[str] = (),
    attention: Attention | None = None,
    config_kwargs: Mapping[str, Any] | None = None,
    processor_kwargs: Mapping[str, Any] | None = None,
    model_kwargs: Mapping[str, Any] | None = None,
    **given: Any,
) -> HFObjects:
    """Build image processor, config and model; see `blurr.models.objects.build_model` for the arguments.

    - `scratch`: Sizes of the model from scratch, in the words of its Hugging Face config; `image_size` is the height
      and width of the pictures in pixels.
    - `processor_kwargs`: Passed to the image processor.
    - `given`: What the task gives.
    """
    return build_model(
        name,
        arch=arch,
        weights=weights,
        scratch=scratch,
        revision=revision,
        dtype=dtype,
        allow_missing=allow_missing,
        attention=attention,
        config_kwargs=config_kwargs,
        tokenizer_kwargs=processor_kwargs,
        model_kwargs=model_kwargs,
        **given,
    )
