"""Tell tokenizers of many languages which ones to read and write, and the decoder how to begin."""

from collections.abc import Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

from blurr.errors import InputError, nearest

Languages = tuple[str | None, str | None]  # of the sources, and of the targets
KEYS = ("task.src_lang", "task.tgt_lang")


def set_languages(
    tokenizer: PreTrainedTokenizerBase, src_lang: str | None, tgt_lang: str | None, keys: Sequence[str] = KEYS
) -> None:
    """Set source and target language of a tokenizer that has them; setting them again changes nothing.

    Where no language is given, a tokenizer marks texts as its own settings say, and targets as sources where those name
    no language of targets.

    Args:
        tokenizer: is changed.
        src_lang: language of the sources, by the tokenizer's code.
        tgt_lang: language of the targets.
        keys: how the two are called in a configuration.

    Raises:
        InputError: the tokenizer knows no languages, or not this one.
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
                f"{key}={code} is no language of {type(tokenizer).__name__}.{nearest(code, known)} It has {known}."
            )
        setattr(tokenizer, name, code)
    if has_languages(tokenizer) and tokenizer.tgt_lang is None:
        tokenizer.tgt_lang = tokenizer.src_lang


def has_languages(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Does the tokenizer mark texts by their language?"""
    return hasattr(type(tokenizer), "src_lang")


def language_codes(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Give the codes of the languages that a tokenizer knows: its own list, or else its special tokens."""
    if hasattr(tokenizer, "lang_code_to_id"):  # M2M100's are no special tokens
        return sorted(tokenizer.lang_code_to_id)
    named = set(tokenizer.special_tokens_map.values())
    extra = [t for t in tokenizer.all_special_tokens if t not in named]
    return sorted(extra)


def language_settings(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """Return the generation settings that make the decoder begin in the language in which targets are marked.

    Where the tokenizer puts the language's mark first in a target, the decoder is made to write it first
    (`forced_bos_token_id`); where it puts it last, as the first mBART, the decoder starts from it.

    Args:
        tokenizer: set to the languages by `set_languages`.
    """
    if not has_languages(tokenizer):
        return {}
    ids = tokenizer(text_target="a")["input_ids"]
    if ids[-1] == tokenizer.eos_token_id:
        return {"forced_bos_token_id": ids[0]}
    return {"decoder_start_token_id": ids[-1]}


def check_language(
    tokenizer: PreTrainedTokenizerBase, settings: Any, found: dict[str, Any], keys: Sequence[str] = KEYS
) -> None:
    """Refuse to guess a language where a checkpoint writes another than targets would be marked with.

    Args:
        tokenizer: of many languages, maybe.
        settings: the checkpoint's own generation settings.
        found: what `language_settings` gives, where the user has named no language.
        keys: how the languages are called in a configuration.

    Raises:
        InputError: the checkpoint's settings name another language.
    """
    for name, mine in found.items():
        own = getattr(settings, name)
        code = None if own is None else tokenizer.convert_ids_to_tokens(own)
        if own != mine and code in language_codes(tokenizer):
            raise InputError(
                f"The checkpoint writes {code} (its {name}), but targets would be marked as "
                f"{tokenizer.convert_ids_to_tokens(mine)}. Say which language they are in: {keys[1]}={code}"
            )
