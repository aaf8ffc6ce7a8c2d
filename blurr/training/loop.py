"""Run fastai's loop with less overhead per step: the same events in the same order, without waiting for the device."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from fastai.callback.core import Callback, CancelEpochException, TrainEvalCallback
from fastai.callback.training import GradientClip
from fastai.learner import CastToTensor, Learner, Recorder
from fastai.torch_core import defaults
from torch import nn

from blurr.config.annotations import Count, Natural
from blurr.training.callbacks.base import ORDER
from blurr.training.callbacks.gradient_accumulation import batches_per_step
from blurr.training.distributed import current, from_first, unknown_to_fastai
from blurr.training.optimizers import clip_gradients

# The events of every batch. The others are rare, and fastai's own dispatch is fast enough for them.
OF_A_BATCH = {
    *("before_batch", "after_pred", "after_loss", "before_backward", "after_cancel_backward", "after_backward"),
    *("before_step", "after_step", "after_cancel_batch", "after_batch"),
}


class Dispatch:
    """Find once, not eight times a batch, which callbacks handle an event, and in which order."""

    def __init__(self) -> None:
        self._callbacks: list[Callback] = []
        self._answers: dict[str, list[tuple[Callback, Callable[[], Any]]]] = {}

    def __call__(self, learner: Learner, name: str) -> None:
        """Call the callbacks that handle the event and are not switched off, as `Callback.__call__` does."""
        if self._callbacks != learner.cbs.items:
            self._callbacks = list(learner.cbs.items)
            self._answers = {}
        if name not in self._answers:
            self._answers[name] = self._find(name)
        for callback, answer in self._answers[name]:
            if callback.run and (callback.run_train if learner.training else callback.run_valid):
                answer()

    def _find(self, name: str) -> list[tuple[Callback, Callable[[], Any]]]:
        ordered = sorted(self._callbacks, key=lambda callback: callback.order)
        return [(callback, getattr(callback, name)) for callback in ordered if hasattr(callback, name)]

    def __reduce__(self) -> tuple[type["Dispatch"], tuple[()]]:
        return Dispatch, ()  # an export does not need the cached answers


class LazyRecorder(Recorder):  # type: ignore[misc]  # fastai is not typed
    """fastai's Recorder, except that the losses of the steps stay on their device until they are read.

    What a fit has recorded stays until the next fit: fastai's own forgets it when the learner predicts or validates.
    """

    name = "recorder"
    order = ORDER["LazyRecorder"]

    def before_fit(self) -> None:
        recorded = {name: value for name, value in self.__dict__.items() if name in self._stateattrs}
        super().before_fit()
        if not self.learn.is_fitting:
            self.__dict__.update(recorded)

    def after_validate(self) -> None:
        if current().is_first:  # of several processes, which has seen the predictions of all
            super().after_validate()
        self.log = from_first(lambda: self.log)

    def after_epoch(self) -> None:
        if self.learn.is_fitting:
            super().after_epoch()
        else:
            self.learn.final_record = self.log[1:].copy()

    def after_batch(self) -> None:
        learn = self.learn
        if not learn.training or self.train_metrics or not len(learn.yb):
            super().after_batch()
            return
        smooth, loss = self.smooth_loss, learn.loss.detach()
        smooth.count += 1
        smooth.val = torch.lerp(loss if loss.ndim == 0 else loss.mean(), smooth.val.to(loss.device), smooth.beta)
        learn.smooth_loss = smooth.value
        self.losses.append(learn.smooth_loss)
        self.lrs.append(learn.opt.hypers[-1]["lr"])

    def after_fit(self) -> None:
        if self.losses:
            self.losses: list[torch.Tensor] = list(torch.stack(self.losses).cpu())


class LeanTrainEval(TrainEvalCallback):  # type: ignore[misc]  # fastai is not typed
    """fastai's TrainEvalCallback, which also says what share of a fit is done where its length is a number of steps."""

    name = "train_eval"

    def before_train(self) -> None:
        done = self.learn.pct_train
        super().before_train()
        if self.learn.steps_of_fit is not None:
            self.learn.pct_train = done  # an epoch is no whole part of the fit

    def after_batch(self) -> None:
        learn = self.learn
        if learn.steps_of_fit is None:
            learn.pct_train += 1.0 / (learn.n_iter * learn.n_epoch)
        else:
            learn.pct_train = (
                learn.steps_taken + 1
            ) / learn.steps_of_fit  # of several batches, GradientAccumulation knows
        learn.train_iter += 1


@dataclass(frozen=True)
class Steps:
    """The length of a fit in optimizer steps, where fastai takes a number of epochs.

    Args:
        number: steps, each after the gradients of its batches are added up.
    """

    number: Count


@dataclass
class Place:
    """A position in a schedule, between two batches.

    Args:
        fit: number of the call of `fit`, from 0.
        epoch: number of the epoch in that fit, from 0.
        batch: number of the next batch in that epoch.
    """

    fit: Natural = 0
    epoch: Natural = 0
    batch: Natural = 0


