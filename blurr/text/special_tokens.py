"""Read a special token that is written in a text as text: `</s>` in a review is four characters, not its end."""

import json
import re
from collections.abc import Collection, Iterable
from copy import copy
from typing import Any, Literal
from weakref import WeakKeyDictionary

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase

SpecialTokens = Literal["text", "parse"]

OWN = "own_special_tokens"  # in a tokenizer's file: those that it came with, to which its user may have added others
HIDDEN = "\ue000"  # for private use: it stands in no text, so that nothing in a text is a name that begins with it

_readers: WeakKeyDictionary[PreTrainedTokenizerBase, tuple[Any, PreTrainedTokenizerBase]] = WeakKeyDictionary()


def note_own(tokenizer: PreTrainedTokenizerBase, added: Iterable[Any] = ()) -> None:
    """Have a tokenizer remember, where it is saved, too, which special tokens it came with.

    Args:
        tokenizer: as it was loaded; what is added to it later is its user's.
        added: values of the user's arguments for it, in which some of them may be named already.
    """
    named = {str(token) for value in added for token in (value if isinstance(value, list | tuple) else [value])}
    tokenizer.init_kwargs.setdefault(OWN, sorted(special_tokens(tokenizer) - named))


def special_tokens(tokenizer: PreTrainedTokenizerBase) -> set[str]:
    """Return all special tokens as they are written."""
    marked = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    return {*tokenizer.all_special_tokens, *marked}


def special_tokens_in(tokenizer: PreTrainedTokenizerBase, text: str) -> set[str]:
    """Return the special tokens that stand in a text of a template, which is to write them."""
    return {token for token in special_tokens(tokenizer) if token in text}


def hidden_tokens(tokenizer: PreTrainedTokenizerBase, parsed: Collection[str] = ()) -> set[str]:
    """Return the special tokens that are text where a text has them: the tokenizer's own, but those to be parsed."""
    own = tokenizer.init_kwargs.get(OWN)
    there = special_tokens(tokenizer)
    return (there if own is None else there & set(own)) - set(parsed)


def reader_of(
    tokenizer: PreTrainedTokenizerBase,
    texts: Iterable[str],
    mode: SpecialTokens = "text",
    *,
    parsed: Collection[str] = (),
) -> PreTrainedTokenizerBase:
    """Return what to tokenize texts with: the tokenizer itself, or a copy that takes special tokens for text.

    Args:
        tokenizer: is left as it is.
        texts: of users; where none of them has a special token in it, nothing differs, and nothing is copied.
        mode: `text`, or `parse`: a special token in a text is one.
        parsed: special tokens that are parsed all the same, such as the mask.
    """
    if mode == "parse":
        return tokenizer
    hidden = hidden_tokens(tokenizer, parsed)
    pattern = re.compile("|".join(re.escape(token) for token in sorted(hidden)) or r"(?!)")
    if not any(pattern.search(text) for text in texts):
        return tokenizer
    if not tokenizer.is_fast:
        reader = copy(tokenizer)
        reader.split_special_tokens = True
        return reader
    languages = {name: value for name, value in vars(tokenizer).items() if name.endswith("_lang")}
    state = (hidden, len(tokenizer), languages, tokenizer.backend_tokenizer.post_processor.__getstate__())
    if tokenizer not in _readers or _readers[tokenizer][0] != state:
        _readers[tokenizer] = (state, _without(tokenizer, hidden))
    return _readers[tokenizer][1]


def _without(tokenizer: PreTrainedTokenizerBase, hidden: set[str]) -> PreTrainedTokenizerBase:
    """Copy a fast tokenizer, some of its tokens under names that no text has.

    The flag of the library that is for this, `encode_special_tokens`, leaves them in the vocabulary, in which a Unigram
    model (T5, XLM-RoBERTa, DeBERTa) finds them, and it knows no exceptions.
    """
    parts = json.loads(tokenizer.backend_tokenizer.to_str())
    parts["truncation"] = parts["padding"] = None
    for token in parts["added_tokens"]:
        token["content"] = _renamed(token["content"], hidden)
    model = parts["model"]
    if isinstance(model["vocab"], dict):
        model["vocab"] = {_renamed(name, hidden): i for name, i in model["vocab"].items()}
    else:
        model["vocab"] = [[_renamed(name, hidden), score] for name, score in model["vocab"]]
    if model.get("unk_token") is not None:
        model["unk_token"] = _renamed(model["unk_token"], hidden)
    reader: Any = copy(tokenizer)
    reader._tokenizer = Tokenizer.from_str(json.dumps(parts))
    # what is asked for by name, such as the mark of a language, is still found under it
    reader.convert_tokens_to_ids = tokenizer.convert_tokens_to_ids
    reader.convert_ids_to_tokens = tokenizer.convert_ids_to_tokens
    result: PreTrainedTokenizerBase = reader
    return result


def _renamed(token: str, hidden: set[str]) -> str:
    return HIDDEN + token if token in hidden else token
