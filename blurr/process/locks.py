"""Locks of files, which end with the process that holds them."""

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from blurr.errors import writing
from blurr.process.systems import HAS_FORK, HAS_LOCKS

log = logging.getLogger(__name__)

UNKNOWN = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # what file systems without locks say
_held: set[int] = set()


@contextmanager
def held(path: Path) -> Iterator[bool]:
    """Hold a lock during a `with` block; says whether it could be had, or another process has it.

    Processes that are forked meanwhile do not hold it, so that it is free once this process is dead. The file is
    deleted at the end; one that a killed process leaves behind locks nothing.
    """
    descriptor = _open(path)
    if descriptor is None:
        yield False
        return
    if HAS_FORK:
        _let_go_in_children()
    _held.add(descriptor)
    try:
        yield True
    finally:
        with suppress(PermissionError):  # not every system deletes a file that is open
            path.unlink(missing_ok=True)
        _held.discard(descriptor)
        os.close(descriptor)


def is_held(path: Path) -> bool:
    """Does a process that lives hold this lock?"""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        return not try_lock(descriptor, shared=True)  # an exclusive one would need a file that can be written
    finally:
        os.close(descriptor)


def try_lock(descriptor: int, *, shared: bool = False) -> bool:
    """Take the lock of an open file, unless another process has it; where there are no locks, all have it."""
    if not HAS_LOCKS:
        return True
    import fcntl

    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in UNKNOWN:
            raise
        log.warning("This file system has no locks (%s): nothing keeps a second process out.", error.strerror)
    return True


def _open(path: Path) -> int | None:
    while True:
        with writing(path):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        if not try_lock(descriptor):
            os.close(descriptor)
            return None
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        os.close(descriptor)  # the file was deleted by its holder between our opening and our locking it


@cache
def _let_go_in_children() -> None:
    os.register_at_fork(after_in_child=_let_go)


def _let_go() -> None:
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()
