"""Tokenize texts, batch them for fastai, and show what is in a batch."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
import torch
from fastai.data.block import TransformBlock
from fastai.data.core import DataLoaders, TfmdDL
from fasttransform import Transform
from numpy.typing import NDArray
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from blurr.data.batching import IGNORED, Batch, PaddingCollator, TokenizedRows, bucketed_order
from blurr.errors import InputError

Inputs = dict[str, torch.Tensor]
Table = list[dict[str, Any]]


def tokenize_texts(
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[Any],
    pairs: Sequence[str] | None = None,
    *,
    max_length: int | None = None,
    is_split_into_words: bool = False,
    **options: Any,
) -> dict[str, list[list[int]]]:
    """Tokenize a list of texts, or of sentence pairs, without padding.

    Args:
        tokenizer: turns text into ids.
        texts: one string each, or one list of words each with `is_split_into_words`.
        pairs: the second texts, for sentence pairs.
        max_length: longest result in tokens, special tokens included; `None` takes the tokenizer's limit, if any.
        is_split_into_words: each text is a list of words.
        options: passed to the tokenizer.

    Returns:
        `input_ids`, and `token_type_ids` where the tokenizer makes them. An attention mask says nothing that padding
        does not, so the collator makes it.
    """
    limit = length_limit(tokenizer, max_length)
    encoded = tokenizer(
        list(texts),
        None if pairs is None else list(pairs),
        **{"truncation": limit is not None, "max_length": limit, **options},
        is_split_into_words=is_split_into_words,
        return_attention_mask=False,
    )
    return {k: encoded[k] for k in ("input_ids", "token_type_ids") if k in encoded}


def length_limit(tokenizer: PreTrainedTokenizerBase, max_length: int | None) -> int | None:
    """Give the smaller of the wished and the tokenizer's longest length; `None` where neither is set."""
    known = tokenizer.model_max_length if tokenizer.model_max_length < 1_000_000 else None
    return min((x for x in (max_length, known) if x is not None), default=None)


def collator_for(tokenizer: PreTrainedTokenizerBase, pad_to_multiple_of: int | None = None) -> PaddingCollator:
    """Make the collator that pads as the tokenizer does."""
    return PaddingCollator(
        tokenizer.pad_token_id, padding_side=tokenizer.padding_side, pad_to_multiple_of=pad_to_multiple_of
    )


def decode_ids(tokenizer: PreTrainedTokenizerBase, ids: torch.Tensor, *, of_source: bool = True) -> list[str]:
    """Turn ids of shape `(batch, sequence)`, -100 and special tokens left out, back into texts.

    Args:
        tokenizer: which made them.
        ids: the ids.
        of_source: they were read, not written; the tokenizers of Marian have a model for each.
    """
    rows = [[int(i) for i in row if i != IGNORED] for row in ids]
    options = {"clean_up_tokenization_spaces": False, "use_source_tokenizer": of_source}
    texts: list[str] = tokenizer.batch_decode(rows, skip_special_tokens=True, **options)
    return [text.strip() for text in texts]


def shorten(text: str, trunc_at: int | None) -> str:
    """Cut a text for display."""
    return text if trunc_at is None or len(text) <= trunc_at else text[:trunc_at] + " …"


