"""Split the parameters of a model into groups, from its input to its output: by layers, or by parts of its body.

Learning rates and freezing go over groups: the first reads the input, the last is the head. A weight that two places
share belongs to the first of them. So a head may have no weights of its own, such as an output layer that is the input
embedding: then the last group is what follows the last layer, a final norm, and where nothing does, the last layer.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from transformers import PreTrainedModel

from blurr.models.heads import body_names, listed
from blurr.models.layers import units_of
from blurr.models.wrapper import BaseModelWrapper

Groups = Literal["layers", "parts"]
Splitter = Callable[[nn.Module], list[list[nn.Parameter]]]
Parts = Iterable[tuple[str, Iterable[nn.Parameter]]]
# Reads the input, wherever it is registered: all but what Gemma 3n and LFM2 call so behind their layers.
OF_INPUT = re.compile(r"(?<!un)embed(?!ding_norm)[^.]*$|(^|\.)(shared$|per_layer)")
HEAD, LAYER = "head", "layer"


@dataclass(frozen=True)
class Group:
    """Parameters that have one learning rate and are frozen together.

    Args:
        name: Of the place in the model: `embeddings`, `layer 1`, `head`, or a module, such as `transformer.ln_f`.
        parameters: Those of no earlier group.
    """

    name: str
    parameters: list[nn.Parameter]

    @property
    def size(self) -> int:
        """The number of weights."""
        return sum(parameter.numel() for parameter in self.parameters)

    @property
    def is_layer(self) -> bool:
        """Whether it is one of several layers."""
        return self.name.startswith(LAYER)


def blurr_splitter(m: nn.Module) -> list[list[nn.Parameter]]:
    """Split a model into a few groups: embeddings first, then the parts of the body in order, the head last."""
    return [group.parameters for group in parts_of(m)]


def layer_splitter(m: nn.Module) -> list[list[nn.Parameter]]:
    """Split a model into its embeddings, each of its layers in order, and its head."""
    return [group.parameters for group in layers_of(m)]


def head_splitter(m: nn.Module) -> list[list[nn.Parameter]]:
    """Split a model into its body and its head: each group costs a call of the optimizer at every step."""
    return [group.parameters for group in body_and_head_of(m)]


SPLITTERS: dict[Groups | None, Splitter] = {"layers": layer_splitter, "parts": blurr_splitter, None: head_splitter}


def groups_of(m: nn.Module, groups: Groups | None) -> list[Group]:
    """Return the groups that `SPLITTERS[groups]` makes, with their names."""
    return {"layers": layers_of, "parts": parts_of, None: body_and_head_of}[groups](m)


def layers_of(m: nn.Module) -> list[Group]:
    """Return embeddings, layers and head; what follows a layer, such as a norm or a pooler, belongs to its group."""
    hf_model = _unwrapped(m)
    inside = _names_of_body(hf_model)
    head = [parameter for name, parameter in hf_model.named_parameters() if name not in inside]
    seen = {id(parameter) for parameter in head}
    embeddings: list[nn.Parameter] = []
    layers: list[list[nn.Parameter]] = []
    after: dict[str, list[nn.Parameter]] = {}  # follows the last layer so far
    for unit in units_of(hf_model):
        fresh = [parameter for parameter in unit.parameters if id(parameter) not in seen]
        seen.update(map(id, fresh))
        if unit.is_layer:
            _join(layers, after)
            layers.append(fresh)
        elif not layers or OF_INPUT.search(unit.name):
            embeddings += fresh
        elif fresh:
            after[unit.name] = fresh
    if head:
        _join(layers, after)
    numbered = [(f"{LAYER} {number}", layer) for number, layer in enumerate(layers, start=1)]
    last = (", ".join(after), [parameter for parameters in after.values() for parameter in parameters])
    parts = [("embeddings" if layers else "body", embeddings), *numbered, last, (HEAD, head)]
    return _made(m, parts, fixed=_never_trained(hf_model))


def parts_of(m: nn.Module) -> list[Group]:
    """Return the embeddings, the children of the body in their order, and the head."""
    hf_model = _unwrapped(m)
    body = hf_model.base_model if isinstance(hf_model, PreTrainedModel) else hf_model
    embeddings = [x for name, x in body.named_modules() if isinstance(x, nn.Embedding) or name.endswith("embeddings")]
    children = [(name, child.parameters()) for name, child in body.named_children()]
    first = ("embeddings", (parameter for module in embeddings for parameter in module.parameters()))
    return _made(m, [first, *children, ("rest of the body", body.parameters()), (HEAD, hf_model.parameters())])


def body_and_head_of(m: nn.Module) -> list[Group]:
    """Return the groups of `layers_of`, all but the last of them as one."""
    *body, last = layers_of(m)
    return [*([Group("body", [p for group in body for p in group.parameters])] if body else []), last]


def note_of_freezing(m: nn.Module, trained: Iterable[nn.Parameter]) -> str:
    """Return what is trained where the head alone was asked for and has no weights of its own; else an empty text.

    Args:
        m: The model.
        trained: What is not frozen.
    """
    hf_model, ids = _unwrapped(m), {id(parameter) for parameter in trained}
    inside = _names_of_body(hf_model)
    named = dict(hf_model.named_parameters())
    names = {name for name, parameter in named.items() if id(parameter) in ids}
    if not names or names - inside:
        return ""
    size = sum(named[name].numel() for name in names)
    return f"the head has no weights of its own, so freezing leaves {size:,} before it to train: {listed(names)}"


def _made(m: nn.Module, parts: Parts, *, fixed: frozenset[str] = frozenset()) -> list[Group]:
    """Return groups of the parameters that are not fixed, each in its first part; empty ones are left out."""
    fixed |= m.fixed if isinstance(m, BaseModelWrapper) else frozenset()
    seen = {id(parameter) for name, parameter in _unwrapped(m).named_parameters() if name in fixed}
    groups = []
    for name, parameters in parts:
        group = Group(name, [])
        for parameter in parameters:
            if id(parameter) not in seen:
                seen.add(id(parameter))
                group.parameters.append(parameter)
        if group.parameters:
            groups.append(group)
    return groups


def _never_trained(model: nn.Module) -> frozenset[str]:
    """Return the names of the parameters that the architecture keeps as they are, such as Marian's positions."""
    if not isinstance(model, PreTrainedModel) or all(parameter.requires_grad for parameter in model.parameters()):
        return frozenset()
    with torch.device("meta"):
        fresh = type(model)(deepcopy(model.config))
    return frozenset(name for name, parameter in fresh.named_parameters() if not parameter.requires_grad)


def _join(layers: Sequence[list[nn.Parameter]], after: dict[str, list[nn.Parameter]]) -> None:
    """Add what follows the last layer to it."""
    for parameters in after.values():
        layers[-1].extend(parameters)
    after.clear()


def _unwrapped(m: nn.Module) -> nn.Module:
    return m.hf_model if isinstance(m, BaseModelWrapper) else m


def _names_of_body(model: nn.Module) -> set[str]:
    """Return the names of the parameters below the head: of torch's own models, of all children but the last."""
    if isinstance(model, PreTrainedModel):
        return body_names(model)
    children = [name for name, _ in model.named_children()]
    return {name for name, _ in model.named_parameters() if name.partition(".")[0] != (children or [""])[-1]}
