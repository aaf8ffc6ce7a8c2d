"""Find the sweeps of a launch folder, and the command line that continues one of them."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from blurr.config.trust import unquoted
from blurr.errors import InputError, nearest
from blurr.runs.folder import LEDGER
from blurr.runs.resume import located, recorded
from blurr.sweep.ledger import Ledger
from blurr.sweep.settings import NAME

MULTIRUN = "multirun"  # conf/config.yaml puts sweeps there
RESUME = "sweep.resume="


def expand(overrides: Sequence[str]) -> list[str]:
    """Replace `sweep.resume=…` by the overrides that the sweep was begun with; those given now win.

    Raises:
        InputError: there is no such sweep.
    """
    # Hydra would take `retry(2)` for one of its functions
    given = [re.sub(r"^(sweep\.on_failure=)(retry\(\d+\))$", r"\1'\2'", each) for each in overrides]
    named = [unquoted(each.removeprefix(RESUME)) for each in given if each.startswith(RESUME)]
    if not named or named[-1] in ("", "null"):
        return given
    folder = find(named[-1])
    head = Ledger(folder).head
    name = str(head["name"])
    if not NAME.fullmatch(name):
        raise InputError(f"The ledger in {folder} is of a sweep named {name!r}, which is no name of one. Begin anew.")
    rest = [each for each in given if not each.startswith(RESUME) and each not in ("-m", "--multirun")]
    begun = [each for each in recorded(head["argv"], rest, where=folder) if not _leads_elsewhere(each, folder)]
    return [*begun, *rest, f"sweep.name={name}", located("hydra.sweep.dir", folder)]


def find(name: str) -> Path:
    """Return the folder of a sweep, given the folder or the sweep's name.

    Raises:
        InputError: there is no such sweep.
    """
    for folder in (Path(name), Path(MULTIRUN, name)):
        if (folder / LEDGER).is_file() and Ledger(folder).head:
            return folder.absolute()
    there = [folder.name for folder in folders()]
    raise InputError(
        f"There is no sweep '{name}': no folder {name} or {MULTIRUN}/{name} with a {LEDGER}.{nearest(name, there)} "
        f"{MULTIRUN}/ has: {', '.join(there) or 'no sweeps'}."
    )


def check_weights(ledger: Ledger) -> None:
    """Check what the ledger says that trials begin with, which becomes part of their configs.

    Raises:
        InputError: no sweep writes that.
    """
    from blurr.models.weights import Weights  # loads the library of the Hub

    if ledger.head["weights"] not in get_args(Weights):
        raise InputError(
            f"The ledger in {ledger.folder} has weights={ledger.head['weights']}, which is none of "
            f"{', '.join(get_args(Weights))}: somebody has changed it. Begin anew with another sweep.name."
        )


def folders() -> list[Path]:
    """Return the folders of the sweeps in the launch folder, the oldest first."""
    files = sorted(Path(MULTIRUN).glob(f"*/{LEDGER}"), key=lambda file: file.stat().st_mtime)
    return [file.parent for file in files]


def _leads_elsewhere(word: str, folder: Path) -> bool:
    """Is this an `output_dir=…` that names another folder than the one that holds the ledger?"""
    key, _, value = word.partition("=")
    return key == "output_dir" and Path(value.strip("'\"")).absolute() != folder
