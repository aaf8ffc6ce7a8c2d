"""Tell tokenizers of many languages which ones to read and write, and the decoder how to begin."""

from typing import Any

from transformers import PreTrainedTokenizerBase

from blurr.errors import InputError, nearest


def set_languages(tokenizer: PreTrainedTokenizerBase, src_lang: str | None, tgt_lang: str | None) -> None:
    """Set source and target language of a tokenizer that has them; setting them again changes nothing.

    Raises:
        InputError: the tokenizer knows no languages, or not this one.
    """
    for name, code in (("src_lang", src_lang), ("tgt_lang", tgt_lang)):
        if code is None:
            continue
        if not _has_languages(tokenizer):
            raise InputError(
                f"task.{name}={code}, but the tokenizer {type(tokenizer).__name__} is for one pair of languages. "
                f"Leave task.{name} out."
            )
        known = language_codes(tokenizer)
        if code not in known:
            raise InputError(
                f"task.{name}={code} is no language of {type(tokenizer).__name__}.{nearest(code, known)} "
                f"It has {known}."
            )
        setattr(tokenizer, name, code)


def _has_languages(tokenizer: PreTrainedTokenizerBase) -> bool:
    return hasattr(type(tokenizer), "src_lang")


def language_codes(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Give the codes of the languages that a tokenizer knows: its own list, or else its special tokens."""
    if hasattr(tokenizer, "lang_code_to_id"):  # M2M100's are no special tokens
        return sorted(tokenizer.lang_code_to_id)
    named = set(tokenizer.special_tokens_map.values())
    extra = [t for t in tokenizer.all_special_tokens if t not in named]
    return sorted(extra)


def language_settings(tokenizer: PreTrainedTokenizerBase, tgt_lang: str | None) -> dict[str, Any]:
    """Give the generation settings that make the decoder begin in the target language.

    Where the tokenizer puts the language's mark first in a target, the decoder is made to write it first
    (`forced_bos_token_id`); where it puts it last, as the first mBART, the decoder starts from it.
    """
    if tgt_lang is None or not _has_languages(tokenizer):
        return {}
    set_languages(tokenizer, None, tgt_lang)
    ids = tokenizer(text_target="a")["input_ids"]
    if ids[-1] == tokenizer.eos_token_id:
        return {"forced_bos_token_id": ids[0]}
    return {"decoder_start_token_id": ids[-1]}
