"""Token classification: a label for each word, such as the names of people and places in a text."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge, Lt
from fastai.learner import Learner
from transformers import PretrainedConfig

from blurr.config.annotations import Count
from blurr.data.core import RawData, Schema
from blurr.data.known_labels import labels_in
from blurr.data.labels import LabelOptions
from blurr.errors import InputError
from blurr.loading.collate import PaddingCollator
from blurr.loading.loader import Loader
from blurr.loading.rows import Batch, Table
from blurr.metrics.base import Metric
from blurr.models.objects import HFObjects
from blurr.tasks.base import Loss, Task, from_data, weighted_cross_entropy
from blurr.text.token_classification import samples
from blurr.text.token_classification.learner import BlearnerForTokens
from blurr.text.token_classification.metrics import Score, Seqeval, WordLabels, check_tags, entity_report
from blurr.text.token_classification.words import (
    Labeling,
    Window,
    WordIdsFunc,
    align_labels,
    read_words,
    show_words,
    tokenize_words,
    word_starts,
)
from blurr.training.learner import Blearner

log = logging.getLogger(__name__)


class BlearnerForTokenClassification(BlearnerForTokens):
    """A `Blearner` for token classification; `from_data` makes one of rows in one line."""

    @classmethod
    def from_data(
        cls,
        data: Any,
        pretrained_model_name_or_path: str | Path,
        tokens_attr: str = "tokens",
        token_labels_attr: str = "labels",
        labels: Sequence[str] | None = None,
        *,
        labeling: Labeling = "first",
        max_length: int | None = None,
        stride: int = 16,
        slow_word_ids_func: WordIdsFunc | None = None,
        **options: Any,
    ) -> Blearner:
        """Make a learner with a frozen body.

        Args:
            data: a DataFrame, Dataset, DatasetDict, list of dicts, or the path of a file; a column `is_valid` marks the
                validation rows.
            pretrained_model_name_or_path: Hub id or local folder.
            tokens_attr: column of the lists of words.
            token_labels_attr: column of the lists of labels, a name or an id for each word.
            labels: names of the labels in the order of their ids; `None` takes them from the data.
            labeling: see `TokenClassification`, as for the next three.
            max_length: longest window in tokens.
            stride: words that neighbouring windows share.
            slow_word_ids_func: tells the word of each token for a slow tokenizer.
            options: `dblock_splitter`, `dl_kwargs`, `learner_kwargs`, `hf_kwargs`, as for
                `blurr.tasks.base.from_data`.
        """
        task = TokenClassification(
            labeling=labeling,
            max_length=max_length,
            stride=stride,
            label_names=None if labels is None else list(labels),
            slow_word_ids_func=slow_word_ids_func,
        )
        columns = {"tokens": tokens_attr, "labels": token_labels_attr}
        return from_data(
            task, data, pretrained_model_name_or_path, columns=columns, metrics=_default_metrics, **options
        )


def _default_metrics(config: PretrainedConfig) -> dict[str, Metric]:
    scores: tuple[Score, ...] = ("precision", "recall", "f1", "accuracy")
    return {score: Seqeval(score) for score in scores}


@dataclass
class TokenClassification(Task):
    """Label words.

    Args:
        labeling: which tokens of a word learn its label: the `first`; all (`same`); or all, the later ones that of
            the inside of the entity (`bi`). Words are scored by their first token.
        max_length: longest window in tokens; `None` takes the model's limit. Longer rows become several windows.
        stride: words that neighbouring windows share, for context; each word is learnt and scored once.
        label_names: names of the labels in the order of their ids; `None` takes them from the data.
        slow_word_ids_func: `(tokenizer, i, encoding) -> word number, or None, of each token` for a tokenizer that
            cannot tell them.
        loss: `model` is the Hugging Face model's own, `cross_entropy` fastai's; `auto` is the model's own unless label
            smoothing is asked for.
        label_smoothing: share of the target that is spread over all labels.
    """

    schema: ClassVar[Schema] = Schema(
        required=("tokens", "labels"),
        optional=(),
        label="labels",
        sample=samples.tagged_sentences,
        labels=LabelOptions(kind="tags"),
    )
    model_cls: ClassVar[str] = "AutoModelForTokenClassification"
    predicts: ClassVar[str] = "words"
    learner_cls: ClassVar[type[Blearner]] = BlearnerForTokenClassification
    show_rows = staticmethod(show_words)
    options: ClassVar[Mapping[str, type]] = {"aggregation_strategy": str}

    labeling: Labeling = "first"
    max_length: Count | None = None
    stride: Annotated[int, Ge(0)] = 16
    label_names: list[str] | None = None
    slow_word_ids_func: Callable[..., Any] | None = None
    loss: Loss = "auto"
    label_smoothing: Annotated[float, Ge(0), Lt(1)] = 0.0

    def label_options(self) -> LabelOptions:
        return LabelOptions(kind="tags", names=None if self.label_names is None else tuple(self.label_names))

    def model_config(self, raw: RawData) -> dict[str, Any]:
        for name, rows in raw.splits.items():
            check_words(rows["tokens"][:], rows["labels"][:], f"{raw.source} ({name})")
        names = raw.label_names or self.label_names or names_in(raw)
        check_tags(names)
        return {
            "num_labels": len(names),
            "id2label": dict(enumerate(names)),
            "label2id": {name: i for i, name in enumerate(names)},
        }

    def vocab(self, hf: HFObjects) -> list[str] | None:
        return hf.label_names

    def corpus(self, raw: RawData) -> Iterator[str]:
        return (" ".join(words) for words in raw.train["tokens"][:])

    def collator(self, hf: HFObjects, loader: Loader, *, train: bool) -> Callable[..., Batch]:
        # always on the right: labels stand at the places of their tokens
        return PaddingCollator(hf.tokenizer.pad_token_id, pad_to_multiple_of=loader.pad_to_multiple_of)

    def tokenize(self, rows: Mapping[str, Sequence[Any]], hf: HFObjects) -> dict[str, list[Any]]:
        if "labels" in rows:
            check_words(rows["tokens"], rows["labels"], "The data")
        windows = tokenize_words(
            hf.tokenizer,
            rows["tokens"],
            max_length=self.max_length,
            stride=self.stride,
            word_ids_func=self.slow_word_ids_func,
            special_tokens=self.special_tokens,
        )
        columns: dict[str, list[Any]] = {
            "input_ids": [window.ids for window in windows],
            "row": [window.row for window in windows],
            "word_numbers": [[0 if word is None else word + 1 for word in window.words] for window in windows],
        }
        if "labels" in rows:
            align = partial(align_labels, names=hf.label_names, labeling=self.labeling)
            return {**columns, "labels": [align(window.words, rows["labels"][window.row]) for window in windows]}
        return {**columns, **_places(windows)}

    def row_of(self, item: Any) -> dict[str, Any]:
        return {"tokens": read_words(item).words}

    def loss_func(self, hf: HFObjects, raw: RawData) -> Any:
        return weighted_cross_entropy(hf, self.loss, None, self.label_smoothing)

    def learner_options(self, hf: HFObjects) -> dict[str, Any]:
        return {"labeling": self.labeling}

    def decode(self, learner: Learner) -> tuple[Any, Any]:
        x, names = learner.xb[0], learner.dls.vocab
        numbers, rows = x["word_numbers"].cpu(), x["row"].tolist()
        predicted = labels_of_words(learner.pred.argmax(-1).cpu(), numbers, rows, names)
        return predicted, labels_of_words(learner.y.cpu(), numbers, rows, names)

    def describe(self, learner: Learner) -> Table:
        return [{"target": t.labels, "prediction": p.labels} for p, t in zip(*learner.decoded, strict=True)]

    def join(self, parts: list[dict[str, Any]]) -> dict[str, Any]:
        words = [len(part["target"]) for part in parts]
        loss = sum(part["loss"] * n for part, n in zip(parts, words, strict=True)) / sum(words)
        whole = {key: [label for part in parts for label in part[key]] for key in ("target", "prediction")}
        return {**whole, "loss": loss}

    def reports(self, rows: Table) -> dict[str, str]:
        true, predicted = ([row[key] for row in rows] for key in ("target", "prediction"))
        return {"entities.txt": entity_report(true, predicted)}


def labels_of_words(
    ids: torch.Tensor, word_numbers: torch.Tensor, rows: Sequence[int], names: Sequence[str]
) -> list[WordLabels]:
    """Name the label of each word, by its first token.

    Args:
        ids: of the labels of tokens, `(batch, sequence)`.
        word_numbers: of the tokens, from 1; 0 is no word. `(batch, sequence)`.
        rows: for each window the row that it is of.
        names: of the labels.
    """
    found = []
    for row, marks, numbers, labels in zip(rows, word_starts(word_numbers), word_numbers, ids, strict=True):
        found.append(WordLabels(row, int(numbers[marks][0]) - 1, [names[label] for label in labels[marks].tolist()]))
    return found


def _places(windows: Sequence[Window]) -> dict[str, list[Any]]:
    return {
        "starts": [[start for start, _ in window.spans] for window in windows],
        "ends": [[end for _, end in window.spans] for window in windows],
    }


def check_words(tokens: Sequence[Any], labels: Sequence[Any], where: str) -> None:
    """Refuse rows that are not lists of words with a label for each word.

    Raises:
        InputError: names the first such row.
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
