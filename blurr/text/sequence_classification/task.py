"""Sequence classification: one class, several labels or a number for a text or a pair of texts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from blurr.config.annotations import Length, NonNegative, OpenFraction, Smoothing
from blurr.data.core import Schema
from blurr.data.labels import LabelsAre
from blurr.errors import InputError, listed
from blurr.models.objects import HFObjects
from blurr.targets.base import Loss, Target
from blurr.targets.classes import Classes, Kind
from blurr.targets.labels import DEFAULT, encode_labels
from blurr.tasks.base import Task
from blurr.tasks.notebook import from_data
from blurr.text.inputs import TEXT, TextInputs, show_classification, tokenize_texts
from blurr.text.lengths import check_source
from blurr.text.sequence_classification import samples
from blurr.text.special_tokens import SpecialTokens
from blurr.training.learner import Blearner


class BlearnerForSequenceClassification(Blearner):
    """A `Blearner` for sequence classification; `from_data` makes one from rows in one line."""

    @classmethod
    def from_data(
        cls,
        data: Any,
        pretrained_model_name_or_path: str | Path,
        text_attr: str | Sequence[str] = "text",
        label_attr: str | list[str] = "label",
        *,
        kind: Kind = "auto",
        labels_are: LabelsAre = "auto",
        label_names: Sequence[str] | None = None,
        label_separator: str | None = None,
        max_length: int | None = None,
        threshold: float | Literal["auto"] = DEFAULT,
        n_labels: int | None = None,
        **options: Any,
    ) -> Blearner:
        """Make a learner with a frozen body; see `blurr.tasks.notebook.from_data` for `data` and `options`.

        - `text_attr`: Column of the text; two columns for pairs.
        - `label_attr`: Column of the label; a list of 0/1 columns for several labels.
        - `kind`: See `SequenceClassification`, also for the settings that follow.
        - `n_labels`: Number of the labels, which is compared with that of the rows.
        """
        texts = [text_attr] if isinstance(text_attr, str) else list(text_attr)
        columns = {**dict(zip(("text", "text_pair"), texts, strict=False)), "label": label_attr}
        task = SequenceClassification(
            kind=kind,
            labels_are=labels_are,
            label_names=None if label_names is None else list(label_names),
            label_separator=label_separator,
            max_length=max_length,
            threshold=threshold,
        )
        learner = from_data(task, data, pretrained_model_name_or_path, columns=columns, **options)
        found = learner.model.hf_model.config.num_labels
        if n_labels not in (None, found):
            raise InputError(
                f"n_labels={n_labels}, but the rows have {found}: {listed(list(learner.dls.vocab or []))}. Leave "
                "n_labels out, or name all labels: label_names=[…]."
            )
        return learner


@dataclass
class SequenceClassification(Task):
    """Classify texts or pairs of texts; the settings of labels and loss are those of `targets.classes.Classes`.

    Args:
        max_length: Longest text in tokens; `None` takes the model's limit.
        special_tokens: See `tokenize_texts`.
    """

    schema: ClassVar[Schema] = Schema(
        required=("text", "label"), optional=("text_pair", "weight"), label="label", sample=samples.reviews
    )
    model_cls: ClassVar[str] = "AutoModelForSequenceClassification"
    inputs: ClassVar[TextInputs] = TEXT
    target_cls: ClassVar[type[Target]] = Classes
    learner_cls: ClassVar[type[Blearner]] = BlearnerForSequenceClassification
    show_rows = staticmethod(show_classification)

    kind: Kind = "auto"
    labels_are: LabelsAre = "auto"
    label_names: list[str] | None = None
    label_separator: str | None = None
    max_length: Length | None = None
    loss: Loss = "auto"
    class_weights: Literal["balanced"] | list[NonNegative] | dict[str, NonNegative] | None = None
    label_smoothing: Smoothing = 0.0
    threshold: OpenFraction | Literal["auto"] = DEFAULT
    special_tokens: SpecialTokens = "text"

    def check(self, hf: HFObjects) -> None:
        check_source("task.max_length", self.max_length, hf)

    def encode(self, rows: Mapping[str, Sequence[Any]], hf: HFObjects) -> dict[str, list[Any]]:
        texts, pairs = rows["text"], rows.get("text_pair")
        columns: dict[str, list[Any]] = dict(
            tokenize_texts(hf.tokenizer, texts, pairs, max_length=self.max_length, special_tokens=self.special_tokens)
        )
        if "label" in rows:
            columns["labels"] = encode_labels(rows["label"], hf)
        return columns

    def row_of(self, item: Any) -> dict[str, Any]:
        if isinstance(item, tuple) and len(item) == 2:
            item = {"text": item[0], "text_pair": item[1]}
        return super().row_of(item)
