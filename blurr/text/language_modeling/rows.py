"""Batch rows for causal language models, and show what language models read, were to find, and found."""

from collections.abc import Collection, Sequence
from itertools import groupby
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from blurr.data.own_columns import beside
from blurr.loading.dataloader import RowsDL
from blurr.loading.rows import IGNORED, Batch, Inputs, Row, Table
from blurr.text.inputs import TextCollator, decode_ids, shorten
from blurr.text.language_modeling.chunking import special_ids
from blurr.text.language_modeling.packing import PACKED, kept_apart


class CausalCollator(TextCollator):
    """Pad rows for a model that predicts each token from those before it.

    Returns of a call: `(inputs, targets)`. `inputs["labels"]` are the ids themselves, which the model shifts; the
    targets are shifted, so that they are in line with the logits. Both are -100 at pads. Pads are told by their place,
    not by their id: where the pad token is the eos token, a real eos is a target all the same. The first token of a
    text is no target: of a padded row that follows from the shift, of packed texts it is seen to here.

    Args:
        pad_token_id: what pads `input_ids`.
        first_position: of a text among packed ones, see `blurr.text.language_modeling.packing.first_position`.
        options: as for `TextCollator`.
    """

    def __init__(self, pad_token_id: int, *, first_position: int = 0, **options: Any) -> None:
        super().__init__(pad_token_id, **options)
        self.first_position = first_position

    def __call__(self, rows: Sequence[Row]) -> Batch:
        inputs, _ = super().__call__(rows)
        real = inputs["attention_mask"].bool()
        text = inputs.get(PACKED, real)
        labels = inputs["input_ids"].masked_fill(~real, IGNORED)
        targets = torch.full_like(labels, IGNORED)
        targets[:, :-1] = labels[:, 1:].masked_fill(~real[:, :-1] | (text[:, 1:] != text[:, :-1]), IGNORED)
        if PACKED in inputs:
            inputs = kept_apart(inputs, first_position=self.first_position, causal=True)
            labels[:, 1:] = targets[:, :-1]
        elif self.left:
            # models count positions from the first column, and would learn the first token from a pad
            inputs["position_ids"] = (inputs["attention_mask"].cumsum(1) - 1).clamp(min=0)
            labels[:, 1:] = targets[:, :-1]
        inputs["labels"] = labels
        return inputs, targets


def show_causal(
    dl: RowsDL,
    inputs: Inputs,
    targets: torch.Tensor,
    predictions: Any = None,
    *,
    trunc_at: int | None = None,
    **_: Any,
) -> Table:
    """Give rows of text, target (the next token of each) and, where there is one, prediction."""
    shown = {"text": inputs["input_ids"], "target": targets}
    if predictions is not None:
        shown["prediction"] = torch.where(targets == IGNORED, IGNORED, predictions)
    texts = {name: decode_ids(dl.tokenizer, ids) for name, ids in shown.items() if ids.numel()}
    return [
        {k: shorten(v, trunc_at) for k, v in zip(texts, row, strict=True)} for row in zip(*texts.values(), strict=True)
    ]


def show_masked(
    dl: RowsDL,
    inputs: Inputs,
    targets: torch.Tensor,
    predictions: Any = None,
    *,
    trunc_at: int | None = None,
    **_: Any,
) -> Table:
    """Give rows of text as the model reads it, the hidden tokens in brackets: `[read]`, `[true]` and `[predicted]`."""
    if not targets.numel():  # rows to predict on
        return [{"text": shorten(text, trunc_at)} for text in decode_ids(dl.tokenizer, inputs["input_ids"])]
    hidden = targets != IGNORED
    read = inputs["input_ids"]
    shown = {"text": read, "target": torch.where(hidden, targets, read)}
    if predictions is not None:
        shown["prediction"] = torch.where(hidden, predictions, read)
    return [
        {name: shorten(text, trunc_at) for name, text in zip(shown, texts, strict=True)}
        for texts in zip(*(bracketed(dl.tokenizer, ids, hidden) for ids in shown.values()), strict=True)
    ]


def bracketed(tokenizer: PreTrainedTokenizerBase, ids: torch.Tensor, marked: torch.Tensor) -> list[str]:
    """Turn ids into texts with runs of marked tokens in brackets; special tokens that are not marked are left out.

    Args:
        tokenizer: turns ids into text.
        ids: `(batch, sequence)`.
        marked: which to put in brackets, `(batch, sequence)`.
    """
    special = torch.from_numpy(special_ids(tokenizer)).to(ids.device)
    shown = marked | ~torch.isin(ids, special)
    return [
        _bracketed(tokenizer, row[show].tolist(), marks[show].tolist())
        for row, show, marks in zip(ids, shown, marked, strict=True)
    ]


def _bracketed(tokenizer: PreTrainedTokenizerBase, ids: list[int], marks: list[bool]) -> str:
    text, done = "", 0
    for mark, run in groupby(marks):
        end = done + len(list(run))
        # only decoding all that stands before tells which spaces belong between two tokens
        before, after = (str(tokenizer.decode(ids[:i], clean_up_tokenization_spaces=False)) for i in (done, end))
        new = after[len(before) :]
        bare = new.lstrip()
        inside = bare if bare.startswith("[") and bare.endswith("]") else f"[{bare}]"  # [MASK] has its own brackets
        text += new[: len(new) - len(bare)] + inside if mark else new
        done = end
    return text.strip()


def rows_described(given: Table, columns: dict[str, Any], described: Table, roles: Collection[str]) -> Table:
    """Put what was read beside what a model made of it; chunks of joined texts stand alone.

    Args:
        given: the rows that were read.
        columns: the tokenized ones; `row` tells where each comes from, if it comes from a single one.
        described: one for each tokenized row.
        roles: columns that the task reads.
    """
    if "row" not in columns:
        return described
    return beside([given[int(row)] for row in columns["row"]], described, roles)
