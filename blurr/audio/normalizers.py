"""Normalize transcripts before they are compared, so that commas and capitals are no errors where nobody hears them."""

from collections.abc import Callable
from functools import cache
from typing import Any, Literal

from transformers import WhisperTokenizer
from transformers.models.whisper.english_normalizer import BasicTextNormalizer, EnglishTextNormalizer

Normalize = Literal["none", "basic", "whisper"]
ENGLISH = (None, "en", "english")


def normalizer_of(name: Normalize, language: str | None, tokenizer: Any) -> Callable[[str], str]:
    """Return the function that a transcript goes through before it is compared.

    Args:
        name: `none` leaves texts as they are; `basic` has lower case, no punctuation and nothing in brackets, in any
            language; `whisper` is that of Whisper's published figures: for English, numbers in digits, contractions
            written out and fillers left out; for other languages the same as `basic`.
        language: Of the texts, by its code or English name; None is English.
        tokenizer: Whisper's knows American spellings for British ones.
    """
    if name == "none":
        return str
    if name == "basic" or (language and language.lower()) not in ENGLISH:
        return _basic()
    spellings = tokenizer.english_spelling_normalizer if isinstance(tokenizer, WhisperTokenizer) else None
    return _stripped(EnglishTextNormalizer(spellings or {}))  # type: ignore[no-untyped-call]


@cache
def _basic() -> Callable[[str], str]:
    return _stripped(BasicTextNormalizer())


def _stripped(normalize: Callable[[str], str]) -> Callable[[str], str]:
    return lambda text: normalize(text).strip()


def said(name: Normalize) -> str:
    """Return what stands beside a score: by which normalizer."""
    return "texts as they are" if name == "none" else f"after the normalizer {name}"
