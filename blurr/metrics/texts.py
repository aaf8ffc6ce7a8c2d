"""Find the words of a text in any script, for the metrics that count common words."""

import logging
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from typing import ClassVar, Literal

import regex

from blurr.metrics.bootstrap import Draws, Numbers

Tokenizer = Literal["auto", "latin", "whitespace", "characters"]
Way = Literal["latin", "whitespace", "characters"]

log = logging.getLogger(__name__)
# Shares of the letters above which a text is not read as English: letters of other scripts, and é, ß, ł and the like.
FOREIGN, ACCENTED = 0.1, 0.2

# Scripts that put no spaces between words: each character, with the marks on it, stands for a word.
UNSPACED = r"[\p{Han}\p{Hiragana}\p{Katakana}\u30fc\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}]"
LETTER = r"[\p{L}\p{M}\p{N}\u200c\u200d]"  # with marks, which Indic scripts write vowels by, and their joiners
WORD = regex.compile(rf"{LETTER}+")
CHARACTER = regex.compile(rf"{UNSPACED}\p{{M}}*|(?:(?!{UNSPACED}){LETTER})+")
SIGNS = regex.compile(r"[^\p{L}\p{M}\p{N}\s]+")
ANY, WITHOUT_SPACES = regex.compile(r"\p{L}"), regex.compile(UNSPACED)
NOT_LATIN, NOT_PLAIN = regex.compile(r"(?!\p{Latin})\p{L}"), regex.compile(r"(?![a-zA-Z])\p{Latin}")
OTHER_DIGITS = regex.compile(r"(?![0-9])\p{N}")


class MeanOfTexts(ABC):
    """Base: the mean over all rows of a score per row.

    Args:
        tokenizer: How to find words, see `way_of`.
    """

    reads: ClassVar[str] = "texts"
    direction: ClassVar[str] = "maximize"

    def __init__(self, tokenizer: Tokenizer = "auto") -> None:
        self.tokenizer = tokenizer
        self.reset()

    def reset(self) -> None:
        self.total, self.rows = 0.0, 0
        self.of_rows: list[float] = []
        self.ways: set[Way] = set()

    def update(self, predictions: Sequence[str], targets: Sequence[str]) -> None:
        for score in self.scores(predictions, targets):
            self.total += score
            self.rows += 1
            self.of_rows.append(score)

    @abstractmethod
    def scores(self, predictions: Sequence[str], targets: Sequence[str]) -> Iterator[float]:
        """Return the score of each row."""

    def compute(self) -> float:
        return self.total / max(self.rows, 1)

    def resampled(self, draws: Draws) -> Numbers:
        return draws.means(self.of_rows)

    def way(self, target: str) -> Way:
        """Return how to find the words of a row, and log it if that is not as in English."""
        way = way_of(target) if self.tokenizer == "auto" else self.tokenizer
        self.ways.add(way)
        if self.tokenizer == "auto" and way != "latin":
            _say(type(self).__name__, way)
        return way

    def note(self) -> str | None:
        """Return how words were found; None if all were found as in English."""
        ways = sorted(self.ways - {"latin"})
        return f"words by {' and '.join(ways)}" if ways else None


@cache
def _say(metric: str, way: Way) -> None:
    """Log it once per process, since a metric has many rows."""
    how = {"whitespace": "at white space and punctuation", "characters": "by characters, where no spaces part words"}
    log.info(
        "%s reads texts with letters outside a to z %s: words are told %s. To choose another way, set tokenizer to "
        "latin, whitespace or characters in metrics.",
        metric,
        f"by tokenizer={way}",
        how.get(way, way),
    )


def way_of(text: str) -> Way:
    """Choose by the script of a text how to find its words.

    Returns:
        `latin` if at most a tenth of the letters belong to another script, and at most a fifth are Latin but not a to
        z; `characters` if there are letters of a script without spaces between words, such as Chinese, Japanese or
        Thai; else `whitespace`.
    """
    letters, foreign, accented = (len(kind.findall(text)) for kind in (ANY, NOT_LATIN, NOT_PLAIN))
    if foreign <= FOREIGN * letters and accented <= ACCENTED * letters and (letters or not OTHER_DIGITS.search(text)):
        return "latin"
    return "characters" if WITHOUT_SPACES.search(text) else "whitespace"


@lru_cache(maxsize=4096)
def words_of(text: str, way: Way) -> tuple[str, ...]:
    """Split a text into lower-case words without punctuation: at all but letters and digits, or by characters."""
    plain = unicodedata.normalize("NFKC", text).lower()
    return tuple((CHARACTER if way == "characters" else WORD).findall(plain))


@lru_cache(maxsize=4096)
def words_and_signs_of(text: str, way: Way) -> tuple[str, ...]:
    """Split a text into words and runs of punctuation, in order."""
    plain = unicodedata.normalize("NFKC", text).lower()
    words = CHARACTER if way == "characters" else WORD
    found = [*words.finditer(plain), *SIGNS.finditer(plain)]
    return tuple(match[0] for match in sorted(found, key=lambda match: match.start()))
