"""Find the run that `resume=…` names, and make sure that it goes on with the config that it began with."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from blurr.config.moved import with_current_names
from blurr.config.trust import MULTIRUN, check_words
from blurr.errors import InputError
from blurr.runs.folder import CONFIG, OVERRIDES, SCORES, has_steps, holds_run, is_alive
from blurr.runs.jsonlines import flatten
from blurr.runs.record import OUTPUTS, Record, latest_runs, runs_in
from blurr.runs.secrets import MASK, mask_config, mask_overrides

RESUME, OUTPUT = "resume=", "output_dir="
# What may differ: where records go, how fast it runs, and what decides nothing of the weights.
FREE = ("resume", "output_dir", "overwrite", "tracking", "debug", "checkpoint", "objective", "report", "threads")
SAY_IT = (
    "A record runs no code of its own, for others may have written it. If this is what you want, say the word yourself "
    "on this command line."
)
FREE_OF_LOADER = ("num_workers", "pin_memory", "cache", "eval_batch_size")


def expand(words: Sequence[str], find_run: Callable[..., Path]) -> list[str]:
    """Replace `resume=…` by the overrides that the run began with, and its folder; the command line's own win.

    Args:
        words: of the command line. `resume=auto` takes the last unfinished run in outputs/ that was begun with the
            same words; where there is none, the run begins anew. `resume=last` takes the last unfinished one.
        find_run: `tracking.finding.find_run`.

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
        uris = [word.partition("=")[2] for word in rest if word.startswith("tracking.uri=")]
        folder = find_run(named[-1], uri=uris[-1] if uris else None)
        if not (folder / OVERRIDES).is_file():
            raise InputError(f"{folder} holds no run to go on with: it has no {OVERRIDES}, which says how it began.")
    elif any(word.startswith(OUTPUT) for word in rest):
        return list(words)  # the run looks into that folder itself
    else:
        begun = _unfinished(rest)
        if not begun:
            return list(words)
        folder = begun[-1]
    return [*recorded(_begun_with(folder), rest, where=folder), *rest, f"{OUTPUT}'{folder}'", f"{RESUME}auto"]


def recorded(begun: Sequence[str], given: Sequence[str], *, where: Path) -> list[str]:
    """Return the recorded overrides that the command line does not give itself.

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
            f"resume, in another output_dir or with overwrite=true.{_version_of(Record(folder), changed)}"
        )


def _version_of(record: Record, changed: Mapping[str, tuple[str | None, str | None]]) -> str:
    """Name the version that began a run, where its config lacks keys."""
    if all(before is not None for before, _ in changed.values()):
        return ""
    version = record.environment.get("blurr", "of an unknown version")
    return f" It was begun by blurr {version}: where that has no such keys, go on with that version."


def _changes(folder: Path, config: Mapping[str, Any]) -> dict[str, tuple[str | None, str | None]]:
    before, now = (_binding(each) for each in (Record(folder).config, mask_config(dict(config))))
    pairs = {key: (before.get(key), now.get(key)) for key in sorted({*before, *now})}
    return {key: (old, new) for key, (old, new) in pairs.items() if old != new}


def _binding(config: Mapping[str, Any]) -> dict[str, str]:
    kept = {key: value for key, value in config.items() if key not in FREE}
    kept["loader"] = {key: value for key, value in kept.get("loader", {}).items() if key not in FREE_OF_LOADER}
    return flatten(with_current_names(kept))


def _begun_with(folder: Path) -> list[str]:
    return [word for word in Record(folder).overrides if not word.startswith((RESUME, OUTPUT))]


def _unfinished(words: Sequence[str] | None = None) -> list[Path]:
    """Return the runs in outputs/ that have no final scores and are not alive.

    Args:
        words: that they were begun with; None takes any.
    """
    given = None if words is None else mask_overrides(words)
    runs = [run for run in runs_in(OUTPUTS) if not (run / SCORES).exists() and not is_alive(run)]
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
            f"resume=last: there is no unfinished run in {OUTPUTS.absolute()}. There are {latest_runs()}. "
            "Begin one, or name a run: resume=<folder or id>."
        )
    return left[-1]
