"""Tokenize and show pairs of source and target text, for models with an encoder and a decoder."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

import torch
from transformers import PreTrainedTokenizerBase

from blurr.loading.dataloader import RowsDL
from blurr.loading.rows import Inputs, Table
from blurr.text.inputs import TextRows, as_table, decode_ids, shorten, tokenize_texts
from blurr.text.lengths import length_limit
from blurr.text.special_tokens import SpecialTokens, reader_of, special_tokens_in

T5_STYLE = {"t5", "mt5", "umt5", "longt5", "switch_transformers"}  # architectures whose checkpoints expect a prefix


class PairRows(TextRows):
    """Tokenized pairs, with the raw target texts for the metrics: ids may be cut off, and lack unknown letters.

    Args:
        columns: See `tokenize_pairs`.
        raw: The raw columns, read only when the targets are requested.
        target: The role of the target among them.
    """

    def __init__(self, columns: Mapping[str, Sequence[Any]], raw: Mapping[str, Sequence[str]], target: str) -> None:
        super().__init__(columns)
        self.raw, self.target = raw, target

    def references(self, rows: Iterable[int]) -> list[str]:
        """Return the raw target text of each of these rows; empty texts if there are no targets."""
        texts = self.raw.get(self.target)
        return ["" if texts is None else texts[int(row)] for row in rows]

    def take(self, numbers: Sequence[int]) -> Self:
        taken = super().take(numbers)
        taken.raw = {self.target: self.references(numbers)} if self.target in self.raw else {}
        return taken

    def new_empty(self) -> "PairRows":
        return PairRows({}, {}, self.target)


def tokenize_pairs(
    tokenizer: PreTrainedTokenizerBase,
    sources: Sequence[str],
    targets: Sequence[str] | None,
    *,
    max_length: int | None = None,
    max_target_length: int | None = None,
    prefix: str = "",
    special_tokens: SpecialTokens = "text",
) -> dict[str, list[list[int]]]:
    """Tokenize sources and, if there are any, targets, without padding.

    Args:
        tokenizer: Turns text into ids.
        sources: Texts for the encoder.
        targets: Texts for the decoder to write; their ids become `labels`, and end with eos.
        max_length: Longest source in tokens.
        max_target_length: Longest target in tokens.
        prefix: Put before each source, as T5 expects; its special tokens are parsed.
        special_tokens: See `tokenize_texts`.
    """
    options: dict[str, Any] = {"special_tokens": special_tokens, "parsed": special_tokens_in(tokenizer, prefix)}
    columns = tokenize_texts(tokenizer, [prefix + text for text in sources], max_length=max_length, **options)
    columns.pop("token_type_ids", None)
    if targets is not None:
        limit = length_limit(tokenizer, max_target_length)
        encoded = reader_of(tokenizer, targets, special_tokens)(
            text_target=list(targets), truncation=limit is not None, max_length=limit, return_attention_mask=False
        )
        columns["labels"] = [list(ids) for ids in encoded["input_ids"]]  # the model shifts them itself
    return columns


def show_seq2seq(
    dl: RowsDL,
    inputs: Inputs,
    targets: torch.Tensor,
    predictions: Any = None,
    *,
    trunc_at: int | None = None,
    input_trunc_at: int | None = None,
    target_trunc_at: int | None = None,
    **_: Any,
) -> Table:
    """Return rows of source text, target text and, if there is one, generated text or texts."""
    if isinstance(predictions, torch.Tensor):
        predictions = decode_ids(dl.tokenizer, predictions, of_source=False)
    columns: dict[str, list[Any]] = {
        "text": [shorten(x, input_trunc_at or trunc_at) for x in decode_ids(dl.tokenizer, inputs["input_ids"])]
    }
    written = {
        "target": decode_ids(dl.tokenizer, targets, of_source=False) if targets.numel() else None,
        "prediction": predictions,
    }
    for name, values in written.items():
        if values is not None:
            columns[name] = [shorten(x, target_trunc_at or trunc_at) if isinstance(x, str) else x for x in values]
    return as_table(columns)
