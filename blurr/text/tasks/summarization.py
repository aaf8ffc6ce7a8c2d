"""Summarization: a short text for a long one, by a model with an encoder and a decoder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from fastai.learner import Learner
from transformers import PretrainedConfig

from blurr.annotations import Count, GenerationSettings, Smoothing
from blurr.data import samples
from blurr.data.core import RawData, Schema
from blurr.text.data.core import Table
from blurr.text.data.seq2seq import prefix_for, show_seq2seq, tokenize_pairs
from blurr.text.hf_objects import HFObjects
from blurr.text.metrics import Metric
from blurr.text.metrics_summarization import Rouge
from blurr.text.modeling.core import Blearner, Result
from blurr.text.modeling.generation import OPTIONS, BlearnerForGeneration, generated_and_true
from blurr.text.tasks.base import Loss, Task, from_data, weighted_cross_entropy


class BlearnerForSummarization(BlearnerForGeneration):
    """A `Blearner` for summarization; `from_data` makes one of rows in one line."""

    key: ClassVar[str] = "summary_texts"

    def blurr_summarize(self, items: Any, **options: Any) -> list[Result]:
        """Summarize one item or many; the results stand under `summary_texts`, see `blurr_generate`."""
        return self.predict(items, **options)

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
        text_gen_kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Blearner:
        """Make a learner with a frozen body.

        Args:
            data: a DataFrame, Dataset, DatasetDict, list of dicts, or the path of a file; a column `is_valid` marks the
                validation rows.
            pretrained_model_name_or_path: Hub id or local folder.
            text_attr: column of the text.
            summary_attr: column of the summary.
            max_length: longest text in tokens.
            max_target_length: longest summary in tokens.
            text_gen_kwargs: generation settings; they win over the model's.
            options: `dblock_splitter`, `dl_kwargs`, `learner_kwargs`, `hf_kwargs`, as for
                `blurr.text.tasks.base.from_data`.
        """
        settings = dict(text_gen_kwargs or {})
        task = Summarization(max_length=max_length, max_target_length=max_target_length, generation=settings)
        columns = {"text": text_attr, "summary": summary_attr}
        return from_data(
            task, data, pretrained_model_name_or_path, columns=columns, metrics=_default_metrics, **options
        )


def _default_metrics(config: PretrainedConfig) -> dict[str, Metric]:
    return {kind: Rouge(kind) for kind in ("rouge1", "rouge2", "rougeL", "rougeLsum")}


@dataclass
class Summarization(Task):
    """Summarize texts.

    Args:
        max_length: longest text in tokens; `None` takes the model's limit.
        max_target_length: longest summary in tokens, in training; generation has its own lengths.
        prefix: put before each text; `auto` is `summarize: ` for T5 and its kin, and nothing for others.
        loss: `model` is the Hugging Face model's own, `cross_entropy` fastai's; `auto` is the model's own unless label
            smoothing is asked for.
        label_smoothing: share of the target that is spread over all tokens.
        generation: settings of generation, in the words of `transformers.GenerationConfig`; the model takes them over.
    """

    schema: ClassVar[Schema] = Schema(
        required=("text", "summary"),
        optional=(),
        label="summary",
        sample=samples.meeting_notes,
        sample_rows=4000,
        writes_labels=True,
    )
    model_cls: ClassVar[str] = "AutoModelForSeq2SeqLM"
    predicts: ClassVar[str] = "texts"
    learner_cls: ClassVar[type[Blearner]] = BlearnerForSummarization
    show_rows = staticmethod(show_seq2seq)
    options: ClassVar[Mapping[str, type]] = OPTIONS

    max_length: Count | None = None
    max_target_length: Count | None = None
    prefix: str = "auto"
    loss: Loss = "auto"
    label_smoothing: Smoothing = 0.0
    generation: GenerationSettings = field(default_factory=dict)

    def tokenize(self, rows: Mapping[str, Sequence[Any]], hf: HFObjects) -> dict[str, list[Any]]:
        return dict(
            tokenize_pairs(
                hf.tokenizer,
                rows["text"],
                rows.get("summary"),
                max_length=self.max_length,
                max_target_length=self.max_target_length,
                prefix=prefix_for(hf.arch, self.prefix, "summarize: "),
            )
        )

    def loss_func(self, hf: HFObjects, raw: RawData) -> Any:
        return weighted_cross_entropy(hf, self.loss, None, self.label_smoothing)

    def learner_options(self, hf: HFObjects) -> dict[str, Any]:
        return {"generation": self.generation}

    def decode(self, learner: Learner) -> tuple[Any, Any]:
        return generated_and_true(learner)

    def describe(self, learner: Learner) -> Table:
        return [{"target": t, "prediction": p} for p, t in zip(*learner.decoded, strict=True)]
