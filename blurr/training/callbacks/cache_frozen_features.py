"""Run a frozen body once per row, and reuse its outputs in later epochs."""

import logging
from collections.abc import Iterable, Iterator
from functools import partial

import numpy as np
import torch
from fastai.learner import Learner
from numpy.typing import NDArray
from torch import nn
from transformers.utils.generic import ModelOutput

from blurr.config.annotations import Positive
from blurr.config.combinations import CACHED_WITH_ADAPTER
from blurr.errors import InputError
from blurr.loading.bucketing import Order
from blurr.loading.dataloader import RowsDL
from blurr.loading.draws import SEEDS
from blurr.loading.rows import Batch
from blurr.models.decoder import decoder_inputs
from blurr.models.frozen_body import FrozenBody, body_of, fields_read, keys_of, real_tokens
from blurr.models.wrapper import logits_of
from blurr.training.callbacks.base import ORDER, TrainingCallback
from blurr.training.callbacks.mixup import Mixing
from blurr.training.inference import batch_fairly
from blurr.training.loop import LeanLearner
from blurr.training.state import random_state, set_random_state

log = logging.getLogger(__name__)
TOLERANCE = 1e-5  # relative change of the loss without the features of pads, from rounding alone


class CacheFrozenFeatures(TrainingCallback):
    """Cache the outputs of a frozen body for each training and validation row during a fit.

    The body stays in eval mode, because dropout would change its outputs each time. Only what the head reads is cached:
    with 768 numbers of 4 bytes per token, this is 3 KB per row if the head reads the pooled output or the first token,
    and 3 KB per token if it reads all. The key is the row's token ids; training rows whose inputs vary with their
    batch, such as masked ones, are not kept. A later fit that trains the body caches nothing. A resumed run fills its
    cache with the batches of the time before it was broken off, so that it ends with the same weights.

    Args:
        gigabytes: the largest size of the cache, on the model's device; the body runs each time for rows beyond it.

    Raises:
        InputError: the first fit trains the body, the model has no separate body, or the head reads outputs at pads.
    """

    order = ORDER["CacheFrozenFeatures"]

    def __init__(self, gigabytes: Positive = 4.0) -> None:
        self.gigabytes = gigabytes
        self.frozen: FrozenBody | None = None
        self.has_kept = False

    def before_fit(self) -> None:
        super().before_fit()
        self.after_fit()  # a fit that was broken off has not restored the body

    def before_train(self) -> None:
        super().before_train()
        if self.frozen is None:
            self._begin(body_of(self.model.hf_model))
        if self.frozen is not None:
            self.frozen.body.eval()
            self.frozen.resume(keeps=not self.frozen.varies)

    def _begin(self, body: nn.Module) -> None:
        if self.model.fixed:
            raise InputError(CACHED_WITH_ADAPTER)
        if not any(p.requires_grad for p in body.parameters()):
            train = self.dls.train
            self.frozen, self.has_kept = FrozenBody(body, int(self.gigabytes * 2**30), train.dataset.names), True
            self.frozen.varies = _changes_rows(self.learn) or inputs_vary(train)
        elif _has_skipped_fits(self.learn):
            self.has_kept = True  # before the run was broken off
        elif not self.has_kept:
            raise InputError(
                "callbacks=[cache_frozen_features] has nothing to cache: the schedule trains the body from the start. "
                "Choose schedule=fine_tune or gradual_unfreezing, or set schedule.freeze=true."
            )

    def before_batch(self) -> None:
        frozen = self.frozen
        if frozen is None or frozen.is_tried:
            return  # one batch with pads is proof enough
        is_first = not frozen.reads
        if is_first:
            self._get_ready(frozen)
        if self.training:
            frozen.is_tried = not bool(real_tokens(self.xb[0], frozen.names).all())
            if frozen.is_tried or is_first:
                self._compare(frozen)
        frozen.replace()

    def _get_ready(self, frozen: FrozenBody) -> None:
        """Find out what to cache and, at the first batch of a resumed fit, what to put into the cache first."""
        frozen.kind, frozen.reads = fields_read(self.model, frozen.body, self.xb[0], frozen.names.main)
        if self.epoch or self.iter or not self.training:
            self.model.eval()
            with torch.no_grad():
                batch_fairly(self.learn, self.dls.valid)  # now, for it compares batches that are not cached
            self.model.train(self.training)
            frozen.body.eval()
            frozen.catch_up = partial(self._catch_up, frozen)

    def _catch_up(self, frozen: FrozenBody) -> None:
        """Run the body on the batches of the fit up to here, as before the run was broken off.

        The last digits of an output depend on the other rows of its batch.
        """
        before, keeps, frozen.keeps = random_state(), frozen.keeps, True
        self.model.eval()
        with torch.no_grad():
            for inputs, *_ in self._past_batches(varies=frozen.varies):
                x = {k: v.to(self.learn.model.hf_model.device) for k, v in inputs.items()}
                self.model(decoder_inputs(x, self.model.hf_model, own_loss=False) if "labels" in x else x)
        self.model.train(self.training)
        frozen.body.eval()
        frozen.keeps = keeps
        set_random_state(before)

    def _past_batches(self, *, varies: bool) -> Iterator[Batch]:
        """Yield the batches of the fit so far, without those whose rows have all been met.

        Args:
            varies: the inputs of training rows vary, so that these were not kept.
        """
        train, valid = (dl.new(num_workers=0) for dl in (self.dls.train, self.dls.valid))
        train.chances, valid.by_length = self.dls.train.chances, self.dls.valid.by_length
        seen = np.full(train.n, varies)
        passes = self.epoch + (not self.training)  # over the training rows
        for number in range(passes + 1):
            train.epoch = self.dls.train.epoch - passes + number
            past = train.batches()[: None if number < passes else self.iter * self.training]
            train.planned = (train.epoch, train.chances, past.chosen(_with_new_rows(past, seen)))
            yield from train
            if number == 0 and self.epoch:
                yield from valid

    def _compare(self, frozen: FrozenBody) -> None:
        """Raise an InputError if the loss changes without the features of pads."""
        frozen.restore()
        outputs: list[ModelOutput] = []
        handle = frozen.body.register_forward_hook(lambda _, __, output: outputs.append(output))
        self.model.eval()  # dropout in the head would hide what the pads change
        with torch.no_grad():
            plain = _loss(self.learn)
            handle.remove()
            once = FrozenBody(frozen.body, 0, frozen.names)
            once.kind, once.reads, once.run = frozen.kind, frozen.reads, lambda *_, **__: outputs[0]
            once.replace()
            reused = _loss(self.learn)
        self.model.train()
        frozen.body.eval()
        if abs(plain - reused) > TOLERANCE * max(1.0, abs(plain)):
            frozen.restore()
            raise InputError(
                f"The head of {type(self.model.hf_model).__name__} reads the body's outputs at pads, which differ "
                f"from batch to batch: the loss is {plain:.6g} with them and {reused:.6g} without. Leave "
                "cache_frozen_features out."
            )

    def after_train(self) -> None:
        if self.frozen is not None:
            self.frozen.restore()  # before the validation, it is tried out what the body makes of pads

    def before_validate(self) -> None:
        if self.frozen is not None:
            self.frozen.resume(keeps=True)

    def after_fit(self) -> None:
        if self.frozen is not None:
            self.frozen.restore()
            log.info("The frozen body was run once for %s.", self.frozen)
        self.frozen = None


