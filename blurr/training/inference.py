"""Run a model over items to predict on, so that each has one answer, alone and in a batch."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from numbers import Number
from typing import Any

import numpy as np
import pandas as pd
import torch
from fastai.learner import Learner

from blurr.errors import InputError
from blurr.loading.dataloader import RowsDL
from blurr.loading.rows import EncodedRows, Inputs, by_row, in_order
from blurr.models.ctc import is_ctc, real_frames
from blurr.models.generation import first_steps, tokenizer_of
from blurr.models.wrapper import BaseModelWrapper, logits_of

Result = dict[str, Any]
WATCHER: ContextVar[Callable[[float], None]] = ContextVar("WATCHER", default=lambda share: None)


def as_items(items: Any) -> list[Any]:
    """Return a list of items: of one item or many, a DataFrame, a Series, a Dataset.

    A string, a tuple (a sentence pair), a dict, bytes and an array of numbers (a picture) are one item each.

    Raises:
        InputError: an item is null or a number.
    """
    is_array = isinstance(items, np.ndarray) and items.ndim > 0 and items.dtype.kind in "biuf"
    if is_array or isinstance(items, str | bytes | tuple | Mapping) or not isinstance(items, Iterable):
        items = [items]
    elif isinstance(items, pd.DataFrame):
        items = items.to_dict("records")
    else:
        items = list(items)
    rows: list[Any] = items
    for i, item in enumerate(rows):
        if item is None or isinstance(item, Number):
            raise InputError(
                f"Item {i} is {item!r}; an item is a text, a pair of texts, a file, or a dict of the columns."
            )
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
            done = [result for x, *_ in _watched(dl) for result in step(_without_labels(x))]
    finally:
        learn.model.train(was_training)
    results = in_order(dl.get_idxs(), done)
    return by_row(dl.dataset, results, len(rows)) if isinstance(dl.dataset, EncodedRows) else [[r] for r in results]


@contextmanager
def watched(by: Callable[[float], None]) -> Iterator[None]:
    """Call `by` with the share of the items that are done, after each batch of an inference in the block."""
    token = WATCHER.set(by)
    try:
        yield
    finally:
        WATCHER.reset(token)


def _watched(dl: RowsDL) -> Iterator[Any]:
    for number, batch in enumerate(dl, start=1):
        yield batch
        WATCHER.get()(number / max(len(dl), number))


def _without_labels(x: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in x.items() if k != "labels"}


log = logging.getLogger(__name__)
ROUNDINGS = 8  # tolerated difference of a logit, in units of the dtype's rounding
GROWTH = 2  # try again once rows are this many times as long as the longest tried


def batch_fairly(learn: Learner, dl: Any) -> None:
    """Batch rows of one length if pads change the model's output, so that a row has one answer, alone or in a batch.

    Some models read pads (FNet mixes all tokens), others count positions from the first column (BART as a causal
    language model, whose prompts are padded on the left). The shortest and the longest row of a loader are compared.

    Args:
        learn: Its model is tried; it must be in eval mode.
        dl: A loader of rows to evaluate or predict on; other loaders, and lists of batches, are not changed.
    """
    wrapper = learn.model
    if not isinstance(dl, RowsDL) or not isinstance(wrapper, BaseModelWrapper) or dl.shuffle or not dl.n:
        return
    if not wrapper.reads_pads:
        lengths = dl.row_lengths()
        short, long = int(lengths.argmin()), int(lengths.argmax())
        if lengths[short] < lengths[long] > GROWTH * wrapper.tried_length:
            wrapper.reads_pads = _reads_pads(wrapper, dl, short, long)
            wrapper.tried_length = int(lengths[long])
    if wrapper.reads_pads:
        dl.batch_by_length()


def _reads_pads(wrapper: BaseModelWrapper, dl: RowsDL, short: int, long: int) -> bool:
    """Compare the output for the shorter of two rows, alone and padded to the longer."""
    device = next(wrapper.parameters()).device
    alone, together = (_inputs(dl, rows, device) for rows in ([short], [short, long]))
    main, mask = dl.dataset.names.main, dl.dataset.names.mask
    if mask and together[mask].ndim != 2:
        return False  # packed rows have masks of another form, see `check_packing`
    if mask and not together[main].is_floating_point():
        # a masked language model may hide other tokens in another batch
        alone[main][alone[mask].bool()] = together[main][0][together[mask][0].bool()]
    moved = _moved(wrapper, dl, alone, together)
    # pads that are read move a logit far more than rounding does
    if moved <= max(wrapper.rounding, ROUNDINGS * torch.finfo(wrapper.hf_model.dtype).eps):
        return False
    log.warning(
        "%s reads the pads of a batch: they move its logits by %.1g of the largest. So rows of one length make a batch "
        "in evaluation and prediction, and a row has the same answer alone and in a batch.",
        type(wrapper.hf_model).__name__,
        moved,
    )
    return True


def _inputs(dl: RowsDL, rows: list[int], device: torch.device) -> Inputs:
    batch = next(iter(dl.create_batches(iter([np.array(rows, dtype=np.int64)]))))[0]
    return {name: values.to(device) for name, values in batch.items() if name != "labels" and torch.is_tensor(values)}


def _moved(wrapper: BaseModelWrapper, dl: RowsDL, alone: Inputs, together: Inputs) -> float:
    """Return the largest difference between logits of the first row, relative to its largest logit."""
    if wrapper.hf_model.can_generate() and not is_ctc(wrapper.hf_model):
        steps = [first_steps(wrapper.hf_model, tokenizer_of(dl.tokenizer), x) for x in (alone, together)]
    else:
        steps = [[_logits_of_first(wrapper, x, dl.dataset.names.mask)] for x in (alone, together)]
    largest = 0.0
    for one, other in zip(*steps, strict=False):
        if is_ctc(wrapper.hf_model):  # frames of pads that nothing tells from others follow the row's own
            other = other[: len(one)]
        largest = max(largest, float((one - other).abs().max() / one.abs().max().clamp(min=1e-9)))
        if not torch.equal(one.argmax(-1), other.argmax(-1)):
            break  # after different tokens, logits say nothing about pads
    return largest


def _logits_of_first(wrapper: BaseModelWrapper, x: Inputs, mask: str) -> torch.Tensor:
    """Return the logits of a batch's first row, without those of pads."""
    known = {name: values for name, values in x.items() if name in wrapper.known}
    logits = logits_of(wrapper.hf_model(**known, return_dict=True))[0].float()
    if is_ctc(wrapper.hf_model):
        return logits[: int(real_frames(wrapper.hf_model, x.get(mask), logits[None])[0])]
    real = x[mask][0].bool() if mask else None
    return logits[real] if real is not None and logits.ndim == 2 and len(logits) == len(real) else logits
