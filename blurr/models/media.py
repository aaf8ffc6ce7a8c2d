"""Build a model that reads pictures or sounds, and its processor, as `model=` of the configuration asks for."""

from collections.abc import Mapping, Sequence
from typing import Any

from blurr.models.groups import Groups
from blurr.models.objects import DType, HFObjects, build_model
from blurr.models.weights import Weights
from blurr.models.wrapper import Attention


def build_media_model(
    name: str,
    *,
    arch: str | None = None,
    weights: Weights = "auto",
    scratch: Mapping[str, Any] | None = None,
    revision: str | None = None,
    dtype: DType = "auto",
    allow_missing: Sequence[str] = (),
    attention: Attention | None = None,
    groups: Groups | None = "parts",
    config_kwargs: Mapping[str, Any] | None = None,
    processor_kwargs: Mapping[str, Any] | None = None,
    model_kwargs: Mapping[str, Any] | None = None,
    **given: Any,
) -> HFObjects:
    """Build processor, config and model; see `blurr.models.objects.build_model` for the arguments.

    - `scratch`: Sizes of the model from scratch, in the words of its Hugging Face config. Besides them, of pictures
      `image_size`, their height and width in pixels; of sounds `sampling_rate` in Hz and, for Whisper, `chunk_length`,
      the seconds of its window.
    - `processor_kwargs`: Passed to the image processor or feature extractor.
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
        groups=groups,
        config_kwargs=config_kwargs,
        tokenizer_kwargs=processor_kwargs,
        model_kwargs=model_kwargs,
        **given,
    )
