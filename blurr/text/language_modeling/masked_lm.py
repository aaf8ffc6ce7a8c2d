"""Masked language modelling: predict the tokens that were hidden in a text."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from blurr.config.annotations import Count, Fraction, OpenFraction, Smoothing
from blurr.data.core import Schema
from blurr.errors import InputError
from blurr.loading.loader import Loader
from blurr.loading.rows import Batch
from blurr.models.objects import HFObjects
from blurr.targets.base import Loss, Target
from blurr.tasks.base import Task
from blurr.text.inputs import TEXT, TextInputs, tokenize_texts
from blurr.text.language_modeling.chunking import (
    BLOCK,
    NO_WORD,
    Frame,
    Ids,
    pieces,
    plain_tokens,
    room_for,
    rows_of,
    separator_ids,
    special_ids,
    word_numbers,
)
from blurr.text.language_modeling.masking import Masking, MaskingCollator, ObjectiveName
from blurr.text.language_modeling.packing import first_position, packed
from blurr.text.language_modeling.rows import show_masked
from blurr.text.language_modeling.target import HiddenTokens
from blurr.text.language_modeling.texts import SCHEMA, with_targets, without_blanks
from blurr.text.lengths import check_source
from blurr.text.special_tokens import SpecialTokens
from blurr.training.inference import Result
from blurr.training.learner import Blearner


class BlearnerForMaskedLM(Blearner):
    """A `Blearner` that finds the tokens which masks stand for."""

    def blurr_fill_mask(self, items: Any, **options: Any) -> list[Result]:
        """Fill the masks of one text or many; see `blurr.text.language_modeling.filling.blurr_fill_mask`."""
        return self.predict(items, **options)


@dataclass
class MaskedLM(Task):
    """Learn to find hidden tokens.

    Args:
        objective: what is hidden: `bert` single tokens, `whole_word` all tokens of a word, `span` runs of words;
            or a function of one's own, see `blurr.text.language_modeling.masking.Masking`.
        mask_prob: share of the tokens of each row that are hidden; special tokens and pads do not count.
        as_mask: share of these that the mask token stands for.
        as_random: share of these that a random token stands for; the rest stays as it is.
        block_size: see `CausalLM`, as for all that follow.
        chunk: join the texts of a split and cut them into blocks.
        packing: instead, put several texts into a row, none of which sees another.
        separator: stands between two texts; `auto` is the tokenizer's sep token, or its eos token.
        loss: See `language_modeling.target.Tokens`.
        label_smoothing: See there.
        special_tokens: What a special token written in a text is: see `special_tokens.reader_of`.
    """

    schema: ClassVar[Schema] = SCHEMA
    model_cls: ClassVar[str] = "AutoModelForMaskedLM"
    inputs: ClassVar[TextInputs] = TEXT
    target_cls: ClassVar[type[Target]] = HiddenTokens
    learner_cls: ClassVar[type[Blearner]] = BlearnerForMaskedLM
    show_rows = staticmethod(show_masked)

    objective: ObjectiveName | Callable[..., Any] = "bert"
    mask_prob: OpenFraction = 0.15
    as_mask: Fraction = 0.8
    as_random: Fraction = 0.1
    block_size: Count | None = BLOCK
    chunk: bool = True
    packing: bool = False
    separator: str = "auto"
    loss: Loss = "auto"
    label_smoothing: Smoothing = 0.0
    special_tokens: SpecialTokens = "text"

    def __post_init__(self) -> None:
        if self.as_mask + self.as_random > 1:
            raise InputError(
                f"task.as_mask={self.as_mask} and task.as_random={self.as_random} are shares of the hidden tokens; "
                "together they must not exceed 1."
            )

    def check(self, hf: HFObjects) -> None:
        check_source("task.block_size", self.block_size, hf, usual=BLOCK)

    def encode(self, rows: Mapping[str, Sequence[Any]], hf: HFObjects) -> dict[str, list[Any]]:
        frame = Frame.of(hf.tokenizer)
        room = room_for(hf.tokenizer, self.block_size, frame)
        between = separator_ids(hf.tokenizer, self.separator, ("sep_token", "eos_token"))
        kept, texts = without_blanks(rows["text"])
        mask = [str(hf.tokenizer.mask_token)]
        encoded = plain_tokens(hf.tokenizer, texts, self.special_tokens, parsed=mask)
        parts, numbers = encoded["input_ids"], _apart(word_numbers(encoded, whole=self.objective != "bert"))
        if self.packing:
            parts, numbers = pieces(parts, room), pieces(numbers, room)
        joins = self.chunk and not self.packing
        ids = rows_of(parts, room, chunk=joins, between=between, before=frame.before, after=frame.after)
        bare = [[NO_WORD] * len(around) for around in (between, frame.before, frame.after)]
        words = rows_of(numbers, room, chunk=joins, between=bare[0], before=bare[1], after=bare[2])
        special = special_ids(hf.tokenizer)
        words = [np.where(np.isin(i, special), NO_WORD, w).tolist() for i, w in zip(ids, words, strict=True)]
        columns: dict[str, list[Any]] = {"input_ids": ids, "words": words}
        wanted = [max(row) > NO_WORD for row in words]
        if self.packing:
            columns = packed(with_targets(columns, wanted), room + len(frame))
            return {**columns, "number": list(range(len(columns["input_ids"])))}
        columns["number"] = list(range(len(ids)))
        return with_targets(columns if self.chunk else {**columns, "row": kept}, wanted)

    def example(self, hf: HFObjects, seed: int = 0) -> dict[str, Any]:
        """Make a text with a mask in it."""
        first, _, *rest = str(super().example(hf, seed)["text"]).split()
        return {"text": " ".join([first, str(hf.tokenizer.mask_token), *rest])}

    def encode_items(self, rows: Mapping[str, Sequence[Any]], hf: HFObjects) -> dict[str, list[Any]]:
        """Leave texts to predict on as they are: one row each, nothing hidden."""
        mask = [str(hf.tokenizer.mask_token)]
        return dict(tokenize_texts(hf.tokenizer, rows["text"], special_tokens=self.special_tokens, parsed=mask))

    def collator(self, hf: HFObjects, loader: Loader, *, train: bool) -> Callable[..., Batch]:
        masking = Masking(self.objective, self.mask_prob, self.as_mask, self.as_random, loader.seed)
        return MaskingCollator(
            hf.tokenizer,
            masking,
            train=train,
            pad_to_multiple_of=loader.pad_to_multiple_of,
            first_position=first_position(hf.model) if self.packing else 0,
        )


def _apart(numbers: list[Ids]) -> list[Ids]:
    """Number the words of all texts through, so that the last of one and the first of the next stay two words."""
    lengths = [len(row) for row in numbers]
    starts = np.cumsum([0, *lengths[:-1]]).tolist() if lengths else []
    return [[n if n == NO_WORD else n + start for n in row] for row, start in zip(numbers, starts, strict=True)]
