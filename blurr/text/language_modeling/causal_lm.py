"""Causal language modelling: predict the next token of a text."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from blurr.config.annotations import Count, GenerationSettings, Smoothing
from blurr.data.core import Schema
from blurr.errors import InputError
from blurr.loading.loader import Loader
from blurr.loading.rows import Batch
from blurr.models.objects import HFObjects
from blurr.targets.base import Loss, Target
from blurr.targets.texts import BlearnerForGeneration
from blurr.tasks.base import Task
from blurr.tasks.notebook import from_data
from blurr.text.inputs import TEXT, TextInputs
from blurr.text.language_modeling.chunking import (
    BLOCK,
    Frame,
    Ids,
    pieces,
    plain_tokens,
    room_for,
    rows_of,
    separator_ids,
)
from blurr.text.language_modeling.masked_lm import MaskedLM
from blurr.text.language_modeling.packing import first_position, packed
from blurr.text.language_modeling.rows import CausalCollator, show_causal
from blurr.text.language_modeling.target import NextTokens
from blurr.text.language_modeling.texts import SCHEMA, with_targets, without_blanks
from blurr.text.lengths import check_source, length_limit
from blurr.text.special_tokens import SpecialTokens
from blurr.training.learner import Blearner


class BlearnerForLM(BlearnerForGeneration):
    """A `Blearner` that goes on with a text; `from_data` makes one, or a `BlearnerForMaskedLM`, in one line."""

    def decoded_predictions(self, batch: Any, **options: Any) -> Any:
        """Give the likeliest next token of each token of a batch, `(batch, sequence)`."""
        return Blearner.decoded_predictions(self, batch, **options)

    @classmethod
    def from_data(
        cls,
        data: Any,
        pretrained_model_name_or_path: str | Path,
        text_attr: str = "text",
        *,
        lm_type: Literal["causal", "masked"] = "causal",
        block_size: int | None = None,
        chunk: bool = True,
        task_kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Blearner:
        """Make a `BlearnerForLM` or `BlearnerForMaskedLM` with a frozen body.

        See `blurr.tasks.notebook.from_data` for `data` and `options`.

        - `text_attr`: Column of the text.
        - `lm_type`: `causal` or `masked`.
        - `block_size`: Longest row in tokens; `None` takes the model's limit.
        - `chunk`: Join the texts and cut them into blocks; `False` keeps one row per text.
        - `task_kwargs`: The other fields of `CausalLM` or `MaskedLM`, such as `{"objective": "span"}`.

        Raises:
            InputError: `lm_type` is neither.
        """
        if lm_type not in LM_TYPES:
            raise InputError(f"lm_type={lm_type!r} is not one of {sorted(LM_TYPES)}.")
        task = LM_TYPES[lm_type](block_size=block_size, chunk=chunk, **(task_kwargs or {}))
        return from_data(task, data, pretrained_model_name_or_path, columns={"text": text_attr}, **options)


@dataclass
class CausalLM(Task):
    """Learn to go on with texts.

    Args:
        block_size: longest row in tokens; `None` takes the model's limit.
        chunk: join the texts of a split and cut them into blocks; `False` keeps one row per text, cut off at the end.
        packing: instead, put several texts into a row, none of which sees another; a longer one is cut.
        separator: stands between two texts, or at the end of one that is not joined: any text, `""` for nothing, or
            `auto`: the tokenizer's eos token, or its sep token.
        loss: See `language_modeling.target.Tokens`.
        label_smoothing: See there.
        generation: settings of generation, in the words of `transformers.GenerationConfig`; the model takes them over.
        special_tokens: What a special token written in a text is: see `special_tokens.reader_of`.
    """

    schema: ClassVar[Schema] = SCHEMA
    model_cls: ClassVar[str] = "AutoModelForCausalLM"
    inputs: ClassVar[TextInputs] = TEXT
    target_cls: ClassVar[type[Target]] = NextTokens
    learner_cls: ClassVar[type[Blearner]] = BlearnerForLM
    show_rows = staticmethod(show_causal)

    block_size: Count | None = BLOCK
    chunk: bool = True
    packing: bool = False
    separator: str = "auto"
    loss: Loss = "auto"
    label_smoothing: Smoothing = 0.0
    generation: GenerationSettings = field(default_factory=lambda: {"max_new_tokens": 40})
    special_tokens: SpecialTokens = "text"

    def check(self, hf: HFObjects) -> None:
        check_source("task.block_size", self.block_size, hf, usual=BLOCK)

    def encode(self, rows: Mapping[str, Sequence[Any]], hf: HFObjects) -> dict[str, list[Any]]:
        frame = Frame.of(hf.tokenizer)
        room = room_for(hf.tokenizer, self.block_size, frame)
        between = separator_ids(hf.tokenizer, self.separator, ("eos_token", "sep_token"))
        kept, texts = without_blanks(rows["text"])
        parts: list[Ids] = plain_tokens(hf.tokenizer, texts, self.special_tokens)["input_ids"]
        if self.packing:
            parts = pieces([ids + between for ids in parts], room)
            ids = rows_of(parts, room, chunk=False, between=between, before=frame.before, after=[])
            return packed(with_targets({"input_ids": ids}, [len(row) > 1 for row in ids]), room + len(frame))
        if not self.chunk:
            parts = [ids + between if len(ids) + len(between) <= room else ids for ids in parts]
        ids = rows_of(parts, room, chunk=self.chunk, between=between, before=frame.before, after=[])
        columns: dict[str, list[Any]] = {"input_ids": ids} if self.chunk else {"input_ids": ids, "row": kept}
        return with_targets(columns, [len(row) > 1 for row in ids])

    def encode_items(self, rows: Mapping[str, Sequence[Any]], hf: HFObjects) -> dict[str, list[Any]]:
        """Keep the end of each prompt, and let an empty one begin as texts begin: after a separator."""
        frame = Frame.of(hf.tokenizer)
        limit = length_limit(hf.tokenizer, None)
        room = 0 if limit is None else limit - len(frame)
        given = plain_tokens(hf.tokenizer, rows["text"], self.special_tokens)["input_ids"]
        prompts = [frame.before + ids[-room:] for ids in given]
        between = separator_ids(hf.tokenizer, self.separator, ("eos_token", "sep_token"))
        return {"input_ids": [ids or between for ids in prompts]}

    def collator(self, hf: HFObjects, loader: Loader, *, train: bool) -> Callable[..., Batch]:
        tokenizer = hf.tokenizer
        return CausalCollator(
            tokenizer.pad_token_id,
            padding_side=tokenizer.padding_side,
            pad_to_multiple_of=loader.pad_to_multiple_of,
            first_position=first_position(hf.model) if self.packing else 0,
        )

    def learner_options(self, hf: HFObjects) -> dict[str, Any]:
        return {"generation": self.generation}


LM_TYPES: dict[str, Callable[..., Task]] = {"causal": CausalLM, "masked": MaskedLM}
