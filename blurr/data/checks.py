"""Check a config, and the files and columns that it names, before anything heavy loads."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from blurr.config import checks, signatures
from blurr.config.combinations import path_of
from blurr.config.places import check_regular, kind_of
from blurr.data.formats.content import FileOptions, SourceFile
from blurr.data.formats.packed import suffix_of
from blurr.data.headers import headers
from blurr.data.naming import Roles, chosen_columns, missing_column
from blurr.data.sources import FORMATS, WILDCARDS, find_files, named
from blurr.errors import InputError, nearest

LOAD_FILES = "blurr.data.files.load_files"
SPLITS = ("train", "valid", "test")
OPTIONS = ("format", "encoding", "delimiter", "quotes", "sheet")
Config = Mapping[str, Any]


def check(cfg: DictConfig) -> None:
    """Check every value of a config, the files that it names, and their columns.

    Raises:
        InputError: all mistakes, a line each.
    """
    checks.check(cfg, (("data",), check_files), (("task", "data"), check_columns))


def check_files(config: Config) -> None:
    """Refuse files that are missing, empty or not readable."""
    data, media = config["data"], media_roles(config)
    for split in SPLITS if data["_target_"] == LOAD_FILES else ():
        given = data.get(split)
        if given == []:
            raise InputError(f"data.{split}=[] names no file. Give some, or null in place of the list.")
        for text in [given] if isinstance(given, str) else given or ():
            path = path_of(f"data.{split}", text)
            if not WILDCARDS.search(text):  # a pattern is resolved where it is used
                _check_file(f"data.{split}", path, _options(data), is_media=bool(media))


def media_roles(config: Config) -> tuple[str, ...]:
    """Return the roles of the task that hold files, such as pictures."""
    task = str(config.get("task", {}).get("_target_", ""))
    with suppress(InputError):  # a task that is not there is a mistake of its own
        return signatures.class_argument_keys(task, "schema", "media") if signatures.is_ours(task) else ()
    return ()


def _check_file(key: str, path: Path, options: FileOptions, *, is_media: bool) -> None:
    kind = kind_of(path)
    if kind == "folder" and is_media:  # only its modality knows which files it reads
        return
    if kind == "folder":
        try:
            find_files(path, options)
        except InputError as error:
            raise InputError(f"{key}={path}: {error}") from error
        return
    if kind is None:
        there = sorted(child.name for child in path.parent.iterdir()) if path.parent.is_dir() else []
        place = path.parent if path.parent.is_dir() else f"{path.parent}, which does not exist"
        raise InputError(
            f"{key}={path}: there is no such file.{nearest(path.name, there)} Looked in {Path.cwd() / place}."
        )
    try:
        check_regular(path)
        with path.open("rb") as stream:
            first = stream.read(1)
    except OSError as error:
        raise InputError(f"{key}={path}: this file cannot be read ({error.strerror}).") from error
    if not first:
        raise InputError(f"{key}={path}: this file is empty. Give one with at least a header and a row.")


def check_columns(config: Config) -> None:
    """Refuse columns that the headers of the files lack; what is known only of the rows is left to their reader.

    Raises:
        InputError: all columns that are missing, a line each.
    """
    data, task = config["data"], config["task"]["_target_"]
    if data["_target_"] != LOAD_FILES or data.get("preprocess") or not signatures.is_ours(task):
        return
    schema = signatures.class_arguments(task, "schema")
    if not schema:
        return
    roles = Roles(tuple(schema["required"]), tuple(schema["optional"]), schema["label"])
    named_by_user = data.get("columns") or {}
    # a role may be filled by others, or be found by what its column holds
    may_be_elsewhere = schema["required"] if signatures.has_argument(task, "schema", "shaper") else media_roles(config)
    found_later = {role for role in may_be_elsewhere if named_by_user.get(role) in (None, role)}
    chosen = {r: names for r, names in chosen_columns(roles, named_by_user).items() if r not in found_later}
    mistakes: dict[str, str] = {}  # by role: a column that all files lack is reported once
    try:
        check_files(config)
    except InputError:
        return  # which is reported by itself
    for split in SPLITS:
        if data.get(split) and not (media_roles(config) and _may_be_media(data[split])):
            sources = find_files(data[split], _options(data))
            for role, said in _missing(sources, roles, chosen, f"{named(data[split])} ({split})"):
                mistakes.setdefault(role, said)
    if mistakes:
        raise InputError("\n".join(mistakes.values()))


def _missing(
    sources: list[SourceFile], roles: Roles, chosen: Mapping[str, str | list[str]], where: str
) -> Iterator[tuple[str, str]]:
    """Yield each role whose column is in none of the files, and a message."""
    found = headers(sources)
    names = list(dict.fromkeys(name for header in found or () for name in header.names))
    for role, columns in chosen.items() if found is not None else ():
        for column in [columns] if isinstance(columns, str) else columns:
            is_needed = role in roles.required or column != role
            if is_needed and not any(header.may_have(column) for header in found or ()):
                yield role, missing_column(names, role, column, where)


def _may_be_media(paths: str | list[str]) -> bool:
    """Return whether paths name other things than tables: only a modality knows their columns."""
    given = [paths] if isinstance(paths, str) else paths
    return any(suffix_of(Path(path)) not in FORMATS for path in given)


def _options(data: Config) -> FileOptions:
    return FileOptions(**{name: data[name] for name in OPTIONS if name in data})
