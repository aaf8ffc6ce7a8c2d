"""Learning rate schedules and phases of fine-tuning, each a function that trains a learner.

`lr` is the highest rate: a number, or `slice(first, last)` for the first and the last parameter group.
`steps`, a number of optimizer steps, counts in place of epochs: the rate goes its whole way over exactly these, and
scores are computed after each whole epoch and at the end.
Momentum (Adam's beta1) changes only if `moms` is given. `freeze` trains only the head, the last group.
"""

import math
from collections.abc import Callable

from fastai.callback.schedule import ParamScheduler
from fastai.learner import Learner

from blurr.config.annotations import Count, Decay, Epochs, EpochsOrNone, Fraction, Positive
from blurr.errors import InputError
from blurr.training.learning_rate import LearningRate
from blurr.training.loop import LeanLearner, Steps

Moms = tuple[Decay, Decay, Decay]
Shape = Callable[[float], float]  # from the completed share of the training to the share of the highest rate


def one_cycle(
    learner: Learner,
    lr: LearningRate,
    *,
    epochs: Epochs = 4,
    steps: Count | None = None,
    pct_start: Fraction = 0.25,
    div: Positive = 25.0,
    div_final: Positive = 1e5,
    moms: Moms | None = None,
    freeze: bool = False,
) -> None:
    """Rise by a cosine from `lr / div` to `lr`, then fall to `lr / div_final` (Smith and Topin 2017, arXiv:1708.07120).

    Args:
        learner: the learner to train.
        lr: highest learning rate.
        epochs: passes over the training rows.
        steps: optimizer steps, in place of epochs.
        pct_start: share of the steps in which the rate rises.
        div: the first rate is `lr / div`.
        div_final: the last rate is `lr / div_final`.
        moms: momentum at the start, the peak and the end.
        freeze: train only the head.
    """
    shape = _rise_and_fall(pct_start, 1 / div, 1 / div_final)
    _fit(learner, _length(epochs, steps), lr, shape, _cycle(pct_start, moms), freeze=freeze)


def fine_tune(
    learner: Learner,
    lr: LearningRate,
    *,
    epochs: Epochs = 2,
    steps: Count | None = None,
    freeze_epochs: EpochsOrNone = 1,
    lr_mult: Positive = 100.0,
    pct_start: Fraction = 0.3,
    div: Positive = 5.0,
) -> None:
    """Train the head, then all weights, with smaller rates for earlier parameter groups, as fastai's `fine_tune` does.

    Args:
        learner: the learner to train.
        lr: learning rate of the head, halved for the second phase; a slice sets the rates of the second phase.
        epochs: passes that train all weights.
        steps: optimizer steps that train all weights, in place of epochs.
        freeze_epochs: passes that train only the head.
        lr_mult: the first group's rate is `lr / 2 / lr_mult`.
        pct_start: share of the steps of the second phase in which the rate rises.
        div: the first rate of the second phase is divided by this.
    """
    head = lr.stop if isinstance(lr, slice) else lr
    if freeze_epochs:
        learner.freeze()
        # a new head rises to its rate over the whole phase, as in fastai
        _fit(learner, freeze_epochs, head, _rise_and_fall(0.99, 1 / 25, 1e-5))
    learner.unfreeze()
    rates = lr if isinstance(lr, slice) else slice(lr / 2 / lr_mult, lr / 2)
    _fit(learner, _length(epochs, steps), rates, _rise_and_fall(pct_start, 1 / div, 1e-5))


def gradual_unfreezing(
    learner: Learner, lr: LearningRate, *, epochs: Epochs = 1, final_epochs: Epochs = 1, steps: Count | None = None
) -> None:
    """Unfreeze one parameter group at a time, from the head down (Howard and Ruder 2018, arXiv:1801.06146).

    Args:
        learner: the learner to train.
        lr: highest learning rate of each phase.
        epochs: passes of each phase except the last.
        final_epochs: passes that train all weights.
        steps: optimizer steps that train all weights, in place of `final_epochs`.
    """
    if learner.opt is None:
        learner.create_opt()
    for frozen in reversed(range(len(learner.opt.param_lists))):  # the head is the last group
        learner.freeze_to(frozen)
        _fit(learner, epochs if frozen else _length(final_epochs, steps), lr, _rise_and_fall(0.25, 1 / 25, 1e-5))


def flat_cos(
    learner: Learner,
    lr: LearningRate,
    *,
    epochs: Epochs = 4,
    steps: Count | None = None,
    pct_start: Fraction = 0.75,
    freeze: bool = False,
) -> None:
    """Keep the rate for `pct_start` of the steps, then decrease it to 0 by a cosine."""

    def shape(done: float) -> float:
        return 1.0 if done < pct_start else _cosine((done - pct_start) / (1 - pct_start))

    _fit(learner, _length(epochs, steps), lr, shape, freeze=freeze)


