"""Put several texts into one row, none of which sees another, for language models."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from blurr.loading.rows import Inputs
from blurr.text.language_modeling.chunking import Ids

PACKED = "packed"  # the column that holds, for each token, which text of its row it belongs to: 1, 2, …


def packs_of(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Put sequences into as few rows as is cheap to find: the longest first, each where the least room is left over.

    Args:
        lengths: of the sequences; none exceeds the capacity.
        capacity: longest row.

    Returns:
        For each row, the numbers of its sequences (best-fit decreasing; Johnson 1973).
    """
    packs: list[list[int]] = []
    by_room: list[list[int]] = [[] for _ in range(capacity + 1)]
    rooms = 0  # bit `r` is set where there is a row with room for `r` more: the next room is found without a search
    for number in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        length = lengths[number]
        fitting = rooms >> length
        room = length + (fitting & -fitting).bit_length() - 1 if fitting else capacity
        if fitting:
            pack = by_room[room].pop()
            if not by_room[room]:
                rooms ^= 1 << room
        else:
            pack = len(packs)
            packs.append([])
        packs[pack].append(number)
        by_room[room - length].append(pack)
        rooms |= 1 << (room - length)
    return packs


def packed(columns: dict[str, list[Ids]], capacity: int) -> dict[str, list[Any]]:
    """Join sequences to rows, and tell in the column `packed` which token is of which of them.

    Args:
        columns: `input_ids` and whatever else there is for each token.
        capacity: longest row in tokens.
    """
    ids = columns["input_ids"]
    packs = packs_of([len(row) for row in ids], capacity)
    joined = {name: [[i for n in pack for i in rows[n]] for pack in packs] for name, rows in columns.items()}
    return {**joined, PACKED: [[place for place, n in enumerate(pack, 1) for _ in ids[n]] for pack in packs]}


def kept_apart(inputs: Inputs, *, first_position: int, causal: bool) -> Inputs:
    """Turn the column `packed` of a batch into positions that begin anew with each text, and a mask between texts.

    Args:
        inputs: with `packed`, `(batch, sequence)`, 0 at pads.
        first_position: see the function of that name.
        causal: a token sees none that comes after it.

    Returns:
        The inputs with `position_ids`, `(batch, sequence)`, and an `attention_mask` that is added to the scores,
        `(batch, 1, sequence, sequence)`: the one form that all of transformers' own attentions but flash take.
    """
    numbers = inputs[PACKED]
    places = torch.arange(numbers.shape[1])
    begins = torch.ones_like(numbers, dtype=torch.bool)
    begins[:, 1:] = numbers[:, 1:] != numbers[:, :-1]
    positions = places - torch.where(begins, places, 0).cummax(dim=1).values
    # a pad sees the other pads, for a row of scores without any to choose from would be no number
    seen = numbers[:, :, None] == numbers[:, None, :]
    if causal:
        seen &= places[:, None] >= places
    mask = torch.zeros(seen.shape).masked_fill_(~seen, torch.finfo(torch.float32).min)
    rest = {name: values for name, values in inputs.items() if name != PACKED}
    return {
        **rest,
        "position_ids": torch.where(numbers > 0, positions, 0) + first_position,
        "attention_mask": mask[:, None],
    }


def first_position(model: nn.Module) -> int:
    """Give the position of the first token of a text: 0, or where a table of positions has a pad, the one after it.

    RoBERTa and its kin count so; `blurr.text.language_modeling.causality.check_packing` finds out whether it is true.
    """
    tables = [m for name, m in model.named_modules() if name.endswith("position_embeddings")]
    pads = [m.padding_idx for m in tables if isinstance(m, nn.Embedding) and m.padding_idx is not None]
    return pads[0] + 1 if pads else 0
