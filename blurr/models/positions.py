"""Know the longest text that a model can read, by its positions, and what its tokenizer advises."""

import logging
import re
from dataclasses import dataclass

from torch import nn
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from blurr.errors import InputError

log = logging.getLogger(__name__)

NO_ADVICE = 1_000_000  # from here on, a tokenizer's `model_max_length` only says that nobody has set it
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


def advice_of(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """Return the longest text that a tokenizer advises to give the model, if it does."""
    return int(tokenizer.model_max_length) if tokenizer.model_max_length < NO_ADVICE else None


def set_advice(tokenizer: PreTrainedTokenizerBase, config: PretrainedConfig, positions: Positions) -> None:
    """Have a tokenizer advise no more than the model has positions for, and at least what its config advises."""
    known = advice_of(tokenizer) or config.get_text_config().to_dict().get("max_position_embeddings")
    lengths = [n for n in (known, positions.source) if isinstance(n, int)]
    if lengths:
        tokenizer.model_max_length = min(lengths)


def length_limit(tokenizer: PreTrainedTokenizerBase, max_length: int | None, *, usual: int | None = None) -> int | None:
    """Return the longest sequence in tokens; `None` for no limit.

    Args:
        tokenizer: whose advice counts where nothing is asked for.
        max_length: what is asked for; it wins over the tokenizer's advice.
        usual: what is asked for where nobody has chosen: never more than the tokenizer advises.
    """
    if max_length is not None and max_length != usual:
        return max_length
    return min((n for n in (max_length, advice_of(tokenizer)) if n is not None), default=None)


def check_length(
    name: str, asked: int | None, limit: int | None, advice: int | None, *, usual: int | None = None
) -> None:
    """Refuse a length that a model has no positions for, and warn of one that its tokenizer advises against.

    Args:
        name: of the setting, such as `task.max_length`.
        asked: its value in tokens.
        limit: of the model's positions.
        advice: of the tokenizer.
        usual: the value where nobody has chosen; it is cut down to what there is.

    Raises:
        InputError: there are fewer positions.
    """
    if asked is None or asked == usual:
        return
    if limit is not None and asked > limit:
        raise InputError(
            f"{name}={asked} is more than the model can read: it has positions for {limit} tokens. Set {name} to at "
            f"most {limit}, or to null, or choose a model for longer texts."
        )
    if advice is not None and asked > advice:
        log.warning("%s=%s is used, although the tokenizer advises at most %s tokens.", name, asked, advice)
