"""Translation: a text in another language, by a model with an encoder and a decoder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from fastai.learner import Learner
from transformers import PretrainedConfig

from blurr.annotations import Count, GenerationSettings, Smoothing
from blurr.data import samples_translation
from blurr.data.core import RawData, Schema
from blurr.text.data.core import Table
from blurr.text.data.languages import language_settings, set_languages
from blurr.text.data.seq2seq import T5_STYLE, prefix_for, show_seq2seq, tokenize_pairs
from blurr.text.hf_objects import HFObjects
from blurr.text.metrics import Metric
from blurr.text.metrics_translation import Bleu, ChrF
from blurr.text.modeling.core import Blearner, Result
from blurr.text.modeling.generation import OPTIONS, BlearnerForGeneration, generated_and_true
from blurr.text.tasks.base import Loss, Task, from_data, weighted_cross_entropy


class BlearnerForTranslation(BlearnerForGeneration):
    """A `Blearner` for translation; `from_data` makes one of rows in one line."""

    key: ClassVar[str] = "translation_texts"

    def blurr_translate(self, items: Any, **options: Any) -> list[Result]:
        """Translate one item or many; the results stand under `translation_texts`, see `blurr_generate`."""
        return self.predict(items, **options)

    @classmethod
    def from_data(
        cls,
        data: Any,
        pretrained_model_name_or_path: str | Path,
        src_lang_name: str | None = None,
        src_lang_attr: str = "source",
        trg_lang_name: str | None = None,
        trg_lang_attr: str = "target",
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
            src_lang_name: language of the sources: a name for T5 (`German`), a code for the others (`de_DE`).
            src_lang_attr: column of the sources; a dot reaches into a dict (`translation.de`).
            trg_lang_name: language of the targets, likewise.
            trg_lang_attr: column of the targets.
            max_length: longest source in tokens.
            max_target_length: longest target in tokens.
            text_gen_kwargs: generation settings; they win over the model's.
            options: `dblock_splitter`, `dl_kwargs`, `learner_kwargs`, `hf_kwargs`, as for
                `blurr.text.tasks.base.from_data`.
        """
        task = Translation(
            src_lang=src_lang_name,
            tgt_lang=trg_lang_name,
            max_length=max_length,
            max_target_length=max_target_length,
            generation=dict(text_gen_kwargs or {}),
        )
        columns = {"source": src_lang_attr, "target": trg_lang_attr}
        return from_data(
            task, data, pretrained_model_name_or_path, columns=columns, metrics=_default_metrics, **options
        )


def _default_metrics(config: PretrainedConfig) -> dict[str, Metric]:
    return {"bleu": Bleu(), "chrf": ChrF()}


@dataclass
class Translation(Task):
    """Translate texts.

    Args:
        src_lang: language of the sources: a name for T5 (`German`), the tokenizer's code for families of many languages
            (`de_DE` for mBART, `de` for M2M100, `deu_Latn` for NLLB); `None` for models of one pair, such as Marian.
        tgt_lang: language of the targets, likewise.
        max_length: longest source in tokens; `None` takes the model's limit.
        max_target_length: longest target in tokens, in training; generation has its own lengths.
        prefix: put before each source; `auto` is `translate German to English: ` for T5 and its kin, where the
            languages are given, and nothing for others.
        loss: `model` is the Hugging Face model's own, `cross_entropy` fastai's; `auto` is the model's own unless label
            smoothing is asked for.
        label_smoothing: share of the target that is spread over all tokens.
        generation: settings of generation, in the words of `transformers.GenerationConfig`; the model takes them over.
    """

    schema: ClassVar[Schema] = Schema(
        required=("source", "target"),
        optional=(),
        label="target",
        sample=samples_translation.sentences,
        sample_rows=4000,
        writes_labels=True,
    )
    model_cls: ClassVar[str] = "AutoModelForSeq2SeqLM"
    predicts: ClassVar[str] = "texts"
    learner_cls: ClassVar[type[Blearner]] = BlearnerForTranslation
    show_rows = staticmethod(show_seq2seq)
    options: ClassVar[Mapping[str, type]] = OPTIONS

    src_lang: str | None = None
    tgt_lang: str | None = None
    max_length: Count | None = None
    max_target_length: Count | None = None
    prefix: str = "auto"
    loss: Loss = "auto"
    label_smoothing: Smoothing = 0.0
    generation: GenerationSettings = field(default_factory=dict)

    def tokenize(self, rows: Mapping[str, Sequence[Any]], hf: HFObjects) -> dict[str, list[Any]]:
        named = f"translate {self.src_lang} to {self.tgt_lang}: " if self.src_lang and self.tgt_lang else ""
        if hf.arch not in T5_STYLE:
            set_languages(hf.tokenizer, self.src_lang, self.tgt_lang)
        return dict(
            tokenize_pairs(
                hf.tokenizer,
                rows["source"],
                rows.get("target"),
                max_length=self.max_length,
                max_target_length=self.max_target_length,
                prefix=prefix_for(hf.arch, self.prefix, named),
            )
        )

    def loss_func(self, hf: HFObjects, raw: RawData) -> Any:
        return weighted_cross_entropy(hf, self.loss, None, self.label_smoothing)

    def learner_options(self, hf: HFObjects) -> dict[str, Any]:
        return {"generation": {**language_settings(hf.tokenizer, self.tgt_lang), **self.generation}}

    def decode(self, learner: Learner) -> tuple[Any, Any]:
        return generated_and_true(learner)

    def describe(self, learner: Learner) -> Table:
        return [{"prediction": p} for p in learner.decoded[0]]
