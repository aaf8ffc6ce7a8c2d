"""Token classification: a label for each word, such as the names of people and places in a text."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from annotated_types import Ge

from blurr.config.annotations import Length, Smoothing
from blurr.data.core import RawData, Schema
from blurr.data.labels import LabelOptions
from blurr.loading.loader import Loader
from blurr.loading.rows import Batch
from blurr.models.objects import HFObjects
from blurr.targets.base import Loss, Target
from blurr.tasks.base import Task
from blurr.tasks.encoding import ROWS_AT_ONCE
from blurr.tasks.notebook import from_data
from blurr.text.inputs import TEXT, TextCollator, TextInputs
from blurr.text.lengths import check_source
from blurr.text.special_tokens import SpecialTokens
from blurr.text.token_classification import samples
from blurr.text.token_classification.learner import BlearnerForTokens
from blurr.text.token_classification.target import Tags, check_words
from blurr.text.token_classification.words import (
    Labeling,
    WordIdsFunc,
    align_ids,
    label_ids,
    read_words,
    show_words,
    tokenize_words,
)
from blurr.training.learner import Blearner


class BlearnerForTokenClassification(BlearnerForTokens):
    """A `Blearner` for token classification; `from_data` makes one from rows in one line."""

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
        """Make a learner with a frozen body; see `blurr.tasks.notebook.from_data` for `data` and `options`.

        - `tokens_attr`: Column of the lists of words.
        - `token_labels_attr`: Column of the lists of labels, a name or an id for each word; where there is no column
          `labels`, it is `token_labels`, as in blurr 1.x.
        - `labels`: Names of the labels in the order of their ids; `None` takes them from the data.
        - `labeling`: See `TokenClassification`, also for the settings that follow.
        """
        task = TokenClassification(
            labeling=labeling,
            max_length=max_length,
            stride=stride,
            label_names=None if labels is None else list(labels),
            slow_word_ids_func=slow_word_ids_func,
        )
        columns = {"tokens": tokens_attr, "labels": token_labels_attr}
        other = {"labels": ["token_labels"]} if token_labels_attr == "labels" else {}
        return from_data(task, data, pretrained_model_name_or_path, columns=columns, other_columns=other, **options)


@dataclass
class TokenClassification(Task):
    """Label words; the settings of labels and loss are those of `token_classification.target.Tags`.

    Args:
        labeling: Which tokens of a word learn its label: the `first`, or all of them, where later ones learn the `same`
            label, or the label inside the entity (`bi`). Words are scored by their first token.
        max_length: Longest window in tokens; `None` takes the model's limit. Longer rows become several windows.
        stride: Words that neighbouring windows share for context; each word is learnt and scored once.
        slow_word_ids_func: For a slow tokenizer: `(tokenizer, i, encoding)` to the word number, or `None`, of each
            token of row `i`.
        special_tokens: See `tokenize_texts`.
    """

    schema: ClassVar[Schema] = Schema(
        required=("tokens", "labels"),
        optional=("weight",),
        label="labels",
        sample=samples.tagged_sentences,
        labels=LabelOptions(kind="tags"),
    )
    model_cls: ClassVar[str] = "AutoModelForTokenClassification"
    inputs: ClassVar[TextInputs] = TEXT
    target_cls: ClassVar[type[Target]] = Tags
    learner_cls: ClassVar[type[Blearner]] = BlearnerForTokenClassification
    show_rows = staticmethod(show_words)

    labeling: Labeling = "first"
    max_length: Length | None = None
    stride: Annotated[int, Ge(0)] = 16
    label_names: list[str] | None = None
    slow_word_ids_func: Callable[..., Any] | None = None
    loss: Loss = "auto"
    label_smoothing: Smoothing = 0.0
    special_tokens: SpecialTokens = "text"

    def check(self, hf: HFObjects) -> None:
        check_source("task.max_length", self.max_length, hf)

    def learner_options(self, hf: HFObjects) -> dict[str, Any]:
        return {"labeling": self.labeling}

    def corpus(self, raw: RawData) -> Iterator[str]:
        blocks = raw.train.select_columns(["tokens"]).iter(ROWS_AT_ONCE)
        return (" ".join(words) for block in blocks for words in block["tokens"])

    def collator(self, hf: HFObjects, loader: Loader, *, train: bool) -> Callable[..., Batch]:
        # pads on the right, whatever the tokenizer says: labels are padded there, and must stay beside their tokens
        return TextCollator(hf.tokenizer.pad_token_id, pad_to_multiple_of=loader.pad_to_multiple_of)

    def encode(self, rows: Mapping[str, Sequence[Any]], hf: HFObjects) -> dict[str, list[Any]]:
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
            names = hf.label_names
            ids = [label_ids(labels, names) for labels in rows["labels"]]
            aligned = [align_ids(window.words, ids[window.row], names, self.labeling) for window in windows]
            return {**columns, "labels": aligned}
        starts, ends = ([[span[end] for span in window.spans] for window in windows] for end in (0, 1))
        return {**columns, "starts": starts, "ends": ends}

    def row_of(self, item: Any) -> dict[str, Any]:
        return {"tokens": read_words(item).words}
