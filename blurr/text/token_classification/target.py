"""Tags of words as a target."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from fastai.learner import Learner

from blurr.config.annotations import Smoothing
from blurr.data.core import RawData
from blurr.data.known_labels import labels_in
from blurr.data.labels import LabelOptions
from blurr.errors import InputError
from blurr.loading.rows import Table
from blurr.loading.rows_on_disk import Rows
from blurr.models.heads import named_labels
from blurr.models.objects import HFObjects
from blurr.targets.base import Loss, Target, weighted_cross_entropy
from blurr.text.token_classification.learner import BlearnerForTokens, blurr_predict_tokens
from blurr.text.token_classification.metrics import WordLabels, check_tags, entity_report
from blurr.text.token_classification.words import word_starts
from blurr.training.inference import Result


@dataclass
class Tags(Target):
    """A tag for each word, scored by the first token of the word.

    Args:
        label_names: Names of the labels in the order of their ids; `None` takes them from the data.
        loss: `model` is the Hugging Face model's own, `cross_entropy` fastai's; `auto` is the model's own unless label
            smoothing is requested. Or a loss of fastai, torch or your own, see `blurr.models.losses.CustomLoss`.
        label_smoothing: Share of the target that is spread over all labels.
    """

    predicts: ClassVar[tuple[str, ...]] = ("words",)
    options: ClassVar[Mapping[str, type]] = {"aggregation_strategy": str}

    label_names: list[str] | None = None
    loss: Loss = "auto"
    label_smoothing: Smoothing = 0.0

    def label_options(self) -> LabelOptions:
        return LabelOptions(kind="tags", names=None if self.label_names is None else tuple(self.label_names))

    def model_config(self, raw: RawData) -> dict[str, Any]:
        for name, rows in raw.splits.items():
            check_words(rows["tokens"][:], rows["labels"][:], f"{raw.source} ({name})")
        names = raw.label_names or self.label_names or names_in(raw)
        check_tags(names)
        return named_labels(names)

    def vocab(self, hf: HFObjects) -> list[str] | None:
        return hf.label_names

    def loss_func(self, hf: HFObjects, raw: RawData) -> Any:
        return weighted_cross_entropy(self.loss, None, self.label_smoothing)

    def decode(self, learner: Learner) -> tuple[Any, Any]:
        x, names = learner.xb[0], learner.dls.vocab
        numbers, rows = x["word_numbers"].cpu(), x["row"].tolist()
        predicted = labels_of_words(learner.pred.argmax(-1).cpu(), numbers, rows, names)
        return predicted, labels_of_words(learner.y.cpu(), numbers, rows, names)

    def describe(self, learner: Learner) -> Table:
        return [{"target": t.labels, "prediction": p.labels} for p, t in zip(*learner.decoded, strict=True)]

    def merge_windows(self, parts: list[dict[str, Any]]) -> dict[str, Any]:
        words = [len(part["target"]) for part in parts]  # the loss of a row weighs its windows by their words
        loss = sum(part["loss"] * n for part, n in zip(parts, words, strict=True)) / sum(words)
        whole = {key: [label for part in parts for label in part[key]] for key in ("target", "prediction")}
        return {**whole, "loss": loss}

    def text_reports(self, rows: Rows) -> dict[str, str]:
        true, predicted = ([row[key] for row in rows] for key in ("target", "prediction"))
        return {"entities.txt": entity_report(true, predicted)}

    def predict(self, learner: Learner, items: Any, **options: Any) -> list[list[Result]]:
        labeling = learner.labeling if isinstance(learner, BlearnerForTokens) else "first"
        return blurr_predict_tokens(learner, items, **{"labeling": labeling, **options})


def labels_of_words(
    ids: torch.Tensor, word_numbers: torch.Tensor, rows: Sequence[int], names: Sequence[str]
) -> list[WordLabels]:
    """Return the label of each word, by its first token.

    Args:
        ids: Label ids of the tokens, `(batch, sequence)`.
        word_numbers: Words of the tokens, counted from 1; 0 for tokens of no word. `(batch, sequence)`.
        rows: The row of each window.
        names: Names of the labels.
    """
    return [
        WordLabels(row, int(numbers[marks][0]) - 1, [names[label] for label in labels[marks].tolist()])
        for row, marks, numbers, labels in zip(rows, word_starts(word_numbers), word_numbers, ids, strict=True)
    ]


def check_words(tokens: Sequence[Any], labels: Sequence[Any], where: str) -> None:
    """Refuse rows that are not lists of words with a label for each word.

    Raises:
        InputError: Names the first such row.
    """
    for number, (words, tags) in enumerate(zip(tokens, labels, strict=True), start=1):
        if not isinstance(words, list) or not isinstance(tags, list):
            raise InputError(
                f"{where}: row {number} has no lists of words and labels, but {words!r:.60} and {tags!r:.60}. Give "
                "lists, as jsonl, parquet and conll files hold them, or write them as JSON into the cells of a table."
            )
        if not words or len(words) != len(tags):
            raise InputError(
                f"{where}: row {number} has {len(words)} words and {len(tags)} labels: {words!r:.80}. Each row needs "
                "at least one word, and a label for each."
            )
        if not all(isinstance(word, str) for word in words if word is not None):
            raise InputError(f"{where}: row {number} has a word that is not a text: {words!r:.80}. Write it as a text.")
        if None in words or None in tags:
            raise InputError(f"{where}: row {number} has a word or a label that is null: {words!r:.60}, {tags!r:.60}.")


def names_in(raw: RawData) -> list[str]:
    """Return the labels of the training rows, sorted: O first, then by the type of entity."""
    return sorted(labels_in(raw.train["labels"][:]), key=_by_type)


def _by_type(name: str) -> tuple[Any, ...]:
    if name.isdecimal():
        return 1, "", int(name), ""
    return name != "O", name[2:] if name[1:2] == "-" else name, 0, name
