"""What the tasks of language models share: texts become rows of tokens, joined and cut, packed, or one by one."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any, ClassVar

from blurr.config.annotations import Length, Smoothing
from blurr.data.core import Schema
from blurr.errors import InputError
from blurr.models.objects import HFObjects
from blurr.targets.base import Loss
from blurr.tasks.base import Task
from blurr.text.inputs import TEXT, TextInputs
from blurr.text.language_modeling.chunking import BLOCK, Around, Cutter, Frame, Ids, pieces, room_for, separator_ids
from blurr.text.language_modeling.packing import packed
from blurr.text.language_modeling.samples import stories
from blurr.text.lengths import check_source
from blurr.text.special_tokens import SpecialTokens

Columns = dict[str, list[Any]]

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

    @abstractmethod
    def tokens(self, texts: Sequence[str], hf: HFObjects, *, room: int, between: Ids) -> Columns:
        """Return the ids of each text under `input_ids`, and other values of its tokens under other names."""

    @abstractmethod
    def around(self, frame: Frame, between: Ids) -> dict[str, Around]:
        """Return what stands around the values of each column that `tokens` returns."""

    @abstractmethod
    def has_target(self, columns: Columns) -> list[bool]:
        """Return for each row whether there is anything to learn in it."""

    def numbered(self, columns: Columns, start: int) -> Columns:
        """Add the numbers of rows whose first has the number `start`, where the task needs them."""
        return columns

    def encode(self, rows: Mapping[str, Sequence[Any]], hf: HFObjects) -> Columns:
        parts = list(self.encode_parts([rows], hf))
        return {name: [value for part in parts for value in part[name]] for name in parts[0]}

    def encode_parts(
        self, parts: Iterable[Mapping[str, Sequence[Any]]], hf: HFObjects
    ) -> Iterator[Mapping[str, Sequence[Any]]]:
        """Encode texts that come in parts; joined texts are cut as if they came at once.

        Raises:
            InputError: No row has a target.
        """
        frame, room, between = self.layout(hf)
        around, start, made = self.around(frame, between), 0, 0
        for found, kept in self._cut(parts, hf, room=room, around=around):
            columns: Columns = {name: around[name].rows(values) for name, values in found.items()}
            count = len(columns["input_ids"])
            if not self.packing:  # before rows without a target are dropped
                columns, start = self.numbered(columns, start), start + count
            if not self.packing and not self.chunk:
                columns["row"] = kept
            wanted = self.has_target(columns)
            columns = {name: list(compress(values, wanted)) for name, values in columns.items()}
            if self.packing and any(wanted):
                columns = self.numbered(packed(columns, room + len(frame)), start)
                start += len(columns["input_ids"])
            if any(wanted):
                made += 1
                yield columns
        if not made:
            raise InputError(NOTHING)

    def _cut(
        self, parts: Iterable[Mapping[str, Sequence[Any]]], hf: HFObjects, *, room: int, around: Mapping[str, Around]
    ) -> Iterator[tuple[dict[str, list[Ids]], list[int]]]:
        """Yield pieces of texts that fit into rows, and the number of the text that each is, where it is one."""
        between = around["input_ids"].between
        cutters = {name: Cutter(room, each.between) for name, each in around.items()}
        before = 0
        for rows in parts:
            kept = [i for i, text in enumerate(rows["text"]) if text.strip()]
            tokens = self.tokens([rows["text"][i] for i in kept], hf, room=room, between=between) if kept else {}
            values = {name: tokens.get(name, []) for name in around}
            if self.joins:
                yield {name: cutters[name].add(each) for name, each in values.items()}, []
            elif self.packing:
                yield {name: pieces(each, room) for name, each in values.items()}, []
            else:
                cut_off = {name: [list(ids[:room]) for ids in each] for name, each in values.items()}
                yield cut_off, [before + i for i in kept]
            before += len(rows["text"])
        if self.joins:
            yield {name: cutter.finish() for name, cutter in cutters.items()}, []
