"""Find the layers of any model, and what is beside them, by its lists of modules."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

OF_OUTPUT = re.compile(
    r"(^|_)(final|out)(_|$)|^(norm|ln)_f$|^norm$"
)  # follows the layers even where it is registered first


@dataclass(frozen=True)
class Unit:
    """A layer, or what is beside the layers.

    Args:
        name: Dotted, as in `named_modules`; of a layer that has modules in several lists, the name in the first.
        modules: What it consists of; a parameter that is in no module of its own stands for itself.
        is_layer: Whether it is one.
    """

    name: str
    modules: list[nn.Module | nn.Parameter]
    is_layer: bool

    @property
    def parameters(self) -> list[nn.Parameter]:
        """All its parameters."""
        found = []
        for each in self.modules:
            found += [each] if isinstance(each, nn.Parameter) else [*each.parameters()]
        return found


def units_of(model: nn.Module) -> Iterator[Unit]:
    """Yield the layers of a model and what is beside them, in the order in which they are registered.

    Layers are the elements of a `ModuleList`, or of a `Sequential` of equal modules, that is in no other layer. Lists
    of convolutions are not layers where other lists hold matrices: in speech models, they make the input.
    """
    yield from _walk(model, "", of_matrices=any(_stacks(module, of_matrices=True) for module in model.modules()))


def _walk(module: nn.Module, prefix: str, *, of_matrices: bool) -> Iterator[Unit]:
    for name, parameter in module.named_parameters(recurse=False):
        yield Unit(prefix + name, [parameter], is_layer=False)
    stacks = _stacks(module, of_matrices=of_matrices)
    placed = {name for names in stacks for name in names}
    late = []
    for name, child in module.named_children():
        layers = next((layers for names, layers in stacks.items() if names[0] == name), None)
        if layers is not None:
            for i, layer in enumerate(layers):
                yield Unit(f"{prefix}{name}.{i}", layer, is_layer=True)
        elif name not in placed and any(_stacks(each, of_matrices=of_matrices) for each in child.modules()):
            yield from _walk(child, f"{prefix}{name}.", of_matrices=of_matrices)
        elif name not in placed:
            late.append(Unit(prefix + name, [child], is_layer=False))
            if not OF_OUTPUT.search(name):
                yield late.pop()
    yield from late


def _stacks(module: nn.Module, *, of_matrices: bool) -> dict[tuple[str, ...], list[list[nn.Module | nn.Parameter]]]:
    """Return the layers that are in lists of a module, by the names of the lists.

    XLM keeps attentions, norms and feed-forward networks in a list each: lists of one length that hold different
    modules are of the same layers.
    """
    lists = {name: elements for name, child in module.named_children() if (elements := _elements(child))}
    stacks: dict[tuple[str, ...], list[list[nn.Module | nn.Parameter]]] = {}
    for name, elements in lists.items():
        if any(name in names for names in stacks) or not _is_stack(elements, of_matrices=of_matrices):
            continue
        names = [name]
        for other, others in lists.items():
            is_placed = any(other in placed for placed in [*stacks, names])
            if not is_placed and len(others) == len(elements) and type(others[0]) is not type(elements[0]):
                names.append(other)
        stacks[tuple(names)] = [[lists[each][i] for each in names] for i in range(len(elements))]
    return stacks


def _elements(module: nn.Module) -> list[nn.Module]:
    """Return the modules of a list, of lists in a list (Funnel's blocks) all; none of what is not a list."""
    if isinstance(module, nn.ModuleList):
        return [each for element in module for each in _elements(element) or [element]]
    is_uniform = isinstance(module, nn.Sequential) and len(module) > 1 and len({type(each) for each in module}) == 1
    return [*module] if is_uniform else []  # type: ignore[misc]  # a Sequential has its modules in it


def _is_stack(elements: list[nn.Module], *, of_matrices: bool) -> bool:
    made = [element for element in elements if any(True for _ in element.children())]
    if not of_matrices:
        return any(True for element in made for _ in element.parameters())
    return any(parameter.ndim == 2 for element in made for parameter in element.parameters())
