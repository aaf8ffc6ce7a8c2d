"""The longest inputs that a model has positions for, found in its tables of position embeddings."""

import re
from dataclasses import dataclass

from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

ABSOLUTE = re.compile(r"wpe|positions_embed|pos_embed|(char_|token_)?position_embeddings?|embed_positions?")
GROWS = frozenset({"fsmt"})  # its sinusoidal table grows with the text
TABLES = frozenset({"gptj", "codegen", "ctrl"})  # their tables are not nn.Embedding, and as long as the config says


@dataclass(frozen=True)
class Positions:
    """The longest inputs that a model has positions for; a longer one fails in its embeddings.

    Attributes:
        source: Longest input in tokens; `None` for no limit, as with relative or computed positions.
        target: Longest output of the decoder in tokens, if there is one.
    """

    source: int | None = None
    target: int | None = None


def positions_of(model: PreTrainedModel) -> Positions:
    """Find how many positions a model has, from its tables of position embeddings."""
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
    """Return how many rows of a position table can be used: RoBERTa starts after the padding row, BART at an offset."""
    first = vars(table).get("offset", 0) if table.padding_idx is None else table.padding_idx + 1
    named = config.to_dict().get("max_position_embeddings")
    rows: int = table.num_embeddings - first
    # Nystromformer and others leave two rows unused, which only the config shows
    return min(rows, named) if isinstance(named, int) and table.padding_idx is None else rows
