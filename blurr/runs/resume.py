"""Find the run that `resume=…` names, and check that it continues with the config that it was begun with."""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from blurr.config.moved import with_current_names
from blurr.config.trust import MULTIRUN, check_words, key_of, quoted, unquoted
from blurr.errors import InputError
from blurr.runs.folder import CONFIG, ENVIRONMENT, OVERRIDES, SCORES, has_steps, holds_run, is_alive
from blurr.runs.jsonlines import flatten
from blurr.runs.record import OUTPUTS, Record, check_links, latest_runs, runs_in
from blurr.runs.secrets import MASK, mask_config, mask_overrides

log = logging.getLogger(__name__)

RESUME, OUTPUT = "resume=", "output_dir="
# Keys that may differ: where a run is recorded, how fast it is, and what has no effect on the weights.
FREE = (
    *("resume", "output_dir", "overwrite", "tracking", "debug", "checkpoint", "objective", "report", "threads"),
    "processes",
)
FREE_OF_DATA = ("streaming",)
FREE_OF_MODEL = ("compact_embeddings",)
FREE_OF_LOADER = ("num_workers", "pin_memory", "cache", "cache_gb", "eval_batch_size")
# Keys that earlier versions did not have, whose absence means what these versions did.
ADDED = (
    *("optimizer.max_grad_norm", "schedule.steps", "augment", "data.broken", "data.media", "loader.max_seconds"),
    *("model.groups", "model.quantize", "model.shard", "adapter"),
)
SAY_IT = (
    "A record runs no code of its own, because others may have written it. If you want this, give the override "
    "yourself on this command line."
)


def expand(overrides: Sequence[str], find_run: Callable[..., Path]) -> list[str]:
    """Replace `resume=…` by the overrides that the run was begun with, and its folder; those given now win.

    Args:
        overrides: the command line. `resume=auto` takes the last unfinished run in outputs/ with the same overrides,
            and begins a new run if there is none. `resume=last` takes the last unfinished run.
        find_run: `tracking.finding.find_run`.

    Raises:
        InputError: there is no such run.
    """
    named = [unquoted(each.removeprefix(RESUME)) for each in overrides if each.startswith(RESUME)]
    if not named or named[-1] in ("", "null") or {"-m", "--multirun"} & set(overrides):
        return list(overrides)
    rest = [each for each in overrides if not each.startswith(RESUME)]
    if named[-1] == "last":
        folder = _last(rest)
    elif named[-1] != "auto":
        uris = [each.partition("=")[2] for each in rest if each.startswith("tracking.uri=")]
        folder = find_run(named[-1], uri=uris[-1] if uris else None)
        if not (folder / OVERRIDES).is_file():
            raise InputError(f"{folder} holds no run to go on with: it has no {OVERRIDES}, which says how it began.")
        if _is_of_notebook(folder):
            raise InputError(
                f"{folder} was trained by the code of a notebook, which has no checkpoints to go on from. Run its "
                "cells again."
            )
    elif any(each.startswith(OUTPUT) for each in rest):
        return list(overrides)  # the run itself looks into that folder
    else:
        begun = _unfinished(rest)
        if not begun:
            return list(overrides)
        folder = begun[-1]
    return [*recorded(_begun_with(folder), rest, where=folder), *rest, located("output_dir", folder), f"{RESUME}auto"]


def located(key: str, folder: Path) -> str:
    """Return the override that puts the folder of a record under a key.

    Raises:
        InputError: the folder's name would be interpolated, or holds links that lead out of it.
    """
    check_links(folder)
    if "${" in str(folder):
        raise InputError(f"{folder} has ${{ in its name, which would be looked up elsewhere. Rename it.")
    return f"{key}={quoted(str(folder))}"


def recorded(begun: Sequence[str], given: Sequence[str], *, where: Path) -> list[str]:
    """Return the recorded overrides whose keys the command line does not give.

    Args:
        begun: the recorded overrides.
        given: those of the command line, which are the user's own.
        where: the folder of the record.

    Raises:
        InputError: an override would run code that is not listed in `blurr.config.trust`.
    """
    own = {each.partition("=")[0] for each in given}
    kept = [each for each in begun if each in MULTIRUN or each.partition("=")[0] not in own]
    hidden = [each for each in kept if MASK in each]
    if hidden:
        raise InputError(f"{hidden[0]} was hidden in the record {where}. Give it: {hidden[0].partition('=')[0]}=…")
    check_words(kept, where=str(where), remedy=SAY_IT)
    return kept


def may_go_on(folder: Path, config: Mapping[str, Any], resume: str) -> bool:
    """Can the run in a folder be continued? One without steps is replaced if the config is another one.

    Args:
        folder: the run's folder.
        config: the config of the new start.
        resume: the value of `resume` in the config.

    Raises:
        InputError: the folder holds no run, and `resume` requires one.
    """
    if not holds_run(folder):
        if resume != "auto":
            raise InputError(
                f"resume={resume}: {folder} holds no run to go on with. Leave resume out, or give resume=auto, which "
                "begins anew if there is none."
            )
        return False
    return has_steps(folder) or not (folder / CONFIG).is_file() or not _changes(folder, config)


