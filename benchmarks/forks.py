"""Do work in processes of their own, several at a time, so that a crash is a result, too."""

import multiprocessing
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from itertools import islice
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from benchmarks.predictions import CheckError

SECONDS = 300  # that a process may take


@dataclass(frozen=True)
class _Running:
    key: Any
    process: BaseProcess
    connection: Connection
    started: float


def in_processes(works: Iterable[tuple[Any, Callable[[], Any]]], workers: int) -> Iterator[tuple[Any, Any]]:
    """Do each work in a process of its own, forked from this one, where everything heavy is imported already.

    Args:
        works: Each with a key.
        workers: Processes at a time.

    Yields:
        The key of each work, in the order in which they end, and what it returned, or why it failed.
    """
    waiting, running = iter(works), list[_Running]()
    while True:
        running += [_started(*work) for work in islice(waiting, workers - len(running))]
        if not running:
            return
        ready = wait([each.connection for each in running], timeout=1)
        for each in list(running):
            late = time.monotonic() - each.started > SECONDS
            if each.connection in ready or late:
                running.remove(each)
                yield each.key, _answer(each, late=late)


def in_a_process(work: Callable[[], Any]) -> Any:
    """Do one work in a process of its own; return what it returns, or the reason of its failure."""
    return next(in_processes([(None, work)], 1))[1]


def _started(key: Any, work: Callable[[], Any]) -> _Running:
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_report, args=(work, there))
    process.start()
    there.close()
    return _Running(key, process, here, time.monotonic())


def _answer(each: _Running, *, late: bool) -> Any:
    try:
        answer = f"no end after {SECONDS} seconds" if late else each.connection.recv()
    except EOFError:
        each.process.join()
        answer = f"the process died with exit code {each.process.exitcode}"
    each.process.kill()
    each.process.join()
    return answer


def _report(work: Callable[[], Any], connection: Connection) -> None:
    try:
        with redirect_stdout(None):  # some architectures print what they think of their inputs
            found = work()
        connection.send(found)
    except CheckError as e:
        connection.send(str(e))
