"""Run a frozen body once for each row, and reuse what it gives the head in the epochs that follow."""

import inspect
import logging
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Literal

import torch
from fastai.callback.core import Callback
from fastai.learner import Learner
from torch import nn
from transformers.utils.generic import ModelOutput

from blurr.config.annotations import Positive
from blurr.errors import InputError
from blurr.models.wrapper import logits_of

log = logging.getLogger(__name__)
Features = dict[str, torch.Tensor]  # of one row: `(hidden,)`, or `(tokens, hidden)` without pads
Share = Literal["nothing", "first token", "all"]  # what a head reads of a field of the body's output
TOLERANCE = 1e-5  # by which the loss may move for the pads' sake


class CacheFrozenFeatures(Callback):  # type: ignore[misc]  # fastai is not typed
    """Keep what a frozen body gives for each row, of training and validation, while a fit goes on.

    The body is in eval mode meanwhile: with dropout it would give something else each time. Only what the head reads is
    kept: 4 bytes for each number, so with 768 of them to a token, 3 KB a row where the head reads the pooled output or
    the first token, and 3 KB a token where it reads all. Rows are told by their token ids, so that a row whose tokens
    change, as masks do, is run anew. In a fit that trains the body, after one that did not, nothing is kept. A resumed
    run runs the body anew, in other batches, so that its weights differ in the last digits.

    Args:
        gigabytes: of memory at the most, on the model's device; the body is run each time for rows beyond it.

    Raises:
        InputError: in the first fit the body is trained, or there is no telling it from the head; or the head reads
            what stands at pads.
    """

    order = 0  # after the inputs are ready, before another precision begins

    def __init__(self, gigabytes: Positive = 4.0) -> None:
        self.gigabytes = gigabytes
        self.frozen: FrozenBody | None = None
        self.has_kept = False

    def before_fit(self) -> None:
        self.after_fit()  # a fit that was broken off has left things as they were

    def before_train(self) -> None:
        if self.frozen is None and not hasattr(self.learn, "lr_finder"):
            self._begin(body_of(self.model.hf_model))
        if self.frozen is not None:
            self.frozen.body.eval()

    def _begin(self, body: nn.Module) -> None:
        if not any(p.requires_grad for p in body.parameters()):
            self.frozen, self.has_kept = FrozenBody(body, int(self.gigabytes * 2**30)), True
        elif not self.has_kept:
            raise InputError(
                "callbacks=[cache_frozen_features] has nothing to keep: the schedule trains the body from the start. "
                "Choose schedule=fine_tune or gradual_unfreezing, or set schedule.freeze=true."
            )

    def before_batch(self) -> None:
        frozen = self.frozen
        if frozen is None or not self.training or frozen.is_tried:
            return
        if not frozen.reads:
            frozen.kind, frozen.reads = fields_read(self.model, frozen.body, self.xb[0])
        frozen.is_tried = not bool(real_tokens(self.xb[0]).all())
        if frozen.is_tried or not frozen.kept:
            self._compare(frozen)

    def _compare(self, frozen: "FrozenBody") -> None:
        """Refuse a head that makes something else of features without those of pads."""
        frozen.restore()
        self.model.eval()
        with torch.no_grad():
            plain = _loss(self.learn)
            frozen.replace()
            reused = _loss(self.learn)
        self.model.train()
        frozen.body.eval()
        if abs(plain - reused) > TOLERANCE * max(1.0, abs(plain)):
            frozen.restore()
            raise InputError(
                f"The head of {type(self.model.hf_model).__name__} reads what the body gives for pads, which differs "
                f"from batch to batch: the loss is {plain:.6g}, and {reused:.6g} without. Leave cache_frozen_features "
                "out."
            )

    def after_fit(self) -> None:
        if self.frozen is not None:
            self.frozen.restore()
            log.info("The frozen body was run once for %s", self.frozen)
        self.frozen = None


