"""Keep records from choosing where data goes: to which store, storage or cluster."""

import re
import shlex
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from blurr.config import paths
from blurr.config.store import store_uri
from blurr.config.trust import check_plain, key_of, quoted
from blurr.errors import InputError

STORE = "tracking.uri"
KEYS = (STORE, "sweep.storage", "sweep.executor.address")
NAMING = {"resume", "sweep.resume"}
FOUND = {"output_dir", "sweep.name", "hydra.sweep.dir"}  # what the place of a record says
SQLITE = "sqlite:///"
ADDRESS = re.compile(r"[a-z][\w.+-]*(:[\w./:@+-]*)?")  # needs no quotes on a command line
LOCATIONS = ("SELECT artifact_location FROM experiments", "SELECT artifact_uri FROM runs")
# with these, a database changes what is written into it; MLflow makes none
ACTIVE = "SELECT name FROM sqlite_master WHERE type IN ('trigger', 'view')"
_borrowed: list[tuple[str, ...]] = []  # the command line as it was typed, if some of its overrides are a record's


def remember(given: Sequence[str], words: Sequence[str]) -> None:
    """Have `check_borrowed` check the configs of this command line, if any of its overrides come from a record.

    Args:
        given: the command line as the user typed it.
        words: the command line with those of the record.
    """
    own = {*FOUND, *map(key_of, given)}
    is_borrowed = not own.isdisjoint(NAMING) and any(key_of(word) not in own for word in words)
    _borrowed[:] = [tuple(given)] if is_borrowed else []


def check_borrowed(config: Mapping[str, Any]) -> None:
    """Check a composed config, if some of its overrides come from a record.

    Args:
        config: resolved, as plain dicts, lists and scalars.

    Raises:
        InputError: see `check_destinations` and `trust.check_plain`.
    """
    for given in _borrowed:
        where = f"The record of {next(word for word in given if key_of(word) in NAMING)}"
        check_plain(config, where=where)
        check_destinations(config, given=given, where=where, command=f"blurr run {shlex.join(given)}")


def check_destinations(
    config: Mapping[str, Any], *, given: Iterable[str], where: str, command: str, named: Sequence[str] = ()
) -> None:
    """Refuse a config that sends data where neither the user nor her options nor her environment say.

    Args:
        config: resolved, as plain dicts, lists and scalars.
        given: overrides that are the user's own.
        where: the file or run that the config was read from.
        command: the command line, to which the message adds what the user can say.
        named: addresses that the user has named elsewhere.

    Raises:
        InputError: names the keys, and spells out the command line that accepts them.
    """
    own = set(map(key_of, given))
    strange = {key: value for key in KEYS if key not in own and (value := _value_of(config, key))}
    strange = {key: value for key, value in strange.items() if not is_named(key, value, named)}
    if strange:
        words = [f"{key}={_plain_or_quoted(str(value))}" for key, value in strange.items()]
        raise InputError(
            f"{where} says {' '.join(words)}, and neither your options nor your environment name that. A record does "
            f"not choose where data goes. If you want it there, say so yourself: {command} {shlex.join(words)}"
        )


def is_named(key: str, value: Any, named: Sequence[str] = ()) -> bool:
    """Return whether data may go to an address that only a record says: the user names it, or it is a file of hers.

    Args:
        key: one of `KEYS`.
        value: the address.
        named: addresses that the user has named besides her options and her environment.
    """
    known = [*named, *([store_uri()] if key == STORE else ())]
    if any(_full(value) == _full(each) for each in (*known, *_options(key))):
        return True
    return key == STORE and _stays_here(str(value))


def _full(address: Any) -> str:
    """Return an address in one way of several: a file's path is absolute."""
    text = str(address)
    return f"{SQLITE}{_file(text)}" if text.startswith(SQLITE) else text.rstrip("/")


def _file(uri: str) -> Path:
    return Path(Path.cwd(), Path(uri.removeprefix(SQLITE)).expanduser()).resolve()


def _plain_or_quoted(address: str) -> str:
    return address if ADDRESS.fullmatch(address) else quoted(address)


def _value_of(config: Mapping[str, Any], key: str) -> Any:
    value: Any = config
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _options(key: str) -> Iterator[Any]:
    """Yield the values that blurr's options and the user's own have for a key."""
    parts = key.split(".")
    places = [("/".join(parts[:n]), ".".join(parts[n:])) for n in range(1, len(parts))]
    for group, rest in [*places, (paths.EXPERIMENTS, key)]:
        for file in paths.options(group).values():
            try:
                value = OmegaConf.select(OmegaConf.load(file), rest)
            except OmegaConfBaseException:  # it refers to other keys
                continue
            if value is not None:
                yield value


def _stays_here(uri: str) -> bool:
    """Is this an SQLite file below the launch folder, and do the artifacts of its runs stay there, too?"""
    file, here = _file(uri), Path.cwd().resolve()
    if not uri.startswith(SQLITE) or "?" in uri or not file.is_relative_to(here):
        return False
    return all(_is_below(here, location) for location in _locations(file)) if file.is_file() else True


def _locations(file: Path) -> Iterator[str]:
    """Yield where a store keeps the artifacts of its runs; '' if that is not known."""
    with closing(sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True)) as database:
        for question in (ACTIVE, *LOCATIONS):
            try:
                answers = database.execute(question).fetchall()
            except sqlite3.DatabaseError as error:
                answers = [] if "no such table" in str(error) else [("",)]
            yield from ("" if question == ACTIVE else str(location) for (location,) in answers)


def _is_below(folder: Path, location: str) -> bool:
    parts = urlsplit(location)
    is_local = parts.scheme in ("", "file") and not parts.netloc and parts.path != ""
    return is_local and Path(folder, unquote(parts.path)).resolve().is_relative_to(folder)
