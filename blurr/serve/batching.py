"""Gather the items of requests that wait at the same time into one batch of the model."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from blurr.serve.predictor import Predictor


class Overloaded(Exception):  # noqa: N818  # not an error of the program
    """Raised if more items wait than the limit allows."""


@dataclass(frozen=True)
class Waiting:
    """The items of one request."""

    items: Sequence[Any]
    options: Mapping[str, Any]
    answer: asyncio.Future[list[Any]]


class Batcher:
    """A queue for a model: whenever the model is free, it gets the waiting requests that have the same options.

    A single request never waits for others; under load the batches grow by themselves.

    Args:
        predictor: the model; it runs in a thread of its own, so that the server can answer meanwhile.
        most: number of items in a batch; only a request that is larger by itself exceeds it.
        limit: number of items that may wait.
        seen: called with the size of each batch.
    """

    def __init__(self, predictor: Predictor, *, most: int, limit: int, seen: Callable[[int], None]) -> None:
        self.predictor, self.most, self.limit, self.seen = predictor, most, limit, seen
        self.waiting: list[Waiting] = []
        self._arrived = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "model")

    @property
    def depth(self) -> int:
        """The number of waiting items that somebody still waits for."""
        return sum(len(each.items) for each in self.waiting if not each.answer.done())

    def predict(self, items: Sequence[Any], options: Mapping[str, Any]) -> asyncio.Future[list[Any]]:
        """Predict the items of a request, see `Predictor.predict_each`; whoever cancels it gives up its place.

        Raises:
            Overloaded: too many items wait already.
        """
        if self.depth + len(items) > self.limit:
            raise Overloaded
        request = Waiting(items, options, asyncio.get_running_loop().create_future())
        self.waiting.append(request)
        self._arrived.set()
        return request.answer

    async def run(self) -> None:
        """Serve the queue until this is cancelled."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                await self._arrived.wait()
                batch = self._next()
                if not batch:
                    self._arrived.clear()
                    continue
                items = [item for each in batch for item in each.items]
                self.seen(len(items))
                call = partial(self.predictor.predict_each, items, **batch[0].options)
                await self._answer(batch, loop.run_in_executor(self._thread, call))
        finally:
            self._thread.shutdown(wait=True)

    def _next(self) -> list[Waiting]:
        """Take the first request, and those with the same options that fit; drop those nobody waits for any more."""
        self.waiting = [each for each in self.waiting if not each.answer.done()]
        batch: list[Waiting] = []
        for each in self.waiting:
            fits = sum(len(other.items) for other in batch) + len(each.items) <= self.most
            if not batch or (fits and each.options == batch[0].options):
                batch.append(each)
        self.waiting = [each for each in self.waiting if each not in batch]
        return batch

    async def _answer(self, batch: list[Waiting], results: asyncio.Future[list[Any]]) -> None:
        await asyncio.wait([results])
        error = results.exception()
        start = 0
        for each in batch:
            end = start + len(each.items)
            if not each.answer.done() and error is not None:
                each.answer.set_exception(error)
            elif not each.answer.done():
                each.answer.set_result(results.result()[start:end])
            start = end
