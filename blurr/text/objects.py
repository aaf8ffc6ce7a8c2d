"""The door to Hugging Face's text models, under the names of blurr 1.x."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PretrainedConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from blurr.models.objects import DType, HFObjects, load_objects
from blurr.text.inputs import TextInputs


def get_hf_objects(
    pretrained_model_name_or_path: str | Path,
    model_cls: Any,
    config: PretrainedConfig | None = None,
    tokenizer_cls: Any = None,
    *,
    config_kwargs: Mapping[str, Any] | None = None,
    tokenizer_kwargs: Mapping[str, Any] | None = None,
    model_kwargs: Mapping[str, Any] | None = None,
    cache_dir: str | Path | None = None,
    dtype: DType = "auto",
    allow_missing: Sequence[str] = (),
    complete: bool = False,
) -> HFObjects:
    """Load a text model with its tokenizer; see `models.objects.load_objects` for the arguments.

    - `pretrained_model_name_or_path`: Hub id or local folder.
    - `tokenizer_cls`: Its `from_pretrained` makes the tokenizer, with `tokenizer_kwargs`; `None` is `AutoTokenizer`.
    """
    return load_objects(
        str(pretrained_model_name_or_path),
        model_cls,
        TextInputs(AutoTokenizer if tokenizer_cls is None else tokenizer_cls),
        config,
        config_kwargs=config_kwargs,
        processor_kwargs=tokenizer_kwargs,
        model_kwargs=model_kwargs,
        cache_dir=cache_dir,
        dtype=dtype,
        allow_missing=allow_missing,
        complete=complete,
    )


class NLP:
    """The door to Hugging Face's models, under its name in blurr 1.x."""

    get_hf_objects = staticmethod(get_hf_objects)

    @staticmethod
    def get_architectures() -> list[str]:
        """Return the names of all architectures that the installed transformers knows."""
        return sorted(CONFIG_MAPPING.keys())
