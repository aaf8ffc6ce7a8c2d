"""Hide tokens for a masked language model to find: which ones, by three objectives, and what replaces them.

Everything is vectorised over a batch. `words`, `(batch, sequence)`, holds for each token the number of its word, -1 for
special tokens and pads. `noise`, of the same shape and uniform in [0, 1), is the only source of chance.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from blurr.errors import InputError
from blurr.loading.draws import SEEDS, Stream, uniform
from blurr.loading.rows import IGNORED, Batch, Row
from blurr.text.inputs import TextCollator
from blurr.text.language_modeling.chunking import NO_WORD, special_ids
from blurr.text.language_modeling.packing import PACKED, kept_apart

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Groups = tuple[Ints, Ints]
ObjectiveName = Literal["bert", "whole_word", "span"]
Objective = Callable[[Ints, Floats], Groups]  # (words, noise) -> (groups, units), see `choose`

SPAN_P, LONGEST_SPAN = 0.2, 10  # as in SpanBERT; the mean is 3.8 words
VALIDATION_SEED = 0  # not the run's seed, so that all runs are scored on the same masks


# -- objectives: groups of tokens to hide together, and units never to cut


def single_tokens(words: Ints, noise: Floats) -> Groups:
    """Hide tokens one by one (Devlin et al. 2019, arXiv:1810.04805)."""
    tokens = np.where(words >= 0, np.arange(words.shape[1]), NO_WORD)
    return tokens, tokens


def whole_words(words: Ints, noise: Floats) -> Groups:
    """Hide all tokens of a word together (whole word masking of Google's BERT)."""
    units = _first_of_run(words)
    return units, units


def spans(words: Ints, noise: Floats) -> Groups:
    """Hide runs of words, their lengths geometric (Joshi et al. 2020, SpanBERT, arXiv:1907.10529).

    The row is cut into runs of such lengths, some of which are then hidden. That yields the lengths of SpanBERT, which
    draws runs until it has enough, without overlaps. A special token ends a run.
    """
    units = _first_of_run(words)
    starts = units == np.arange(words.shape[1])  # (batch, sequence): the first token of each word
    draws = np.take_along_axis(noise, np.argsort(~starts, axis=1, kind="stable"), axis=1)  # one per word
    odds = SPAN_P * (1 - SPAN_P) ** np.arange(LONGEST_SPAN)
    lengths = 1 + np.searchsorted(np.cumsum(odds / odds.sum())[:-1], draws, side="right")
    # one more column takes the ends beyond the row
    first_words = np.zeros((len(words), words.shape[1] + 1), dtype=np.int64)
    np.put_along_axis(first_words, np.minimum(lengths.cumsum(1), words.shape[1]), 1, axis=1)
    span_of_word = first_words.cumsum(1)
    word = np.maximum(starts.cumsum(1) - 1, 0)  # each token's word, counted within the row
    span = np.where(words >= 0, np.take_along_axis(span_of_word, word, axis=1), NO_WORD)
    return _first_of_run(span), units


OBJECTIVES: dict[ObjectiveName, Objective] = {
    "bert": single_tokens,
    "whole_word": whole_words,
    "span": spans,
}


def _first_of_run(numbers: Ints) -> Ints:
    """Return for each token the position of the first token of its run of equal numbers; -1 without a number."""
    positions = np.arange(numbers.shape[1])
    starts = np.ones(numbers.shape, dtype=bool)
    starts[:, 1:] = numbers[:, 1:] != numbers[:, :-1]
    first = np.maximum.accumulate(np.where(starts, positions, 0), axis=1)
    return np.where(numbers >= 0, first, NO_WORD)


# -- choosing and replacing


def choose(groups: Ints, units: Ints, noise: Floats, share: float) -> NDArray[np.bool_]:
    """Choose a share of the real tokens of each row, at least one: group by group, in whole units.

    A unit is taken if its middle lies within the share, so that the share is right on average.

    Args:
        groups: For each token, the position of the first token of its group; -1 for special tokens and pads.
        units: The same for the units that a group consists of.
        noise: Decides the order of the groups.
        share: Of the real tokens of each row.

    Returns:
        Which tokens are chosen, `(batch, sequence)`.
    """
    real = units >= 0
    budget = np.maximum(1, np.rint(share * real.sum(1, keepdims=True)))  # (batch, 1)
    # 2 sorts special tokens and pads last
    order = np.argsort(np.where(real, _of(groups, noise), 2.0), axis=1, kind="stable")
    place = np.empty_like(order)
    np.put_along_axis(place, order, np.broadcast_to(np.arange(order.shape[1]), order.shape), axis=1)
    sizes = np.zeros(units.shape, dtype=np.int64)
    np.add.at(sizes, (np.nonzero(real)[0], units[real]), 1)
    first = _of(units, place)  # how many tokens come before the unit
    chosen: NDArray[np.bool_] = real & ((first + _of(units, sizes) / 2 <= budget) | (first == 0))
    return chosen


def _of(units: Ints, values: NDArray[Any]) -> NDArray[Any]:
    """Return for each token the value of the first token of its unit."""
    return np.take_along_axis(values, np.maximum(units, 0), axis=1)


@dataclass(frozen=True)
class Masking:
    """How tokens are hidden.

    Args:
        objective: A name of `OBJECTIVES`, or a function that returns `groups` and `units`, see `choose`.
        share: Share of the real tokens to hide.
        as_mask: Share of the hidden tokens to replace by the mask token.
        as_random: Share of the hidden tokens to replace by random ones; the rest stays, but is a target, too.
        seed: Seed of the masks in training; those of validation are the same in all runs.
    """

    objective: ObjectiveName | Objective = "bert"
    share: float = 0.15
    as_mask: float = 0.8
    as_random: float = 0.1
    seed: int = 42


class MaskingCollator(TextCollator):
    """Pad rows, and hide tokens of those that have `words`; works in any `torch.utils.data.DataLoader`.

    In training the masks of a row depend on its number in the column `seeds`, see `draws.row_seeds`: each epoch has
    others, and a resumed run, a worker process or several processes the same. Rows without that column draw from the
    seed and the numbers of all rows of the batch. In evaluation masks depend on each row's number alone. Rows without
    `words`, such as items to predict on, are only padded. Targets are -100 where nothing is hidden.

    Args:
        tokenizer: Has the mask token and the random ones.
        masking: How tokens are hidden.
        train: The batches are for training.
        pad_to_multiple_of: Round the padded length up to a multiple of this.
        first_position: See `CausalCollator`.

    Raises:
        InputError: The tokenizer has no mask token.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        masking: Masking,
        *,
        train: bool,
        pad_to_multiple_of: int | None = None,
        first_position: int = 0,
    ) -> None:
        if tokenizer.mask_token_id is None:
            raise InputError(
                "The tokenizer has no mask token, so no tokens can be hidden. Choose a masked language model, such as "
                "model=bert, or task=causal_lm."
            )
        super().__init__(
            tokenizer.pad_token_id, padding_side=tokenizer.padding_side, pad_to_multiple_of=pad_to_multiple_of
        )
        self.pad_values["words"] = NO_WORD
        self.first_position = first_position
        self.masking, self.train, self.mask_id = masking, train, tokenizer.mask_token_id
        self.ordinary = np.setdiff1d(np.arange(len(tokenizer)), special_ids(tokenizer))

    def __call__(self, rows: Sequence[Row]) -> Batch:
        inputs, targets = super().__call__(rows)
        if "words" not in inputs:
            return inputs, targets
        words, numbers, seeds = inputs.pop("words").numpy(), inputs.pop("number").numpy(), inputs.pop(SEEDS, None)
        noise = self._noise(words, numbers) if seeds is None else self._noise_of(seeds, words)
        ids, labels = self.hidden(inputs["input_ids"].numpy(), words, noise)
        inputs["input_ids"], inputs["labels"] = torch.from_numpy(ids), torch.from_numpy(labels)
        if PACKED in inputs:
            inputs = kept_apart(inputs, first_position=self.first_position, causal=False)
        return inputs, inputs["labels"]

    def hidden(self, ids: Ints, words: Ints, noise: Floats) -> tuple[Ints, Ints]:
        """Return `(ids, labels)` with tokens hidden, both `(batch, sequence)`; `noise` is `(4, batch, sequence)`."""
        masking = self.masking
        # one source of chance each: span lengths, order of groups, replacement, random token
        lengths, order, fate, draw = noise
        objective = masking.objective
        # (batch, sequence) each
        groups, units = (OBJECTIVES[objective] if isinstance(objective, str) else objective)(words, lengths)
        chosen = choose(groups, units, order, masking.share)
        fate = _of(groups, fate)  # the same for all tokens of a group
        random_ids = self.ordinary[(draw * len(self.ordinary)).astype(np.int64)]
        replaced = np.where(fate < masking.as_mask, self.mask_id, random_ids)
        kept = ~chosen | (fate >= masking.as_mask + masking.as_random)
        return np.where(kept, ids, replaced), np.where(chosen, ids, IGNORED)

    def _noise_of(self, seeds: torch.Tensor, words: Ints) -> Floats:
        """Draw `(4, batch, sequence)` from the seeds of rows, `(batch,)`; padding changes nothing."""
        drawn = uniform(seeds, 4 * words.shape[1], Stream.MASK).view(*words.shape, 4)
        noise: Floats = (drawn.flip(1) if self.left else drawn).permute(2, 0, 1).double().numpy()
        return noise

    def _noise(self, words: Ints, numbers: Ints) -> Floats:
        """Draw `(4, batch, sequence)`; in evaluation the draws of a row do not depend on its padding."""
        if self.train:
            return np.random.default_rng([self.masking.seed, *numbers]).random((4, *words.shape))
        noise = np.zeros((4, *words.shape))
        for i, number in enumerate(numbers):
            real = np.flatnonzero(words[i] >= 0)
            noise[:, i, real] = np.random.default_rng([VALIDATION_SEED, number]).random((4, len(real)))
        return noise
