"""What summarization and translation share: a model with an encoder and a decoder writes a text for a text."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from blurr.config.annotations import GenerationSettings, Length, Smoothing
from blurr.loading.rows import EncodedRows
from blurr.models.objects import HFObjects
from blurr.targets.base import Loss, Target
from blurr.targets.texts import Texts
from blurr.tasks.base import Task
from blurr.text.inputs import TEXT, TextInputs
from blurr.text.lengths import advice_of, check_length, check_source
from blurr.text.seq2seq.languages import KEYS, Languages, check_language, language_settings, set_languages
from blurr.text.seq2seq.rows import T5_STYLE, PairRows, show_seq2seq, tokenize_pairs
from blurr.text.special_tokens import SpecialTokens


@dataclass
class Seq2Seq(Task):
    """Write a text, the second required role, for another, the first; the loss is that of `targets.texts.Texts`.

    Args:
        max_length: Longest source in tokens; `None` takes the model's limit.
        max_target_length: Longest target in tokens, in training; generation has its own lengths.
        prefix: Put before each source; `auto` is `named_prefix` for T5 and its kin, and nothing for others.
        generation: Generation settings by the names of `transformers.GenerationConfig`; they are saved with the model.
        special_tokens: See `tokenize_texts`.
    """

    model_cls: ClassVar[str] = "AutoModelForSeq2SeqLM"
    inputs: ClassVar[TextInputs] = TEXT
    target_cls: ClassVar[type[Target]] = Texts
    show_rows = staticmethod(show_seq2seq)

    max_length: Length | None = None
    max_target_length: Length | None = None
    prefix: str = "auto"
    loss: Loss = "auto"
    label_smoothing: Smoothing = 0.0
    generation: GenerationSettings = field(default_factory=dict)
    special_tokens: SpecialTokens = "text"

    @property
    @abstractmethod
    def named_prefix(self) -> str:
        """The prefix that T5 expects before each source of this task."""

    language_keys: ClassVar[Sequence[str]] = KEYS

    def languages(self, arch: str) -> Languages:
        """Return the languages of sources and targets, by the codes of a tokenizer that has several."""
        return None, None

    def encode(self, rows: Mapping[str, Sequence[Any]], hf: HFObjects) -> dict[str, list[Any]]:
        source, target = self.schema.required
        set_languages(hf.tokenizer, *self.languages(hf.arch), self.language_keys)
        usual = self.named_prefix if hf.arch in T5_STYLE else ""
        return dict(
            tokenize_pairs(
                hf.tokenizer,
                rows[source],
                rows.get(target),
                max_length=self.max_length,
                max_target_length=self.max_target_length or longest_target(hf),
                prefix=usual if self.prefix == "auto" else self.prefix,
                special_tokens=self.special_tokens,
            )
        )

    def make_rows(self, columns: Mapping[str, Any], rows: Mapping[str, Sequence[Any]], hf: HFObjects) -> EncodedRows:
        return PairRows(columns, rows, self.schema.required[1])

    def check(self, hf: HFObjects) -> None:
        check_source("task.max_length", self.max_length, hf)
        limit = hf.positions.target
        check_length("task.max_target_length", self.max_target_length, limit, None)
        for name in ("max_new_tokens", "max_length"):
            check_length(f"task.generation.{name}", self.generation.get(name), limit, None)

    def learner_options(self, hf: HFObjects) -> dict[str, Any]:
        languages = self.languages(hf.arch)
        set_languages(hf.tokenizer, *languages, self.language_keys)
        marks = language_settings(hf.tokenizer)
        if languages == (None, None):
            check_language(hf.tokenizer, hf.model.generation_config, marks, self.language_keys)
        return {"generation": {**marks, **self.generation}}


def longest_target(hf: HFObjects) -> int | None:
    """Return the default longest target: as long as the tokenizer advises and the decoder has positions for."""
    return min((n for n in (advice_of(hf.tokenizer), hf.positions.target) if n is not None), default=None)
