"""Run a model over items to predict on."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Number
from typing import Any

import pandas as pd
import torch
from fastai.learner import Learner

from blurr.errors import InputError
from blurr.loading.rows import EncodedRows, Inputs, by_row, in_order
from blurr.training.padding import batch_fairly

Result = dict[str, Any]


def as_items(items: Any) -> list[Any]:
    """Return a list of items: of one item or many, a DataFrame, a Series, a Dataset.

    A string, a tuple (a sentence pair) and a dict are one item each.

    Raises:
        InputError: an item is null or a number.
    """
    if isinstance(items, str | tuple | Mapping) or not isinstance(items, Iterable):
        items = [items]
    elif isinstance(items, pd.DataFrame):
        items = items.to_dict("records")
    else:
        items = list(items)
    rows: list[Any] = items
    for i, item in enumerate(rows):
        if item is None or isinstance(item, Number):
            raise InputError(f"Item {i} is {item!r}; an item is a text, a pair of texts, or a dict of the columns.")
    return rows


def infer(learn: Learner, items: Any, step: Callable[[Inputs], Sequence[Any]], *, bs: int | None = None) -> list[Any]:
    """Run `step` over batches of items, in eval mode without gradients; return its results in the items' order.

    Args:
        learn: A learner.
        items: see `as_items`.
        step: makes one result per row of a batch of inputs, on the model's device.
        bs: rows in a batch; `None` takes that of the validation loader.
    """
    return [parts[0] for parts in infer_windows(learn, items, step, bs=bs)]


def infer_windows(
    learn: Learner, items: Any, step: Callable[[Inputs], Sequence[Any]], *, bs: int | None = None
) -> list[list[Any]]:
    """Do the same where an item may become several windows: return a list of results per item."""
    rows = as_items(items)
    if not rows:
        return []
    size = {} if bs is None else {"bs": bs, "max_tokens": None}
    dl = learn.dls.test_dl(rows, num_workers=0, **size)
    dl.to(next(learn.model.parameters()).device)
    was_training = learn.model.training
    learn.model.eval()
    try:
        with torch.inference_mode():
            batch_fairly(learn, dl)
            done = [result for x, *_ in dl for result in step(_without_labels(x))]
    finally:
        learn.model.train(was_training)
    results = in_order(dl.get_idxs(), done)
    return by_row(dl.dataset, results, len(rows)) if isinstance(dl.dataset, EncodedRows) else [[r] for r in results]


def _without_labels(x: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in x.items() if k != "labels"}
