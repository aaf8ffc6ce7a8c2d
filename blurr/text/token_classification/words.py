"""Turn lists of words into windows of tokens without cutting a word, label the tokens, and show the words again."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

import torch
from transformers import BatchEncoding, PreTrainedTokenizerBase

from blurr.errors import InputError, nearest
from blurr.loading.dataloader import RowsDL
from blurr.loading.rows import IGNORED, Inputs, Table
from blurr.text.lengths import length_limit
from blurr.text.special_tokens import SpecialTokens, reader_of
from blurr.text.token_classification.metrics import OUTSIDE, inside_of

Labeling = Literal["first", "same", "bi"]
WordIds = Sequence[int | None]
WordIdsFunc = Callable[[PreTrainedTokenizerBase, int, BatchEncoding], WordIds]
Span = tuple[int, int]

# Words as most corpora cut them: URLs, names with @ or #, words with punctuation inside, and single punctuation marks.
WORD = re.compile(r"https?://\S+|[@#]?\w+(?:[-'’.,:/&]\w+)*|[^\w\s]")


@dataclass(frozen=True)
class Words:
    """A text with the spans of its words: `text[start:end]`."""

    text: str
    spans: list[Span]

    @property
    def words(self) -> list[str]:
        return [self.text[start:end] for start, end in self.spans]


def read_words(item: Any) -> Words:
    """Find the words of an item to predict on.

    Args:
        item: A text, a list or tuple of words, or a dict with one of these under `tokens` or `text`. Words of a list
            are joined by spaces.

    Raises:
        InputError: The item is none of these.
    """
    if isinstance(item, Mapping):
        known = [item[key] for key in ("tokens", "text") if item.get(key) is not None]
        item = known[0] if known else None
    if isinstance(item, str):
        return Words(item, [match.span() for match in WORD.finditer(item)])
    if not isinstance(item, list | tuple) or not all(isinstance(word, str) for word in item):
        raise InputError(
            f"An item to predict on is a text, a list of words, or a dict with one of these under 'tokens'; this one "
            f"is {item!r}."
        )
    spans, at = [], 0
    for word in item:
        spans.append((at, at + len(word)))
        at += len(word) + 1
    return Words(" ".join(item), spans)


@dataclass(frozen=True)
class Piece:
    """A token of a word; `span` are its characters in the word."""

    id: int
    span: Span


@dataclass(frozen=True)
class WordWindow:
    """Tokens of neighbouring words of one row, with special tokens around them.

    Attributes:
        row: Number of the row.
        ids: The tokens.
        words: For each token the number of its word in the row; `None` for special tokens, and for words that are only
            context here. Exactly one window decides each word.
        spans: For each token its characters in its word.
    """

    row: int
    ids: list[int]
    words: list[int | None]
    spans: list[Span]


def tokenize_words(
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[Sequence[str]],
    *,
    max_length: int | None = None,
    stride: int = 16,
    word_ids_func: WordIdsFunc | None = None,
    special_tokens: SpecialTokens = "text",
) -> list[WordWindow]:
    """Tokenize lists of words; a row with more tokens than fit becomes several windows.

    A word without tokens becomes the unknown token, so that every word has one. A word longer than a window keeps its
    first tokens.

    Args:
        tokenizer: Turns words into ids.
        rows: A list of words each.
        max_length: Longest window in tokens, special tokens included; `None` takes the tokenizer's limit.
        stride: Words that neighbouring windows share, at most half of a window. Each is decided by the window in which
            it stands further from the end.
        word_ids_func: `(tokenizer, i, encoding) -> word ids` of row `i`, for a slow tokenizer.
        special_tokens: See `tokenize_texts`.

    Returns:
        The windows in the order of the rows and their words.
    """
    lead = " " if tokenizer.is_fast and _marks_spaces(tokenizer) else ""  # a user's function counts on bare words
    fast = {"return_offsets_mapping": True} if tokenizer.is_fast else {}
    given = [[lead + word for word in row] or [""] for row in [*rows, ["a"]]]  # the last one shows the special tokens
    reader = reader_of(tokenizer, chain.from_iterable(rows), special_tokens)
    # by the class of all tokenizers: LUKE's own takes a list of words for a pair of texts
    encoded = PreTrainedTokenizerBase.__call__(reader, given, is_split_into_words=True, verbose=False, **fast)
    word_ids = [_word_ids(tokenizer, number, encoded, word_ids_func) for number in range(len(given))]
    before, after = _around(encoded["input_ids"][-1], word_ids[-1])
    limit = length_limit(tokenizer, max_length)
    room = None if limit is None else _room(limit, len(before) + len(after))
    windows = []
    for number, row in enumerate(rows):
        spans = encoded["offset_mapping"][number] if fast else None
        pieces = _by_word(row, encoded["input_ids"][number], word_ids[number], spans, len(lead))
        whole = [p or [Piece(_unknown(tokenizer), (0, len(word)))] for p, word in zip(pieces, row, strict=True)]
        for read, decided in cut_words([len(p) for p in whole], room, stride):
            windows.append(_window(number, before, whole, after, read, decided, room))
    return windows


def _marks_spaces(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Return whether words need a leading space to be tokenized as in a text, as with byte-level vocabularies."""
    first, later = tokenizer.tokenize("a"), tokenizer.tokenize(" a")  # of WordPiece the same, of byte-level BPE not
    return first != later and tokenizer.tokenize("a a") == [*first, *later]


