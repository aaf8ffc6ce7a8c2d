"""Words of a text aligned with those of another: which are right, substituted, inserted, deleted."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Pair = tuple[str | None, str | None]
"""A true word and what was predicted for it; one of them is None where a word was deleted or inserted."""


def align(true: Sequence[str], predicted: Sequence[str]) -> list[Pair]:
    """Return the words side by side, with as few edits as can be (Levenshtein 1966), in order.

    Of equally short ways, words are substituted rather than inserted and deleted.
    """
    table = _distances(true, predicted)
    pairs: list[Pair] = []
    i, j = len(true), len(predicted)
    while i or j:
        if i and j and table[i, j] == table[i - 1, j - 1] + (true[i - 1] != predicted[j - 1]):
            i, j = i - 1, j - 1
            pairs.append((true[i], predicted[j]))
        elif i and table[i, j] == table[i - 1, j] + 1:
            i -= 1
            pairs.append((true[i], None))
        else:
            j -= 1
            pairs.append((None, predicted[j]))
    return pairs[::-1]


def edits(pairs: Sequence[Pair]) -> int:
    """Return how many words of an alignment are substituted, inserted or deleted."""
    return sum(true != predicted for true, predicted in pairs)


def _distances(true: Sequence[str], predicted: Sequence[str]) -> NDArray[np.int64]:
    """Return the edits between all beginnings of two lists, `(true + 1, predicted + 1)`."""
    numbers = {word: number for number, word in enumerate(dict.fromkeys([*true, *predicted]))}
    columns = np.arange(len(predicted) + 1)
    others = np.array([numbers[word] for word in predicted], dtype=np.int64)
    table = np.empty((len(true) + 1, len(columns)), dtype=np.int64)
    table[0] = columns
    for row, word in enumerate(true, start=1):
        table[row] = table[row - 1] + 1
        table[row, 1:] = np.minimum(table[row, 1:], table[row - 1, :-1] + (others != numbers[word]))
        table[row] = np.minimum.accumulate(table[row] - columns) + columns  # an insertion follows another
    return table
