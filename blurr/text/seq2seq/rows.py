"""Tokenize and show pairs of source and target text, for models with an encoder and a decoder."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from blurr.loading.dataloader import RowsDL
from blurr.loading.rows import Inputs, Table
from blurr.text.inputs import TextRows, decode_ids, shorten, tokenize_texts
from blurr.text.lengths import length_limit
from blurr.text.special_tokens import SpecialTokens, reader_of, special_tokens_in

T5_STYLE = {"t5", "mt5", "umt5", "longt5", "switch_transformers"}  # architectures whose checkpoints expect a prefix


class PairRows(TextRows):
    """Tokenized pairs, and the raw target texts: what the metrics compare with, whole and as they were written.

    Their ids do not do for that: they may be cut off, and letters that the tokenizer does not know are gone from them.

    Args:
        columns: see `tokenize_pairs`.
        raw: the columns that they were made of, read when the targets are asked for.
        target: the role of the target among them.
    """

    def __init__(self, columns: Mapping[str, Sequence[Any]], raw: Mapping[str, Sequence[str]], target: str) -> None:
        super().__init__(columns)
        self.raw, self.target = raw, target

    def references(self, rows: Iterable[int]) -> list[str]:
        """Return the raw target text of each of these rows; empty texts where no targets are known."""
        texts = self.raw.get(self.target)
        return ["" if texts is None else texts[int(row)] for row in rows]

    def new_empty(self) -> "PairRows":
        return PairRows({}, {}, self.target)


def prefix_for(arch: str, wish: str, usual: str) -> str:
    """Give what stands before each source.

    Args:
        arch: Hugging Face's name of the architecture.
        wish: the prefix, or `auto`.
        usual: of the task, for the architectures whose checkpoints expect one.
    """
    if wish != "auto":
        return wish
    return usual if arch in T5_STYLE else ""


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
    """Tokenize sources and, where there are any, targets, without padding.

    Args:
        tokenizer: turns text into ids.
        sources: what the encoder reads.
        targets: what the decoder shall write; their ids become `labels` and end in eos.
        max_length: longest source in tokens.
        max_target_length: longest target in tokens.
        prefix: put before each source, as T5 wants it; a special token in it is one.
        special_tokens: what a special token is that is written in a text, see `reader_of`.
    """
    options: dict[str, Any] = {"special_tokens": special_tokens, "parsed": special_tokens_in(tokenizer, prefix)}
    columns = tokenize_texts(tokenizer, [prefix + text for text in sources], max_length=max_length, **options)
    columns.pop("token_type_ids", None)
    if targets is not None:
        limit = length_limit(tokenizer, max_target_length)
        encoded = reader_of(tokenizer, targets, special_tokens)(
            text_target=list(targets), truncation=limit is not None, max_length=limit, return_attention_mask=False
        )
        columns["labels"] = [list(ids) for ids in encoded["input_ids"]]
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
    """Give rows of source text, target text and, where there is one, generated text."""
    texts = decode_ids(dl.tokenizer, inputs["input_ids"])
    table: Table = [{"text": shorten(text, input_trunc_at or trunc_at)} for text in texts]
    shown = {
        "target": decode_ids(dl.tokenizer, targets, of_source=False) if targets.numel() else None,
        "prediction": predictions,
    }
    for name, values in shown.items():
        for row, value in zip(table, values if values is not None else [], strict=False):
            row[name] = shorten(value, target_trunc_at or trunc_at) if isinstance(value, str) else value
    return table