class TextDL(TfmdDL):  # type: ignore[misc]  # fastai is not typed
    """A fastai DataLoader of tokenized text, in batches of similar length, that can show itself.

    A batch is `(inputs, targets)`, see `PaddingCollator`.

    Args:
        dataset: `TokenizedRows`, or a fastai `Datasets` of `(text, target)`.
        tokenizer: turns ids back into text.
        show_rows: `(dl, inputs, targets, predictions, **options) -> table`, what `show_batch` and `show_results` show.
        encode: turns raw items into `TokenizedRows`, for `test_dl`; `None` where the dataset does that itself.
        lengths: of each row, by which rows are bucketed; `None` takes the dataset's, or counts characters.
        seed: seed of the order of the batches.
        bucket: put rows of similar length together.
        kwargs: as for fastai's `TfmdDL`.
    """

    def __init__(
        self,
        dataset: Any = None,
        *,
        tokenizer: PreTrainedTokenizerBase,
        show_rows: Callable[..., Table],
        encode: Callable[[Any], TokenizedRows] | None = None,
        lengths: NDArray[Any] | None = None,
        seed: int = 42,
        bucket: bool = True,
        num_workers: int = 0,
        **kwargs: Any,
    ) -> None:
        self.own = {"tokenizer": tokenizer, "show_rows": show_rows, "encode": encode, "seed": seed, "bucket": bucket}
        self.tokenizer, self.show_rows, self.encode, self.seed, self.bucket = tokenizer, show_rows, encode, seed, bucket
        self.epoch = 0
        super().__init__(dataset, num_workers=num_workers, **kwargs)
        self.lengths = _lengths(self) if lengths is None and bucket and self.n else lengths

    def get_idxs(self) -> list[int]:
        """Give the order of the rows: bucketed at random for training, longest first for evaluation."""
        if not self.bucket or self.lengths is None:
            return list(super().get_idxs())
        if not self.shuffle:
            return [int(i) for i in (-self.lengths).argsort(kind="stable")]
        order = bucketed_order(self.lengths, self.bs, seed=self.seed, epoch=self.epoch)
        self.epoch += 1
        return [int(i) for i in order]

    def retain(self, res: Any, b: Any) -> Any:
        """Leave a batch as the collator made it: its type is no row's type."""
        return res

    def new(self, dataset: Any = None, cls: Any = None, **kwargs: Any) -> "TextDL":
        """Make a loader like this one, of other rows: tokenized ones, a fastai dataset, or raw items."""
        raw = dataset is not None and self.encode is not None and not isinstance(dataset, TokenizedRows)
        rows = self.encode(dataset) if raw and self.encode else dataset
        lengths = self.lengths if dataset is None else None
        self._n_inp, self._types = 1, (dict, torch.Tensor)  # fastai would take a batch apart to learn them
        return super().new(rows, cls, **{**self.own, "lengths": lengths, **kwargs})  # type: ignore[no-any-return]

    def show_batch(self, b: Batch | None = None, max_n: int = 6, show: bool = True, **options: Any) -> Table | None:
        """Show the first rows of a batch as a table; with `show=False`, return the table's rows.

        Args:
            b: the batch; `None` takes the first.
            max_n: rows at the most.
            show: display it; `False` returns it.
            options: `trunc_at` cuts texts; `dataloaders`, which blurr 1.x needed, changes nothing.
        """
        inputs, targets = self.one_batch() if b is None else b
        return self._display(inputs, targets, None, max_n, show, options)

    def show_results(self, b: Batch, out: Any, max_n: int = 6, show: bool = True, **options: Any) -> Table | None:
        """Show rows of a batch beside what the model predicts for them; `out` as `Learner.get_preds` gives it."""
        return self._display(*b, out, max_n, show, options)

    def _display(
        self, inputs: Inputs, targets: torch.Tensor, out: Any, max_n: int, show: bool, options: dict[str, Any]
    ) -> Table | None:
        options = {k: v for k, v in options.items() if k not in {"dataloaders", "learner", "ctxs", "unique"}}
        few = {k: v[:max_n] for k, v in inputs.items()}
        table = self.show_rows(self, few, targets[:max_n], None if out is None else out[:max_n], **options)
        if not show:
            return table
        _show_table(table)
        return None


def _lengths(dl: TextDL) -> NDArray[Any]:
    """Give each row's length: in tokens where they are known, else in characters of all its texts."""
    import numpy as np

    if isinstance(dl.dataset, TokenizedRows):
        return dl.dataset.lengths
    return np.array([_characters(dl.do_item(i)[0]) for i in range(len(dl.dataset))])


def _characters(item: Any) -> int:
    if isinstance(item, str):
        return len(item)
    if isinstance(item, Mapping):
        return _characters(item["text"])
    return sum(_characters(part) for part in item)


def _show_table(table: Table) -> None:
    from fastai.torch_core import display_df

    with pd.option_context("display.max_colwidth", None):
        display_df(pd.DataFrame(table))


def show_classification(
    dl: TextDL, inputs: Inputs, targets: torch.Tensor, predictions: Any = None, *, trunc_at: int | None = None
) -> Table:
    """Give rows of text, target and, where there is one, prediction, by their names."""
    texts = decode_ids(dl.tokenizer, inputs["input_ids"])
    table: Table = [{"text": shorten(text, trunc_at)} for text in texts]
    vocab = getattr(dl, "vocab", None)
    for name, values in (("target", targets), ("prediction", predictions)):
        if values is None or not len(values) or torch.is_tensor(values) and not values.numel():
            continue
        for row, value in zip(table, values, strict=False):
            row[name] = label_name(value, vocab)
    return table


def label_name(value: torch.Tensor, vocab: Sequence[str] | None) -> Any:
    """Name a target or decoded prediction: a class, several classes (a 0/1 vector), or a number."""
    if value.ndim:
        chosen = [i for i, x in enumerate(value.tolist()) if x > 0.5]
        return [vocab[i] if vocab else i for i in chosen]
    if value.is_floating_point():
        return round(float(value), 4)
    return vocab[int(value)] if vocab is not None else int(value)


