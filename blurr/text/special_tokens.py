"""Read special tokens that users wrote as plain text: `</s>` in a review is four characters, not the end."""

import json
import re
from collections.abc import Collection, Iterable
from copy import copy
from typing import Any, Literal
from weakref import WeakKeyDictionary

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase

SpecialTokens = Literal["text", "parse"]

OWN = "own_special_tokens"  # a key in a tokenizer's file: the special tokens that it came with, not those of its user
HIDDEN = "\ue000"  # a private-use character: no text has a token whose name begins with it

_readers: WeakKeyDictionary[PreTrainedTokenizerBase, tuple[Any, PreTrainedTokenizerBase]] = WeakKeyDictionary()


def note_own(tokenizer: PreTrainedTokenizerBase, added: Iterable[Any] = ()) -> None:
    """Have a tokenizer remember, and save, which special tokens it came with.

    Args:
        tokenizer: A tokenizer as it was loaded; tokens added later are its user's.
        added: The arguments it was loaded with; tokens named in them are the user's, too.
    """
    named = {str(token) for value in added for token in (value if isinstance(value, list | tuple) else [value])}
    tokenizer.init_kwargs.setdefault(OWN, sorted(special_tokens(tokenizer) - named))


def special_tokens(tokenizer: PreTrainedTokenizerBase) -> set[str]:
    """Return all special tokens as texts."""
    marked = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    return {*tokenizer.all_special_tokens, *marked}


def special_tokens_in(tokenizer: PreTrainedTokenizerBase, text: str) -> set[str]:
    """Return the special tokens in a template, where they are meant as such."""
    return {token for token in special_tokens(tokenizer) if token in text}


def hidden_tokens(tokenizer: PreTrainedTokenizerBase, parsed: Collection[str] = ()) -> set[str]:
    """Return the special tokens to read as plain text: the tokenizer's own, without those to parse."""
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
    """Return the tokenizer itself, or a copy that reads special tokens in these texts as plain text.

    Without a special token in any of the texts, or with `parse`, it is the tokenizer itself; see `tokenize_texts` for
    `mode` and `parsed`.
    """
    if mode == "parse":
        return tokenizer
    hidden = hidden_tokens(tokenizer, parsed)
    pattern = re.compile("|".join(re.escape(token) for token in sorted(hidden)) or r"(?!)")
    return reader_without(tokenizer, hidden) if any(pattern.search(text) for text in texts) else tokenizer


def reader_without(tokenizer: PreTrainedTokenizerBase, hidden: Collection[str]) -> PreTrainedTokenizerBase:
    """Return a copy of a tokenizer that reads the hidden tokens as plain text, and as tokens after `HIDDEN`."""
    if not tokenizer.is_fast:
        reader = copy(tokenizer)
        reader.split_special_tokens = True
        return reader
    languages = {name: value for name, value in vars(tokenizer).items() if name.endswith("_lang")}
    # a copy is stale if any of it has changed
    state = (set(hidden), len(tokenizer), languages, tokenizer.backend_tokenizer.post_processor.__getstate__())
    if tokenizer not in _readers or _readers[tokenizer][0] != state:
        _readers[tokenizer] = (state, _without(tokenizer, set(hidden)))
    return _readers[tokenizer][1]


def _without(tokenizer: PreTrainedTokenizerBase, hidden: set[str]) -> PreTrainedTokenizerBase:
    """Copy a fast tokenizer, and rename the hidden tokens so that no text contains them.

    The library's flag `encode_special_tokens` does not do: it leaves them in the vocabulary, where a Unigram model (T5,
    XLM-RoBERTa, DeBERTa) finds them, and it allows no exceptions.
    """
    parts = json.loads(tokenizer.backend_tokenizer.to_str())
    parts["truncation"] = parts["padding"] = None  # left by the last call, not settings
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
    # look-ups by name, such as that of a language's mark, need the original names
    reader.convert_tokens_to_ids = tokenizer.convert_tokens_to_ids
    reader.convert_ids_to_tokens = tokenizer.convert_ids_to_tokens
    result: PreTrainedTokenizerBase = reader
    return result


def _renamed(token: str, hidden: set[str]) -> str:
    return HIDDEN + token if token in hidden else token
