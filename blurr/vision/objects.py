"""The notebook's door to Hugging Face's vision models."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import AutoModelForImageClassification, PretrainedConfig

from blurr.models.objects import DType, HFObjects, load_objects
from blurr.vision.inputs import PIXELS


def get_vision_objects(
    pretrained_model_name_or_path: str | Path,
    model_cls: Any = AutoModelForImageClassification,
    config: PretrainedConfig | None = None,
    *,
    config_kwargs: Mapping[str, Any] | None = None,
    processor_kwargs: Mapping[str, Any] | None = None,
    model_kwargs: Mapping[str, Any] | None = None,
    cache_dir: str | Path | None = None,
    dtype: DType = "auto",
    allow_missing: Sequence[str] = (),
    complete: bool = False,
) -> HFObjects:
    """Load a vision model with its image processor; see `models.objects.load_objects` for the arguments.

    - `pretrained_model_name_or_path`: Hub id or local folder.
    """
    return load_objects(
        str(pretrained_model_name_or_path),
        model_cls,
        PIXELS,
        config,
        config_kwargs=config_kwargs,
        processor_kwargs=processor_kwargs,
        model_kwargs=model_kwargs,
        cache_dir=cache_dir,
        dtype=dtype,
        allow_missing=allow_missing,
        complete=complete,
    )
