"""Join texts and cut them into chunks of equal length, or keep one row per text, for language models."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from transformers import BatchEncoding, PreTrainedTokenizerBase

from blurr.errors import InputError
from blurr.text.lengths import length_limit
from blurr.text.special_tokens import SpecialTokens, reader_of

Ids = list[int]
BLOCK = 128  # tokens of a row where nobody has chosen
NO_WORD = -1  # the word number of a special token


@dataclass(frozen=True)
class Frame:
    """The special tokens that a tokenizer puts around a text.

    Args:
        before: their ids in front of it, such as `[CLS]`.
        after: their ids behind it, such as `[SEP]`.
    """

    before: Ids
    after: Ids

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase) -> "Frame":
        """Find out from what the tokenizer makes of a letter."""
        framed: Ids = tokenizer("a").input_ids
        bare: Ids = tokenizer("a", add_special_tokens=False).input_ids
        starts = range(len(framed) - len(bare) + 1)
        start = next(i for i in starts if framed[i : i + len(bare)] == bare)
        return cls(framed[:start], framed[start + len(bare) :])

    def __len__(self) -> int:
        return len(self.before) + len(self.after)


def room_for(tokenizer: PreTrainedTokenizerBase, block_size: int | None, frame: Frame) -> int:
    """Give how many tokens of text fit into a row, the frame being taken off whether or not all of it is used.

    Args:
        tokenizer: whose limit counts for `None`, and where it is shorter than the usual block.
        block_size: longest row in tokens; `None` takes the tokenizer's limit.
        frame: the tokenizer's special tokens.

    Raises:
        InputError: there is no limit at all, or no room.
    """
    limit = length_limit(tokenizer, block_size, usual=BLOCK)
    if limit is None:
        raise InputError("The tokenizer knows no longest length, so set task.block_size, for example to 128.")
    if limit - len(frame) < 2:
        raise InputError(
            f"task.block_size={block_size} leaves no room for text: the tokenizer adds {len(frame)} special tokens. "
            f"Set it to at least {len(frame) + 2}."
        )
    return limit - len(frame)


def plain_tokens(
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    special_tokens: SpecialTokens = "text",
    *,
    parsed: Collection[str] = (),
) -> BatchEncoding:
    """Tokenize texts as they are: no special tokens around them, and nothing cut off.

    Args:
        tokenizer: turns text into ids.
        texts: of users.
        special_tokens: what a special token is that is written in a text, see `reader_of`.
        parsed: special tokens that are parsed whatever `special_tokens` says.
    """
    reader = reader_of(tokenizer, texts, special_tokens, parsed=parsed)
    encoded: BatchEncoding = reader(list(texts), add_special_tokens=False, return_attention_mask=False, verbose=False)
    return encoded


def separator_ids(tokenizer: PreTrainedTokenizerBase, separator: str, preferred: Sequence[str]) -> Ids:
    """Give the ids that stand between two texts.

    Args:
        tokenizer: turns text into ids.
        separator: any text, `""` for nothing, or `auto`: the first of the preferred tokens that the tokenizer has.
        preferred: names of special tokens, such as `eos_token`.

    Raises:
        InputError: `auto`, and the tokenizer has none of them.
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
    """Give the ids of all special tokens, those of `additional_special_tokens` among them, sorted."""
    added = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    return np.array(sorted({*tokenizer.all_special_ids, *added}), dtype=np.int64)


def word_numbers(encoded: BatchEncoding, *, whole: bool) -> list[Ids]:
    """Number the words of each text, and so tell for every token which word it is a part of.

    Args:
        encoded: what `plain_tokens` gave.
        whole: by the tokenizer's own words; `False` makes every token a word.

    Raises:
        InputError: the tokenizer is a slow one, which does not know its words.
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
    """Put sequences behind each other, with others between them; empty ones are left out."""
    filled = [part for part in parts if part]
    flat = [i for part in filled for i in (*between, *part)]
    return np.array(flat[len(between) :], dtype=np.int64)


def cut(flat: NDArray[np.int64], size: int) -> list[Ids]:
    """Cut into chunks; the last is shorter, and takes a token from the one before where it would have only one.

    A single token has no target in causal language modelling: it would be lost.
    """
    ends = list(range(size, len(flat), size))
    if ends and len(flat) - ends[-1] < 2:
        ends[-1] = len(flat) - 2
    return [chunk.tolist() for chunk in np.split(flat, ends)] if len(flat) else []


def pieces(parts: Sequence[Ids], room: int) -> list[Ids]:
    """Cut each sequence that is longer than a row has room for."""
    return [piece for part in parts for piece in cut(np.array(part, dtype=np.int64), room)]


def rows_of(parts: Sequence[Ids], room: int, *, chunk: bool, between: Ids, before: Ids, after: Ids) -> list[Ids]:
    """Make rows of tokenized texts.

    Args:
        parts: the ids of each text, or whatever else there is for each token.
        room: longest row, without what stands around it.
        chunk: join the texts and cut them; `False` makes a row of each, cut off at the end.
        between: stands between two texts of a row.
        before: stands in front of every row.
        after: stands behind every row.
    """
    pieces = cut(joined(parts, between), room) if chunk else [list(part[:room]) for part in parts]
    return [[*before, *piece, *after] for piece in pieces]
