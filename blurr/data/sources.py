"""Find the files that a path, a folder or a pattern names, and their formats. Imports nothing heavy."""

import fnmatch
import glob
import re
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from blurr.config.places import expanded, kind_of, walk
from blurr.data.formats.content import FileOptions, Format, SourceFile, suffix_of
from blurr.errors import InputError, nearest

Paths = str | Path | Sequence[str | Path]
"""A file, a folder, a glob pattern, or a list of these."""

FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".xlsx": "xlsx",
    ".conll": "conll",
    ".txt": "text",
}
PACKED = (".7z", ".bz2", ".lz4", ".rar", ".tar", ".tgz", ".xz", ".zip", ".zst")
KINDS = frozenset(get_args(Format)) - {"auto"}
FILE_COLUMN = "file"  # that rows of several files get
FEW = 3  # files that are all named
WILDCARDS = re.compile(r"[*?\[]")


def find_files(paths: Paths, options: FileOptions, *, text: frozenset[str] = frozenset()) -> list[SourceFile]:
    """Return the files of a path, a folder, a pattern, or a list of these.

    Raises:
        InputError: There is none, or they are of several formats.
    """
    found = _found(paths, options)
    sources = [SourceFile(path, place, _format(path, options), options, text) for path, place in found]
    formats = sorted({source.format for source in sources})
    if len(formats) > 1:
        raise InputError(
            f"{paths} holds files of several formats: {formats}. Name those of one format, for example by a pattern "
            "like folder/*.csv."
        )
    return sources


def _found(paths: Paths, options: FileOptions) -> list[tuple[Path, str]]:
    """Return each file, and its path below the folder or the pattern."""
    if not isinstance(paths, str | Path):
        if not paths:
            raise InputError("A list without files has no rows. Name a file, a folder or a pattern.")
        return [found for path in paths for found in _found(path, options)]
    path = expanded(str(paths))
    kind = kind_of(path)
    root, files, hint = path.parent, [path] if kind else [], ""
    if kind == "folder":
        root, files = path, _files_below(path, options)
        nothing = f"The folder {paths} holds no file of a known format ({sorted(FORMATS)})"
    elif WILDCARDS.search(str(path)) and not files:
        root, files = Path(*_before_wildcard(path)), _matching(path)
        nothing = f"No file fits the pattern {paths}"
    else:
        nothing = f"There is no file {paths}"
        hint = "" if files else nearest(path.name, [other.name for other in root.glob("*")])
    if not files:
        raise InputError(f"{nothing}.{hint} Relative paths start at {Path.cwd()}.")
    return [(file, file.relative_to(root).as_posix()) for file in files]


def _format(path: Path, options: FileOptions) -> str:
    if options.format == "auto" and path.suffix.lower() in PACKED:
        raise InputError(f"{path} is packed, and of packed files only .gz is read. Unpack it, and give what is in it.")
    kind = options.format if options.format != "auto" else FORMATS.get(suffix_of(path))
    if kind is None:
        raise InputError(
            f"{path} is of no known format: {path.suffix or 'no extension'!r}.{nearest(path.suffix, FORMATS)} Known "
            f"are {sorted(FORMATS)}; for other names set data.format (--format) to one of {sorted(KINDS)}."
        )
    return kind


def _files_below(folder: Path, options: FileOptions) -> list[Path]:
    files = sorted(walk(folder))
    seen = [file for file in files if not any(part.startswith(".") for part in file.relative_to(folder).parts)]
    return [file for file in seen if options.format != "auto" or suffix_of(file) in FORMATS]


def _matching(pattern: Path) -> list[Path]:
    """Return what fits a pattern. One with `**` goes through a walk that ends, also where links lead back."""
    if "**" not in pattern.parts:
        return sorted(map(Path, glob.glob(str(pattern))))
    root = Path(*_before_wildcard(pattern))
    parts = pattern.relative_to(root).parts
    return sorted(file for file in walk(root, follows_links=True) if _fits(file.relative_to(root).parts, parts))


def _fits(path: Sequence[str], pattern: Sequence[str]) -> bool:
    """Return whether the parts of a path fit those of a pattern; as in a shell, `*` fits no hidden name."""
    if not pattern or not path:
        return not path and all(part == "**" for part in pattern)
    is_shown = pattern[0].startswith(".") or not path[0].startswith(".")
    if pattern[0] == "**":
        return _fits(path, pattern[1:]) or (is_shown and _fits(path[1:], pattern))
    return is_shown and fnmatch.fnmatchcase(path[0], pattern[0]) and _fits(path[1:], pattern[1:])


def _before_wildcard(path: Path) -> list[str]:
    parts = list(path.parts)
    first = next(place for place, part in enumerate(parts) if WILDCARDS.search(part))
    return parts[:first]


def named(paths: Paths) -> str:
    """Name files for messages: all of a few, first and last of many."""
    if isinstance(paths, str | Path):
        return str(paths)
    names = [str(path) for path in paths]
    return ", ".join(names) if len(names) <= FEW else f"{names[0]} … {names[-1]} ({len(names)} files)"
