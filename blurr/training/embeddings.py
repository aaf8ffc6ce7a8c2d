"""Train only the rows of an input embedding that occur in the training rows: a compact embedding.

A row whose token never occurs has no gradient. An optimizer that keeps no memory of it then only multiplies it by its
weight decay, which needs neither a gradient nor moments of the size of the vocabulary. So while the batches of an epoch
are trained, the weight is the matrix of the occurring rows, ids are mapped on their way into the embedding, and the
decays of the other rows are noted. Whoever asks for weights or optimizer state gets the full matrix, with the noted
decays applied by the operations that the optimizer would have used: the bits are the same as without all this.
"""

from typing import Any

import numpy as np
import torch
from fastai.learner import Learner
from fastai.optimizer import OptimWrapper
from torch import nn
from torch.optim import Optimizer

from blurr.loading.columns import Ragged
from blurr.loading.rows import EncodedRows
from blurr.models.wrapper import BaseModelWrapper
from blurr.training.callbacks.base import ORDER, TrainingCallback
from blurr.training.callbacks.ema import EMA
from blurr.training.compact_weight import CompactWeight, decay_of, group_of, only_decays
from blurr.training.precision import CompileModel

AT_ONCE = 1 << 22  # tokens that are looked at together: there may be billions

# -- where it is exact


def embeddings_of(model: Any) -> tuple[list[nn.Embedding], str]:
    """Return the modules that hold the input embedding of a Hugging Face model, or none and why it must stay whole."""
    if not type(model).__module__.startswith("transformers."):
        return [], "the model's code is not that of transformers"
    try:
        embedding = model.get_input_embeddings()
    except NotImplementedError:
        return [], "the model has no input embedding"
    if not isinstance(embedding, nn.Embedding):
        return [], "the input is not embedded by torch's module"
    if "MaskedLM" in type(model).__name__:
        return [], "a masked language model reads random tokens"
    weight = embedding.weight
    holders = [
        module for module in model.modules() if any(p is weight for p in module.__dict__["_parameters"].values())
    ]
    if any(type(module) is not nn.Embedding for module in holders):
        return [], "other parts of the model share its weight"
    if any(module.max_norm or module.sparse or module.scale_grad_by_freq for module in holders):
        return [], "it has options of its own"
    return holders, ""


def rows_read(rows: EncodedRows, model: Any, size: int) -> torch.Tensor:
    """Return which rows of an embedding the training reads: those of its tokens, targets and special tokens.

    And those of the inputs beside them: XLM and Flaubert embed the numbers of segments by the same matrix.

    Args:
        rows: the training rows.
        model: a Hugging Face model.
        size: of the vocabulary.
    """
    is_read = np.zeros(size, dtype=bool)
    for name in (rows.names.main, *rows.names.beside, *(["labels"] if model.config.is_encoder_decoder else [])):
        column = rows.columns.get(name)
        if isinstance(column, Ragged):
            for start in range(0, len(column.flat), AT_ONCE):
                ids = column.flat[start : start + AT_ONCE]
                is_read[ids[(ids >= 0) & (ids < size)]] = True
    special = [value for key, value in model.config.to_dict().items() if key.endswith("token_id")]
    flat = [i for value in special for i in (value if isinstance(value, list) else [value])]
    is_read[[i for i in flat if isinstance(i, int) and 0 <= i < size]] = True
    return torch.from_numpy(is_read)


def outlook(rows: EncodedRows, model: Any, optimizer: Any) -> str:
    """Say in a plan how much of the input embedding would be trained, or why all of it.

    Args:
        rows: the training rows.
        model: a Hugging Face model; its weights are not read.
        optimizer: of fastai, made for no more than one number.
    """
    modules, reason = embeddings_of(model)
    is_pure = isinstance(optimizer, OptimWrapper) and only_decays(optimizer.opt, optimizer.opt.param_groups[0])
    if not reason and not is_pure:
        reason = "the optimizer moves rows without gradients, too"
    if reason:
        return f"all rows of it are trained: {reason}"
    if not modules[0].weight.requires_grad:
        return "it is not trained, but what the adapter adds"
    size = len(modules[0].weight)
    return f"{int(rows_read(rows, model, size).sum()):,} of {size:,} rows occur, only these are trained on a CPU"


# -- in a fit


