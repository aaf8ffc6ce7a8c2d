"""Texts as input: tokenize them, pad them, turn ids back into texts."""

from collections.abc import Collection, Sequence
from itertools import chain
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from blurr.loading.collate import PaddingCollator
from blurr.loading.dataloader import TextDL
from blurr.loading.rows import IGNORED, Inputs, Table
from blurr.text.lengths import length_limit
from blurr.text.special_tokens import SpecialTokens, reader_of


def tokenize_texts(
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[Any],
    pairs: Sequence[str] | None = None,
    *,
    max_length: int | None = None,
    is_split_into_words: bool = False,
    special_tokens: SpecialTokens = "text",
    parsed: Collection[str] = (),
    **options: Any,
) -> dict[str, list[list[int]]]:
    """Tokenize a list of texts, or of sentence pairs, without padding.

    Args:
        tokenizer: turns text into ids.
        texts: one string each, or one list of words each with `is_split_into_words`.
        pairs: the second texts, for sentence pairs.
        max_length: longest result in tokens, special tokens included; `None` takes the tokenizer's limit, if any.
        is_split_into_words: each text is a list of words.
        special_tokens: what a special token is that is written in a text, see `reader_of`.
        parsed: special tokens that are parsed whatever `special_tokens` says.
        options: passed to the tokenizer.

    Returns:
        `input_ids`, and `token_type_ids` where the tokenizer makes them. An attention mask says nothing that padding
        does not, so the collator makes it.
    """
    limit = length_limit(tokenizer, max_length)
    written = chain(chain.from_iterable(texts) if is_split_into_words else texts, pairs or ())
    encoded = reader_of(tokenizer, written, special_tokens, parsed=parsed)(
        list(texts),
        None if pairs is None else list(pairs),
        **{"truncation": limit is not None, "max_length": limit, **options},
        is_split_into_words=is_split_into_words,
        return_attention_mask=False,
    )
    return {k: encoded[k] for k in ("input_ids", "token_type_ids") if k in encoded}


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
