"""Name a run by its checkpoint, its data and what its command line changed: `MiniLM reviews lr=1e-4 epochs=2`."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from blurr.config.naming import ANY_MODEL, model_label
from blurr.data.naming import split_name
from blurr.runs.secrets import mask_overrides

# Groups and keys that the rest of the name says, that say where a run is recorded, or what it is measured by.
SAID = ("model", "data", "task", "model.name", "data.train", "data.valid", "data.test", "data.name", "data.columns")
ASIDE = ("output_dir", "resume", "overwrite", "report", "threads", "debug", "metrics", "objective")
ASIDE_GROUPS = ("tracking", "sweep", "hydra", "checkpoint")
REPEATED = ("seed", "fold")  # the last part of a key that repeats a configuration, and does not change it
OF_FILES, OF_HUB = "files", "hub"  # the options of data that say nothing by themselves
LONGEST_VALUE = 40
LONGEST = 200  # letters of a name; MLflow takes 250


def is_repeated(key: str) -> bool:
    """Is this a seed or a fold?"""
    return key.rpartition(".")[2].lstrip("+") in REPEATED


def short_keys(keys: Iterable[str]) -> dict[str, str]:
    """Return for each dotted key its shortest ending that no other key has: `lr` for `optimizer.lr`."""
    parts = {key: re.split(r"[./]", key.lstrip("+")) for key in keys}
    found = {}
    for key, mine in parts.items():
        others = [each for other, each in parts.items() if other != key]
        length = next((n for n in range(1, len(mine)) if all(mine[-n:] != each[-n:] for each in others)), len(mine))
        found[key] = ".".join(mine[-length:])
    return found


def compact(values: Mapping[str, str]) -> str:
    """Return keys and values in one line, with short keys and without the folders of paths."""
    short = short_keys(values)
    return " ".join(f"{short[key]}={_short_value(value)}" for key, value in values.items())


def differences(overrides: Sequence[str], *, with_repeated: bool = True) -> str:
    """Return what a command line changed, besides task, model and data, without secrets and folders.

    Args:
        overrides: of the command line.
        with_repeated: with seeds and folds.
    """
    values: dict[str, str] = {}
    for word in mask_overrides(overrides):
        key, _, value = word.partition("=")
        bare = key.lstrip("+")
        if not _is_aside(bare.lstrip("~")) and (with_repeated or not is_repeated(bare)):
            values.pop(bare, None)  # the last one counts
            values[bare] = value
    deleted = [key for key in values if key.startswith("~")]
    return " ".join([compact({key: value for key, value in values.items() if key not in deleted}), *deleted]).strip()


def subject_of(config: Mapping[str, Any], overrides: Sequence[str], choices: Mapping[str, str | None]) -> str:
    """Return what a run trains: the checkpoint, the task if it was chosen, and the data.

    Args:
        config: the config of the run.
        overrides: what the command line changed.
        choices: the options of the groups `task`, `model` and `data`.
    """
    keys = {word.partition("=")[0].lstrip("+") for word in overrides}
    chosen = ANY_MODEL if "model.name" in keys else choices.get("model")
    parts = [
        model_label(chosen, (config.get("model") or {}).get("name")),
        choices.get("task") if "task" in keys else "",
        data_label(choices.get("data"), config.get("data") or {}),
    ]
    return " ".join(part for part in parts if part)


def data_label(choice: str | None, data: Mapping[str, Any]) -> str:
    """Return the word for data: the option, the stem of the file, or the last name of the Hub id.

    A file or folder that is named for its split, such as `train.csv`, is called by the folder that it is in.

    Args:
        choice: the option of the group `data`.
        data: the part `data` of the config.
    """
    given = data.get("name") if choice == OF_HUB else data.get("train") if choice == OF_FILES else None
    first = next(iter(given), None) if isinstance(given, list | tuple) else given
    if not isinstance(first, str) or not first:
        return choice or ""
    parts = [part for part in re.split(r"[/\\]", first) if part not in ("", ".", "..") and "*" not in part]
    stems = [part.partition(".")[0] or part for part in parts]
    if stems[1:] and split_name(stems[-1]):
        stems.pop()
    return stems[-1] if stems else str(choice)


def title_of(subject: str, differs: str) -> str:
    """Return the name of a run: what it trains, and what differs."""
    name = f"{subject} {differs}".strip()
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def _is_aside(key: str) -> bool:
    named = key in SAID or key in ASIDE or key.startswith("data.columns.")
    return named or re.split(r"[./@]", key)[0] in ASIDE_GROUPS


def _short_value(value: str) -> str:
    bare = value.strip("'\"")
    if bare[:1] in ("[", "{"):
        short = re.sub(r"[^\s,\[\]{}:'\"]*[/\\](?=[^\s,\[\]{}:'\"])", "", bare)
    else:
        short = re.split(r"[/\\](?=.)", bare)[-1]
    return short if len(short) <= LONGEST_VALUE else f"{short[: LONGEST_VALUE - 1]}…"
