"""Keep a share of the weights, gradients and optimizer state in each of several processes (torch's FSDP2)."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from blurr.models.layers import units_of
from blurr.training.distributed import current, from_first, spread

State = dict[str, Any]


def shard(model: nn.Module) -> None:
    """Leave in each process a share of the weights; a layer's are put together while it computes.

    Gradients are added up over the processes, as the loss of a share of the batch is made for it.

    Args:
        model: of which all processes have the same weights.
    """
    spread([*model.parameters(), *model.buffers()])
    ranks = current()
    mesh = init_device_mesh("cuda" if torch.cuda.is_available() else "cpu", (ranks.world,))
    for unit in units_of(model):
        for module in unit.modules if unit.is_layer else ():
            if isinstance(module, nn.Module):
                fully_shard(module, mesh=mesh)
    fully_shard(model, mesh=mesh)
    for part in _parts(model):
        part.set_gradient_divide_factor(1.0)
        part.set_force_sum_reduction_for_comms(True)  # gloo knows sums alone


def is_sharded(model: nn.Module) -> bool:
    """Does each process have a share of the weights of a model?"""
    return any(True for _ in _parts(model))


def put_together(model: nn.Module) -> dict[nn.Parameter, nn.Parameter]:
    """Put all weights into a model in place of shares, on the CPU; all processes call this, and compute no more.

    Returns:
        Each share, and the weight in its place.
    """
    for part in _parts(model):
        part.reshard()  # else torch would put the shares back when it is asked for the state
    made: dict[nn.Parameter, nn.Parameter] = {}
    for module, name, weight in _places(model):
        if isinstance(weight, DTensor):
            if weight not in made:  # the same weight may stand in several places
                made[weight] = nn.Parameter(_put_together(weight.detach()), requires_grad=weight.requires_grad)
            module.register_parameter(name, made[weight])
    return made


@contextmanager
def whole(model: nn.Module) -> Iterator[None]:
    """Put all weights into a model in place of shares in a `with` block that reads them, which all processes enter."""
    shares = {weight: share for share, weight in put_together(model).items()}
    try:
        yield
    finally:
        for module, name, weight in _places(model):
            if weight in shares:
                module.register_parameter(name, shares[weight])


def fill(model: nn.Module, state: Mapping[str, torch.Tensor]) -> None:
    """Put its share of whole weights into the model of each process; all processes call this.

    Args:
        model: sharded.
        state: the weights by their names, in the first process.
    """
    places = {**dict(model.named_parameters(remove_duplicate=False)), **dict(model.named_buffers())}
    with torch.no_grad():
        for name in from_first(lambda: list(state)):
            held = places[name]
            full = torch.empty(held.shape, dtype=held.dtype)
            if current().is_first:
                full.copy_(state[name])
            spread([full])
            held.copy_(_share_of(full, held))


def whole_value(value: Any) -> Any:
    """Return a state with whole tensors, on the CPU where they were shared; all processes call this."""
    if isinstance(value, DTensor):
        return _put_together(value)
    if isinstance(value, Mapping):
        return {key: whole_value(each) for key, each in value.items()}
    return [whole_value(each) for each in value] if isinstance(value, list) else value


def shared_state(state: State, optimizer: Any) -> State:
    """Return the state of an optimizer, as `whole_value` returns it, with the share of each tensor that is this one's.

    Args:
        state: as `state_dict` of torch's optimizers has it.
        optimizer: whose weights may be shared.
    """
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    if not any(isinstance(weight, DTensor) for weight in weights):
        return state
    of_weights = {
        number: {name: _share_of(each, weights[number]) for name, each in values.items()}
        for number, values in state["state"].items()
    }
    return {**state, "state": of_weights}


def _put_together(shared: Any) -> torch.Tensor:
    """Return a whole tensor with storage of its own: that of the gathered parts is longer."""
    found: torch.Tensor = shared.full_tensor().clone().cpu()
    return found


def _share_of(value: Any, weight: torch.Tensor) -> Any:
    """Return the share of a tensor that belongs to that of a weight; what has another shape stays whole."""
    if not isinstance(weight, DTensor) or not isinstance(value, torch.Tensor) or value.shape != weight.shape:
        return value
    there = value.to(weight.device)
    return distribute_tensor(there, weight.device_mesh, weight.placements, src_data_rank=None)


def local(tensor: torch.Tensor) -> Any:
    """Return the share of a tensor that this process has; all of one that is not shared."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def _places(model: nn.Module) -> list[tuple[nn.Module, str, nn.Parameter]]:
    """Return each place of a weight: the module, the name there, and the weight."""
    return [(each, name, weight) for each in model.modules() for name, weight in each.named_parameters(recurse=False)]


def _parts(model: nn.Module) -> Iterator[Any]:
    return (module for module in model.modules() if isinstance(module, FSDPModule))
