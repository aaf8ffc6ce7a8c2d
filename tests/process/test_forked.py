"""Values that several processes make come in order, and what ends one of them ends the run in a message."""

import os
import signal

import pytest

from blurr.errors import InputError, ResourceError
from blurr.process.forked import made_in_order


@pytest.mark.parametrize("processes", [1, 2, 3, 9])
def test_values_come_in_order_from_as_many_processes(processes: int):
    made = list(made_in_order(lambda number: (number, os.getpid()), 7, processes=processes))
    assert [number for number, _ in made] == list(range(7))
    assert len({process for _, process in made}) == min(processes, 7)
    assert (os.getpid() in {process for _, process in made}) == (processes == 1)


def test_a_mistake_that_a_process_finds_is_raised_here():
    def make(number: int) -> int:
        if number == 3:
            raise InputError("Row 3 is wrong.")
        return number

    made = made_in_order(make, 9, processes=2)
    assert [next(made) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(InputError, match="Row 3 is wrong"):
        next(made)


def test_a_process_that_is_killed_ends_in_a_message():
    def make(number: int) -> int:
        if number == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    with pytest.raises(ResourceError, match="A process that encodes rows has ended"):
        list(made_in_order(make, 4, processes=2))


def test_processes_end_when_no_more_values_are_asked_for():
    made = made_in_order(lambda number: os.getpid(), 1000, processes=2)
    children = {next(made), next(made)}
    made.close()
    for child in children:
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)
