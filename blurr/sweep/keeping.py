"""Delete the weights of trials that a sweep does not keep, and leave a note of which it has kept."""

import json
from collections.abc import Sequence

from blurr.errors import writing
from blurr.runs.checksums import write_whole
from blurr.runs.folder import ADAPTER, CHECKPOINT, CHECKPOINTS, MODEL
from blurr.runs.not_kept import NOT_KEPT
from blurr.sweep.configurations import best, configurations_of
from blurr.sweep.ledger import Ledger, Trial
from blurr.sweep.objectives import Objective
from blurr.sweep.settings import Keep
from blurr.tracking.run import Run

OF_WEIGHTS = (
    f"{MODEL}/*.safetensors",
    f"{ADAPTER}/*.safetensors",
    f"{CHECKPOINTS}/*.pth*",
    f"{CHECKPOINTS}/{CHECKPOINT}/*",
)


def free(ledger: Ledger, objectives: Sequence[Objective], keep: Keep, run: Run) -> str:
    """Delete the weights of the trials that are not kept; a sweep that is killed meanwhile goes on with it.

    Only what has ended for good is deleted, of trials that a resumed sweep would not run again.

    Args:
        ledger: of the sweep, none of whose trials runs.
        objectives: what trials are compared by.
        keep: which to keep. `best` keeps all repetitions of the best configurations.
        run: of the sweep, in whose store the trials' models are, too.

    Returns:
        What was kept, and how much room there is now; empty if all was kept.
    """
    found = best(configurations_of(ledger.trials.values()), objectives)
    winners = [number for each in found for number in each.numbers]
    if keep == "all" or not winners:
        return ""
    kept = winners if keep == "best" else []
    ended = [trial for trial in ledger.trials.values() if trial.is_done and trial.twin is None]
    others = [trial for trial in ended if trial.number not in kept]
    freed = sum(_free(ledger, trial, kept) for trial in others)
    for trial in others:
        note = ledger.folder / str(trial.number) / MODEL / NOT_KEPT
        if note.is_file():
            run.amend(trial.number, not_kept=note)
    named = f"those of trial{'s' if len(kept) > 1 else ''} {', '.join(map(str, kept))}" if kept else "none"
    return f"{named} kept (sweep.keep={keep}), {size(freed)} of {len(others)} others freed"


def _free(ledger: Ledger, trial: Trial, kept: Sequence[int]) -> int:
    """Delete the weights of a trial, once its model folder says where others are; return their bytes."""
    folder = ledger.folder / str(trial.number)
    files = sorted(path for pattern in OF_WEIGHTS for path in folder.glob(pattern) if path.is_file())
    if not files:
        return 0
    sizes = {path.stat().st_ino: path.stat().st_size for path in files}  # best.pth and last.pth may be one file
    name = ledger.head["name"]
    places = [str(ledger.folder / str(number)) for number in kept]
    with writing(folder, f"Make room, and go on with sweep.resume={name}."):
        (folder / MODEL).mkdir(exist_ok=True)
        note = {"sweep": name, "trial": trial.number, "folder": str(folder), "kept": places}
        write_whole(folder / MODEL / NOT_KEPT, json.dumps(note) + "\n", flushed=True)
        for path in files:
            path.unlink()
        for checkpoint in (folder / CHECKPOINTS).glob(CHECKPOINT):
            checkpoint.rmdir()
    return sum(sizes.values())


def size(count: int) -> str:
    """Return a number of bytes in the largest unit of which there is one: `1.2 GB`."""
    for unit, of in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= of:
            return f"{count / of:.3g} {unit}"
    return f"{count} bytes"