def _has_skipped_fits(learner: Learner) -> bool:
    """Does a resumed training begin after its first fits?"""
    return isinstance(learner, LeanLearner) and learner.start.fit > 0


def _changes_rows(learner: Learner) -> bool:
    """Has a training row other inputs in each epoch, drawn for it?"""
    return any(isinstance(callback, Mixing) for callback in learner.cbs)


def inputs_vary(dl: RowsDL) -> bool:
    """Has a row other inputs in another batch or epoch, as with masks, or with pictures that are changed at random?"""
    rows, epoch = max(dl.batches(), key=len), dl.epoch
    keys = []
    for number, order in enumerate((rows, rows[::-1])):
        dl.epoch = epoch + number
        inputs, *_ = dl.after_batch(next(iter(dl.create_batches(iter([order])))))
        tensors = {name: v for name, v in inputs.items() if name not in {"labels", SEEDS}}
        keys.append(sorted(keys_of(tensors, real_tokens(tensors, dl.dataset.names))))
    dl.epoch = epoch
    return keys[0] != keys[1]


def _with_new_rows(batches: Iterable[Order], seen: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the numbers of the batches that have a row which none before them has."""
    found: list[int] = []
    for number, rows in enumerate(batches):
        if not seen[rows].all():
            seen[rows] = True
            found.append(number)
    return np.array(found, np.int64)


def _loss(learner: Learner) -> float:
    """Return the loss of the current batch."""
    output = learner.model(*learner.xb)
    loss = output["loss"] if "loss" in output else learner.loss_func(logits_of(output), *learner.yb)
    return float(loss)
