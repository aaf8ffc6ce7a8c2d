"""The state of a training besides its weights, as a checkpoint keeps it."""

import random
from typing import Annotated, Any, Protocol, runtime_checkable

import numpy as np
import torch
from annotated_types import Len
from fastai.callback.fp16 import MixedPrecision
from fastai.learner import Learner
from pydantic import BaseModel, ConfigDict

from blurr.runs.parsing import Whole
from blurr.training.distributed import Ranks
from blurr.training.precision import seed_rank
from blurr.training.sharding import shared_state, whole_value

State = dict[str, Any]


@runtime_checkable
class Resumable(Protocol):
    """A callback with a state, which consists of plain values and tensors."""

    def state(self) -> State:
        """Return what `restore` needs."""
        ...

    def restore(self, state: State) -> None:
        """Restore a state; called right before the first batch of a resumed training."""
        ...


class RecorderState(BaseModel):
    """What `state_of` keeps of fastai's Recorder."""

    model_config = ConfigDict(arbitrary_types_allowed=True)
    smooth: list[int | torch.Tensor]
    losses: list[torch.Tensor]
    lists: Annotated[list[list[Any]], Len(3, 3)]


class TrainingState(BaseModel):
    """What `state_of` returns; each callback checks its own part when it is restored."""

    steps: Whole
    epochs: Whole
    loader_epoch: Whole
    progress: Annotated[list[float], Len(2, 2)]
    optimizer: dict[str, Any]
    recorder: RecorderState
    callbacks: dict[str, Any]
    scaler: list[dict[str, Any]]
    random: dict[str, Any]
    others: list[dict[str, Any]] = []  # states of the random generators of the other processes of the training


def state_of(learner: Learner, steps: int, epochs: int) -> State:
    """Return the state of a training without its weights."""
    recorder = learner.recorder
    return {
        "steps": steps,
        "epochs": epochs,
        "progress": [learner.train_iter, learner.pct_train],
        "optimizer": whole_value(learner.opt.state_dict()),
        "recorder": {
            "smooth": [recorder.smooth_loss.count, _plain(recorder.smooth_loss.val)],
            "losses": [_plain(loss) for loss in recorder.losses],
            "lists": [list(recorder.lrs), list(recorder.iters), [list(values) for values in recorder.values]],
        },
        "callbacks": {type(cb).__name__: cb.state() for cb in _with_state(learner)},
        "scaler": [cb.learn.scaler.state_dict() for cb in learner._grab_cbs(MixedPrecision)],
        "random": random_state(),
    }


def restore(learner: Learner, state: State) -> None:
    """Restore the state that `state_of` returned."""
    learner.train_iter, learner.pct_train = state["progress"]
    learner.opt.load_state_dict(shared_state(state["optimizer"], learner.opt))
    recorder, kept = learner.recorder, state["recorder"]
    recorder.smooth_loss.count, recorder.smooth_loss.val = kept["smooth"]
    recorder.losses = kept["losses"]
    recorder.lrs, recorder.iters, recorder.values = kept["lists"]
    for callback in _with_state(learner):
        callback.restore(state["callbacks"][type(callback).__name__])
    for callback, scaler in zip(learner._grab_cbs(MixedPrecision), state["scaler"], strict=True):
        callback.learn.scaler.load_state_dict(scaler)
    set_random_state(state["random"])  # last, because a callback may draw numbers when it is restored


def _plain(value: Any) -> torch.Tensor:
    """Return a tensor without fastai's subclass, which `torch.load(weights_only=True)` refuses."""
    return torch.as_tensor(value).detach().as_subclass(torch.Tensor)


def _with_state(learner: Learner) -> list[Any]:
    # asks the class, because a fastai callback passes for having every attribute of its learner
    return [cb for cb in learner.cbs if issubclass(type(cb), Resumable)]


def random_state() -> State:
    """Return the states of the random generators of Python, NumPy and torch, on every device."""
    kind, keys, *rest = np.random.get_state(legacy=True)
    return {
        "python": random.getstate(),
        "numpy": [str(kind), torch.from_numpy(np.asarray(keys).astype(np.int64)), *rest],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def random_state_for(ranks: Ranks, state: State) -> State:
    """Return the states of the random generators with which a process goes on; a new one's begin anew, by its number.

    Args:
        ranks: which process this is.
        state: of the training, as `state_of` returned it.
    """
    kept = [state["random"], *state.get("others", [])]
    if ranks.world == len(kept) or ranks.is_first:
        return dict(kept[ranks.rank])
    seed_rank(ranks, state["steps"])
    return random_state()


def set_random_state(state: State) -> None:
    """Restore the states that `random_state` returned."""
    random.setstate(state["python"])
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    if state["cuda"]:
        torch.cuda.set_rng_state_all(state["cuda"])
