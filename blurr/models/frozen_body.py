"""A model's frozen body that is run once per row, and what a head reads of its outputs."""

import inspect
from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any, Literal

import torch
from torch import nn
from transformers.utils.generic import ModelOutput

from blurr.errors import InputError
from blurr.loading.rows import InputNames
from blurr.models.heads import label_parameters
from blurr.models.wrapper import logits_of

Features = dict[str, torch.Tensor]  # of one row: `(hidden,)`, `(tokens, hidden)` without pads, or maps of a picture
Share = Literal["nothing", "first token", "all"]  # the part of an output field that a head reads


class FrozenBody:
    """Replaces the `forward` of a body, and runs it only for rows that are not cached.

    Args:
        body: the module whose outputs the head reads.
        names: what the inputs are called.
        room: largest size of the cache in bytes.

    Attributes:
        kind: class of the body's output.
        reads: the part of each output field that is cached.
        is_tried: whether a batch with pads has shown that the head does not read them.
        varies: whether the inputs of a training row depend on the other rows of its batch.
        keeps: whether outputs are cached.
        catch_up: fills the cache before the next call.
    """

    def __init__(self, body: nn.Module, room: int, names: InputNames) -> None:
        self.body, self.room, self.names = body, room, names
        self.run = body.forward
        self.signature = inspect.signature(body.forward)  # heads pass arguments by position or by name
        self.kept: dict[bytes, Features] = {}
        self.size = 0
        self.kind: type[ModelOutput] = ModelOutput
        self.reads: dict[str, Share] = {}
        self.is_tried = self.varies = False
        self.keeps = True
        self.catch_up: Callable[[], None] | None = None

    def __str__(self) -> str:
        return f"{len(self.kept):,} rows, and {self.size / 2**20:,.0f} MiB of its outputs were kept"

    def replace(self) -> None:
        """Replace `forward` alone, so that the names of the weights, as in a checkpoint, stay the same."""
        self.body.forward = self.reuse

    def resume(self, *, keeps: bool) -> None:
        """Replace `forward` again, once it is known what the head reads."""
        self.keeps = keeps
        if self.reads:
            self.replace()

    def restore(self) -> None:
        """Restore the `forward` of the body's class."""
        self.body.__dict__.pop("forward", None)

    def reuse(self, *args: Any, **options: Any) -> ModelOutput:
        """Return the output of `forward`, from the cache where possible."""
        if self.catch_up is not None:
            catch_up, self.catch_up = self.catch_up, None
            catch_up()  # here, where autocast is on if it was then
        bound = self.signature.bind(*args, **options)
        tensors = {name: v for name, v in bound.arguments.items() if isinstance(v, torch.Tensor)}
        real = real_tokens(tensors, self.names)
        keys = keys_of(tensors, real)
        unknown = [i for i, key in enumerate(keys) if key not in self.kept]
        if unknown:
            bound.arguments.update({name: v[unknown] for name, v in tensors.items()})
            with torch.no_grad():
                output = self.run(*bound.args, **bound.kwargs)
            fresh = dict(zip((keys[i] for i in unknown), self._taken_apart(output, real[unknown]), strict=True))
            self._keep(fresh if self.keeps else {})
        else:
            fresh = {}
        return self.kind(**self._put_together([fresh.get(key) or self.kept[key] for key in keys], real))

    def _taken_apart(self, output: Mapping[str, torch.Tensor], real: torch.Tensor) -> list[Features]:
        """Split an output into the features of each row."""
        rows: list[Features] = [{} for _ in real]
        for name, share in self.reads.items():
            for row, values, mask in zip(rows, output[name], real, strict=True):
                if share == "first token":
                    row[name] = values[:1].clone()
                elif share == "all":
                    row[name] = values[mask] if values.ndim == 2 and mask.ndim == 1 else values.clone()
        return rows

    def _keep(self, fresh: Mapping[bytes, Features]) -> None:
        for key, features in fresh.items():
            size = sum(v.nbytes for v in features.values())
            if self.size + size <= self.room:
                self.kept[key] = features
                self.size += size

    def _put_together(self, rows: list[Features], real: torch.Tensor) -> dict[str, torch.Tensor]:
        """Join the features of rows into a batch, with zeros at pads."""
        fields = {}
        for name, share in self.reads.items():
            if share == "nothing":  # heads index fields by position, so none may be missing
                fields[name] = torch.empty(len(rows), 0)
            elif share == "first token" or rows[0][name].ndim == 1 or real.ndim > 2:
                fields[name] = torch.stack([row[name] for row in rows])
            else:
                values = torch.cat([row[name] for row in rows])
                fields[name] = values.new_zeros(*real.shape, values.shape[-1])
                fields[name][real] = values
        return fields


