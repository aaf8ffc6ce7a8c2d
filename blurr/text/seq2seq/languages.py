"""Set the languages of multilingual tokenizers, and let the decoder begin in the right one."""

from collections.abc import Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

from blurr.errors import InputError, nearest

Languages = tuple[str | None, str | None]  # of the sources, and of the targets
KEYS = ("task.src_lang", "task.tgt_lang")


def set_languages(
    tokenizer: PreTrainedTokenizerBase, src_lang: str | None, tgt_lang: str | None, keys: Sequence[str] = KEYS
) -> None:
    """Set source and target language of a multilingual tokenizer, in place.

    Without a language, the tokenizer's own settings stay; without a target language in these, targets are marked as
    sources are.

    Args:
        tokenizer: Changed in place.
        src_lang: Language of the sources, by the tokenizer's code.
        tgt_lang: Language of the targets.
        keys: Names of the two settings, for messages.

    Raises:
        InputError: The tokenizer has no languages, or not this one.
    """
    for key, name, code in zip(keys, ("src_lang", "tgt_lang"), (src_lang, tgt_lang), strict=True):
        if code is None:
            continue
        if not has_languages(tokenizer):
            raise InputError(
                f"{key}={code}, but the tokenizer {type(tokenizer).__name__} is for one pair of languages. "
                f"Leave {key} out."
            )
        known = language_codes(tokenizer)
        if code not in known:
            raise InputError(
                f"{key}={code} is not a language of {type(tokenizer).__name__}.{nearest(code, known)} It has {known}."
            )
        setattr(tokenizer, name, code)
    if has_languages(tokenizer) and tokenizer.tgt_lang is None:
        tokenizer.tgt_lang = tokenizer.src_lang


def has_languages(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Return whether the tokenizer marks texts by their language."""
    return hasattr(type(tokenizer), "src_lang")


def language_codes(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Return the codes of a tokenizer's languages: its own list, or else its additional special tokens."""
    if hasattr(tokenizer, "lang_code_to_id"):  # the languages of M2M100 are not special tokens
        return sorted(tokenizer.lang_code_to_id)
    named = set(tokenizer.special_tokens_map.values())
    extra = [t for t in tokenizer.all_special_tokens if t not in named]
    return sorted(extra)


def language_settings(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """Return the generation settings that make the decoder begin in the target language.

    If the tokenizer marks targets at their beginning, the mark is written first (`forced_bos_token_id`); if at their
    end, as the first mBART does, the decoder starts from it. `set_languages` comes first.
    """
    if not has_languages(tokenizer):
        return {}
    ids = tokenizer(text_target="a")["input_ids"]  # a target shows where the tokenizer puts the mark
    if ids[-1] == tokenizer.eos_token_id:
        return {"forced_bos_token_id": ids[0]}
    return {"decoder_start_token_id": ids[-1]}


def check_language(
    tokenizer: PreTrainedTokenizerBase, settings: Any, found: dict[str, Any], keys: Sequence[str] = KEYS
) -> None:
    """Refuse to guess the target language if the checkpoint writes another one.

    Args:
        tokenizer: Of one language or many.
        settings: The checkpoint's own generation settings.
        found: The result of `language_settings` where the user has named no language.
        keys: Names of the two settings, for messages.

    Raises:
        InputError: The checkpoint's settings name another language.
    """
    for name, mine in found.items():
        own = getattr(settings, name)
        code = None if own is None else tokenizer.convert_ids_to_tokens(own)
        if own != mine and code in language_codes(tokenizer):
            raise InputError(
                f"The checkpoint writes {code} (its {name}), but targets would be marked as "
                f"{tokenizer.convert_ids_to_tokens(mine)}. Say which language they are in: {keys[1]}={code}"
            )
