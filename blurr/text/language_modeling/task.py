"""What the tasks of language models share: texts become rows of tokens, joined and cut, packed, or one by one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from blurr.config.annotations import Length, Smoothing
from blurr.data.core import Schema
from blurr.errors import InputError
from blurr.models.objects import HFObjects
from blurr.targets.base import Loss
from blurr.tasks.base import Task
from blurr.text.inputs import TEXT, TextInputs
from blurr.text.language_modeling.chunking import BLOCK, Frame, Ids, room_for, separator_ids
from blurr.text.language_modeling.packing import packed
from blurr.text.language_modeling.samples import stories
from blurr.text.lengths import check_source
from blurr.text.special_tokens import SpecialTokens

NOTHING = (
    "The texts of a split hold nothing to learn from: they are blank, or shorter than two tokens. Check "
    "data.columns.text."
)


@dataclass
class LanguageModel(Task):
    """Learn from texts alone; the loss is that of `language_modeling.target.Tokens`.

    Args:
        block_size: Longest row in tokens; `None` takes the model's limit.
        chunk: Join the texts of a split and cut them into blocks; `False` keeps one row per text, cut off at the end.
        packing: Put several texts into a row instead, none of which sees another; longer ones are cut.
        separator: Stands between two texts: any text, `""` for nothing, or `auto`: see `separators`.
        special_tokens: See `tokenize_texts`.

    Attributes:
        separators: Names of special tokens; `auto` takes the first that the tokenizer has.
    """

    schema: ClassVar[Schema] = Schema(required=("text",), optional=(), label=None, sample=stories)
    inputs: ClassVar[TextInputs] = TEXT
    separators: ClassVar[Sequence[str]]

    block_size: Length | None = BLOCK
    chunk: bool = True
    packing: bool = False
    separator: str = "auto"
    loss: Loss = "auto"
    label_smoothing: Smoothing = 0.0
    special_tokens: SpecialTokens = "text"

    def check(self, hf: HFObjects) -> None:
        check_source("task.block_size", self.block_size, hf, usual=BLOCK)

    @property
    def joins(self) -> bool:
        """Whether texts are joined and cut into blocks."""
        return self.chunk and not self.packing

    def layout(self, hf: HFObjects) -> tuple[Frame, int, Ids]:
        """Return what stands around the tokens of a row, how many of them fit, and what separates two texts."""
        frame = Frame.of(hf.tokenizer)
        between = separator_ids(hf.tokenizer, self.separator, self.separators)
        return frame, room_for(hf.tokenizer, self.block_size, frame), between

    def with_targets(
        self, columns: dict[str, list[Any]], wanted: list[bool], *, kept: list[int], capacity: int
    ) -> dict[str, list[Any]]:
        """Keep the rows that have a target, packed into rows of `capacity` tokens if requested.

        Args:
            columns: A value per row.
            wanted: Whether each row has a target.
            kept: The number of the text that each row comes from, where it comes from one alone.
            capacity: Longest row in tokens.

        Raises:
            InputError: No row has a target.
        """
        if not any(wanted):
            raise InputError(NOTHING)
        if not self.chunk and not self.packing:
            columns = {**columns, "row": kept}
        columns = {name: [v for v, w in zip(values, wanted, strict=True) if w] for name, values in columns.items()}
        return packed(columns, capacity) if self.packing else columns


def without_blanks(texts: Sequence[str]) -> tuple[list[int], list[str]]:
    """Return the numbers of the texts that are not blank, and these texts.

    Raises:
        InputError: All are blank.
    """
    kept = [i for i, text in enumerate(texts) if text.strip()]
    if not kept:
        raise InputError(NOTHING)
    return kept, [texts[i] for i in kept]
