"""Train on weighted means of pairs of rows, and of their losses."""

from abc import abstractmethod
from typing import Any

import numpy as np
import torch
from scipy.special import betaincinv  # type: ignore[import-untyped]

from blurr.config.annotations import Positive
from blurr.config.combinations import MIXED_TWICE
from blurr.errors import InputError
from blurr.loading.draws import SEEDS, Stream, uniform
from blurr.loading.rows import ROW_WEIGHT
from blurr.models.losses import PRECALCULATED, MixedLoss
from blurr.training.callbacks.base import ORDER, TrainingCallback
from blurr.training.callbacks.gradient_accumulation import count_targets
from blurr.training.shares import is_shared, whole_batch

STEPS = 4096  # quantiles of a distribution that shares are drawn from
TARGETS = "targets"
DRAWS = 4  # numbers from each seed: order of the rows, share, and place of a box


class Mixing(TrainingCallback):
    """Mix each row of a training batch with another one of it, and the losses of their targets by the same share.

    The share is drawn once for a batch, as in the papers: so the loss of a batch is the mean of two losses, each as it
    is without mixing, with its class weights, smoothing or weights of rows. The learning rate finder, validation and
    predicting see rows as they are. `train/loss` is the mixed loss, which training minimises.

    Args:
        alpha: Shape of the beta distribution that shares are drawn from: small is mostly one of both rows, 1 is any
            share alike.

    Raises:
        InputError: when training begins, if another callback mixes; at the first batch, if its inputs cannot be mixed.
    """

    order = ORDER["Mixing"]
    run_valid = False

    def __init__(self, alpha: Positive) -> None:
        self.alpha = alpha
        middles = (np.arange(STEPS) + 0.5) / STEPS
        self.quantiles = torch.from_numpy(betaincinv(alpha, alpha, middles)).float()

    @abstractmethod
    def mix(self, x: torch.Tensor, other: torch.Tensor, drawn: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the mixed inputs, and the share of `x` in them, which has no dimension.

        Args:
            x: Inputs of the rows, `(batch, …)`.
            other: Inputs of the row that each is mixed with.
            drawn: Numbers in [0, 1), `(DRAWS,)`.
        """

    def share(self, drawn: torch.Tensor) -> torch.Tensor:
        """Return a share from the beta distribution, for a number in [0, 1)."""
        return self.quantiles.to(drawn.device)[(drawn * STEPS).long()]

    def before_fit(self) -> None:
        super().before_fit()
        self._restore()  # a fit that was broken off has not

    def before_train(self) -> None:
        super().before_train()
        loss = self.learn.loss_func
        if isinstance(loss, MixedLoss):
            raise InputError(MIXED_TWICE)
        if isinstance(loss, PRECALCULATED):
            loss.precalculated = None  # of the last validation: the model knows one target for each row
        self.learn.loss_func = MixedLoss(loss)

    def before_batch(self) -> None:
        learn = self.learn
        x, names = learn.xb[0], learn.dls.train_ds.names
        self._check(x, names.main, learn.yb)
        read = {name: x[name] for name in (SEEDS, names.main, names.mask, ROW_WEIGHT) if name in x}
        whole, mine = whole_batch(learn, {**read, TARGETS: learn.yb[0]})  # a partner may be of another process
        drawn = uniform(whole[SEEDS], DRAWS, Stream.MIX)
        partners = drawn[:, 0].argsort(stable=True)[mine]
        mixed, share = self.mix(x[names.main], whole[names.main][partners], drawn[0])
        masks = {names.mask: torch.maximum(x[names.mask], whole[names.mask][partners])} if names.mask in x else {}
        learn.xb = ({**x, names.main: mixed, **masks},)
        learn.loss_func.partners, learn.loss_func.share = partners, share
        if is_shared(learn):
            weights = whole[ROW_WEIGHT][partners] if ROW_WEIGHT in x else None
            self._take_others(x.get(ROW_WEIGHT), learn.yb[0], whole[TARGETS][partners], weights)

    def _take_others(
        self, own: torch.Tensor | None, targets: torch.Tensor, others: torch.Tensor, weights: torch.Tensor | None
    ) -> None:
        """Hand the loss targets of rows of other processes, whose mean counts by what it divides by.

        Args:
            own: Weights of the rows of this process; None where rows have none.
            targets: Of these.
            others: Targets of the rows that they are mixed with.
            weights: Weights of those.
        """
        loss = self.learn.loss_func
        loss.others = others, weights
        pairs = ((targets, own), (others, weights))
        counts = [count_targets(loss.func, of) if weighs is None else weighs.sum() for of, weighs in pairs]
        loss.factor = float(counts[1] / counts[0])

    def _check(self, x: Any, main: str, targets: Any) -> None:
        """Refuse what cannot be mixed.

        Raises:
            InputError: the inputs are ids, rows have several targets, or the loader gives no seeds.
        """
        if not isinstance(x.get(main), torch.Tensor) or not x[main].is_floating_point():
            raise InputError(
                f"callbacks=[{self.name}] takes means of inputs, such as pixels; the {main or 'inputs'} of these rows "
                f"are no numbers that have a mean. Leave {self.name} out."
            )
        shape = list(targets[0].shape) if targets else []
        if len(shape) != 1 and not (len(shape) == 2 and targets[0].is_floating_point()):
            raise InputError(
                f"callbacks=[{self.name}] needs one class, several labels or a number for each row; these rows have "
                f"targets of the shape {shape}. Leave {self.name} out."
            )
        if SEEDS not in x:
            raise InputError(
                f"callbacks=[{self.name}] draws from the seeds of training rows, and these have none. Make the loaders "
                "with a task of blurr's, or set is_drawn in the class of your rows."
            )

    def after_train(self) -> None:
        self._restore()

    def after_fit(self) -> None:
        self._restore()

    def _restore(self) -> None:
        if isinstance(self.learn.loss_func, MixedLoss):
            self.learn.loss_func = self.learn.loss_func.func


class Mixup(Mixing):
    """Train on weighted means of two rows, Zhang et al. 2018, arXiv:1710.09412; see `Mixing`."""

    def __init__(self, alpha: Positive = 0.2) -> None:
        super().__init__(alpha)

    def mix(self, x: torch.Tensor, other: torch.Tensor, drawn: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        share = self.share(drawn[1])
        return torch.lerp(other, x, share), share
