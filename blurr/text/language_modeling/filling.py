"""Fill the masks of texts."""

from heapq import nlargest
from typing import Any

from fastai.learner import Learner
from transformers import PreTrainedTokenizerBase

from blurr.errors import InputError
from blurr.loading.rows import Inputs
from blurr.text.language_modeling.chunking import special_ids
from blurr.training.inference import Result, as_items, infer

Guesses = list[tuple[int, float]]  # token id and probability, likeliest first


def blurr_fill_mask(learn: Learner, items: Any, *, n_preds: int = 1, bs: int | None = None) -> list[Result]:
    """Fill all masks of one text or many; the rest of a text stays as it is.

    Args:
        learn: A learner of a masked language model.
        items: A text with one or more mask tokens; a dict of the columns; or a list, DataFrame, Series or Dataset of
            these.
        n_preds: Number of filled texts per item, and of tokens per mask.
        bs: Rows in a batch.

    Returns:
        One dict per item: `filled_texts`, likeliest first, and their `scores`, the products of the probabilities of
        each mask by itself; and `masks`: for each mask its `tokens` and their `scores`.

    Raises:
        InputError: The model has no mask token, a text has none, or a text is too long for one of its masks.
    """
    tokenizer = learn.dls.tokenizer
    if tokenizer.mask_token is None:
        raise InputError("This tokenizer has no mask token: fill-mask needs a masked language model (task=masked_lm).")
    items = as_items(items)
    found = infer(learn, items, lambda x: _guesses(learn, x, n_preds), bs=bs)
    texts = [item if isinstance(item, str) else item["text"] for item in items]
    return [_filled(tokenizer, text, masks, n_preds) for text, masks in zip(texts, found, strict=True)]


def _guesses(learn: Learner, x: Inputs, n: int) -> list[list[Guesses]]:
    """Return, for each mask of each row of a batch, the likeliest tokens that are not special."""
    tokenizer = learn.dls.tokenizer
    logits = learn.model(x).logits
    results = []
    for ids, row in zip(x["input_ids"], logits, strict=True):
        probs = row[ids == tokenizer.mask_token_id].float().softmax(-1)  # (masks, vocabulary)
        probs[:, special_ids(tokenizer)] = -1.0  # below any probability: never chosen
        probs[:, len(tokenizer) :] = -1.0  # rows that no token uses
        scores, tokens = probs.topk(min(n, len(tokenizer) - len(special_ids(tokenizer))))
        results.append([list(zip(t, s, strict=True)) for t, s in zip(tokens.tolist(), scores.tolist(), strict=True)])
    return results


def _filled(tokenizer: PreTrainedTokenizerBase, text: str, masks: list[Guesses], n: int) -> Result:
    parts = text.split(tokenizer.mask_token)
    if len(parts) == 1:
        raise InputError(f"The text {text!r} has no {tokenizer.mask_token!r}, so there is nothing to fill.")
    if len(parts) - 1 != len(masks):
        raise InputError(
            f"A text has {len(parts) - 1} times {tokenizer.mask_token!r}, but only {len(masks)} of them within the "
            f"model's {tokenizer.model_max_length} tokens. Shorten the text: {text[:80]!r} …"
        )
    named = [[(as_written(tokenizer, token), score) for token, score in guesses] for guesses in masks]
    best: list[tuple[float, list[str]]] = [(1.0, [])]  # a beam of products, since masks are independent
    for guesses in named:
        both = ((total * score, [*words, word]) for total, words in best for word, score in guesses)
        best = nlargest(n, both, key=lambda pair: pair[0])
    return {
        "filled_texts": [_put_in(parts, words) for _, words in best],
        "scores": [score for score, _ in best],
        "masks": [
            {"tokens": [word.strip() for word, _ in guesses], "scores": [score for _, score in guesses]}
            for guesses in named
        ],
    }


def as_written(tokenizer: PreTrainedTokenizerBase, token: int) -> str:
    """Return a token as it is written after another one: with a space in front if it begins a word."""
    special = set(special_ids(tokenizer).tolist())
    other = next(i for i in range(len(tokenizer)) if i not in special)
    before, after = (tokenizer.decode(ids, clean_up_tokenization_spaces=False) for ids in ([other], [other, token]))
    return str(after[len(before) :])


def _put_in(parts: list[str], words: list[str]) -> str:
    """Put words between the parts of a text; a piece that continues a word is joined to it."""
    text = parts[0]
    for word, part in zip(words, parts[1:], strict=True):
        text = (text if word.startswith(" ") else text.rstrip()) + word.strip() + part
    return text
