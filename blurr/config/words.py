"""Refuse words of a command line that Hydra's parser breaks on, or takes minutes to read."""

import re
from collections.abc import Sequence

from blurr.errors import InputError, shortened

MOST_LETTERS = 200_000
MOST_PARTS = 5000  # the parser takes 10 s for these; its time grows with their square
DEEPEST = 50  # each level of brackets takes several calls of the parser
MOST_DIGITS = 4000  # Python reads no more
TOO_MANY_DIGITS = re.compile(rf"\d{{{MOST_DIGITS}}}")
IN_A_FILE = "Write it into an option's file beside your work, such as ./data/mine.yaml, and choose it: data=mine."


def check_words(words: Sequence[str]) -> None:
    """Refuse words that are too long, nested too deeply, or no text.

    Raises:
        InputError: names the first of them.
    """
    for word in words:
        wrong = _fault(word)
        if wrong is not None:
            raise InputError(f"{shortened(word)}: {wrong}")


def _fault(word: str) -> str | None:
    if "\0" in word:
        return "this holds a NUL byte, which no value may. Leave it out."
    if not word.isprintable() and any("\ud800" <= letter <= "\udfff" for letter in word):
        return "this holds bytes that are not text in UTF-8 (half of a surrogate pair). Write it in UTF-8."
    if len(word) > MOST_LETTERS:
        return f"this has {len(word)} letters, and {MOST_LETTERS} are the most. {IN_A_FILE}"
    if word.count(",") > MOST_PARTS:
        return f"this list has {word.count(',') + 1} parts, and {MOST_PARTS} are the most. {IN_A_FILE}"
    if _depth(word) > DEEPEST:
        return f"this is nested too deeply: {_depth(word)} brackets are open at once, and {DEEPEST} are the most."
    if TOO_MANY_DIGITS.search(word):
        return f"this holds a number of more than {MOST_DIGITS} digits. Correct it, or quote what is not a number."
    return None


def _depth(word: str) -> int:
    """Return how many brackets are open at once, at most."""
    depth = deepest = 0
    for sign in re.findall(r"[\[{(\]})]", word):
        depth += 1 if sign in "[{(" else -1
        deepest = max(deepest, depth)
    return deepest
