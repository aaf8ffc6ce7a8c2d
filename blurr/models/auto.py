"""The auto classes of transformers that make the models of a task, by the names that the task gives."""

from dataclasses import dataclass
from typing import Any

import transformers
from transformers import AutoConfig, PretrainedConfig, PreTrainedModel
from transformers.models.auto import modeling_auto

SEPARATOR = " | "
# transformers' tables of the model types that an auto class makes, where a task has several classes
TABLES = {
    "AutoModelForCTC": modeling_auto.MODEL_FOR_CTC_MAPPING_NAMES,
    "AutoModelForSpeechSeq2Seq": modeling_auto.MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES,
}


def auto_class(names: str) -> Any:
    """Return the auto class of that name; of several names, what takes the first that a config is for.

    Args:
        names: Such as `AutoModelForMaskedLM`, or `AutoModelForCTC | AutoModelForSpeechSeq2Seq`.
    """
    parts = names.split(SEPARATOR)
    return getattr(transformers, names) if len(parts) == 1 else FirstOf(tuple(parts))


@dataclass(frozen=True)
class FirstOf:
    """Several auto classes as one: the first that makes models of a config's type."""

    names: tuple[str, ...]

    @property
    def __name__(self) -> str:
        return " or ".join(self.names)

    def of(self, config: PretrainedConfig) -> Any:
        """Return the auto class for a config.

        Raises:
            ValueError: none of them makes such a model.
        """
        for name in self.names:
            if config.model_type in TABLES[name]:
                return getattr(transformers, name)
        raise ValueError(f"{config.model_type} is none of their architectures.")

    def from_pretrained(self, name: str, *, config: PretrainedConfig | None = None, **options: Any) -> Any:
        """Load a model, as transformers' auto classes do."""
        config = AutoConfig.from_pretrained(name) if config is None else config
        return self.of(config).from_pretrained(name, config=config, **options)

    def from_config(self, config: PretrainedConfig, **options: Any) -> PreTrainedModel:
        """Make a model with random weights."""
        model: PreTrainedModel = self.of(config).from_config(config, **options)
        return model