def _unknown(tokenizer: PreTrainedTokenizerBase) -> int:
    known = tokenizer.unk_token_id if tokenizer.unk_token_id is not None else tokenizer.pad_token_id
    return int(known)


def _word_ids(
    tokenizer: PreTrainedTokenizerBase, number: int, encoded: BatchEncoding, word_ids_func: WordIdsFunc | None
) -> WordIds:
    if word_ids_func is not None:
        return word_ids_func(tokenizer, number, encoded)
    if not tokenizer.is_fast:
        raise InputError(
            f"{type(tokenizer).__name__} is a slow tokenizer: it cannot tell which word a token comes from. Take a "
            "checkpoint with a fast one (a file tokenizer.json), or give a function (tokenizer, i, encoding) -> word "
            "ids as task.slow_word_ids_func."
        )
    return encoded.word_ids(number)


def _around(ids: Sequence[int], word_ids: WordIds) -> tuple[list[int], list[int]]:
    """Return the special tokens before and after the words."""
    inside = [place for place, word in enumerate(word_ids) if word is not None]
    return list(ids[: inside[0]]), list(ids[inside[-1] + 1 :])


def _by_word(
    row: Sequence[str], ids: Sequence[int], word_ids: WordIds, spans: Sequence[Span] | None, lead: int
) -> list[list[Piece]]:
    """Return the tokens of each word; without known spans, each spans the whole word."""
    if len(word_ids) != len(ids) or any(w is not None and not 0 <= w < max(len(row), 1) for w in word_ids):
        raise InputError(
            f"task.slow_word_ids_func must give a word number below {len(row)}, or None, for each of the {len(ids)} "
            f"tokens of {' '.join(row)[:60]!r}; it gave {list(word_ids)[:20]}."
        )
    pieces: list[list[Piece]] = [[] for _ in row]
    for place, word in enumerate(word_ids):
        if word is not None and row:
            start, end = (lead, lead + len(row[word])) if spans is None else spans[place]
            pieces[word].append(Piece(ids[place], (max(start - lead, 0), max(end - lead, 0))))
    return pieces


def _room(limit: int, special: int) -> int:
    if limit <= special:
        raise InputError(
            f"A window of {limit} tokens has no room for words beside its {special} special tokens; raise "
            "task.max_length."
        )
    return limit - special


