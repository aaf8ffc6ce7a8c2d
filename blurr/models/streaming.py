"""Write a text a few tokens at a time, so that several can take turns on one model."""

from collections.abc import Callable, Sequence
from threading import Event, Thread
from typing import Any, Literal

import torch
from transformers.generation.streamers import BaseStreamer

Finish = Literal["stop", "length"]
AT_A_TURN = 4  # tokens


class _Ended(Exception):  # noqa: N818  # not an error
    """Unwinds a generation whose text has ended, or that nobody waits for any more."""


class Writing(BaseStreamer):
    """A text that is being written; between two calls of `step`, nothing is computed.

    The generation runs in a thread of its own, which waits until it is its turn: the only way to interrupt it that all
    models and versions of transformers allow.

    Args:
        generate: Called with this object as streamer; generates one text.
        decode: Turns ids into text.
        most: Number of new tokens at which a text ends.
        ends: Ids of the tokens that end a text.
        stops: Texts that end it, too, and are no part of it.
        seed: Of sampling; `None` does not seed.

    Attributes:
        prompt_tokens: Number of tokens of the prompt; 0 before the first step.
        tokens: The ids so far.
        finish: Why the text has ended: `stop`, or `length`; `None` before.
    """

    def __init__(
        self,
        generate: Callable[[BaseStreamer], None],
        decode: Callable[[Sequence[int]], str],
        *,
        most: int,
        ends: Sequence[int],
        stops: Sequence[str] = (),
        seed: int | None = None,
    ) -> None:
        self.generate, self.decode, self.most = generate, decode, most
        self.seed, self.ends, self.stops = seed, frozenset(ends), tuple(stop for stop in stops if stop)
        self.prompt_tokens, self.tokens, self.given = 0, list[int](), ""
        self.finish: Finish | None = None
        self._text, self._cancelled = "", False
        self._error: Exception | None = None
        self._go, self._done = Event(), Event()
        self._thread: Thread | None = None

    @property
    def text(self) -> str:
        """The text so far; all of it once it has ended."""
        return self._text

    def step(self) -> str:
        """Write a few tokens, and return the text that is certain and was not returned before.

        Raises:
            InputError: The prompt cannot be continued.
        """
        if self._thread is None:
            self._thread = Thread(target=self._run, name="writing", daemon=True)
            self._thread.start()
        with torch.random.fork_rng(enabled=self.seed is not None):  # other texts draw in between
            if self.seed is not None:
                torch.manual_seed(self.seed + len(self.tokens))
            self._done.clear()
            self._go.set()
            self._done.wait()
        if self._error is not None:
            raise self._error
        sure = self._text if self.finish else self._certain()
        new, self.given = sure[len(self.given) :], sure if len(sure) > len(self.given) else self.given
        return new

    def cancel(self) -> None:
        """End it, wherever it is."""
        self._cancelled = True
        self._go.set()

    def _run(self) -> None:
        self._wait()
        try:
            if not self._cancelled:
                self.generate(self)
                self.finish = self.finish or "length"
        except _Ended:
            pass
        except Exception as error:  # noqa: BLE001  # raised again in the thread that waits
            self._error = error
        self._done.set()

    def _wait(self) -> None:
        self._go.wait()
        self._go.clear()

    # -- what transformers calls

    def put(self, value: Any) -> None:
        """Take the prompt, then each new token."""
        ids = value.reshape(-1).tolist()
        if not self.prompt_tokens:
            self.prompt_tokens = len(ids)
            return
        self.tokens += ids
        self._read(ids[-1])
        if self.finish:
            raise _Ended
        if len(self.tokens) % AT_A_TURN == 0:
            self._done.set()
            self._wait()
            if self._cancelled:
                raise _Ended

    def end(self) -> None:
        """Do nothing: the generation returns then."""

    def _read(self, last: int) -> None:
        """Decode the tokens so far, and see whether the text has ended."""
        kept = self.tokens[:-1] if last in self.ends else self.tokens
        text = self.decode(kept).lstrip()
        found = [place for stop in self.stops if (place := text.find(stop)) >= 0]
        if found:
            text, self.finish = text[: min(found)], "stop"
        elif last in self.ends:
            self.finish = "stop"
        elif len(self.tokens) >= self.most:
            self.finish = "length"
        self._text = text.rstrip() if self.finish else text

    def _certain(self) -> str:
        """Return the text without what a further token may change: half a character, white space, half a stop."""
        text = self._text.rstrip("\ufffd").rstrip()
        longest = max((len(stop) for stop in self.stops), default=0)
        for size in range(min(longest - 1, len(text)), 0, -1):
            if any(stop.startswith(text[-size:]) for stop in self.stops):
                return text[:-size].rstrip()
        return text
