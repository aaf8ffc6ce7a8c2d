"""Tokenize texts at batch time, as the blocks of a `DataBlock`: the mid-level door to a notebook."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from fastai.data.block import TransformBlock
from fastai.data.core import DataLoaders
from fasttransform import Transform
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from blurr.errors import InputError
from blurr.loading.dataloader import TextDL
from blurr.loading.rows import Batch, Table
from blurr.models.positions import positions_of
from blurr.text.inputs import collator_for, show_classification, tokenize_texts
from blurr.text.lengths import advice_of, check_length, length_limit


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
        tok_kwargs: passed to the tokenizer; `special_tokens="parse"` lets a special token in a text be one.
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
        check_length("max_length", max_length, positions_of(hf_model).source, advice_of(hf_tokenizer))
        self.hf_arch, self.hf_config, self.hf_tokenizer = hf_arch, hf_config, hf_tokenizer
        self.include_labels, self.max_length, self.padding = include_labels, max_length, padding
        self.is_split_into_words = is_split_into_words
        self.tok_kwargs = {"truncation": truncation, **(tok_kwargs or {})}

    def block_options(self, show_rows: Callable[..., Table]) -> dict[str, Any]:
        """Give what a `TransformBlock` needs for loaders that tokenize by this."""
        loading = {"before_batch": self, "create_batch": _as_made, "tokenizer": self.hf_tokenizer}
        return {"dl_type": TextDL, "dls_kwargs": {**loading, "show_rows": show_rows}}

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


class Tokenizing(Protocol):
    """What a block needs of the thing that tokenizes for it."""

    def block_options(self, show_rows: Callable[..., Table]) -> dict[str, Any]: ...


def _as_made(batch: Batch) -> Batch:
    return batch


class TextBlock(TransformBlock):  # type: ignore[misc]  # fastai is not typed
    """A fastai block for texts that Hugging Face models read; tokenizes at batch time.

    Give what `get_hf_objects` gave, or a `batch_tokenize_tfm`.

    Args:
        hf_arch, hf_config, hf_tokenizer, hf_model: see `BatchTokenizeTransform`.
        batch_tokenize_tfm: the transform, ready made; that of another task is in `blurr.text.task_blocks`.
        show_rows: shows a batch, where the transform is not that of another task.
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
        batch_tokenize_tfm: Tokenizing | None = None,
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
        super().__init__(**batch_tokenize_tfm.block_options(show_rows))


def first_blurr_tfm(dls: DataLoaders) -> BatchTokenizeTransform:
    """Find the transform that tokenizes in loaders made with `TextBlock`.

    Raises:
        InputError: the loaders were not made so.
    """
    for transform in dls.train.before_batch.fs:
        if isinstance(transform, BatchTokenizeTransform):
            return transform
    raise InputError("These DataLoaders hold no BatchTokenizeTransform; make them with blurr's TextBlock.")