def body_of(hf_model: Any) -> nn.Module:
    """Return the part of a model below its head.

    Raises:
        InputError: the model has no such part.
    """
    body: nn.Module = hf_model.base_model
    # timm's models, which transformers wraps, have their heads within the body
    if body is hf_model or any(
        name.startswith(f"{hf_model.base_model_prefix}.") for name in label_parameters(hf_model)
    ):
        raise InputError(
            f"{type(hf_model).__name__} has no separate body whose outputs could be cached. Leave "
            "cache_frozen_features out."
        )
    return body


def _holds_the_head(hf_model: Any) -> bool:
    """Are the parameters that have a row for each label in the body, as in timm's models, which transformers wraps?"""
    return any(name.startswith(f"{hf_model.base_model_prefix}.") for name in label_parameters(hf_model))


def real_tokens(tensors: Mapping[str, torch.Tensor], names: InputNames) -> torch.Tensor:
    """Return a mask that is False at pads, `(batch, sequence)`; without pads, of the shape of the main input."""
    mask = tensors.get(names.mask)
    return torch.ones_like(tensors[names.main], dtype=torch.bool) if mask is None or mask.ndim != 2 else mask.bool()


def keys_of(tensors: Mapping[str, torch.Tensor], real: torch.Tensor) -> list[bytes]:
    """Return a digest of each row's inputs that does not depend on the number of pads."""
    keys = []
    masks = real.cpu().numpy()
    arrays = [v.cpu().numpy() for v in tensors.values()]
    for i, mask in enumerate(masks):
        # also ids of segments and positions: all that decides the outputs
        parts = [(v[i][mask] if v.shape == masks.shape else v[i]).tobytes() for v in arrays]
        keys.append(blake2b(b"|".join(parts), digest_size=16).digest())
    return keys


def fields_read(
    model: nn.Module, body: nn.Module, x: Mapping[str, torch.Tensor], main: str
) -> tuple[type[ModelOutput], dict[str, Share]]:
    """Find out by gradients which part of each field of the body's output the head reads.

    Args:
        model: body and head; takes `x`.
        body: the model's body.
        x: the inputs of a batch.
        main: name of the input whose positions the body's output has, `(batch, sequence)`; one of more dimensions, such
            as pixels, has no pads.

    Returns:
        The class of the output, and the share of each field.

    Raises:
        InputError: the body returns lists, or the head reads neither one vector per row nor one per token.
    """
    taken: dict[str, torch.Tensor] = {}
    kinds = []

    def take(_: nn.Module, __: Any, output: ModelOutput) -> ModelOutput:
        kinds.append(type(output))
        _refuse_lists(output)
        taken.update({k: v.detach().requires_grad_() for k, v in output.items() if isinstance(v, torch.Tensor)})
        return kinds[0](**taken)

    was_training, handle = model.training, body.register_forward_hook(take)  # makes the outputs leaves of the graph
    model.eval()
    try:
        with torch.enable_grad():
            total = logits_of(model(x)).square().sum()
        slopes = torch.autograd.grad(total, list(taken.values()), allow_unused=True)
    finally:
        handle.remove()
        model.train(was_training)
    return kinds[0], {name: _share(name, slope, x[main].shape) for name, slope in zip(taken, slopes, strict=True)}


def _share(name: str, slope: torch.Tensor | None, positions: torch.Size) -> Share:
    if slope is None:
        return "nothing"
    if slope.ndim != 2 and len(positions) == 2 and slope.shape[:-1] != positions:
        raise InputError(
            f"The head reads {name} of shape {tuple(slope.shape)}, which is neither one vector per row nor one per "
            "token. Leave cache_frozen_features out."
        )
    return "first token" if slope.ndim == 3 and not slope[:, 1:].any() else "all"


def _refuse_lists(output: ModelOutput) -> None:
    lists = [name for name, values in output.items() if isinstance(values, tuple)]
    if lists:
        raise InputError(
            f"cache_frozen_features caches only what the head reads, and this model returns {lists}, too. Leave out "
            "this callback or model_outputs."
        )