class CompactEmbeddings(TrainingCallback):
    """Reduce the input embedding while the batches of an epoch are trained, where the result is exactly the same."""

    name = "compacting"  # of the learner's attribute
    order = ORDER["CompactEmbeddings"]
    run_valid = False

    def __init__(self) -> None:
        self.compact: CompactWeight | None = None
        self.is_tried = False
        self.handles: list[Any] = []

    def before_batch(self) -> None:
        if not self.is_tried:
            self.is_tried, self.compact = True, weight_to_reduce(self.learn)
        if self.compact is not None and not self.compact.is_compact:
            if self.compact.reduce():
                self._listen(self.compact)
            else:
                self.compact = None

    def after_step(self) -> None:
        compact = self.compact
        if compact is not None and compact.is_compact and compact.ema is not None:
            rest = compact.ema.rest
            compact.changes.append(lambda weight, average: average.lerp_(weight, rest))

    def finish(self) -> None:
        """Make the embedding whole for all that follows: validation, scores, files; remove every hook."""
        if self.compact is not None:
            self.compact.restore()
        for handle in self.handles:
            handle.remove()
        self.handles.clear()

    @property
    def is_compact(self) -> bool:
        """Does the embedding have some of its rows alone?"""
        return self.compact is not None and self.compact.is_compact

    def give_up(self) -> None:
        """Make the embedding whole, and leave it so for the rest of the fit."""
        self._restore()
        self.compact = None

    def _listen(self, compact: CompactWeight) -> None:
        """Map ids, note the decays, and make the embedding whole for who asks for weights or state."""
        if self.handles:
            return
        optimizer = compact.optimizer
        for module in compact.modules:
            self.handles += [
                module.register_forward_pre_hook(self._map),
                module.register_state_dict_pre_hook(self._restore),  # type: ignore[no-untyped-call]
                module.register_load_state_dict_pre_hook(self._restore),  # type: ignore[no-untyped-call]
            ]
        self.handles += [
            optimizer.register_step_pre_hook(self._note),
            optimizer.register_state_dict_pre_hook(self._restore),
            optimizer.register_load_state_dict_pre_hook(self._restore),
        ]

    def _restore(self, *_: Any) -> None:
        if self.compact is not None:
            self.compact.restore()

    def _map(self, _: nn.Module, args: tuple[Any, ...]) -> tuple[torch.Tensor] | None:
        """Map the ids of a batch; an id that the rows do not have needs the full matrix, in training from then on."""
        compact = self.compact
        if compact is None or not compact.is_compact:
            return None
        numbers = compact.map(args[0]) if len(args) == 1 else None
        if numbers is not None:
            return (numbers,)
        compact.restore()
        if torch.is_grad_enabled():
            self.compact = None
        return None

    def _note(self, optimizer: Optimizer, *_: Any) -> None:
        """Note what the coming step does to the rows that are set aside."""
        compact = self.compact
        if compact is None or not compact.is_compact or compact.weight.grad is None:
            return
        group = group_of(compact.weight, optimizer)
        if group is None or not only_decays(optimizer, group):
            compact.restore()  # a schedule has begun to change what may not change
            self.compact = None
            return
        change = decay_of(optimizer, group)
        if change is not None:
            compact.changes.append(change)


def weight_to_reduce(learner: Learner) -> CompactWeight | None:
    """Return the input embedding of a learner's model, ready to be reduced; `None` where that would not be exact."""
    rows, wrapper = learner.dls.train.dataset, learner.model
    if not isinstance(rows, EncodedRows) or not isinstance(wrapper, BaseModelWrapper):
        return None
    modules, _ = embeddings_of(wrapper.hf_model)
    is_compiled = any(isinstance(callback, CompileModel) for callback in learner.cbs)  # it would be compiled twice
    if not modules or is_compiled or not isinstance(learner.opt, OptimWrapper):
        return None
    weight, optimizer = modules[0].weight, learner.opt.opt
    # on an accelerator, to look for unknown ids would make each step wait for the one before
    is_plain = weight.device.type == "cpu" and weight.is_floating_point() and weight.is_contiguous()
    group = group_of(weight, optimizer)
    if not is_plain or not weight.requires_grad or group is None or not only_decays(optimizer, group):
        return None
    averages = [callback for callback in learner.cbs if isinstance(callback, EMA)]
    if len(averages) > 1:
        return None
    is_read = rows_read(rows, wrapper.hf_model, len(weight))
    return CompactWeight(modules, optimizer, is_read, averages[0] if averages else None)


def make_whole(learner: Learner) -> None:
    """Make the embedding of a learner's model whole, before any callback looks at the weights of an epoch."""
    for callback in learner.cbs.filter(lambda each: isinstance(each, CompactEmbeddings)):
        callback.finish()
