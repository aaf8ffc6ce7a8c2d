"""Find what of a model an adapter stands beside, and what is trained itself."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from blurr.errors import InputError, nearest
from blurr.models.heads import body_names, label_parameters

ALL_LINEAR = "all-linear"
LINEAR, CONVOLUTIONS = (nn.Linear, Conv1D), (nn.Conv2d,)
WITH_CONVOLUTIONS = ("lora", "dora", "rslora", "ia3")


def trained_themselves(model: PreTrainedModel, patterns: Iterable[str], new: Collection[str] | None) -> set[str]:
    """Return the names of the weights that are trained in full.

    Raises:
        InputError: no weight has a name that a pattern is found in.
    """
    names = [name for name, _ in model.named_parameters()]
    found = _above_body(model) if new is None else {*new, *label_parameters(model)}
    for pattern in patterns:
        fitting = {name for name in names if re.search(pattern, name)}
        if not fitting:
            near = nearest(pattern, sorted({word for name in names for word in name.split(".")}))
            shown = ", ".join(names[:: max(1, len(names) // 4)])
            raise InputError(
                f"adapter.train: {pattern!r} is in the name of no weight of {type(model).__name__}.{near} "
                f"Names are such as {shown}."
            )
        found |= fitting
    return found & set(names)


def _above_body(model: Any) -> set[str]:
    """Return the names of the weights of the head, but for an output layer of the size of the vocabulary."""
    names = [name for name, _ in model.named_parameters()]
    output = model.get_output_embeddings()
    large = set() if output is None else {id(parameter) for parameter in output.parameters()}
    small = {name for name, parameter in model.named_parameters() if id(parameter) not in large}
    return small.intersection(names) - body_names(model) | label_parameters(model)


def targets_of(model: Any, kind: str, targets: str | Sequence[str], full: Collection[str]) -> list[str]:
    """Return the names of the modules that get an adapter.

    `all-linear` are the linear layers, but for those that are trained themselves and the output layer of a language
    model; where there are none, the convolutions.

    Raises:
        InputError: there are none of these names, or no module of a kind that the method can adapt.
    """
    kinds = (*LINEAR, *CONVOLUTIONS) if kind in WITH_CONVOLUTIONS else LINEAR
    able = _able(model, full, kinds)
    if targets == ALL_LINEAR:
        output = model.get_output_embeddings()
        linear = [n for n, module in able.items() if isinstance(module, LINEAR) and module is not output]
        found = linear or [n for n, module in able.items() if isinstance(module, nn.Conv2d) and module.groups == 1]
        if found:
            return found
        raise InputError(
            f"adapter={kind} finds no layer of {type(model).__name__} that it can adapt. Set adapter=none, or "
            "adapter=lora, which adapts convolutions, too."
        )
    ends = [targets] if isinstance(targets, str) else list(targets)
    for end in ends:
        if not any(_ends_with(name, end) for name in able):
            there = _last_words(able)
            raise InputError(
                f"adapter.targets: {type(model).__name__} has no layer {end!r} that adapter={kind} can adapt."
                f"{nearest(end, there)} There are {', '.join(there) or 'none'}; or set adapter.targets={ALL_LINEAR}."
            )
    return [name for name in able if any(_ends_with(name, end) for end in ends)]


def _ends_with(name: str, end: str) -> bool:
    return name == end or name.endswith(f".{end}")


def _able(model: PreTrainedModel, full: Collection[str], kinds: tuple[type[nn.Module], ...]) -> dict[str, nn.Module]:
    """Return the modules of some classes that an adapter can stand beside, by their names.

    Left out are those with weights that are trained themselves, those whose weights another place in the model has,
    too, which would get two adapters, and those whose weights are read past their `forward`.
    """
    places = Counter(id(p) for _, m in model.named_modules(remove_duplicate=False) for p in m.parameters(recurse=False))
    shared = {key for key, count in places.items() if count > 1}
    themselves = {id(parameter) for name, parameter in model.named_parameters() if name in full}
    past = tuple(f"{name}." for name, module in model.named_modules() if isinstance(module, nn.MultiheadAttention))
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, kinds)
        and not (past and name.startswith(past))
        and (shared | themselves).isdisjoint(map(id, module.parameters(recurse=False)))
    }


def _last_words(names: Iterable[str]) -> list[str]:
    """Return the last parts of dotted names, without numbers."""
    return sorted({name.rpartition(".")[2] for name in names if not name.rpartition(".")[2].isdecimal()})
