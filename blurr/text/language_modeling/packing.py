"""Pack several texts into one row, none of which sees another."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from blurr.loading.rows import Inputs
from blurr.text.language_modeling.chunking import Ids

PACKED = "packed"  # the column with the number of each token's text in its row: 1, 2, …; 0 at pads


def packs_of(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Assign sequences to few rows: the longest first, each where the least room remains.

    This is best-fit decreasing (Johnson 1973).

    Args:
        lengths: Of the sequences; none exceeds the capacity.
        capacity: Longest row.

    Returns:
        The numbers of the sequences of each row.
    """
    packs: list[list[int]] = []
    by_room: list[list[int]] = [[] for _ in range(capacity + 1)]
    rooms = 0  # bit `r` is set if a row has room for exactly `r` more, so that the best row is found without a search
    for number in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        length = lengths[number]
        fitting = rooms >> length  # bit `r` is set if a row would have room for `r` more afterwards
        # the lowest set bit is the tightest row
        room = length + (fitting & -fitting).bit_length() - 1 if fitting else capacity
        if fitting:
            pack = by_room[room].pop()
            if not by_room[room]:
                rooms ^= 1 << room  # no other row has exactly this room
        else:
            pack = len(packs)
            packs.append([])
        packs[pack].append(number)
        by_room[room - length].append(pack)
        rooms |= 1 << (room - length)
    return packs


def packed(columns: dict[str, list[Ids]], capacity: int) -> dict[str, list[Any]]:
    """Pack sequences into rows of `capacity` tokens, and add the column `packed`.

    Args:
        columns: `input_ids`, and other columns with a value per token.
        capacity: Longest row in tokens.
    """
    ids = columns["input_ids"]
    packs = packs_of([len(row) for row in ids], capacity)
    joined = {name: [[i for n in pack for i in rows[n]] for pack in packs] for name, rows in columns.items()}
    return {**joined, PACKED: [[place for place, n in enumerate(pack, 1) for _ in ids[n]] for pack in packs]}


def kept_apart(inputs: Inputs, *, first_position: int, causal: bool) -> Inputs:
    """Replace the column `packed` of a batch by positions that restart with each text, and a mask between texts.

    Args:
        inputs: With `packed`, `(batch, sequence)`.
        first_position: See the function `first_position`.
        causal: No token sees a later one.

    Returns:
        The inputs with `position_ids`, `(batch, sequence)`, and an `attention_mask` to be added to the scores,
        `(batch, 1, sequence, sequence)`: the form that all attentions of transformers take, except flash attention.
    """
    numbers = inputs[PACKED]
    places = torch.arange(numbers.shape[1])
    begins = torch.ones_like(numbers, dtype=torch.bool)
    begins[:, 1:] = numbers[:, 1:] != numbers[:, :-1]  # the first token of each text
    positions = places - torch.where(begins, places, 0).cummax(dim=1).values
    # a pad sees the other pads: the softmax of a row without any score is NaN
    seen = numbers[:, :, None] == numbers[:, None, :]
    if causal:
        seen &= places[:, None] >= places  # queries by keys
    mask = torch.zeros(seen.shape).masked_fill_(~seen, torch.finfo(torch.float32).min)
    rest = {name: values for name, values in inputs.items() if name != PACKED}
    return {
        **rest,
        "position_ids": torch.where(numbers > 0, positions, 0) + first_position,
        "attention_mask": mask[:, None],
    }


def first_position(model: nn.Module) -> int:
    """Return the position of the first token of a text: 0, or the one after the pad in the table of positions.

    RoBERTa and its kin count from the pad; `causality.check_packing` tests whether this is right for a model.
    """
    tables = [m for name, m in model.named_modules() if name.endswith("position_embeddings")]
    pads = [m.padding_idx for m in tables if isinstance(m, nn.Embedding) and m.padding_idx is not None]
    return pads[0] + 1 if pads else 0
