"""Join tokenized texts and cut them into rows of equal length, or keep one row per text."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from transformers import BatchEncoding, PreTrainedTokenizerBase

from blurr.errors import InputError
from blurr.text.lengths import length_limit
from blurr.text.special_tokens import SpecialTokens, reader_of

Ids = list[int]
BLOCK = 128  # tokens of a row by default
NO_WORD = -1  # the word number of a special token


@dataclass(frozen=True)
class Frame:
    """The special tokens that a tokenizer puts around a text.

    Args:
        before: Ids in front of it, such as `[CLS]`.
        after: Ids behind it, such as `[SEP]`.
    """

    before: Ids
    after: Ids

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase) -> "Frame":
        """Compare a tokenized letter with and without special tokens."""
        framed: Ids = tokenizer("a").input_ids
        bare: Ids = tokenizer("a", add_special_tokens=False).input_ids
        starts = range(len(framed) - len(bare) + 1)
        start = next(i for i in starts if framed[i : i + len(bare)] == bare)
        return cls(framed[:start], framed[start + len(bare) :])

    def __len__(self) -> int:
        return len(self.before) + len(self.after)


def room_for(tokenizer: PreTrainedTokenizerBase, block_size: int | None, frame: Frame) -> int:
    """Return how many tokens of text fit into a row of `block_size` tokens beside the frame.

    `None` takes the tokenizer's limit, which also counts where it is shorter than the default.

    Raises:
        InputError: There is no limit, or no room.
    """
    limit = length_limit(tokenizer, block_size, usual=BLOCK)
    if limit is None:
        raise InputError("The tokenizer knows no longest length, so set task.block_size, for example to 128.")
    if limit - len(frame) < 2:
        raise InputError(
            f"task.block_size={block_size} leaves no room for text: the tokenizer adds {len(frame)} special tokens. "
            f"Set it to at least {len(frame) + 2}."
        )
    return limit - len(frame)  # tokens of text


def plain_tokens(
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    special_tokens: SpecialTokens = "text",
    *,
    parsed: Collection[str] = (),
) -> BatchEncoding:
    """Tokenize texts without special tokens around them, and without cutting them; see also `tokenize_texts`."""
    reader = reader_of(tokenizer, texts, special_tokens, parsed=parsed)
    encoded: BatchEncoding = reader(list(texts), add_special_tokens=False, return_attention_mask=False, verbose=False)
    return encoded


def separator_ids(tokenizer: PreTrainedTokenizerBase, separator: str, preferred: Sequence[str]) -> Ids:
    """Return the ids of the separator; for `auto`, of the first preferred token that the tokenizer has.

    Raises:
        InputError: `auto`, and the tokenizer has none of the preferred tokens, such as `eos_token`.
    """
    if separator != "auto":
        return list(plain_tokens(tokenizer, [separator], "parse")["input_ids"][0])
    ids = [getattr(tokenizer, f"{name}_id") for name in preferred]
    found = next((i for i in ids if i is not None), None)
    if found is None:
        raise InputError(
            f"The tokenizer has none of {list(preferred)} to put between texts. Set task.separator to a text, "
            'for example task.separator="\\n".'
        )
    return [found]


def special_ids(tokenizer: PreTrainedTokenizerBase) -> NDArray[np.int64]:
    """Return the sorted ids of all special tokens, including `additional_special_tokens`."""
    added = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    return np.array(sorted({*tokenizer.all_special_ids, *added}), dtype=np.int64)


def word_numbers(encoded: BatchEncoding, *, whole: bool) -> list[Ids]:
    """Return for each token of each text the number of its word.

    Args:
        encoded: The result of `plain_tokens`.
        whole: Words are those of the tokenizer; `False` makes every token a word.

    Raises:
        InputError: The tokenizer is a slow one, which does not know its words.
    """
    if not whole:
        return [list(range(len(ids))) for ids in encoded["input_ids"]]
    if not encoded.is_fast:
        raise InputError(
            "This tokenizer does not tell which tokens make a word, as only fast tokenizers do. Set "
            "task.objective=bert, or choose a model with a fast tokenizer."
        )
    numbers = [encoded.word_ids(i) for i in range(len(encoded["input_ids"]))]
    return [[NO_WORD if n is None else n for n in row] for row in numbers]


def joined(parts: Sequence[Ids], between: Ids) -> NDArray[np.int64]:
    """Join the sequences that are not empty, with `between` between them."""
    filled = [part for part in parts if part]
    flat = [i for part in filled for i in (*between, *part)]  # starts with a separator, which is cut off below
    return np.array(flat[len(between) :], dtype=np.int64)


def cut(flat: NDArray[np.int64], size: int) -> list[Ids]:
    """Cut into chunks of `size`; the last may be shorter, but has at least two tokens.

    In causal language modelling a single token has no target.
    """
    ends = list(range(size, len(flat), size))
    if ends and len(flat) - ends[-1] < 2:
        ends[-1] = len(flat) - 2  # the last chunk takes a token from the one before
    return [chunk.tolist() for chunk in np.split(flat, ends)] if len(flat) else []


class Cutter:
    """Join texts that come in parts, and cut them as `cut` would cut all of them.

    Args:
        size: Tokens of a chunk.
        between: Separates two texts.
    """

    def __init__(self, size: int, between: Ids) -> None:
        self.size, self.between = size, np.array(between, dtype=np.int64)
        self.rest: NDArray[np.int64] = np.empty(0, dtype=np.int64)

    def add(self, parts: Sequence[Ids]) -> list[Ids]:
        """Return the chunks that no later text changes."""
        new = joined(parts, self.between.tolist())
        between = self.between if len(self.rest) and len(new) else self.between[:0]
        self.rest = np.concatenate([self.rest, between, new])
        whole = max(0, len(self.rest) - 2) // self.size * self.size  # two tokens are a chunk of their own
        chunks = self.rest[:whole].reshape(-1, self.size).tolist()
        self.rest = self.rest[whole:]
        return chunks

    def finish(self) -> list[Ids]:
        """Return the last chunks."""
        last, self.rest = cut(self.rest, self.size), self.rest[:0]
        return last


def pieces(parts: Sequence[Ids], room: int) -> list[Ids]:
    """Cut each sequence that is longer than a row."""
    return [piece for part in parts for piece in cut(np.array(part, dtype=np.int64), room)]


class Around(NamedTuple):
    """What stands between two texts, before a row and after it: ids, or other values of these tokens."""

    between: Ids
    before: Ids
    after: Ids

    def rows(self, pieces: Iterable[Ids]) -> list[Ids]:
        """Return rows of pieces of texts."""
        return [[*self.before, *piece, *self.after] for piece in pieces]