class BatchTokenizeTransform(Transform):  # type: ignore[misc]  # fasttransform is not typed
    """Tokenize and pad a whole batch of `(text, target)` samples, as the mid-level `DataBlock` makes them.

    A text is a string, a tuple of two (a sentence pair), a list of words with `is_split_into_words`, or a dict whose
    key `text` holds one of these; other keys of the dict reach the batch, never the model.

    Args:
        hf_arch, hf_config, hf_tokenizer, hf_model: what `get_hf_objects` gave; only the tokenizer is kept.
        include_labels: put the target into the inputs too, as `labels`, so that the model can compute its own loss.
        max_length: longest result in tokens; `None` takes the tokenizer's limit.
        padding: `True` pads to the longest of the batch, `"max_length"` always to `max_length`.
        truncation: cut texts that are longer.
        is_split_into_words: texts are lists of words.
        tok_kwargs: passed to the tokenizer.
    """

    def __init__(
        self,
        hf_arch: str,
        hf_config: PretrainedConfig,
        hf_tokenizer: PreTrainedTokenizerBase,
        hf_model: PreTrainedModel,
        *,
        include_labels: bool = True,
        max_length: int | None = None,
        padding: bool | str = True,
        truncation: bool = True,
        is_split_into_words: bool = False,
        tok_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        self.hf_arch, self.hf_config, self.hf_tokenizer = hf_arch, hf_config, hf_tokenizer
        self.include_labels, self.max_length, self.padding = include_labels, max_length, padding
        self.is_split_into_words = is_split_into_words
        self.tok_kwargs = {"truncation": truncation, **(tok_kwargs or {})}

    def encodes(self, samples: list[Any]) -> tuple:  # type: ignore[type-arg]  # fasttransform reads it as a class
        """Turn samples into `(inputs, targets)`."""
        inputs, targets = self._collate(samples)
        extra = [s[0] for s in samples if isinstance(s[0], Mapping)]
        for key in {k for row in extra for k in row if k != "text"}:
            values = [row[key] for row in extra]
            inputs[key] = torch.tensor(values) if not isinstance(values[0], str) else values  # type: ignore[assignment]
        return inputs, targets

    def _collate(self, samples: list[Any]) -> Batch:
        texts, pairs = _texts_and_pairs([s[0] for s in samples], self.is_split_into_words)
        columns = tokenize_texts(
            self.hf_tokenizer,
            texts,
            pairs,
            max_length=self.max_length,
            is_split_into_words=self.is_split_into_words,
            **self.tok_kwargs,
        )
        rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        fixed = length_limit(self.hf_tokenizer, self.max_length) if self.padding == "max_length" else None
        inputs, _ = collator_for(self.hf_tokenizer, fixed)(rows)
        if len(samples[0]) < 2:
            return inputs, torch.empty(len(samples), 0)
        targets = torch.stack([torch.as_tensor(s[1]).as_subclass(torch.Tensor) for s in samples])
        if self.include_labels:
            inputs["labels"] = targets
        return inputs, targets


def _texts_and_pairs(items: list[Any], words: bool) -> tuple[list[Any], list[str] | None]:
    texts = [item["text"] if isinstance(item, Mapping) else item for item in items]
    if words or not isinstance(texts[0], (tuple, list)):
        return [str(t) if not words else t for t in texts], None
    return [str(t[0]) for t in texts], [str(t[1]) for t in texts]


def _as_made(batch: Batch) -> Batch:
    return batch


class TextBlock(TransformBlock):  # type: ignore[misc]  # fastai is not typed
    """A fastai block for texts that Hugging Face models read; tokenizes at batch time.

    Give what `get_hf_objects` gave, or a `batch_tokenize_tfm`.

    Args:
        hf_arch, hf_config, hf_tokenizer, hf_model: see `BatchTokenizeTransform`.
        batch_tokenize_tfm: the transform, ready made.
        options: passed to `BatchTokenizeTransform`.

    Raises:
        InputError: neither is given.
    """

    def __init__(
        self,
        hf_arch: str | None = None,
        hf_config: PretrainedConfig | None = None,
        hf_tokenizer: PreTrainedTokenizerBase | None = None,
        hf_model: PreTrainedModel | None = None,
        *,
        batch_tokenize_tfm: BatchTokenizeTransform | None = None,
        show_rows: Callable[..., Table] = show_classification,
        **options: Any,
    ) -> None:
        if batch_tokenize_tfm is None:
            if hf_arch is None or hf_config is None or hf_tokenizer is None or hf_model is None:
                raise InputError(
                    "TextBlock needs hf_arch, hf_config, hf_tokenizer and hf_model (NLP.get_hf_objects gives them), "
                    "or batch_tokenize_tfm."
                )
            batch_tokenize_tfm = BatchTokenizeTransform(hf_arch, hf_config, hf_tokenizer, hf_model, **options)
        super().__init__(
            dl_type=TextDL,
            dls_kwargs={
                "before_batch": batch_tokenize_tfm,
                "create_batch": _as_made,
                "tokenizer": batch_tokenize_tfm.hf_tokenizer,
                "show_rows": show_rows,
            },
        )


def first_blurr_tfm(dls: DataLoaders) -> BatchTokenizeTransform:
    """Find the transform that tokenizes in loaders made with `TextBlock`.

    Raises:
        InputError: the loaders were not made so.
    """
    for transform in dls.train.before_batch.fs:
        if isinstance(transform, BatchTokenizeTransform):
            return transform
    raise InputError("These DataLoaders hold no BatchTokenizeTransform; make them with blurr's TextBlock.")
