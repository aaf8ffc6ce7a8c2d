"""The longest text in tokens: what is requested, what a tokenizer advises, what a model has positions for."""

import logging

from transformers import PretrainedConfig, PreTrainedTokenizerBase

from blurr.errors import InputError
from blurr.models.inputs import Positions
from blurr.models.objects import HFObjects

log = logging.getLogger(__name__)


NO_ADVICE = 1_000_000  # from here on, a tokenizer's `model_max_length` only says that nobody has set it


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


def check_source(name: str, asked: int | None, hf: HFObjects, *, usual: int | None = None) -> None:
    """Check the longest text that a model shall read; see `check_length`."""
    check_length(name, asked, hf.positions.source, advice_of(hf.tokenizer), usual=usual)
