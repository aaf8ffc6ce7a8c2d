"""Summarization: a short text for a long one, by a model with an encoder and a decoder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from blurr.data.core import Schema
from blurr.targets.texts import BlearnerForGeneration
from blurr.tasks.notebook import from_data
from blurr.text.seq2seq.languages import Languages
from blurr.text.seq2seq.samples import meeting_notes
from blurr.text.seq2seq.task import Seq2Seq
from blurr.training.inference import Result
from blurr.training.learner import Blearner


class BlearnerForSummarization(BlearnerForGeneration):
    """A `Blearner` for summarization; `from_data` makes one from rows in one line."""

    key: ClassVar[str] = "summary_texts"

    def blurr_summarize(self, items: Any, **options: Any) -> list[Result]:
        """Summarize one item or many; see `blurr_generate`, here with the key `summary_texts`."""
        results: list[Result] = self.predict(items, **options)
        return results

    @classmethod
    def from_data(
        cls,
        data: Any,
        pretrained_model_name_or_path: str | Path,
        text_attr: str = "text",
        summary_attr: str = "summary",
        *,
        max_length: int | None = None,
        max_target_length: int | None = None,
        language: str | None = None,
        text_gen_kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Blearner:
        """Make a learner with a frozen body; see `blurr.tasks.notebook.from_data` for `data` and `options`.

        - `text_attr`: Column of the text.
        - `summary_attr`: Column of the summary.
        - `max_length`: See `Summarization`, also for the settings that follow.
        - `text_gen_kwargs`: Generation settings; they win over the model's.
        """
        settings = dict(text_gen_kwargs or {})
        task = Summarization(
            max_length=max_length, max_target_length=max_target_length, language=language, generation=settings
        )
        columns = {"text": text_attr, "summary": summary_attr}
        return from_data(task, data, pretrained_model_name_or_path, columns=columns, **options)


@dataclass
class Summarization(Seq2Seq):
    """Summarize texts, with T5's prefix `summarize: `; see `Seq2Seq` for the other settings.

    Args:
        language: Language of texts and summaries, by the tokenizer's code for multilingual models (`de_DE` for mBART,
            `de` for M2M100, `deu_Latn` for NLLB); `None` for other models, or for such a tokenizer's default.
    """

    schema: ClassVar[Schema] = Schema(
        required=("text", "summary"),
        optional=("weight",),
        label="summary",
        sample=meeting_notes,
        sample_rows=4000,
        writes_labels=True,
    )
    learner_cls: ClassVar[type[Blearner]] = BlearnerForSummarization
    named_prefix: ClassVar[str] = "summarize: "
    language_keys: ClassVar[Sequence[str]] = ("task.language", "task.language")

    language: str | None = None

    def languages(self, arch: str) -> Languages:
        return self.language, self.language
