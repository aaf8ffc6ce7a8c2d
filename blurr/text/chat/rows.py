"""Batch encoded chats with the answers as targets, pack them, and show what is learnt of them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

import torch

from blurr.loading.dataloader import RowsDL
from blurr.loading.rows import IGNORED, Batch, Inputs, Row, Table
from blurr.text.chat.messages import last_answer
from blurr.text.inputs import TextRows, as_table, shorten
from blurr.text.language_modeling.packing import packed
from blurr.text.language_modeling.rows import CausalCollator, bracketed

LEARNT, BEGIN = "learnt", "begin"  # columns: which tokens are targets; the number of tokens before the last answer


class ChatRows(TextRows):
    """EncodedChat chats, with their messages for the metrics.

    Args:
        columns: `input_ids`, and for chats with answers `learnt` and `begin`.
        raw: The raw columns, of which `messages` is read when answers are requested.
    """

    def __init__(self, columns: Mapping[str, Sequence[Any]], raw: Mapping[str, Sequence[Any]]) -> None:
        super().__init__(columns)
        self.raw = raw

    def references(self, rows: Iterable[int]) -> list[str]:
        """Return the last answer of each of these chats."""
        chats = self.raw["messages"]
        return [str(chats[int(row)][last_answer(chats[int(row)])]["content"]) for row in rows]

    def take(self, numbers: Sequence[int]) -> Self:
        taken = super().take(numbers)
        chats = self.raw.get("messages", [])
        taken.raw = {"messages": [chats[i] for i in numbers] if len(chats) else []}
        return taken

    def packed(self, capacity: int) -> "ChatRows":
        """Return rows of several chats each, none of which sees another."""
        columns = {name: [row.tolist() for row in self.columns[name]] for name in (self.names.main, LEARNT)}
        return ChatRows(packed(columns, capacity), {})

    def new_empty(self) -> "ChatRows":
        return ChatRows({}, {})


class ChatCollator(CausalCollator):
    """Pad chats for a model that predicts each token from those before it; only tokens to learn are targets."""

    def __call__(self, rows: Sequence[Row]) -> Batch:
        inputs, targets = super().__call__(rows)
        if LEARNT not in inputs:  # chats to answer
            inputs.pop("labels")
            return inputs, torch.empty(len(rows), 0)
        learnt = inputs.pop(LEARNT).bool()
        inputs["labels"] = inputs["labels"].masked_fill(~learnt, IGNORED)
        targets[:, :-1] = targets[:, :-1].masked_fill(~learnt[:, 1:], IGNORED)
        return inputs, targets


def prompts_of(inputs: Inputs) -> Inputs:
    """Return the inputs of a batch up to the last answer of each row, the rest masked as pads are."""
    mask = inputs["attention_mask"]
    if BEGIN not in inputs:
        return {"input_ids": inputs["input_ids"], "attention_mask": mask}
    places = mask.cumsum(1)  # of real tokens, from 1; pads may stand on either side
    return {"input_ids": inputs["input_ids"], "attention_mask": mask * (places <= inputs[BEGIN][:, None])}


def show_chats(
    dl: RowsDL, inputs: Inputs, targets: torch.Tensor, predictions: Any = None, *, trunc_at: int | None = None, **_: Any
) -> Table:
    """Return rows of `text`, in which what is learnt stands in brackets, and of `prediction`, if there is one."""
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    # the mask of packed chats says who sees whom, not what is a pad
    real = mask.bool() if mask.ndim == 2 else ids != dl.tokenizer.pad_token_id
    learnt = torch.zeros_like(real)
    if targets.numel():
        learnt[:, 1:] = targets[:, :-1] != IGNORED
    texts = bracketed(dl.tokenizer, ids, learnt, shown=real | learnt)
    columns: dict[str, Any] = {"text": [shorten(text, trunc_at) for text in texts]}
    if predictions is not None:
        columns["prediction"] = predictions
    return as_table(columns)
