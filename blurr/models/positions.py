"""Know the longest text that a model can read, by its positions, and what its tokenizer advises."""

import logging
import re
from dataclasses import dataclass

from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

log = logging.getLogger(__name__)

ABSOLUTE = re.compile(r"wpe|positions_embed|pos_embed|(char_|token_)?position_embeddings?|embed_positions?")
GROWS = frozenset({"fsmt"})  # its table of sines is made longer when a text is
TABLES = frozenset({"gptj", "codegen", "ctrl"})  # their tables are no embeddings, and as long as the config says


@dataclass(frozen=True)
class Positions:
    """The longest texts that a model has positions for; a longer one ends in an error of its embeddings.

    Attributes:
        source: tokens of what is read; `None` for no limit, as with positions that are relative or computed.
        target: tokens of what a decoder writes for it, where there is one.
    """

    source: int | None = None
    target: int | None = None


def positions_of(model: PreTrainedModel) -> Positions:
    """Find how many positions a model has, by the tables that it looks them up in."""
    config = model.config
    if config.model_type in GROWS:
        return Positions()
    if config.model_type in TABLES:
        return Positions(config.max_position_embeddings)
    sizes: dict[bool, list[int]] = {False: [], True: []}
    for name, module in model.named_modules():
        *above, last = name.split(".")
        if isinstance(module, nn.Embedding) and ABSOLUTE.fullmatch(last):
            sizes[config.is_encoder_decoder and "decoder" in above].append(_usable(module, config))
    return Positions(min(sizes[False], default=None), min(sizes[True], default=None))


def _usable(table: nn.Embedding, config: PretrainedConfig) -> int:
    """Return how many rows of a table of positions texts can use.

    RoBERTa and its kin count from the row behind the pad's, BART and its kin from a fixed row, which it adds.
    """
    first = vars(table).get("offset", 0) if table.padding_idx is None else table.padding_idx + 1
    named = config.to_dict().get("max_position_embeddings")
    rows: int = table.num_embeddings - first
    # Nystromformer and its kin leave two rows unused, which their table does not tell
    return min(rows, named) if isinstance(named, int) and table.padding_idx is None else rows
