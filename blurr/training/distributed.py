"""The processes of one training, its ranks: which one this is, and what they tell each other."""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from logging import ERROR
from traceback import walk_tb
from typing import Any, TypeVar

import torch
from torch import distributed
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from blurr.errors import InputError, PeerLost, ResourceError
from blurr.process.launched import ADDRESS, LOCAL_RANK, PORT, RANK, WORLD
from blurr.process.terminal import quiet

T = TypeVar("T")
NAMES = (RANK, WORLD, LOCAL_RANK)
PATIENCE = timedelta(hours=12)  # of ranks that wait for the first, which may encode millions of rows
MEETING = timedelta(minutes=10)  # until all have come, which load their libraries first
# Where torch raises that another process does not answer.
OF_GROUP = ("torch.distributed.distributed_c10d", "torch.distributed._functional_collectives", "torch._ops")
OF_LOSS = ("Connection closed", "Connection reset", "Broken pipe", "timed out", "Timed out", "NCCL", "gloo")
LOOK_SECONDS = 0.05  # between two looks at what others have posted


@dataclass(frozen=True)
class Ranks:
    """Which process of a training this is.

    Args:
        rank: Its number.
        world: How many there are.
        local: Its number on its machine.
    """

    rank: int = 0
    world: int = 1
    local: int = 0

    @property
    def is_first(self) -> bool:
        """Is this the process that decides, records and writes?"""
        return self.rank == 0


@dataclass
class _Current:
    ranks: Ranks = Ranks()
    store: Any = None  # stays when the ranks have left, for their last words


_current = _Current()


def current() -> Ranks:
    """Return which process this is; the only one, unless several have `joined`."""
    return _current.ranks


@contextmanager
def joined() -> Iterator[Ranks]:
    """Join the processes that were started for this training, if there are several, and leave them in the end.

    They are told by RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT, as torchrun sets them. Ranks but the
    first log errors alone.
    """
    named = Ranks(*(int(os.environ.get(name, least)) for name, least in zip(NAMES, (0, 1, 0), strict=True)))
    if named.world == 1 or _current.ranks.world > 1:
        yield _current.ranks
        return
    has_cuda = torch.cuda.is_available()
    if has_cuda:
        torch.cuda.set_device(named.local % torch.cuda.device_count())
    _current.store = _met()
    distributed.init_process_group(
        "cpu:gloo,cuda:nccl" if has_cuda else "gloo",
        store=PrefixStore("training", _current.store),
        rank=named.rank,
        world_size=named.world,
        timeout=PATIENCE,
    )
    _current.ranks = named
    try:
        with nullcontext() if named.is_first else quiet(None, level=ERROR):
            yield named
    finally:
        _current.ranks = Ranks()
        distributed.destroy_process_group()


@contextmanager
def alone() -> Iterator[None]:
    """Train in this process as if it was the only one, such as to measure something."""
    before, _current.ranks = _current.ranks, Ranks()
    try:
        yield
    finally:
        _current.ranks = before


