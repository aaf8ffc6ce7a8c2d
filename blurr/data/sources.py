"""Find the files that a path, a folder or a pattern names, and their formats. Imports nothing heavy."""

import fnmatch
import glob
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

from blurr.config.places import expanded, kind_of, walk
from blurr.data.formats.content import MEDIA, FileOptions, Format, SourceFile
from blurr.data.formats.packed import UNPACKERS, suffix_in_zip, suffix_of
from blurr.data.naming import split_name
from blurr.errors import InputError, nearest

log = logging.getLogger(__name__)

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
PACKED = (".7z", ".rar", ".tar", ".tgz", ".z")
NOTHING: Mapping[str, frozenset[str]] = {}
KINDS = frozenset(get_args(Format)) - {"auto"}
FILE_COLUMN = "file"  # that rows of several files get
FEW = 3  # files that are all named
WILDCARDS = re.compile(r"[*?\[]")


Suffixes = Mapping[str, frozenset[str]]
"""Role to the suffixes of the files that it holds, where that is media such as pictures."""

METADATA = "metadata"  # the name, before its suffix, of a table about the files of media beside it
COCO = ".coco.json"  # the end of the name of another one
LABELS = "labels"  # a folder of YOLO's text files, one for each picture, which are read with their pictures


def find_files(
    paths: Paths, options: FileOptions, *, text: frozenset[str] = frozenset(), media: Suffixes = NOTHING
) -> list[SourceFile]:
    """Return the files of a path, a folder, a pattern, or a list of these.

    Args:
        paths: Where they are. In a folder of media, tables named metadata are read, as on the Hub; where there is
            none, each file of media is a row.
        options: How to read them.
        text: Columns that stay text.
        media: Suffixes by the roles that hold media; a file with one of the first has the format `media`.

    Raises:
        InputError: There is none, or they are of several formats.
    """
    role, suffixes = next(iter(media.items()), ("", frozenset[str]()))
    found = _found(paths, options, suffixes)
    sources = [SourceFile(path, place, _format(path, options, suffixes), options, text) for path, place in found]
    for source in sources:
        source.role, source.others = role, tuple(other for other in media if other != role)
    formats = sorted({source.format for source in sources})
    if len(formats) > 1:
        raise InputError(
            f"{paths} holds files of several formats: {formats}. Name those of one format, for example by a pattern "
            "like folder/*.csv."
        )
    return sources


def _found(paths: Paths, options: FileOptions, media: frozenset[str]) -> list[tuple[Path, str]]:
    """Return each file, and its path below the folder or the pattern."""
    if not isinstance(paths, str | Path):
        if not paths:
            raise InputError("A list without files has no rows. Name a file, a folder or a pattern.")
        return [found for path in paths for found in _found(path, options, media)]
    path = expanded(str(paths))
    kind = kind_of(path)
    root, files, hint = path.parent, [path] if kind else [], ""
    if kind == "folder":
        root, files = path, _files_below(path, options, media)
        nothing = f"The folder {paths} holds no file of a known format ({sorted({*FORMATS, *media})})"
    elif WILDCARDS.search(str(path)) and not files:
        root, files = Path(*_before_wildcard(path)), _matching(path)
        nothing = f"No file fits the pattern {paths}"
    else:
        nothing = f"There is no file {paths}"
        hint = "" if files else nearest(path.name, [other.name for other in root.glob("*")])
    if not files:
        raise InputError(f"{nothing}.{hint} Relative paths start at {Path.cwd()}.")
    return [(file, file.relative_to(root).as_posix()) for file in files]


def _format(path: Path, options: FileOptions, media: frozenset[str]) -> str:
    if options.format == "auto" and path.suffix.lower() in media:
        return MEDIA
    if options.format == "auto" and path.suffix.lower() in PACKED:
        known = ", ".join(UNPACKERS)
        raise InputError(f"{path} is packed, and of packed files {known} are read. Unpack it, and give what is in it.")
    kind = options.format if options.format != "auto" else FORMATS.get(_suffix(path))
    if kind is None:
        raise InputError(
            f"{path} is of no known format: {path.suffix or 'no extension'!r}.{nearest(path.suffix, FORMATS)} Known "
            f"are {sorted(FORMATS)}; for other names set data.format (--format) to one of {sorted(KINDS)}."
        )
    return kind


def _suffix(path: Path) -> str:
    suffix = suffix_of(path)
    return suffix_in_zip(path) if not suffix and path.suffix.lower() == ".zip" else suffix


def _files_below(folder: Path, options: FileOptions, media: frozenset[str]) -> list[Path]:
    files = sorted(walk(folder, follows_links=bool(media)))
    seen = [file for file in files if not any(part.startswith(".") for part in file.relative_to(folder).parts)]
    if options.format != "auto":
        return seen
    tables = [file for file in seen if suffix_of(file) in FORMATS]
    return _media_or_tables(folder, seen, tables, media) if media else tables


def _media_or_tables(folder: Path, seen: list[Path], tables: list[Path], media: frozenset[str]) -> list[Path]:
    """Return the tables about the files of a folder, or else its files of media, or else its tables."""
    metadata = [file for file in tables if file.stem == METADATA or file.name.endswith(COCO)]
    files = [file for file in seen if file.suffix.lower() in media]
    if metadata or not files:
        return metadata or tables
    left = [file.relative_to(folder) for file in seen if file.suffix.lower() not in media]
    others = [file.as_posix() for file in left if LABELS not in file.parts]
    if others:
        remedy = f" To read a table, name it: data.train={folder / tables[0].relative_to(folder)}." if tables else ""
        log.warning("%s: passed over, as files of another kind (%d): %s.%s", folder, len(others), named(others), remedy)
    parents = {parent for file in files for parent in file.parents}
    empty = [each.name for each in class_folders(folder) if each not in parents]
    if empty:
        log.warning("%s: folders without any file to learn from make no class: %s.", folder, named(sorted(empty)))
    return files


def class_folders(folder: Path) -> list[Path]:
    """Return the folders in a folder, or in its folders train, valid and test."""
    inner = [each for each in folder.iterdir() if each.is_dir() and not each.name.startswith(".")]
    return [one for each in inner for one in (class_folders(each) if split_name(each.name) else [each])]


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
