"""Train on a share of each batch, so that several processes take the same steps as one would."""

from typing import Any

import torch
from fastai.callback.core import Callback
from fastai.learner import Learner

from blurr.loading.dataloader import WHOLE, RowsDL
from blurr.models.losses import LossPerTarget, count_in_validation, least_divisor
from blurr.training.batch_norm import SharedNorms
from blurr.training.callbacks.base import ORDER
from blurr.training.callbacks.gradient_accumulation import count_targets
from blurr.training.distributed import add_up, at_first, current, everywhere, from_all, interleaved, spread
from blurr.training.embeddings import CompactEmbeddings
from blurr.training.sharding import is_sharded


class ShareBatches(Callback):  # type: ignore[misc]  # fastai is not typed
    """Take a share of each batch, and make its loss that of the whole batch.

    The loss of a batch is a mean, over rows, tokens, pixels or boxes, and each process knows how many its share has.
    `learn.loss` becomes the mean over all, equal in all processes, so that they all decide alike by it. The gradients
    are scaled so that their sum over the processes is that of the whole batch.

    Passes of `get_preds` are not shared: each process makes all of them.

    Attributes:
        is_shared: The pass at hand is.
        count: How much the batch counts in the loss of a validation.
    """

    order = ORDER["ShareBatches"]

    def __init__(self) -> None:
        self.is_shared = False
        self.count = 0.0
        self.norms: SharedNorms | None = None

    def before_fit(self) -> None:
        if current().world > 1 and not is_sharded(self.model):
            spread([*self.model.parameters(), *self.model.buffers()])

    def before_train(self) -> None:
        self._share()
        if self.is_shared:
            learn = self.learn
            self.norms = SharedNorms(learn.model, lambda: learn.dl.is_spare(learn.iter))

    def before_validate(self) -> None:
        self._share()

    def after_train(self) -> None:
        self._take_whole()

    def after_validate(self) -> None:
        self._take_whole()

    def _share(self) -> None:
        ranks = current()
        predicts = hasattr(self.learn, "gather_preds")  # by which fastai tells predicting from training
        self.is_shared = ranks.world > 1 and not predicts and isinstance(self.learn.dl, RowsDL)
        if self.is_shared:
            self.learn.dl.share = (ranks.rank, ranks.world)

    def _take_whole(self) -> None:
        if self.is_shared:
            self.learn.dl.share = WHOLE
            if self.norms is not None:
                self.norms.end()
                self.norms = None
        self.is_shared = False

    def after_loss(self) -> None:
        learn = self.learn
        if not self.is_shared or not len(learn.yb):
            return
        is_spare, least = learn.dl.is_spare(learn.iter), least_divisor(learn.loss_func)
        local = learn.loss_grad if learn.loss_grad.ndim == 0 else learn.loss_grad.mean()
        targets = count_targets(learn.loss_func, learn.y).to(local.device).double() * (not is_spare)
        weight = targets if is_spare else targets.clamp(min=least)
        weighed = torch.where(weight > 0, local.detach().double() * weight, 0.0)
        counted = 0.0 if is_spare or learn.training else float(count_in_validation(learn.loss_func, learn.y))
        sums = torch.stack([targets, weighed, local.detach().double(), targets.new_tensor(counted)])
        add_up(sums)
        total = sums[0].clamp(min=least)
        mean = torch.where(total > 0, sums[1] / total, sums[2] / current().world)
        learn.loss = mean.to(local.dtype)
        # past fastai's slow __setattr__
        learn.__dict__["targets_of_batch"] = total
        self.__dict__["count"] = sums[3]
        if learn.training:
            learn.loss_grad = self._part_of_gradient(local, weight, total)

    def _part_of_gradient(self, local: torch.Tensor, weight: torch.Tensor, total: torch.Tensor) -> torch.Tensor:
        """Return the loss whose gradient is this process's part in that of the whole batch."""
        learn = self.learn
        # only rows of several targets can have none; to look waits for the device
        if learn.y.ndim > 1 and not weight and total:
            nothing: torch.Tensor = learn.pred.float().nan_to_num().sum() * 0
            return nothing  # a mean over nothing is no number, nor its gradient
        return local * torch.where(total > 0, weight / total, 1.0).to(local.dtype)