@contextmanager
def unknown_to_fastai() -> Iterator[None]:
    """Let fastai save and load in this process; it would save in the first alone, and wait for all when it loads."""
    hidden = {name: os.environ.pop(name) for name in NAMES if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(hidden)


@contextmanager
def in_turn() -> Iterator[None]:
    """Run a block in the first process, and then in all others, which find what the first has written."""
    ranks = current()
    if not ranks.is_first:
        wait_for_all()
    yield
    if ranks.is_first:
        wait_for_all()


def wait_for_all() -> None:
    """Return once all processes have called this."""
    largest(0)


def _met() -> Any:
    """Meet the other processes at MASTER_ADDR and MASTER_PORT.

    Raises:
        ResourceError: that cannot be done.
    """
    address, port = f"{ADDRESS}={os.environ[ADDRESS]}", f"{PORT}={os.environ[PORT]}"
    try:
        return next(rendezvous("env://", timeout=MEETING))[0]
    except (distributed.DistNetworkError, distributed.DistStoreError) as error:
        if "EADDRINUSE" in str(error):
            raise ResourceError(
                f"{port}: another program uses this port, at which the processes meet. Set another, or none."
            ) from error
        raise ResourceError(
            f"{address} {port}: not all of the processes have come there "
            f"within {MEETING.seconds // 60} minutes ({str(error).partition(chr(10))[0]}). Start all, on machines that "
            "reach this address."
        ) from error


# -- last words


def is_of_lost_peer(error: BaseException) -> bool:
    """Is this what torch raises where another process does not answer any more?"""
    where = [frame.f_globals["__name__"] for frame, _ in walk_tb(error.__traceback__)]
    is_of_group = bool(where) and where[-1] in (*OF_GROUP, __name__)
    return isinstance(error, RuntimeError) and is_of_group and any(word in str(error) for word in OF_LOSS)


def post(name: str, text: str) -> None:
    """Leave a text for the other processes, also after this one has left them.

    Raises:
        PeerLost: the first process has ended, which keeps it.
    """
    if _current.store is not None:
        with _kept_by_first():
            _current.store.set(name, text)


def posted(name: str, seconds: float) -> str | None:
    """Return the text of a name, for which this waits; None if there is none.

    Raises:
        PeerLost: the first process has ended, which keeps it.
    """
    until = time.monotonic() + seconds
    while _current.store is not None:
        with _kept_by_first():
            if _current.store.check([name]):
                return str(_current.store.get(name).decode())
        if time.monotonic() > until:
            break
        time.sleep(LOOK_SECONDS)
    return None


@contextmanager
def _kept_by_first() -> Iterator[None]:
    try:
        yield
    except (distributed.DistNetworkError, distributed.DistStoreError) as error:
        raise PeerLost("The first process of this run has ended.") from error


# -- decisions


def from_first(make: Callable[[], T]) -> T:
    """Return to all what the first process makes; it has to be something that can be pickled."""
    if current().world == 1:
        return make()
    held = [make() if current().is_first else None]
    distributed.broadcast_object_list(held)
    return held[0]  # type: ignore[return-value]


class EndedByFirst(Exception):  # noqa: N818  # not an error
    """Raised in all processes but the first when that ends the run."""


def end_together(decide: Callable[[], None]) -> None:
    """Call what may end the run, in the first process, and end the others with it.

    Raises:
        EndedByFirst: in another process.
    """
    if current().world == 1:
        decide()
    elif current().is_first:
        try:
            decide()
        except BaseException:
            largest(1)
            raise
        largest(0)
    elif largest(0):
        raise EndedByFirst


def at_first(value: T) -> list[T]:
    """Return the values of all processes to the first, in their order, and nothing to the others."""
    if current().world == 1:
        return [value]
    found: list[Any] | None = [None] * current().world if current().is_first else None
    distributed.gather_object(value, found)
    return found or []


def from_all(value: T) -> list[T]:
    """Return the values of all processes to each of them, in their order."""
    if current().world == 1:
        return [value]
    found: list[Any] = [None] * current().world
    distributed.all_gather_object(found, value)
    return found


def largest(number: int) -> int:
    """Return the largest number of all processes."""
    if current().world == 1:
        return number
    shared = torch.tensor([number])
    distributed.all_reduce(shared, distributed.ReduceOp.MAX)
    return int(shared)


def everywhere(is_so: bool) -> bool:
    """Return whether something is so in all processes."""
    return not largest(int(not is_so))


def check_same_rows(fingerprint: str) -> None:
    """Refuse processes that have read other rows than the first.

    Raises:
        InputError: one has; in the first process.
        EndedByFirst: in the others.
    """
    found = from_all(fingerprint)
    others = ", ".join(str(rank) for rank, each in enumerate(found) if each != found[0])
    if others and current().is_first:
        raise InputError(
            f"The processes of this training have read different rows: those of rank {others} are not those of rank 0. "
            "Give all of them the same files, at the same paths, and the same overrides."
        )
    if others:
        raise EndedByFirst


# -- tensors


class _Sum(torch.autograd.Function):
    """The sum of a tensor over all processes; each of them has a share in the gradient of each."""

    @staticmethod
    def forward(_: Any, values: torch.Tensor) -> torch.Tensor:
        total = values.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(_: Any, gradient: torch.Tensor) -> torch.Tensor:
        total = gradient.clone()
        distributed.all_reduce(total)
        return total


def summed(values: torch.Tensor) -> torch.Tensor:
    """Return the sum over all processes, through which gradients flow."""
    total: torch.Tensor = values if current().world == 1 else _Sum.apply(values)
    return total


def add_up(tensor: torch.Tensor) -> None:
    """Replace a tensor by its sum over all processes."""
    if current().world > 1:
        distributed.all_reduce(tensor)


def spread(tensors: Iterable[torch.Tensor]) -> None:
    """Replace tensors by those of the first process."""
    if current().world > 1:
        with torch.no_grad():
            for tensor in tensors:
                distributed.broadcast(tensor, 0)


def interleaved(parts: Sequence[Sequence[T]]) -> list[T]:
    """Return the rows of a batch in their order, of which each process had its share."""
    rows: list[T] = [None] * sum(map(len, parts))  # type: ignore[list-item]
    for rank, part in enumerate(parts):
        rows[rank :: len(parts)] = part
    return rows
