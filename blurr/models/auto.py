"""The auto classes of transformers that make the models of a task, by the names that the task gives."""

from dataclasses import dataclass
from typing import Any

import transformers
from transformers import MODEL_FOR_QUESTION_ANSWERING_MAPPING, AutoConfig, PretrainedConfig, PreTrainedModel
from transformers.models.auto import modeling_auto

SEPARATOR = " | "
RENAMED = "_weight_conversions"  # by which transformers would save weights under the names that they were loaded by
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


def from_checkpoint(model_cls: Any, name: str, *, config: PretrainedConfig, **options: Any) -> Any:
    """Load a model as its class's `from_pretrained` does, also where the class calls the body another name.

    The classes for question answering of Llama and its relatives have the body under `transformer`, and all other
    classes of theirs under `model`: transformers would find no weight of the body in a checkpoint of a language model.
    """
    renamed = _names_of_body(model_cls, config)
    if not renamed:
        return model_cls.from_pretrained(name, config=config, **options)
    model, info = model_cls.from_pretrained(name, config=config, **{"key_mapping": renamed, **options})
    vars(model).pop(RENAMED, None)
    return model, info


def _names_of_body(model_cls: Any, config: PretrainedConfig) -> dict[str, str]:
    """Return patterns of the names of a body's weights in a checkpoint, and what the model's class calls them."""
    is_auto = model_cls is transformers.AutoModelForQuestionAnswering
    cls = MODEL_FOR_QUESTION_ANSWERING_MAPPING.get(type(config), model_cls) if is_auto else model_cls
    if not (isinstance(cls, type) and issubclass(cls, PreTrainedModel)):
        return {}
    others = {vars(each).get("base_model_prefix", "") for each in cls.__mro__} - {cls.base_model_prefix, ""}
    return {rf"^{other}\.": f"{cls.base_model_prefix}." for other in others}


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
