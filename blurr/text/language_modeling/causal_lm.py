"""Causal language modelling: predict the next token of a text."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from blurr.config.annotations import GenerationSettings
from blurr.config.wording import in_words_of_notebook
from blurr.errors import InputError
from blurr.loading.loader import Loader
from blurr.loading.rows import Batch
from blurr.models.objects import HFObjects
from blurr.targets.base import Target
from blurr.targets.texts import BlearnerForGeneration
from blurr.tasks.base import Task
from blurr.tasks.notebook import from_data
from blurr.text.language_modeling.chunking import Around, Frame, Ids, plain_tokens, separator_ids
from blurr.text.language_modeling.masked_lm import MaskedLM
from blurr.text.language_modeling.packing import first_position
from blurr.text.language_modeling.rows import CausalCollator, show_causal
from blurr.text.language_modeling.target import NextTokens
from blurr.text.language_modeling.task import Columns, LanguageModel
from blurr.text.lengths import length_limit
from blurr.text.older import BertMLMStrategy, CausalLMStrategy, LMType
from blurr.training.learner import Blearner


class BlearnerForLM(BlearnerForGeneration):
    """A `Blearner` that continues texts; `from_data` makes one, or a `BlearnerForMaskedLM`, in one line."""

    def decoded_predictions(self, batch: Any, **options: Any) -> Any:
        """Return the likeliest next token after each token of a batch, `(batch, sequence)`."""
        return Blearner.decoded_predictions(self, batch, **options)

    @classmethod
    @in_words_of_notebook()
    def from_data(
        cls,
        data: Any,
        pretrained_model_name_or_path: str | Path,
        text_attr: str = "text",
        *,
        lm_type: Literal["causal", "masked"] | LMType = "causal",
        lm_strategy_cls: type[CausalLMStrategy | BertMLMStrategy] | None = None,
        block_size: int | None = None,
        chunk: bool = True,
        task_kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Blearner:
        """Make a `BlearnerForLM` or `BlearnerForMaskedLM` with a frozen body.

        See `blurr.tasks.notebook.from_data` for `data` and `options`.

        - `text_attr`: Column of the text.
        - `lm_type`: `causal` or `masked`; or, by `lm_strategy_cls`, `CausalLMStrategy` or `BertMLMStrategy`.
        - `block_size`, `chunk`: See `LanguageModel`.
        - `task_kwargs`: The other fields of `CausalLM` or `MaskedLM`, such as `{"objective": "span"}`.

        Raises:
            InputError: `lm_type` is neither `causal` nor `masked`.
        """
        if isinstance(lm_type, LMType):
            lm_type = lm_type.value
        lm_type = lm_type if lm_strategy_cls is None else lm_strategy_cls.lm_type
        if lm_type not in LM_TYPES:
            raise InputError(f"lm_type={lm_type!r} is not one of {sorted(LM_TYPES)}.")
        task = LM_TYPES[lm_type](block_size=block_size, chunk=chunk, **(task_kwargs or {}))
        return from_data(task, data, pretrained_model_name_or_path, columns={"text": text_attr}, **options)


@dataclass
class CausalLM(LanguageModel):
    """Learn to continue texts; see `LanguageModel` for the other settings.

    Args:
        generation: Generation settings by the names of `transformers.GenerationConfig`; they are saved with the model.
    """

    model_cls: ClassVar[str] = "AutoModelForCausalLM"
    target_cls: ClassVar[type[Target]] = NextTokens
    learner_cls: ClassVar[type[Blearner]] = BlearnerForLM
    show_rows = staticmethod(show_causal)
    separators: ClassVar[Sequence[str]] = ("eos_token", "sep_token")

    generation: GenerationSettings = field(default_factory=lambda: {"max_new_tokens": 40})

    def tokens(self, texts: Sequence[str], hf: HFObjects, *, room: int, between: Ids) -> Columns:
        found: list[Ids] = plain_tokens(hf.tokenizer, texts, self.special_tokens)["input_ids"]
        if self.packing:
            found = [ids + between for ids in found]
        elif not self.chunk:  # a text that is cut off does not end
            found = [ids + between if len(ids) + len(between) <= room else ids for ids in found]
        return {"input_ids": found}

    def around(self, frame: Frame, between: Ids) -> dict[str, Around]:
        return {"input_ids": Around(between, frame.before, [])}

    def has_target(self, columns: Columns) -> list[bool]:
        return [len(row) > 1 for row in columns["input_ids"]]

    def encode_items(self, rows: Mapping[str, Sequence[Any]], hf: HFObjects) -> dict[str, list[Any]]:
        """Keep the end of each prompt; an empty one begins as texts begin in training, after a separator."""
        frame = Frame.of(hf.tokenizer)
        limit = length_limit(hf.tokenizer, None)
        room = 0 if limit is None else limit - len(frame)  # 0 keeps all: ids[-0:]
        given = plain_tokens(hf.tokenizer, rows["text"], self.special_tokens)["input_ids"]
        between = separator_ids(hf.tokenizer, self.separator, self.separators)
        return {"input_ids": [frame.before + ids[-room:] or between for ids in given]}

    def collator(self, hf: HFObjects, loader: Loader, *, train: bool) -> Callable[..., Batch]:
        return CausalCollator.of(
            hf.tokenizer,
            pad_to_multiple_of=loader.pad_to_multiple_of,
            first_position=first_position(hf.model) if self.packing else 0,
        )

    def learner_options(self, hf: HFObjects) -> dict[str, Any]:
        return {"generation": self.generation}


LM_TYPES: dict[str, Callable[..., Task]] = {"causal": CausalLM, "masked": MaskedLM}
