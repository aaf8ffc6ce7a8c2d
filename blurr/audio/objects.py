"""The notebook's door to Hugging Face's audio models."""

from pathlib import Path
from typing import Any

from transformers import AutoModelForAudioClassification, PretrainedConfig

from blurr.audio.inputs import SOUND_INPUTS
from blurr.audio.processors import SPEECH
from blurr.models.auto import auto_class
from blurr.models.objects import HFObjects, load_objects


def get_audio_objects(
    pretrained_model_name_or_path: str | Path,
    model_cls: Any = AutoModelForAudioClassification,
    config: PretrainedConfig | None = None,
    **options: Any,
) -> HFObjects:
    """Load an audio model with its feature extractor.

    Args:
        pretrained_model_name_or_path: Hub id or local folder.
        model_cls: The class whose `from_pretrained` makes the model.
        config: Used as it is, except for `config_kwargs`.
        options: As for `models.objects.load_objects`.
    """
    return load_objects(str(pretrained_model_name_or_path), model_cls, SOUND_INPUTS, config, **options)


def get_speech_objects(pretrained_model_name_or_path: str | Path, **options: Any) -> HFObjects:
    """Load a model that writes down what it hears, with its processor.

    Args:
        pretrained_model_name_or_path: Hub id or local folder.
        options: As for `models.objects.load_objects`.
    """
    model_cls = auto_class("AutoModelForCTC | AutoModelForSpeechSeq2Seq")
    return load_objects(str(pretrained_model_name_or_path), model_cls, SPEECH, **options)