def cut_words(sizes: Sequence[int], room: int | None, stride: int) -> list[tuple[range, range]]:
    """Cut a row into windows; return for each the words that it reads, and those of them that it decides.

    Args:
        sizes: Tokens of each word.
        room: Tokens of a window; `None` for no limit.
        stride: Words that neighbours share.
    """
    if room is None or sum(sizes) <= room:
        return [(range(len(sizes)), range(len(sizes)))]
    capped = [min(size, room) for size in sizes]  # a longer word keeps its first tokens
    reads: list[range] = []
    start = end = 0
    while end < len(sizes):
        while sum(capped[start : end + 1]) > room:  # the next word must fit, even if fewer words are shared
            start += 1
        used = sum(capped[start:end])
        while end < len(sizes) and used + capped[end] <= room:
            used += capped[end]
            end += 1
        reads.append(range(start, end))
        # at most half of a window is shared, so that windows move on
        start = max(end - stride, start + (end - start + 1) // 2)
    # neighbours split what they share in the middle
    bounds = [0, *((b.start + a.stop + 1) // 2 for a, b in zip(reads, reads[1:], strict=False)), len(sizes)]
    return [(read, range(*bounds[i : i + 2])) for i, read in enumerate(reads)]


def _window(
    row: int,
    before: list[int],
    pieces: list[list[Piece]],
    after: list[int],
    read: range,
    decided: range,
    room: int | None,
) -> WordWindow:
    tokens = [(piece, word if word in decided else None) for word in read for piece in pieces[word][:room]]
    none: list[int | None] = [None]
    return WordWindow(
        row,
        ids=[*before, *(piece.id for piece, _ in tokens), *after],
        words=[*none * len(before), *(word for _, word in tokens), *none * len(after)],
        spans=[*[(0, 0)] * len(before), *(piece.span for piece, _ in tokens), *[(0, 0)] * len(after)],
    )


# -- labels


def label_ids(labels: Sequence[str | int], names: Sequence[str]) -> list[int]:
    """Turn the labels of a row, names or ids, into ids.

    Raises:
        InputError: A label is neither.
    """
    known = {name: i for i, name in enumerate(names)}
    for label in labels:
        if str(label) not in known and not (isinstance(label, int) and 0 <= label < len(names)):
            raise InputError(f"The label {label!r} is unknown; the labels are {list(names)}.{nearest(label, names)}")
    return [known[str(label)] if str(label) in known else int(label) for label in labels]


def align_labels(
    word_ids: WordIds, labels: Sequence[str | int], names: Sequence[str], labeling: Labeling = "first"
) -> list[int]:
    """Return the label id of each token, by its word; -100 for tokens of no word.

    Args:
        word_ids: For each token the number of its word, or `None`.
        labels: The label of each word, as a name or an id.
        names: Names of the labels.
        labeling: What the second and later tokens of a word get: `first` -100, `same` the word's label, `bi` the
            word's label with I- in place of B-, or O if there is no such label.
    """
    return align_ids(word_ids, label_ids(labels, names), names, labeling)


def align_ids(word_ids: WordIds, ids: Sequence[int], names: Sequence[str], labeling: Labeling = "first") -> list[int]:
    """Do the same for labels that are ids; a row of many windows is looked at once."""
    later = {"first": [IGNORED] * len(names), "same": list(range(len(names))), "bi": _inside(names)}[labeling]
    before: WordIds = [None, *word_ids[:-1]]  # the word of the token before
    return [
        IGNORED if word is None else later[ids[word]] if word == previous else ids[word]
        for word, previous in zip(word_ids, before, strict=True)
    ]


def _inside(names: Sequence[str]) -> list[int]:
    """Return, for each label, the id of its I- label; of O if there is none."""
    known = {name: i for i, name in enumerate(names)}
    return [known.get(inside_of(name), known.get(OUTSIDE, i)) for i, name in enumerate(names)]


# -- back to words


def word_starts(word_numbers: torch.Tensor) -> torch.Tensor:
    """Mark the first token of each word; both are `(batch, sequence)`, and 0 means no word."""
    previous = torch.nn.functional.pad(word_numbers[:, :-1], (1, 0))
    return (word_numbers > 0) & (word_numbers != previous)


def show_words(
    dl: RowsDL, inputs: Inputs, targets: torch.Tensor, predictions: Any = None, *, trunc_at: int | None = None
) -> Table:
    """Return a row per window: its words, each with its target and, if there is one, its predicted label.

    Args:
        dl: Has the tokenizer and the vocabulary.
        inputs: With `input_ids` and `word_numbers`.
        targets: Label ids of the tokens, `(batch, sequence)`; may be empty.
        predictions: Predicted label ids of the tokens.
        trunc_at: Words at most.
    """
    kinds = [("target", targets), ("predicted", predictions)]
    given = {kind: values for kind, values in kinds if values is not None and len(values) and len(values[0])}
    name = " / ".join(["word", *(f"{kind} label" for kind in given)])
    starts = word_starts(inputs["word_numbers"]).cpu()
    table: Table = []
    for i, marks in enumerate(starts):
        labels = [[dl.vocab[int(x)] for x in values[i].cpu()[marks]] for values in given.values()]
        words = _words_of(dl.tokenizer, inputs["input_ids"][i], inputs["word_numbers"][i])
        table.append({name: list(zip(words, *labels, strict=True))[:trunc_at]})
    return table


def _words_of(tokenizer: PreTrainedTokenizerBase, ids: torch.Tensor, word_numbers: torch.Tensor) -> list[str]:
    """Decode each word from its own tokens, so that no two words are merged."""
    tokens: dict[int, list[int]] = {}
    for token, word in zip(ids.tolist(), word_numbers.tolist(), strict=True):
        if word:
            tokens.setdefault(word, []).append(token)
    return [str(tokenizer.decode(each, clean_up_tokenization_spaces=False)).strip() for each in tokens.values()]
