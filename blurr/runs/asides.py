"""Write files and folders aside, and delete what a killed process has left of them."""

import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from blurr.process.systems import HAS_LOCKS

ASIDE = f".*.{'[0-9a-f]' * 8}.part"  # matches what `aside` returns
SCRATCH = "blurr-scratch-"  # begins the name of a folder of temporary files


def aside(path: Path) -> Path:
    """Return a new name beside a file or folder, under which it is written before it takes its own."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")


def link(file: Path, name: Path) -> None:
    """Give a file a second name, in place of what has that name; copy it where there are no links."""
    made = aside(name)
    try:
        try:
            os.link(file, made)
        except OSError:  # another disk, or a file system without links
            shutil.copy2(file, made)
        os.replace(made, name)
    finally:
        made.unlink(missing_ok=True)  # still there if both were names of one file before


@contextmanager
def new_aside(folder: Path) -> Iterator[Path]:
    """Yield a new folder beside another one; what is left of it at the end of the block is deleted."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    delete_abandoned(path for path in folder.parent.glob(ASIDE) if path.name.startswith(f".{folder.name}."))
    with _held(lambda: _made(aside(folder))) as made:
        yield made


@contextmanager
def scratch() -> Iterator[None]:
    """Put this process's temporary files into one folder, so that a later process finds them if this one is killed."""
    usual, root = tempfile.tempdir, Path(tempfile.gettempdir())
    delete_abandoned(root.glob(f"{SCRATCH}*"))
    with _held(lambda: Path(tempfile.mkdtemp(prefix=SCRATCH, dir=root))) as made:
        tempfile.tempdir = str(made)
        try:
            yield
        finally:
            tempfile.tempdir = usual


def usual_tempdir() -> Path:
    """Return the folder for temporary files that are to outlive this process."""
    folder = Path(tempfile.gettempdir())
    while folder.name.startswith(SCRATCH):
        folder = folder.parent
    return folder


def delete_abandoned(folders: Iterable[Path]) -> None:
    """Delete those folders of `new_aside` and `scratch` whose process is dead."""
    if not HAS_LOCKS:
        return  # nobody knows which process lives
    import fcntl

    for folder in folders:
        with suppress(OSError):  # of another user, in use, or on a file system that locks no folders
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)
            finally:
                os.close(descriptor)


@contextmanager
def _held(make: Callable[[], Path]) -> Iterator[Path]:
    """Yield a new folder that is locked, which ends with this process; delete it at the end of the block."""
    made, descriptor = _locked(make)
    try:
        yield made
    finally:
        if descriptor is not None:
            os.close(descriptor)
        shutil.rmtree(made, ignore_errors=True)


def _locked(make: Callable[[], Path]) -> tuple[Path, int | None]:
    if not HAS_LOCKS:
        return make(), None
    import fcntl

    while True:
        made = make()
        with suppress(FileNotFoundError):  # another process took it for abandoned before it was opened
            descriptor = os.open(made, os.O_RDONLY | os.O_DIRECTORY)
            with suppress(OSError):  # some network file systems lock no folders
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if made.exists():  # else it was taken for abandoned before it was locked
                return made, descriptor
            os.close(descriptor)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