def begins_anew(folder: Path) -> str:
    """Return the message that `resume=auto` begins a new run, with the last unfinished one."""
    left = [run for run in _unfinished() if run.absolute() != folder.absolute()]
    named = f"The last unfinished run is {left[-1]}: resume={left[-1]} goes on with it." if left else ""
    return f"There is no unfinished run with these overrides: a new one begins in {folder}. {named}".strip()


def as_begun(cfg: DictConfig, folder: Path, overrides: Sequence[str]) -> DictConfig:
    """Return a config without the keys that the run in a folder was begun before, so that it goes on as it began.

    Args:
        cfg: the composed config.
        folder: the run's folder.
        overrides: the command line, whose keys stay: they are the user's own.
    """
    if cfg.resume is None or not holds_run(folder) or not (folder / CONFIG).is_file():
        return cfg
    given, before, cfg = {key_of(each) for each in overrides}, OmegaConf.create(Record(folder).config), cfg.copy()
    for key in ADDED:
        group, _, name = key.rpartition(".")
        node, had = (cfg[group], before.get(group, {})) if group else (cfg, before)
        if name in node and name not in had and key not in given:
            with open_dict(node):
                del node[name]
    return cfg


def threads_begun_with(cfg: DictConfig, folder: Path) -> int | None:
    """Return the number of threads of the run that a config goes on with; None if there is none, or another is set."""
    if cfg.resume is None or cfg.threads != "auto" or not holds_run(folder) or not (folder / ENVIRONMENT).is_file():
        return None
    found: int | None = Record(folder).environment.get("threads")
    return found


def check_same(folder: Path, config: Mapping[str, Any]) -> None:
    """Compare a config with that of the run in a folder.

    Raises:
        InputError: they differ in a key that has an effect on the weights.
    """
    changed = _changes(folder, config)
    if changed:
        said = ", ".join(
            f"{key}={now!s:.100} (was {before!s:.100})" for key, (before, now) in list(changed.items())[:5]
        )
        raise InputError(
            f"The run in {folder} cannot go on with another config: {said}. Leave these out, or begin anew without "
            f"resume, in another output_dir or with overwrite=true.{_version_of(Record(folder), changed)}"
        )


def _version_of(record: Record, changed: Mapping[str, tuple[str | None, str | None]]) -> str:
    """Return a sentence with the version that began a run, if its config lacks keys."""
    if all(before is not None for before, _ in changed.values()):
        return ""
    version = record.environment.get("blurr", "of an unknown version")
    return f" It was begun by blurr {version}: if that has no such keys, go on with that version."


def _changes(folder: Path, config: Mapping[str, Any]) -> dict[str, tuple[str | None, str | None]]:
    before, now = (_binding(each) for each in (Record(folder).config, mask_config(dict(config))))
    pairs = {key: (before.get(key), now.get(key)) for key in sorted({*before, *now})}
    return {key: (old, new) for key, (old, new) in pairs.items() if old != new}


def _binding(config: Mapping[str, Any]) -> dict[str, str]:
    kept = {key: value for key, value in config.items() if key not in FREE}
    for group, free in (("data", FREE_OF_DATA), ("model", FREE_OF_MODEL), ("loader", FREE_OF_LOADER)):
        kept[group] = {key: value for key, value in kept.get(group, {}).items() if key not in free}
    return flatten(with_current_names(kept))


def _begun_with(folder: Path) -> list[str]:
    return [each for each in Record(folder).overrides if not each.startswith((RESUME, OUTPUT))]


def _unfinished(overrides: Sequence[str] | None = None) -> list[Path]:
    """Return the runs in outputs/ without final scores or a living process, and begun with these overrides if given."""
    given = None if overrides is None else mask_overrides(overrides)
    runs = [run for run in runs_in(OUTPUTS) if not (run / SCORES).exists() and not is_alive(run)]
    left = [run.absolute() for run in runs if given is None or _is_begun_with(run, given)]
    return [run for run in left if not _is_of_notebook(run)]


def _is_of_notebook(folder: Path) -> bool:
    with suppress(InputError):  # a broken config is refused where it is used
        return (folder / CONFIG).is_file() and Record(folder).notebook is not None
    return False


def _is_begun_with(folder: Path, overrides: Sequence[str]) -> bool:
    try:
        return _begun_with(folder) == overrides
    except InputError as error:  # a broken run must not keep others from going on
        log.warning("%s is left out: %s", folder, error)
        return False


def _last(overrides: Sequence[str]) -> Path:
    """Return the folder of the last unfinished run.

    Raises:
        InputError: there is none, or the overrides name a folder.
    """
    named = [each for each in overrides if each.startswith(OUTPUT)]
    if named:
        raise InputError(f"resume=last finds the folder itself, and {named[-1]} names one. Leave one of them out.")
    left = _unfinished()
    if not left:
        raise InputError(
            f"resume=last: there is no unfinished run in {OUTPUTS.absolute()}. There are {latest_runs()}. "
            "Begin one, or name a run: resume=<folder or id>."
        )
    return left[-1]
