"""The notebook's door to Hugging Face's vision models."""

from pathlib import Path
from typing import Any

from transformers import AutoModelForImageClassification, PretrainedConfig

from blurr.models.objects import HFObjects, load_objects
from blurr.vision.inputs import PIXELS


def get_vision_objects(
    pretrained_model_name_or_path: str | Path,
    model_cls: Any = AutoModelForImageClassification,
    config: PretrainedConfig | None = None,
    **options: Any,
) -> HFObjects:
    """Load a vision model with its image processor.

    Args:
        pretrained_model_name_or_path: Hub id or local folder.
        model_cls: The class whose `from_pretrained` makes the model.
        config: Used as it is, except for `config_kwargs`.
        options: As for `models.objects.load_objects`.
    """
    return load_objects(str(pretrained_model_name_or_path), model_cls, PIXELS, config, **options)
