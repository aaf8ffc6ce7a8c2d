"""Find the sweeps of a launch folder, and the command line that goes on with one of them."""

import re
from collections.abc import Sequence
from pathlib import Path

from blurr.errors import InputError, nearest
from blurr.runs.resume import recorded
from blurr.sweep.ledger import JOURNAL, Ledger

MULTIRUN = "multirun"  # conf/config.yaml puts sweeps there
RESUME = "sweep.resume="


def expand(words: Sequence[str]) -> list[str]:
    """Put the words that a sweep was begun with in the place of `sweep.resume=…`; later words win.

    Args:
        words: of the command line.

    Raises:
        InputError: there is no such sweep.
    """
    words = [_quoted(word) for word in words]
    named = [word.removeprefix(RESUME) for word in words if word.startswith(RESUME)]
    if not named or named[-1] in ("", "null"):
        return words
    folder = find(named[-1])
    head = Ledger(folder).head
    rest = [word for word in words if not word.startswith(RESUME) and word not in ("-m", "--multirun")]
    return [
        *recorded(head["argv"], rest, where=folder),
        *rest,
        f"sweep.name={head['name']}",
        f"hydra.sweep.dir='{folder}'",
    ]


def find(name: str) -> Path:
    """Find the folder of a sweep.

    Args:
        name: of the sweep, or its folder.

    Raises:
        InputError: there is none.
    """
    for folder in (Path(name), Path(MULTIRUN, name)):
        if (folder / JOURNAL).is_file() and Ledger(folder).head:
            return folder.absolute()
    there = [folder.name for folder in folders()]
    raise InputError(
        f"There is no sweep '{name}': no folder {name} or {MULTIRUN}/{name} with a {JOURNAL}.{nearest(name, there)} "
        f"{MULTIRUN}/ has: {', '.join(there) or 'no sweeps'}."
    )


def folders() -> list[Path]:
    """Return the folders of the sweeps in the launch folder, the oldest first."""
    journals = sorted(Path(MULTIRUN).glob(f"*/{JOURNAL}"), key=lambda file: file.stat().st_mtime)
    return [file.parent for file in journals]


def _quoted(word: str) -> str:
    """Quote `retry(2)`, which Hydra would take for one of its functions."""
    return re.sub(r"^(sweep\.on_failure=)(retry\(\d+\))$", r"\1'\2'", word)
