"""The longest text in tokens: requested by the user, advised by the tokenizer, limited by the model's positions."""

import logging

from transformers import PretrainedConfig, PreTrainedTokenizerBase

from blurr.errors import InputError
from blurr.models.inputs import Positions
from blurr.models.objects import HFObjects

log = logging.getLogger(__name__)

NO_ADVICE = 1_000_000  # transformers writes 1e30 into `model_max_length` where nobody has set it


def advice_of(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """Return the longest text that a tokenizer advises, or `None`."""
    return int(tokenizer.model_max_length) if tokenizer.model_max_length < NO_ADVICE else None


def set_advice(tokenizer: PreTrainedTokenizerBase, config: PretrainedConfig, positions: Positions) -> None:
    """Cap a tokenizer's advice at the model's positions; without any advice, take that of the model's config."""
    known = advice_of(tokenizer) or config.get_text_config().to_dict().get("max_position_embeddings")
    lengths = [n for n in (known, positions.source) if isinstance(n, int)]
    if lengths:
        tokenizer.model_max_length = min(lengths)


def length_limit(tokenizer: PreTrainedTokenizerBase, max_length: int | None, *, usual: int | None = None) -> int | None:
    """Return the longest sequence in tokens; `None` for no limit.

    Args:
        tokenizer: Its advice counts where no length is requested.
        max_length: The requested length; wins over the tokenizer's advice.
        usual: A default for `max_length`, which does not win: the shorter of it and the advice counts.
    """
    if max_length is not None and max_length != usual:
        return max_length
    return min((n for n in (max_length, advice_of(tokenizer)) if n is not None), default=None)


def check_length(
    name: str, asked: int | None, limit: int | None, advice: int | None, *, usual: int | None = None
) -> None:
    """Refuse a length above the model's positions, and warn of one above the tokenizer's advice.

    Args:
        name: The setting, such as `task.max_length`.
        asked: Its value in tokens; `None` and `usual` pass.
        limit: Positions of the model.
        advice: The tokenizer's advice.
        usual: The default of the setting, which is cut down to what there is.

    Raises:
        InputError: There are fewer positions.
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


def check_source(name: str, asked: int | None, hf: HFObjects, *, usual: int | None = None) -> None:
    """Check the longest text for a model to read; see `check_length`."""
    check_length(name, asked, hf.positions.source, advice_of(hf.tokenizer), usual=usual)
