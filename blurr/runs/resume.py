"""Find the run that `resume=…` names, and make sure that it goes on with the config that it was begun with."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from blurr.config.trust import MULTIRUN, check_words
from blurr.errors import InputError
from blurr.runs.folder import (
    CHECKPOINTS,
    CONFIG,
    IDENTITY,
    OVERRIDES,
    RECORD,
    SCORES,
    has_steps,
    holds_run,
    identity_of,
    is_alive,
)
from blurr.runs.jsonlines import flatten
from blurr.runs.secrets import MASK, mask_config, mask_overrides

RESUME, OUTPUT = "resume=", "output_dir="
# What may differ: where records go, how fast it runs, and what decides nothing of the weights.
FREE = ("resume", "output_dir", "overwrite", "tracking", "debug", "checkpoint", "objective", "report", "threads")
SAY_IT = (
    "A record runs no code of its own, for others may have written it. If this is what you want, say the word yourself "
    "on this command line."
)
FREE_OF_LOADER = ("num_workers", "pin_memory", "cache", "eval_batch_size")


def expand(words: Sequence[str]) -> list[str]:
    """Put the words that a run was begun with in the place of `resume=…`, and its folder; later words win.

    Args:
        words: of the command line. `resume=auto` takes the last unfinished run in outputs/ that was begun with the
            same words; where there is none, the run begins anew. `resume=last` takes the last unfinished one.

    Raises:
        InputError: there is no such run.
    """
    named = [word.removeprefix(RESUME) for word in words if word.startswith(RESUME)]
    if not named or named[-1] in ("", "null") or {"-m", "--multirun"} & set(words):
        return list(words)
    rest = [word for word in words if not word.startswith(RESUME)]
    if named[-1] == "last":
        folder = _last(rest)
    elif named[-1] != "auto":
        folder = find(named[-1], rest)
    elif any(word.startswith(OUTPUT) for word in rest):
        return list(words)  # the run looks into that folder itself
    else:
        begun = _unfinished(rest)
        if not begun:
            return list(words)
        folder = begun[-1]
    return [*recorded(_begun_with(folder), rest, where=folder), *rest, f"{OUTPUT}'{folder}'", f"{RESUME}auto"]


def recorded(begun: Sequence[str], given: Sequence[str], *, where: Path) -> list[str]:
    """Give the words of a record that the command line does not say itself.

    Args:
        begun: the words that were recorded.
        given: those of the command line, which are the user's own.
        where: the folder of the record.

    Raises:
        InputError: one of them would run code that blurr does not name itself, see `blurr.config.trust`.
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
        name: the folder, the identity of the run, or the id of its MLflow run.
        words: of the command line, which may name another MLflow.

    Raises:
        InputError: there is none, or its folder holds another run now.
    """
    given = Path(name).absolute()
    for folder in (given, *given.parents[:2]) if given.is_dir() else ():  # a checkpoint stands for its run
        if given.relative_to(folder).parts[:1] in ((), (CHECKPOINTS,)) and _is_run(folder):
            return folder
    for folder in _runs():
        if identity_of(folder) == name:
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
    check_holds(found, name)
    return found.absolute()


def _is_run(folder: Path) -> bool:
    return (folder / CHECKPOINTS).is_dir() or (folder / OVERRIDES).is_file()


def check_holds(folder: Path, name: str) -> None:
    """Check that a folder still holds the run that MLflow says it does.

    Args:
        folder: as MLflow has it.
        name: MLflow's id of the run, or its identity.

    Raises:
        InputError: it holds another one.
    """
    if not (folder / RECORD).is_file():
        return
    record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    if name not in (record.get(IDENTITY), record["run_id"]):
        raise InputError(
            f"The run {name} was in {folder}, which holds the run {record.get(IDENTITY) or record['run_id']} now. Its "
            "checkpoints are gone; begin anew, in a folder of its own."
        )


def may_go_on(folder: Path, config: Mapping[str, Any], resume: str) -> bool:
    """Can the run in a folder be gone on with? One that made no step blocks nothing: another config begins anew.

    Args:
        folder: of the run.
        config: to go on with.
        resume: as the config has it.

    Raises:
        InputError: there is no run in it, and `resume` asks for one.
    """
    if not holds_run(folder):
        if resume != "auto":
            raise InputError(
                f"resume={resume}: {folder} holds no run to go on with. Leave resume out, or say resume=auto, which "
                "begins anew where there is none."
            )
        return False
    return has_steps(folder) or not (folder / CONFIG).is_file() or not _changes(folder, config)


def begins_anew(folder: Path) -> str:
    """Say that `resume=auto` begins a new run in a folder, and which one is the last that is unfinished."""
    left = [run for run in _unfinished() if run.absolute() != folder.absolute()]
    named = f"The last unfinished run is {left[-1]}: resume={left[-1]} goes on with it." if left else ""
    return f"There is no unfinished run of these words: a new one begins in {folder}. {named}".strip()


def check_same(folder: Path, config: Mapping[str, Any]) -> None:
    """Compare a config with that of the run in a folder.

    Raises:
        InputError: they differ in what decides the weights.
    """
    changed = _changes(folder, config)
    if changed:
        said = ", ".join(f"{key}={now} (was {before})" for key, (before, now) in list(changed.items())[:5])
        raise InputError(
            f"The run in {folder} cannot go on with another config: {said}. Leave these out, or begin anew without "
            "resume, in another output_dir or with overwrite=true."
        )


def _changes(folder: Path, config: Mapping[str, Any]) -> dict[str, tuple[str | None, str | None]]:
    begun = yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8"))
    before, now = (_binding(each) for each in (begun, mask_config(dict(config))))
    pairs = {key: (before.get(key), now.get(key)) for key in sorted({*before, *now})}
    return {key: (old, new) for key, (old, new) in pairs.items() if old != new}


def _binding(config: Mapping[str, Any]) -> dict[str, str]:
    kept = {key: value for key, value in config.items() if key not in FREE}
    kept["loader"] = {key: value for key, value in kept.get("loader", {}).items() if key not in FREE_OF_LOADER}
    return flatten(kept)


def _begun_with(folder: Path) -> list[str]:
    file = folder / OVERRIDES
    words = yaml.safe_load(file.read_text(encoding="utf-8")) if file.is_file() else []
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise InputError(f"{file} is not a list of words, as a run of blurr leaves it. Begin anew without resume.")
    return [word for word in words if not word.startswith((RESUME, OUTPUT))]


def _runs() -> list[Path]:
    """Return the folders of the runs in outputs/, the last begun last."""
    found = Path("outputs").glob(f"*/*/{OVERRIDES}")
    return [file.parent for file in sorted(found, key=lambda file: file.stat().st_mtime)]


def _unfinished(words: Sequence[str] | None = None) -> list[Path]:
    """Return the runs in outputs/ that have no final scores and are not alive.

    Args:
        words: that they were begun with; None takes any.
    """
    given = None if words is None else mask_overrides(words)
    runs = [run for run in _runs() if not (run / SCORES).exists() and not is_alive(run)]
    return [run.absolute() for run in runs if given is None or _begun_with(run) == given]


def _last(words: Sequence[str]) -> Path:
    """Find the last unfinished run.

    Raises:
        InputError: there is none, or the words name a folder themselves.
    """
    named = [word for word in words if word.startswith(OUTPUT)]
    if named:
        raise InputError(f"resume=last finds the folder itself, and {named[-1]} names one. Leave one of them out.")
    left = _unfinished()
    if not left:
        raise InputError(
            f"resume=last: there is no unfinished run in {Path('outputs').absolute()}. There are "
            f"{[str(path) for path in _runs()][-5:]}. Begin one, or name a run: resume=<folder or id>."
        )
    return left[-1]
