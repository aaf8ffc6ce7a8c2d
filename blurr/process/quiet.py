"""Keep to ourselves what other libraries log of things that succeed."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet(*names: str | None, level: int = logging.WARNING) -> Iterator[None]:
    """Let loggers say nothing below a level for the duration of a `with` block.

    Args:
        names: of the loggers; `None` is the root.
        level: from which on they still speak.
    """
    loggers = [logging.getLogger(name) for name in names]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(level)
    try:
        yield
    finally:
        for logger, old in zip(loggers, before, strict=True):
            logger.setLevel(old)
