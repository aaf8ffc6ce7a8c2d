"""Names and arguments of blurr 1.x whose meaning is a setting today."""

from collections.abc import Mapping
from enum import Enum
from typing import Any, ClassVar, Literal

from blurr.errors import InputError
from blurr.loading.rows import IGNORED


class LMType(Enum):
    """What a language model learns."""

    CAUSAL = "causal"
    MASKED = "masked"


class CausalLMStrategy:
    """Stands for `lm_type="causal"`."""

    lm_type: ClassVar[Literal["causal", "masked"]] = "causal"


class BertMLMStrategy:
    """Stands for `lm_type="masked"`."""

    lm_type: ClassVar[Literal["causal", "masked"]] = "masked"


class OnlyFirstTokenLabelingStrategy:
    """Stands for `labeling="first"`."""

    labeling: ClassVar[Literal["first", "same", "bi"]] = "first"


class SameLabelLabelingStrategy:
    """Stands for `labeling="same"`."""

    labeling: ClassVar[Literal["first", "same", "bi"]] = "same"


class BILabelingStrategy:
    """Stands for `labeling="bi"`."""

    labeling: ClassVar[Literal["first", "same", "bi"]] = "bi"


# Arguments of the transforms of 1.x that have one meaning today, with the values that have it.
FIXED: Mapping[str, tuple[Any, ...]] = {
    "ignore_token_id": (IGNORED,),
    "ignore_token": ("[xIGNx]",),
    "include_labels": (True,),
    "padding": (True,),
    "truncation": (True, "only_second"),
    "is_split_into_words": (True, False),
    "non_entity_label": ("O",),
    "input_return_type": (),
    "batch_decode_tfm": (),
    "batch_decode_kwargs": (),
    "dl_type": (),
}
OF_TOKENIZER = {"max_length", "stride"}  # settings of a task that 1.x passed to the tokenizer
IMPLIED = {"return_overflowing_tokens", "truncation", "padding"}  # what tasks tell the tokenizer themselves


def without_fixed(options: Mapping[str, Any], taken: frozenset[str] = frozenset()) -> dict[str, Any]:
    """Return options without those that have one meaning today; one with no values in `FIXED` never changes anything.

    Args:
        options: by name.
        taken: options that the caller reads itself.

    Raises:
        InputError: one asks for something else.
    """
    for name in FIXED.keys() & (options.keys() - taken):
        if FIXED[name] and options[name] not in FIXED[name]:
            raise InputError(
                f"{name}={options[name]!r}, an argument of blurr 1.x, is always {FIXED[name][0]!r} here. Leave it out."
            )
    return {name: value for name, value in options.items() if name in taken or name not in FIXED}


def as_settings(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments of a transform of 1.x as settings of its task.

    Raises:
        InputError: one asks for what the task cannot do.
    """
    settings = without_fixed(options)
    if "lm_strategy_cls" in settings:
        settings["lm_type"] = settings.pop("lm_strategy_cls").lm_type
    if "labeling_strategy_cls" in settings:
        settings["labeling"] = settings.pop("labeling_strategy_cls").labeling
    if "target_label_names" in settings:
        settings["label_names"] = settings.pop("target_label_names")
    tokenizer = {name: value for name, value in (settings.pop("tok_kwargs", None) or {}).items() if name not in IMPLIED}
    unknown = sorted(tokenizer.keys() - OF_TOKENIZER)
    if unknown:
        raise InputError(
            f"tok_kwargs has {unknown}, which this task does not pass on. It takes {sorted(OF_TOKENIZER)}."
        )
    return {**settings, **tokenizer}
