"""Find the run that `resume=…` names, and make sure that it goes on with the config that it was begun with."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from blurr.errors import InputError
from blurr.tracking.masking import MASK, mask_config, mask_overrides
from blurr.tracking.records import flatten
from blurr.trust import MULTIRUN, check_words

RESUME, OUTPUT = "resume=", "output_dir="
CHECKPOINTS = "checkpoints"
# What may differ: where records go, how fast it runs, and what decides nothing of the weights.
FREE = ("resume", "output_dir", "tracking", "debug", "checkpoint", "objective", "report", "threads")
SAY_IT = (
    "A record runs no code of its own, for others may have written it. If this is what you want, say the word yourself "
    "on this command line."
)
FREE_OF_LOADER = ("num_workers", "pin_memory", "cache", "eval_batch_size")


def expand(words: Sequence[str]) -> list[str]:
    """Put the words that a run was begun with in the place of `resume=…`, and its folder; later words win.

    Args:
        words: of the command line. `resume=auto` takes the last run in outputs/ that was begun with the same words and
            has not ended well; where there is none, the run begins anew.

    Raises:
        InputError: there is no such run.
    """
    named = [word.removeprefix(RESUME) for word in words if word.startswith(RESUME)]
    if not named or named[-1] in ("", "null") or {"-m", "--multirun"} & set(words):
        return list(words)
    rest = [word for word in words if not word.startswith(RESUME)]
    if named[-1] != "auto":
        folder = find(named[-1], rest)
    elif any(word.startswith(OUTPUT) for word in rest):
        return list(words)  # the run looks into that folder itself
    else:
        begun = _unfinished(rest)
        if begun is None:
            return list(words)
        folder = begun
    return [*recorded(_begun_with(folder), rest, where=folder), *rest, f"{OUTPUT}'{folder}'", f"{RESUME}auto"]


def recorded(begun: Sequence[str], given: Sequence[str], *, where: Path) -> list[str]:
    """Give the words of a record that the command line does not say itself.

    Args:
        begun: the words that were recorded.
        given: those of the command line, which are the user's own.
        where: the folder of the record.

    Raises:
        InputError: one of them would run code that blurr does not name itself, see `blurr.trust`.
    """
    own = {word.partition("=")[0] for word in given}
    kept = [word for word in begun if word in MULTIRUN or word.partition("=")[0] not in own]
    hidden = [word for word in kept if MASK in word]
    if hidden:
        raise InputError(f"{hidden[0]} was hidden in the record {where}. Give it: {hidden[0].partition('=')[0]}=…")
    check_words(kept, where=str(where), remedy=SAY_IT)
    return kept


def find(name: str, words: Sequence[str]) -> Path:
    """Find the folder of a run.

    Args:
        name: the folder, or the id of its MLflow run.
        words: of the command line, which may name another MLflow.

    Raises:
        InputError: there is none.
    """
    for folder in (Path(name), Path(name).parent):  # a checkpoint's folder stands for its run's
        if (folder / CHECKPOINTS).is_dir() or (folder / "overrides.yaml").is_file():
            return folder.absolute()
    from blurr.tracking.store import folder_of  # MLflow takes seconds to import

    uri = next((word.partition("=")[2] for word in reversed(words) if word.startswith("tracking.uri=")), None)
    found = folder_of(name, uri)
    if found is None or not found.is_dir():
        raise InputError(
            f"resume={name}: there is no run folder and no MLflow run of that name"
            + (f"; the run's folder {found} is gone." if found else ".")
            + f" There are {[str(path) for path in _runs()][-5:]}."
        )
    return found.absolute()


def check_same(folder: Path, config: Mapping[str, Any]) -> None:
    """Compare a config with that of the run in a folder.

    Raises:
        InputError: they differ in what decides the weights.
    """
    begun = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    before, now = (_binding(each) for each in (begun, mask_config(dict(config))))
    changed = [key for key in sorted({*before, *now}) if before.get(key) != now.get(key)]
    if changed:
        said = ", ".join(f"{key}={now.get(key)} (was {before.get(key)})" for key in changed[:5])
        raise InputError(
            f"The run in {folder} cannot go on with another config: {said}. Leave these out, or begin anew without "
            "resume."
        )


def _binding(config: Mapping[str, Any]) -> dict[str, str]:
    kept = {key: value for key, value in config.items() if key not in FREE}
    kept["loader"] = {key: value for key, value in kept.get("loader", {}).items() if key not in FREE_OF_LOADER}
    return flatten(kept)


def _begun_with(folder: Path) -> list[str]:
    file = folder / "overrides.yaml"
    words = yaml.safe_load(file.read_text(encoding="utf-8")) if file.is_file() else []
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise InputError(f"{file} is not a list of words, as a run of blurr leaves it. Begin anew without resume.")
    return [word for word in words if not word.startswith((RESUME, OUTPUT))]


def _runs() -> list[Path]:
    found = Path("outputs").glob("*/*/overrides.yaml")
    return [file.parent for file in sorted(found, key=lambda file: file.stat().st_mtime)]


def _unfinished(words: Sequence[str]) -> Path | None:
    """Give the last run in outputs/ that was begun with these words and has no final scores."""
    given = mask_overrides(words)
    runs = [run for run in _runs() if not (run / "metrics.json").exists() and _begun_with(run) == given]
    return runs[-1].absolute() if runs else None
