"""Gather the items of requests that wait at the same time into one batch of the model."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

from blurr.models.streaming import Writing
from blurr.serve.predictor import Predictor

MOST_STREAMS = 64  # texts that are being written, each of which keeps its keys and values in memory


class Overloaded(Exception):  # noqa: N818  # not an error of the program
    """Raised if more items wait than the limit allows."""


@dataclass(frozen=True)
class Waiting:
    """The items of one request."""

    items: Sequence[Any]
    options: Mapping[str, Any]
    answer: asyncio.Future[list[Any]]


@dataclass(frozen=True)
class TokenStream:
    """A text that is written a few tokens at a time, in turns with all other requests.

    Attributes:
        writing: The text.
        pieces: Gets what is new of it after each turn, or an exception; closed by None.
        answer: Done when the text is; whoever cancels it gives it up.
    """

    writing: Writing
    pieces: asyncio.Queue[str | Exception | None]
    answer: asyncio.Future[list[Any]]
    items: Sequence[Any] = (None,)
    options: Mapping[str, Any] = field(default_factory=dict)


class Batcher:
    """A queue for a model: whenever the model is free, it gets the waiting requests that have the same options.

    A single request never waits for others; under load the batches grow by themselves. A text that is streamed waits
    again after every few tokens, so that a long one holds up nobody.

    Args:
        predictor: the model; it runs in a thread of its own, so that the server can answer meanwhile.
        most: number of items in a batch; only a request that is larger by itself exceeds it.
        limit: number of items that may wait.
        seen: called with the size of each batch.
    """

    def __init__(self, predictor: Predictor, *, most: int, limit: int, seen: Callable[[int], None]) -> None:
        self.predictor, self.most, self.limit, self.seen = predictor, most, limit, seen
        self.waiting: list[Waiting | TokenStream] = []
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

    def stream(self, writing: Writing) -> TokenStream:
        """Write a text in turns with the other requests.

        Raises:
            Overloaded: too many items wait already, or texts are being written.
        """
        if self.depth + 1 > self.limit or sum(isinstance(each, TokenStream) for each in self.waiting) >= MOST_STREAMS:
            raise Overloaded
        stream = TokenStream(writing, asyncio.Queue(), asyncio.get_running_loop().create_future())
        self.waiting.append(stream)
        self._arrived.set()
        return stream

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
                first = batch[0]
                if isinstance(first, TokenStream):
                    await self._go_on(first, loop.run_in_executor(self._thread, first.writing.step))
                    continue
                items = [item for each in batch for item in each.items]
                self.seen(len(items))
                call = partial(self.predictor.predict_each, items, **first.options)
                await self._answer(batch, loop.run_in_executor(self._thread, call))
        finally:
            for each in self.waiting:
                if isinstance(each, TokenStream):
                    each.writing.cancel()
            self._thread.shutdown(wait=True)

    def _next(self) -> list[Waiting | TokenStream]:
        """Take the first request, and those with the same options that fit; drop those nobody waits for any more."""
        for gone in (each for each in self.waiting if isinstance(each, TokenStream) and each.answer.done()):
            gone.writing.cancel()
        self.waiting = [each for each in self.waiting if not each.answer.done()]
        batch: list[Waiting | TokenStream] = []
        for each in self.waiting:
            if batch and isinstance(batch[0], TokenStream) | isinstance(each, TokenStream):
                continue
            fits = sum(len(other.items) for other in batch) + len(each.items) <= self.most
            if not batch or (fits and each.options == batch[0].options):
                batch.append(each)
        self.waiting = [each for each in self.waiting if each not in batch]
        return batch

    async def _go_on(self, stream: TokenStream, written: asyncio.Future[str]) -> None:
        """Hand over what is new of a text, and have it wait again unless it has ended."""
        await asyncio.wait([written])
        error = written.exception()
        stream.pieces.put_nowait(written.result() if error is None else cast(Exception, error))
        if error is None and stream.writing.finish is None:
            self.waiting.append(stream)
            return
        stream.pieces.put_nowait(None)
        if not stream.answer.done():
            stream.answer.set_result([])

    async def _answer(self, batch: Sequence[Waiting | TokenStream], results: asyncio.Future[list[Any]]) -> None:
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