class LeanLearner(Learner):  # type: ignore[misc]  # fastai is not typed
    """A Learner with less than half of fastai's overhead per step, and exactly the same weights.

    Attributes:
        fits: calls of `fit` so far.
        max_grad_norm: what gradients are clipped to before each optimizer step; None leaves them as they are. A
            `GradientClip` among the callbacks counts instead.
        steps_of_fit: optimizer steps of the fit at hand, where they count in place of epochs.
        is_fitting: whether `fit` runs; fastai calls the events of a fit when it predicts and validates, too.
        start: where a resumed training begins; everything before is skipped. A callback restores the state there.
    """

    n_epoch: int
    pct_train: float
    xb: Sequence[Any]
    yb: Sequence[Any]
    is_fitting = False
    steps_of_fit: int | None = None
    max_grad_norm: float | None = None
    clipped: Sequence[nn.Parameter] = ()  # whose gradients are clipped, during a pass over the training rows
    inputs_of_batch: int | None = None  # how many parts of a batch are inputs, during a pass over a loader
    device_of_pass: torch.device | None = None  # of the model, during a pass over a loader

    def __init__(self, *args: Any, cbs: Any = None, default_cbs: bool = True, **kwargs: Any) -> None:
        self.dispatch, self.fits, self.start = Dispatch(), 0, Place()
        ours = {Recorder: LazyRecorder, TrainEvalCallback: LeanTrainEval}
        # blurr's batches are plain tensors, which CastToTensor would only check
        known = [ours.get(cb, cb) for cb in defaults.callbacks if cb is not CastToTensor]
        usual = known if default_cbs else []
        super().__init__(*args, cbs=[*usual, *(cbs or [])], default_cbs=False, **kwargs)

    def __call__(self, event_name: str | list[str]) -> None:
        if isinstance(event_name, str) and event_name in OF_A_BATCH:
            self.dispatch(self, event_name)
        else:
            super().__call__(event_name)

    def fit(self, n_epoch: int | Steps, *args: Any, **kwargs: Any) -> None:
        """Train, unless the checkpoint of a resumed training lies after this fit."""
        self.fits += 1
        if self.fits > self.start.fit:
            self.is_fitting = True
            self.steps_of_fit = n_epoch.number if isinstance(n_epoch, Steps) else None
            try:
                super().fit(epochs_of(n_epoch, self), *args, **kwargs)
            finally:
                self.is_fitting, self.steps_of_fit = False, None

    def save(self, *args: Any, **kwargs: Any) -> Any:
        """Save the weights as fastai does, in whichever of several processes."""
        with unknown_to_fastai():
            return super().save(*args, **kwargs)

    def load(self, *args: Any, **kwargs: Any) -> Any:
        """Load weights as fastai does, in whichever of several processes."""
        with unknown_to_fastai():
            return super().load(*args, **kwargs)

    def _do_fit(self) -> None:
        epoch = self.start.epoch if self.fits == self.start.fit + 1 else 0
        while epoch < self.n_epoch:
            self.epoch, done = epoch, self.pct_train
            self._with_events(self._do_epoch, "epoch", CancelEpochException)
            epoch += 1
            if self.steps_of_fit is not None:
                if self.steps_taken >= self.steps_of_fit or self.pct_train <= done:
                    return  # the second: something ends each epoch before its first step
                self.n_epoch = max(self.n_epoch, epoch + 1)  # with max_tokens, some epochs have fewer batches

    @property
    def steps_taken(self) -> int:
        """Optimizer steps of the fit at hand so far, where they count; a checkpoint restores `pct_train`."""
        return round(self.pct_train * (self.steps_of_fit or 0))

    def _step(self) -> None:
        # here, and not in a callback: after accumulation, unscaling and all else that callbacks do before a step
        if self.max_grad_norm is not None and self.clipped:
            clip_gradients(self.clipped, self.max_grad_norm)
        super()._step()

    def all_batches(self) -> None:
        first, self.start = (self.start.batch, Place()) if self.training else (0, self.start)
        in_all = self.n_iter = len(self.dl)
        if self.training and self.steps_of_fit is not None:
            left = (self.steps_of_fit - self.steps_taken) * batches_per_step(self.cbs)
            self.n_iter = min(in_all, first + left)
        # one that is read to its end goes on to its next epoch by itself
        batches = self.dl if self.n_iter == in_all else islice(self.dl, self.n_iter - first)
        # looked up once, not for every batch
        self.device_of_pass, self.inputs_of_batch = next(self.model.parameters()).device, None
        self.clipped = self._to_clip() if self.training else ()
        try:
            for number, batch in enumerate(batches, first):
                self.one_batch(number, batch)
        finally:
            self.device_of_pass, self.inputs_of_batch, self.clipped = None, None, ()
        if self.n_iter < in_all:
            self.dl.after_iter()

    def _to_clip(self) -> Sequence[nn.Parameter]:
        if any(isinstance(callback, GradientClip) for callback in self.cbs):
            return ()
        return [weight for weight in self.model.parameters() if weight.requires_grad]

    def _split(self, b: Any) -> None:
        if self.inputs_of_batch is None:
            super()._split(b)
            self.inputs_of_batch = None if self.device_of_pass is None else len(self.xb)
        else:
            self.xb, self.yb = b[: self.inputs_of_batch], b[self.inputs_of_batch :]

    def _set_device(self, b: Any) -> Any:
        device, x = self.device_of_pass or next(self.model.parameters()).device, b[0]
        there = isinstance(x, dict) and all(v.device == device for v in x.values() if isinstance(v, torch.Tensor))
        return b if there else super()._set_device(b)


def epochs_of(length: int | Steps, learner: Learner) -> int:
    """Return how many epochs a fit begins."""
    if not isinstance(length, Steps):
        return length
    return -(-length.number // steps_per_epoch(learner))


def steps_per_epoch(learner: Learner) -> int:
    """Return the optimizer steps of the coming epoch."""
    return max(1, -(-len(learner.dls.train) // batches_per_step(learner.cbs)))
