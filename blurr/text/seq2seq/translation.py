"""Translation: a text in another language, by a model with an encoder and a decoder."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from blurr.data.core import Schema
from blurr.models.objects import HFObjects
from blurr.targets.texts import BlearnerForGeneration
from blurr.tasks.base import Task
from blurr.tasks.notebook import from_data
from blurr.text.seq2seq.languages import Languages, has_languages
from blurr.text.seq2seq.rows import T5_STYLE
from blurr.text.seq2seq.samples import sentences
from blurr.text.seq2seq.task import Seq2Seq
from blurr.training.inference import Result
from blurr.training.learner import Blearner


class BlearnerForTranslation(BlearnerForGeneration):
    """A `Blearner` for translation; `from_data` makes one from rows in one line."""

    key: ClassVar[str] = "translation_texts"

    def blurr_translate(self, items: Any, **options: Any) -> list[Result]:
        """Translate one item or many; see `blurr_generate`, here with the key `translation_texts`."""
        results: list[Result] = self.predict(items, **options)
        return results

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
        """Make a learner with a frozen body; see `blurr.tasks.notebook.from_data` for `data` and `options`.

        - `src_lang_name`: Language of the sources: a name for T5 (`German`), a code for the others (`de_DE`); a model
          of one pair of languages, such as Marian, needs none.
        - `src_lang_attr`: Column of the sources; a dot reaches into a dict (`translation.de`). Where there is no column
          `source`, it is `src_lang`, as in blurr 1.x, and `trg_lang` for `target`.
        - `trg_lang_name`: Language of the targets, by the same rule.
        - `trg_lang_attr`: Column of the targets.
        - `max_length`: See `Translation`, also for the setting that follows.
        - `text_gen_kwargs`: Generation settings; they win over the model's.
        """
        task = Translation(
            src_lang=src_lang_name,
            tgt_lang=trg_lang_name,
            max_length=max_length,
            max_target_length=max_target_length,
            generation=dict(text_gen_kwargs or {}),
        )
        columns = {"source": src_lang_attr, "target": trg_lang_attr}
        other = {"source": ["src_lang"]} if src_lang_attr == "source" else {}
        other |= {"target": ["trg_lang"]} if trg_lang_attr == "target" else {}
        options |= {"columns": columns, "other_columns": other, "fit": without_languages}
        return from_data(task, data, pretrained_model_name_or_path, **options)


@dataclass
class Translation(Seq2Seq):
    """Translate texts; with languages, T5's prefix is `translate German to English: `; see also `Seq2Seq`.

    Args:
        src_lang: Language of the sources: a name for T5 (`German`), the tokenizer's code for multilingual models
            (`de_DE` for mBART, `de` for M2M100, `deu_Latn` for NLLB); `None` for models of one pair, such as Marian.
        tgt_lang: Language of the targets, in the same form.
    """

    schema: ClassVar[Schema] = Schema(
        required=("source", "target"),
        optional=("weight",),
        label="target",
        sample=sentences,
        sample_rows=4000,
        writes_labels=True,
    )
    learner_cls: ClassVar[type[Blearner]] = BlearnerForTranslation

    src_lang: str | None = None
    tgt_lang: str | None = None

    @property
    def named_prefix(self) -> str:
        return f"translate {self.src_lang} to {self.tgt_lang}: " if self.src_lang and self.tgt_lang else ""

    def languages(self, arch: str) -> Languages:
        return (None, None) if arch in T5_STYLE else (self.src_lang, self.tgt_lang)


def without_languages(task: Task, hf: HFObjects) -> Task:
    """Leave the languages out where the tokenizer is for one pair of them."""
    if not isinstance(task, Translation) or hf.arch in T5_STYLE or has_languages(hf.tokenizer):
        return task
    return replace(task, src_lang=None, tgt_lang=None)
