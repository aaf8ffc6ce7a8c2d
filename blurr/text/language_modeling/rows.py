"""Batch rows for causal language models, and show the inputs, targets and predictions of both kinds."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from blurr.loading.dataloader import RowsDL
from blurr.loading.rows import IGNORED, Batch, Inputs, Row, Table
from blurr.text.inputs import TextCollator, as_table, decode_ids, shorten
from blurr.text.language_modeling.chunking import special_ids
from blurr.text.language_modeling.packing import PACKED, kept_apart


class CausalCollator(TextCollator):
    """Pad rows for a model that predicts each token from those before it.

    A call returns `(inputs, targets)`. `inputs["labels"]` are the ids, which the model shifts itself; the targets are
    shifted, to be in line with the logits. Pads are -100 in both; they are told by their position, because where the
    pad token is the eos token, a real eos is a target. The first token of a text is never a target.

    Args:
        pad_token_id: Pads `input_ids`.
        first_position: Position of the first token of a packed text, see `packing.first_position`.
        options: As for `TextCollator`.
    """

    def __init__(self, pad_token_id: int, *, first_position: int = 0, **options: Any) -> None:
        super().__init__(pad_token_id, **options)
        self.first_position = first_position

    def __call__(self, rows: Sequence[Row]) -> Batch:
        inputs, _ = super().__call__(rows)
        real = inputs["attention_mask"].bool()
        text = inputs.get(PACKED, real)  # a row that is not packed is one text
        labels = inputs["input_ids"].masked_fill(~real, IGNORED)
        targets = torch.full_like(labels, IGNORED)  # the last position has no next token
        targets[:, :-1] = labels[:, 1:].masked_fill(~real[:, :-1] | (text[:, 1:] != text[:, :-1]), IGNORED)
        if PACKED in inputs:
            inputs = kept_apart(inputs, first_position=self.first_position, causal=True)
            labels[:, 1:] = targets[:, :-1]
        elif self.left:
            # without positions, models count from the first pad; and the first token would be predicted from a pad
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
    """Return rows of `text`, `target` (the next token of each) and, where there is one, `prediction`."""
    shown = {"text": inputs["input_ids"], "target": targets}
    if predictions is not None:
        shown["prediction"] = torch.where(targets == IGNORED, IGNORED, predictions)  # (batch, sequence)
    return as_table(
        {
            name: [shorten(text, trunc_at) for text in decode_ids(dl.tokenizer, ids)]
            for name, ids in shown.items()
            if ids.numel()
        }
    )


def show_masked(
    dl: RowsDL,
    inputs: Inputs,
    targets: torch.Tensor,
    predictions: Any = None,
    *,
    trunc_at: int | None = None,
    **_: Any,
) -> Table:
    """Return rows of `text`, `target` and `prediction`, with the tokens in brackets that are hidden in the text."""
    read = inputs["input_ids"]
    if not targets.numel():  # rows to predict on
        return as_table({"text": [shorten(text, trunc_at) for text in decode_ids(dl.tokenizer, read)]})
    hidden = targets != IGNORED
    shown = {"text": read, "target": torch.where(hidden, targets, read)}
    if predictions is not None:
        shown["prediction"] = torch.where(hidden, predictions, read)
    return as_table(
        {
            name: [shorten(text, trunc_at) for text in bracketed(dl.tokenizer, ids, hidden)]
            for name, ids in shown.items()
        }
    )


def bracketed(
    tokenizer: PreTrainedTokenizerBase, ids: torch.Tensor, marked: torch.Tensor, *, shown: torch.Tensor | None = None
) -> list[str]:
    """Turn ids into texts, with runs of marked tokens in brackets.

    Args:
        tokenizer: Of the ids.
        ids: `(batch, sequence)`.
        marked: Which of them stand in brackets.
        shown: Which of them are shown; `None` leaves out special tokens that are not marked.
    """
    if shown is None:
        special = torch.from_numpy(special_ids(tokenizer)).to(ids.device)  # sorted ids
        shown = marked | ~torch.isin(ids, special)
    return [
        _bracketed(tokenizer, row[show].tolist(), marks[show].tolist())
        for row, show, marks in zip(ids, shown, marked, strict=True)
    ]


def _bracketed(tokenizer: PreTrainedTokenizerBase, ids: list[int], marks: list[bool]) -> str:
    text, done = "", 0
    for mark, run in groupby(marks):
        end = done + len(list(run))
        # only decoding the whole beginning tells which spaces belong between two tokens
        before, after = (str(tokenizer.decode(ids[:i], clean_up_tokenization_spaces=False)) for i in (done, end))
        new = after[len(before) :]
        bare = new.lstrip()
        inside = bare if bare.startswith("[") and bare.endswith("]") else f"[{bare}]"  # [MASK] has its own brackets
        text += new[: len(new) - len(bare)] + inside if mark else new
        done = end
    return text.strip()
