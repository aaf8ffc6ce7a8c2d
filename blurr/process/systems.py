"""What not every operating system has; modules of one system are imported where they are needed."""

import os
from importlib.util import find_spec

from blurr.errors import ResourceError

HAS_LOCKS = find_spec("fcntl") is not None  # Windows has none of these
HAS_LIMITS = find_spec("resource") is not None
HAS_FORK = "fork" in dir(os)


def check_fork(what: str) -> None:
    """Refuse what needs processes that are forked.

    Raises:
        ResourceError: this system has none.
    """
    if not HAS_FORK:
        raise ResourceError(
            f"{what}, which this operating system cannot do. Single runs work here (leave -m out); for sweeps, take "
            "Linux, macOS or WSL, or a cluster: sweep/executor=ray."
        )