class AddUpGradients(Callback):  # type: ignore[misc]
    """Add up the gradients of all processes before each step, in one tensor of each type."""

    order = ORDER["AddUpGradients"]
    run_valid = False

    def __init__(self) -> None:
        self.flat: dict[tuple[torch.dtype, torch.device, int], torch.Tensor] = {}

    def before_step(self) -> None:
        if current().world == 1 or is_sharded(self.learn.model):  # which adds them up as they are made
            return
        agree_on_embedding(self.learn)
        groups: dict[tuple[torch.dtype, torch.device], list[torch.nn.Parameter]] = {}
        for weight in self.learn.model.parameters():
            if weight.requires_grad:
                groups.setdefault((weight.dtype, weight.device), []).append(weight)
        for weights in groups.values():
            self._add_up(weights)

    def _add_up(self, weights: list[torch.nn.Parameter]) -> None:
        """Add up the gradients of weights of one type; one that no process has stays away."""
        sizes = [weight.numel() for weight in weights]
        flat = self._flat_for(weights[0], sum(sizes) + len(sizes))
        *parts, there = torch.split(flat, [*sizes, len(sizes)])
        there.copy_(torch.tensor([float(weight.grad is not None) for weight in weights]))
        for weight, part in zip(weights, parts, strict=True):
            if weight.grad is None:
                part.zero_()
            else:
                part.view_as(weight).copy_(weight.grad)
        add_up(flat)
        is_missing = any(weight.grad is None for weight in weights)  # to look waits for the device
        known = (there > 0).tolist() if is_missing else [True] * len(weights)
        for weight, part, is_there in zip(weights, parts, known, strict=True):
            weight.grad = part.view_as(weight) if is_there else None

    def _flat_for(self, weight: torch.Tensor, size: int) -> torch.Tensor:
        key = (weight.dtype, weight.device, size)
        if key not in self.flat:
            self.flat = {each: flat for each, flat in self.flat.items() if each[:2] != key[:2]}  # of another phase
            self.flat[key] = weight.new_empty(size)
        return self.flat[key]


def agree_on_embedding(learner: Learner) -> None:
    """Have all processes train the whole embedding if one of them has met an id that its compact one lacks."""
    for callback in learner.cbs.filter(lambda each: isinstance(each, CompactEmbeddings)):
        if not everywhere(callback.is_compact) and callback.is_compact:
            callback.give_up()


class LossOverRanks(LossPerTarget):
    """The mean loss of a validation that several processes share.

    Args:
        sharing: Knows how much a batch counts.
    """

    def __init__(self, sharing: ShareBatches) -> None:
        self.sharing = sharing

    def targets_of(self, learn: Learner) -> float:
        """Return how much the loss of the whole batch counts."""
        return float(self.sharing.count) if self.sharing.is_shared else super().targets_of(learn)


def share_training(learner: Learner) -> None:
    """Have a learner train and validate together with the other processes of the training, if there are some."""
    if current().world > 1:
        sharing = ShareBatches()
        learner.recorder.loss = LossOverRanks(sharing)
        learner.add_cbs([sharing, AddUpGradients()])


def rows_at_first(learner: Learner, rows: list[Any]) -> list[Any]:
    """Return to the first process what all have found for the rows of their shares of a batch, in the batch's order."""
    if not is_shared(learner):
        return rows
    return interleaved(at_first([] if learner.dl.is_spare(learner.iter) else rows))


def shares_at_first(learner: Learner, found: Any) -> list[Any]:
    """Return to the first process what each has found for its share of a batch, if it has one."""
    if not is_shared(learner):
        return [found]
    is_spare = learner.dl.is_spare(learner.iter)
    return [each for is_real, each in at_first((not is_spare, None if is_spare else on_cpu(found))) if is_real]


def whole_batch(learner: Learner, tensors: dict[str, Any]) -> tuple[dict[str, Any], slice]:
    """Return what all processes have of a batch, and which of its rows are those of this process.

    Args:
        learner: Has just read its share of the batch.
        tensors: By name, a row for each of the share.
    """
    if not is_shared(learner):
        return tensors, slice(None)
    rank, world = learner.dl.share
    is_spare, device = learner.dl.is_spare(learner.iter), next(iter(tensors.values())).device
    parts: list[dict[str, Any]] = from_all({} if is_spare else on_cpu(tensors))
    # the first process has a row of each batch
    whole = {name: interleaved([list(part.get(name, ())) for part in parts]) for name in parts[0]}
    mine = slice(1) if is_spare else slice(rank, None, world)
    return {name: torch.stack(rows).to(device) for name, rows in whole.items()}, mine


def is_shared(learner: Learner) -> bool:
    """Does this process take a share of the batches of the pass at hand?"""
    return isinstance(learner.dl, RowsDL) and learner.dl.share != WHOLE


def on_cpu(value: Any) -> Any:
    """Return a value whose tensors any process can take, whatever its device."""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu()
    if isinstance(value, dict):
        return {key: on_cpu(each) for key, each in value.items()}
    if isinstance(value, tuple) and type(value) is not tuple:
        return type(value)(*map(on_cpu, value))  # a named one
    return type(value)(map(on_cpu, value)) if isinstance(value, list | tuple) else value
