"""Masked language modelling: predict the tokens that were hidden in a text."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from blurr.config.annotations import Fraction, OpenFraction
from blurr.errors import InputError
from blurr.loading.loader import Loader
from blurr.loading.rows import Batch
from blurr.models.objects import HFObjects
from blurr.targets.base import Target
from blurr.text.inputs import TextRows, tokenize_texts
from blurr.text.language_modeling.chunking import (
    NO_WORD,
    Around,
    Frame,
    Ids,
    plain_tokens,
    special_ids,
    word_numbers,
)
from blurr.text.language_modeling.masking import Masking, MaskingCollator, ObjectiveName
from blurr.text.language_modeling.packing import first_position
from blurr.text.language_modeling.rows import show_masked
from blurr.text.language_modeling.target import HiddenTokens
from blurr.text.language_modeling.task import Columns, LanguageModel
from blurr.training.inference import Result
from blurr.training.learner import Blearner


class BlearnerForMaskedLM(Blearner):
    """A `Blearner` that predicts the tokens behind masks."""

    def blurr_fill_mask(self, items: Any, **options: Any) -> list[Result]:
        """Fill the masks of one text or many; see `filling.blurr_fill_mask`."""
        results: list[Result] = self.predict(items, **options)
        return results


class MaskedRows(TextRows):
    """Rows of which each epoch hides other tokens."""

    is_drawn: ClassVar[bool] = True


@dataclass
class MaskedLM(LanguageModel):
    """Learn to find hidden tokens; see `LanguageModel` for the other settings.

    Args:
        objective: What is hidden together: `bert` single tokens, `whole_word` all tokens of a word, `span` runs of
            words; or a function of your own, see `masking.Masking`.
        mask_prob: Share of the tokens of each row to hide, special tokens and pads not counted.
        as_mask: Share of the hidden tokens to replace by the mask token.
        as_random: Share of the hidden tokens to replace by random ones; the rest stays as it is.
    """

    model_cls: ClassVar[str] = "AutoModelForMaskedLM"
    target_cls: ClassVar[type[Target]] = HiddenTokens
    learner_cls: ClassVar[type[Blearner]] = BlearnerForMaskedLM
    show_rows = staticmethod(show_masked)
    separators: ClassVar[Sequence[str]] = ("sep_token", "eos_token")

    objective: ObjectiveName | Callable[..., Any] = "bert"
    mask_prob: OpenFraction = 0.15
    as_mask: Fraction = 0.8
    as_random: Fraction = 0.1

    def __post_init__(self) -> None:
        if self.as_mask + self.as_random > 1:
            raise InputError(
                f"task.as_mask={self.as_mask} and task.as_random={self.as_random} are shares of the hidden tokens; "
                "together they must not exceed 1."
            )

    def tokens(self, texts: Sequence[str], hf: HFObjects, *, room: int, between: Ids) -> Columns:
        encoded = plain_tokens(hf.tokenizer, texts, self.special_tokens, parsed=[str(hf.tokenizer.mask_token)])
        ids, numbers = encoded["input_ids"], _apart(word_numbers(encoded, whole=self.objective != "bert"))
        special = special_ids(hf.tokenizer)  # those within texts, such as parsed ones, are never hidden either
        words = [np.where(np.isin(i, special), NO_WORD, n).tolist() for i, n in zip(ids, numbers, strict=True)]
        return {"input_ids": ids, "words": words}

    def around(self, frame: Frame, between: Ids) -> dict[str, Around]:
        ids = Around(between, frame.before, frame.after)
        return {"input_ids": ids, "words": Around(*([NO_WORD] * len(each) for each in ids))}

    def has_target(self, columns: Columns) -> list[bool]:
        return [max(row) > NO_WORD for row in columns["words"]]

    def numbered(self, columns: Columns, start: int) -> Columns:
        # the numbers seed the masks of validation
        return {**columns, "number": list(range(start, start + len(columns["input_ids"])))}

    def make_rows(self, columns: Mapping[str, Any], rows: Mapping[str, Sequence[Any]], hf: HFObjects) -> MaskedRows:
        return MaskedRows(columns, self.target.vocab(hf))

    def example(self, hf: HFObjects, seed: int = 0) -> dict[str, Any]:
        """Return a text whose second word is the mask."""
        first, _, *rest = str(super().example(hf, seed)["text"]).split()  # the mask replaces the second word
        return {"text": " ".join([first, str(hf.tokenizer.mask_token), *rest])}

    def encode_items(self, rows: Mapping[str, Sequence[Any]], hf: HFObjects) -> dict[str, list[Any]]:
        """Make one row per text, in which nothing is hidden."""
        mask = [str(hf.tokenizer.mask_token)]
        return dict(tokenize_texts(hf.tokenizer, rows["text"], special_tokens=self.special_tokens, parsed=mask))

    def collator(self, hf: HFObjects, loader: Loader, *, train: bool) -> Callable[..., Batch]:
        masking = Masking(self.objective, self.mask_prob, self.as_mask, self.as_random, loader.seed)
        return MaskingCollator(
            hf.tokenizer,
            masking,
            train=train,
            pad_to_multiple_of=whole_window(hf) or loader.pad_to_multiple_of,
            first_position=first_position(hf.model) if self.packing else 0,
        )


def whole_window(hf: HFObjects) -> int | None:
    """Return the one length of the rows of Perceiver, whose decoder asks for each position of its window."""
    return hf.positions.source if hf.arch == "perceiver" else None


def _apart(numbers: list[Ids]) -> list[Ids]:
    """Number the words of all texts consecutively, so that the last of one and the first of the next stay apart."""
    lengths = [len(row) for row in numbers]
    starts = np.cumsum([0, *lengths[:-1]]).tolist() if lengths else []
    return [[n if n == NO_WORD else n + start for n in row] for row, start in zip(numbers, starts, strict=True)]