class FrozenBody:
    """Stands in for the body of a model, and runs it only for rows that it does not know.

    Args:
        body: whose output a head reads.
        room: bytes to keep at the most.

    Attributes:
        kind: class of the body's output.
        reads: how much of each of its fields is kept.
        is_tried: the head was found to do without what stands at pads.
    """

    def __init__(self, body: nn.Module, room: int) -> None:
        self.body, self.room = body, room
        self.run = body.forward
        self.signature = inspect.signature(body.forward)
        self.kept: dict[bytes, Features] = {}
        self.size = 0
        self.kind: type[ModelOutput] = ModelOutput
        self.reads: dict[str, Share] = {}
        self.is_tried = False

    def __str__(self) -> str:
        return f"{len(self.kept):,} rows, of which {self.size / 2**20:,.0f} MiB were kept."

    def replace(self) -> None:
        """Stand in for the body, whose place among the modules, and so in a checkpoint, is left alone."""
        self.body.forward = self.reuse

    def restore(self) -> None:
        """Let the body run again; its own `forward` is that of its class."""
        self.body.__dict__.pop("forward", None)

    def reuse(self, *args: Any, **options: Any) -> ModelOutput:
        """Take the place of `forward`."""
        bound = self.signature.bind(*args, **options)
        tensors = {name: v for name, v in bound.arguments.items() if isinstance(v, torch.Tensor)}
        real = real_tokens(tensors)
        keys = keys_of(tensors, real)
        unknown = [i for i, key in enumerate(keys) if key not in self.kept]
        if unknown:
            bound.arguments.update({name: v[unknown] for name, v in tensors.items()})
            with torch.no_grad():
                output = self.run(*bound.args, **bound.kwargs)
            fresh = dict(zip((keys[i] for i in unknown), self._taken_apart(output, real[unknown]), strict=True))
            self._keep(fresh)
        else:
            fresh = {}
        return self.kind(**self._put_together([fresh.get(key) or self.kept[key] for key in keys], real))

    def _taken_apart(self, output: Mapping[str, torch.Tensor], real: torch.Tensor) -> list[Features]:
        """Give the features of each row."""
        rows: list[Features] = [{} for _ in real]
        for name, share in self.reads.items():
            for row, values, mask in zip(rows, output[name], real, strict=True):
                if share == "first token":
                    row[name] = values[:1].clone()
                elif share == "all":
                    row[name] = values[mask] if values.ndim == 2 else values.clone()
        return rows

    def _keep(self, fresh: Mapping[bytes, Features]) -> None:
        for key, features in fresh.items():
            size = sum(v.nbytes for v in features.values())
            if self.size + size <= self.room:
                self.kept[key] = features
                self.size += size

    def _put_together(self, rows: list[Features], real: torch.Tensor) -> dict[str, torch.Tensor]:
        """Make a batch of rows, with zeros at pads."""
        fields = {}
        for name, share in self.reads.items():
            if share == "nothing":  # heads count fields from the front, so none may be missing
                fields[name] = torch.empty(len(rows), 0)
            elif share == "first token" or rows[0][name].ndim == 1:
                fields[name] = torch.stack([row[name] for row in rows])
            else:
                values = torch.cat([row[name] for row in rows])
                fields[name] = values.new_zeros(*real.shape, values.shape[-1])
                fields[name][real] = values
        return fields


def body_of(hf_model: Any) -> nn.Module:
    """Give the part of a model below its head.

    Raises:
        InputError: it has no such part.
    """
    body: nn.Module = hf_model.base_model
    if body is hf_model:
        raise InputError(
            f"{type(hf_model).__name__} has no body apart from its head, whose outputs could be kept. Leave "
            "cache_frozen_features out."
        )
    return body


def real_tokens(tensors: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Tell tokens from pads, `(batch, sequence)`."""
    mask = tensors.get("attention_mask")
    return torch.ones_like(tensors["input_ids"], dtype=torch.bool) if mask is None or mask.ndim != 2 else mask.bool()


def keys_of(tensors: Mapping[str, torch.Tensor], real: torch.Tensor) -> list[bytes]:
    """Give a digest of each row's inputs, which does not depend on how many pads there are."""
    keys = []
    masks = real.cpu().numpy()
    arrays = [v.cpu().numpy() for v in tensors.values()]
    for i, mask in enumerate(masks):
        parts = [(v[i][mask] if v.shape == masks.shape else v[i]).tobytes() for v in arrays]
        keys.append(blake2b(b"|".join(parts), digest_size=16).digest())
    return keys


def fields_read(
    model: nn.Module, body: nn.Module, x: Mapping[str, torch.Tensor]
) -> tuple[type[ModelOutput], dict[str, Share]]:
    """Find out by gradients how much of each field of the body's output the head reads.

    Args:
        model: body and head; takes `x`.
        body: its body.
        x: a batch.

    Returns:
        The class of the output, and the share of each field.

    Raises:
        InputError: the body gives lists, or the head reads something else than one vector, or one of each token.
    """
    taken: dict[str, torch.Tensor] = {}
    kinds = []

    def take(_: nn.Module, __: Any, output: ModelOutput) -> ModelOutput:
        kinds.append(type(output))
        _refuse_lists(output)
        taken.update({k: v.detach().requires_grad_() for k, v in output.items() if isinstance(v, torch.Tensor)})
        return kinds[0](**taken)

    was_training, handle = model.training, body.register_forward_hook(take)
    model.eval()
    try:
        with torch.enable_grad():
            total = logits_of(model(x)).square().sum()
        slopes = torch.autograd.grad(total, list(taken.values()), allow_unused=True)
    finally:
        handle.remove()
        model.train(was_training)
    return kinds[0], {name: _share(name, slope, x) for name, slope in zip(taken, slopes, strict=True)}


def _share(name: str, slope: torch.Tensor | None, x: Mapping[str, torch.Tensor]) -> Share:
    if slope is None:
        return "nothing"
    if slope.ndim != 2 and slope.shape[:-1] != x["input_ids"].shape:
        raise InputError(
            f"The head reads {name} of shape {tuple(slope.shape)}, which is neither a vector of each row nor one of "
            "each token. Leave cache_frozen_features out."
        )
    return "first token" if slope.ndim == 3 and not slope[:, 1:].any() else "all"


def _refuse_lists(output: ModelOutput) -> None:
    lists = [name for name, values in output.items() if isinstance(values, tuple)]
    if lists:
        raise InputError(
            f"cache_frozen_features keeps what the head reads alone, and this model is asked for {lists}. Leave it "
            "out, or the callback model_outputs."
        )


def _loss(learner: Learner) -> float:
    """Give the loss of the batch that is about to be run."""
    output = learner.model(*learner.xb)
    loss = output["loss"] if "loss" in output else learner.loss_func(logits_of(output), *learner.yb)
    return float(loss)
