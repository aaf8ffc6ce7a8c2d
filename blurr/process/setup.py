"""Set up a process: torch's threads, Python's garbage collector, other libraries' progress bars."""

import atexit
import gc
import getpass
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

import psutil  # type: ignore[import-untyped]

from blurr.errors import ResourceError
from blurr.process.imports import import_libraries

log = logging.getLogger(__name__)

VARIABLE = "OMP_NUM_THREADS"


def make_ready() -> None:
    """Make sure of a launch folder, a home folder and a user's name, before anything asks for them.

    Under `python -W error`, warnings are shown: those of libraries about each other would end a run.

    Raises:
        ResourceError: the launch folder is gone or cannot be read.
    """
    if any(option.startswith("error") for option in sys.warnoptions):
        warnings.simplefilter("default")
    try:
        here = os.getcwd()
    except FileNotFoundError as error:
        said = "The folder in which blurr was started is gone: it was deleted or moved away. Change to another (cd …)."
        raise ResourceError(said) from error
    if not _may_read(here):
        raise ResourceError(f"The launch folder {here} cannot be read: permission denied. Change to another (cd …).")
    os.environ["HOME"] = str(home())
    try:
        getpass.getuser()
    except ImportError:  # a system without user ids
        os.environ["USER"] = "user"
    except (KeyError, OSError):  # a container whose user id has no name; libraries ask for one to name their folders
        os.environ["USER"] = f"uid-{os.getuid()}"


def _may_read(folder: str) -> bool:
    return os.access(folder, os.R_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids)


def home() -> Path:
    """Return the user's home folder; one among the temporary files for a user who has none, as in many containers.

    Libraries would make a folder named `~`, or end with an error, where the system knows no name of the user.
    """
    named = os.path.expanduser("~")
    if os.path.isabs(named) and os.path.isdir(named) and _may_read(named):
        return Path(named)
    made = Path(tempfile.gettempdir(), f"blurr-home-{os.geteuid()}")
    with suppress(FileExistsError):
        made.mkdir(mode=0o700)
    if made.is_symlink() or not made.is_dir() or made.stat().st_uid != os.geteuid():  # somebody else has taken the name
        made = Path(tempfile.mkdtemp(prefix="blurr-home-"))
    return made


def cache_root() -> Path:
    """Return the folder of the cache: `$BLURR_CACHE`, or `blurr` in the user's folder for caches."""
    caches = os.environ.get("XDG_CACHE_HOME") or home() / ".cache"
    return Path(os.environ.get("BLURR_CACHE") or Path(caches) / "blurr")


def set_threads(requested: int | Literal["auto"], *, processes: int = 1) -> None:
    """Set the number of threads that torch computes with, unless the user's environment sets it.

    Args:
        requested: a number, or `auto`: a share of the `free_cores`.
        processes: of this machine that share them.
    """
    if VARIABLE in os.environ:
        return
    number = max(1, free_cores() // processes) if requested == "auto" else requested
    os.environ[VARIABLE] = str(number)
    torch = sys.modules.get("torch")
    if torch is not None:  # it reads the variable when it is loaded, and never again
        torch.set_num_threads(number)


def set_threads_as_begun(number: int) -> None:
    """Set the number of threads that a run was begun with: its results have the same last digits only with that."""
    cores = usable_cores()
    if number > cores and VARIABLE not in os.environ:
        log.warning(
            "The run was begun with %d threads, and this process may use %d cores. It goes on with %d threads, for the "
            "same results to the last digit; threads=%d is faster here.",
            *(number, cores, number, cores),
        )
    set_threads(number)


def free_cores() -> int:
    """Return half of the physical cores that this process may use, at least one.

    A thread that waits for a busy core holds up all the others: on two busy cores, two threads were three to seven
    times slower than one, and a small model was slower with two even on idle cores. The number depends on the machine
    and not on its load, because the last digits of a result depend on it: a run needs the same number each time.
    """
    return max(1, usable_cores() // 2)


def usable_cores() -> int:
    """Return the number of physical cores that this process may use."""
    physical = psutil.cpu_count(logical=False) or 1
    allowed = len(os.sched_getaffinity(0)) if sys.platform == "linux" else physical
    return min(physical, allowed)


def visible_gpus() -> list[str]:
    """Return the GPUs that this process may use, named as in CUDA_VISIBLE_DEVICES, without loading torch."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name for name in named.split(",") if name.strip()]
    cards = Path("/proc/driver/nvidia/gpus")
    return [str(number) for number, _ in enumerate(cards.iterdir())] if cards.is_dir() else []


def stay_forkable() -> None:
    """Have torch count GPUs by NVML: a process that is forked from one that has used CUDA cannot use it."""
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"


USUAL = gc.get_threshold()


def collect_rarely() -> None:
    """Collect a hundred times less often while libraries load, and not at all when the process ends.

    The collector traverses modules and what they made, which live until the end anyway, again and again: with the
    libraries of this field, that is a third of the time of a start and of an exit.
    """
    gc.set_threshold(100 * USUAL[0], *USUAL[1:])
    atexit.register(gc.freeze)


def collect_as_usual() -> None:
    """Restore normal collection; exempt everything allocated so far."""
    gc.freeze()
    gc.set_threshold(*USUAL)


def hide_progress_bars() -> None:
    """Turn off the progress bars of datasets and transformers: one for each small step, they would drown ours."""
    from datasets.utils import logging as datasets_logging
    from transformers.utils import logging as transformers_logging

    datasets_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]


WARNED = (  # by importing fastai and tqdm
    ".torch.jit.script. is deprecated",
    "The 'mode.chained_assignment' option",
    "IProgress not found",
)


def ignore_warnings_of_imports() -> None:
    """Ignore what libraries warn of when they are imported, about each other."""
    for message in WARNED:
        warnings.filterwarnings("ignore", message=message)


def import_quietly() -> None:
    """Import fastai and tqdm without what they warn of, and leave the filters of warnings as they are."""
    with warnings.catch_warnings():
        ignore_warnings_of_imports()
        import_libraries()
        import tqdm.auto  # noqa: F401


@contextmanager
def without_bars() -> Iterator[None]:
    """Hide the progress bars of transformers in a `with` block, as those of reading and writing a local model."""
    from transformers.utils import logging as transformers_logging

    were_shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if were_shown:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