def linear_warmup(
    learner: Learner,
    lr: LearningRate,
    *,
    epochs: Epochs = 4,
    steps: Count | None = None,
    warmup: Fraction = 0.1,
    freeze: bool = False,
) -> None:
    """Rise linearly for `warmup` of the steps, then fall linearly to 0, the usual schedule of BERT."""

    def shape(done: float) -> float:
        return done / warmup if done < warmup else (1 - done) / max(1 - warmup, 1e-12)  # warmup may be 1

    _fit(learner, _length(epochs, steps), lr, shape, freeze=freeze)


def cosine(
    learner: Learner,
    lr: LearningRate,
    *,
    epochs: Epochs = 4,
    steps: Count | None = None,
    warmup: Fraction = 0.0,
    cycles: Count = 1,
    freeze: bool = False,
) -> None:
    """Rise linearly for `warmup` of the steps, then fall to 0 by a cosine, `cycles` times (warm restarts above 1)."""

    def shape(done: float) -> float:
        if done < warmup:
            return done / warmup
        return _cosine((done - warmup) / max(1 - warmup, 1e-12) * cycles % 1.0) if done < 1 else 0.0

    _fit(learner, _length(epochs, steps), lr, shape, freeze=freeze)


def constant(
    learner: Learner,
    lr: LearningRate,
    *,
    epochs: Epochs = 4,
    steps: Count | None = None,
    warmup: Fraction = 0.0,
    freeze: bool = False,
) -> None:
    """Rise linearly for `warmup` of the steps, then keep the rate."""
    _fit(learner, _length(epochs, steps), lr, lambda done: done / warmup if done < warmup else 1.0, freeze=freeze)


def _length(epochs: int, steps: int | None) -> int | Steps:
    return epochs if steps is None else Steps(steps)


def _fit(
    learner: Learner,
    length: int | Steps,
    lr: LearningRate,
    shape: Shape,
    momentum: Shape | None = None,
    *,
    freeze: bool = False,
) -> None:
    """Train with the highest rate of each group multiplied by `shape`.

    Raises:
        InputError: the length is in steps, and the learner is fastai's own, which counts epochs.
    """
    if isinstance(length, Steps) and isinstance(learner, Learner) and not isinstance(learner, LeanLearner):
        raise InputError(
            f"steps={length.number}: a plain Learner counts epochs. Give epochs instead, or train a Blearner."
        )
    if freeze:
        learner.freeze()
    if learner.opt is None:
        learner.create_opt()
    learner.opt.set_hyper("lr", lr)  # spreads a slice over the parameter groups
    highest = [hyper["lr"] for hyper in learner.opt.hypers]

    def rates(done: float) -> list[float]:
        share = shape(float(done))
        return [rate * share for rate in highest]

    schedule: dict[str, Callable[[float], object]] = {"lr": rates}  # a list sets the rate of each group
    if momentum is not None:
        schedule["mom"] = momentum
    learner.fit(length, lr=lr, cbs=LeanScheduler(schedule))


class LeanScheduler(ParamScheduler):  # type: ignore[misc]  # fastai is not typed
    """fastai's ParamScheduler, which asks the learner itself for what it needs at every step."""

    name = "param_scheduler"

    def before_batch(self) -> None:
        learn = self.learn
        for name, value_at in self.scheds.items():
            learn.opt.set_hyper(name, value_at(learn.pct_train))

    def after_batch(self) -> None:
        last = self.learn.opt.hypers[-1]
        for name, values in self.hps.items():
            values.append(last[name])


def _rise_and_fall(pct_start: float, first: float, last: float) -> Shape:
    def shape(done: float) -> float:
        if done < pct_start:
            return first + (1 - first) * (1 - _cosine(done / pct_start))
        return last + (1 - last) * _cosine((done - pct_start) / max(1 - pct_start, 1e-12))

    return shape


def _cycle(pct_start: float, moms: Moms | None) -> Shape | None:
    if moms is None:
        return None
    start, peak, end = moms

    def momentum(done: float) -> float:
        if done < pct_start:
            return peak + (start - peak) * _cosine(done / pct_start)
        return end + (peak - end) * _cosine((done - pct_start) / max(1 - pct_start, 1e-12))

    return momentum


def _cosine(x: float) -> float:
    """Fall from 1 to 0 by half a cosine."""
    return (1 + math.cos(math.pi * min(max(x, 0.0), 1.0))) / 2
