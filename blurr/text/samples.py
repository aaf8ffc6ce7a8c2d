"""Samples of a `DataBlock` as a task: texts or pairs of texts, with the targets that fastai's blocks made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from fastai.data.core import Datasets

from blurr.errors import InputError, shortened
from blurr.loading.loader import Loader
from blurr.loading.rows import Batch, EncodedRows, Row
from blurr.models.objects import HFObjects
from blurr.text.inputs import TextCollator, TextRows, tokenize_texts
from blurr.text.lengths import length_limit
from blurr.text.sequence_classification.task import SequenceClassification
from blurr.training.inference import as_items


def _text_of(x: Any) -> Any:
    if not isinstance(x, Mapping):
        return x
    if "text" not in x:
        raise InputError(f"A sample that is a dict needs a text under 'text'; this one is {shortened(repr(dict(x)))}.")
    return x["text"]


class SampleRows(TextRows):
    """Tokenized samples with the other keys of their dicts.

    Args:
        columns, vocab: As for `EncodedRows`.
        others: The other keys of each sample; they reach the batch, but not the model.

    Attributes:
        loss_func: The loss of the targets' block, which fastai's `Learner` takes where it is given none.
    """

    loss_func: Any = None

    def __init__(
        self, columns: Mapping[str, Sequence[Any]], vocab: Any = None, others: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        super().__init__(columns, vocab)
        self.others = others

    def take(self, numbers: Sequence[int]) -> Self:
        taken = super().take(numbers)
        taken.others = [self.others[i] for i in numbers] if self.others else ()
        return taken

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {**(self.others[index] if self.others else {}), **super().__getitem__(index)}


class SampleCollator(TextCollator):
    """Pad samples; other keys that hold texts become lists of texts.

    Args:
        include_labels: Keep the targets in the inputs, too, so that the model can compute its own loss.
        pad_token_id, options: As for `TextCollator`.
    """

    def __init__(self, pad_token_id: int, *, include_labels: bool, **options: Any) -> None:
        super().__init__(pad_token_id, **options)
        self.include_labels = include_labels

    def __call__(self, rows: Sequence[Row]) -> Batch:
        texts = [key for key, value in rows[0].items() if isinstance(value, str)]
        inputs, targets = super().__call__([{k: v for k, v in row.items() if k not in texts} for row in rows])
        others: dict[str, Any] = {key: [row[key] for row in rows] for key in texts}
        kept = {k: v for k, v in inputs.items() if k != "labels" or self.include_labels}
        return {**kept, **others}, targets


@dataclass
class Samples(SequenceClassification):
    """Classify samples `(x, y)`, whose target is already an id, a 0/1 vector or a number.

    The settings are those of `blocks.BatchTokenizeTransform`; `tok_kwargs` go to `tokenize_texts`.
    """

    include_labels: bool = True
    padding: bool | str = True
    is_split_into_words: bool = False
    tok_kwargs: Mapping[str, Any] = field(default_factory=dict)

    def encoded_items(self, hf: HFObjects, items: Any) -> EncodedRows:
        """Encode a `Datasets` of samples, or raw items to predict on."""
        if isinstance(items, Datasets):
            rows = self.encoded_samples(hf, list(items), self._named(getattr(items, "vocab", None)))
            rows.loss_func = getattr(items, "loss_func", None)
            return rows
        return self.encoded_samples(hf, [(item,) for item in as_items(items)])

    def _named(self, vocab: Any) -> Any:
        """Return the names of the classes, where those of the samples are ids."""
        are_ids = self.label_names is not None and vocab is not None and not any(isinstance(x, str) for x in vocab)
        return [self.label_names[int(i)] for i in vocab] if are_ids and self.label_names else vocab

    def encoded_samples(self, hf: HFObjects, samples: Sequence[Sequence[Any]], vocab: Any = None) -> SampleRows:
        """Encode samples `(x, y)`, or `(x,)`."""
        xs = [sample[0] for sample in samples]
        texts = [_text_of(x) for x in xs]
        columns: dict[str, Any] = dict(self._tokenized(hf, texts)) if texts else {}
        if samples and len(samples[0]) > 1:
            columns["labels"] = [y.tolist() if hasattr(y, "tolist") else y for _, y in samples]
        others = [{k: v for k, v in x.items() if k != "text"} for x in xs if isinstance(x, Mapping)]
        return SampleRows(columns, vocab, others)

    def _tokenized(self, hf: HFObjects, texts: list[Any]) -> dict[str, list[list[int]]]:
        is_pair = not self.is_split_into_words and isinstance(texts[0], tuple | list)
        firsts = [text[0] for text in texts] if is_pair else texts
        return tokenize_texts(
            hf.tokenizer,
            firsts if self.is_split_into_words else [str(text) for text in firsts],
            [str(text[1]) for text in texts] if is_pair else None,
            max_length=self.max_length,
            is_split_into_words=self.is_split_into_words,
            **self.tok_kwargs,
        )

    def collator(self, hf: HFObjects, loader: Loader, *, train: bool) -> SampleCollator:
        fixed = length_limit(hf.tokenizer, self.max_length) if self.padding == "max_length" else None
        return SampleCollator.of(hf.tokenizer, include_labels=self.include_labels, pad_to_multiple_of=fixed)
