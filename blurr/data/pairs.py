"""Pair files of two folders that belong together by their names, such as pictures and their masks."""

from collections.abc import Sequence
from pathlib import Path

from blurr.data.formats.content import Row, SourceFile
from blurr.data.sources import FILE_COLUMN, named
from blurr.errors import InputError


def paired(sources: Sequence[SourceFile], roles: Sequence[str], where: str) -> list[Row]:
    """Return a row for each name, with the path of a file for each role, and its place without the role's folder.

    The folder of a role has its name, as one or as many: `mask` or `masks`.

    Args:
        sources: Files of media.
        roles: That hold media.
        where: Where the files are, for messages.

    Raises:
        InputError: A role has no folder, a file has no partner, or two have the same name.
    """
    folders = {name: role for role in roles for name in (role, f"{role}s")}
    found: dict[str, dict[str, SourceFile]] = {role: {} for role in roles}
    for source in sources:
        *parents, name = Path(source.place).parts
        own = next((parent for parent in parents if parent.lower() in folders), None)
        if own is None:
            continue
        parents.remove(own)
        role, key = folders[own.lower()], Path(*parents, name).with_suffix("").as_posix()
        if key in found[role]:
            raise InputError(f"{where}: {found[role][key].place} and {source.place} have the same name. Rename one.")
        found[role][key] = source
    _check(found, where)
    first, *_ = found.values()
    return [
        {**{role: str(files[key].path) for role, files in found.items()}, FILE_COLUMN: f"{key}{source.path.suffix}"}
        for key, source in first.items()
    ]


def _check(found: dict[str, dict[str, SourceFile]], where: str) -> None:
    empty = [role for role, files in found.items() if not files]
    if empty:
        layout = " and ".join(f"{role}s/" for role in found)
        raise InputError(
            f"{where} has no files in a folder {empty[0]}s. Put files that belong together, by equal names, into "
            f"{layout}; or give a table with the columns {' and '.join(found)}."
        )
    for role, files in found.items():
        for other, others in found.items():
            alone = [files[key].place for key in files if key not in others]
            if alone:
                raise InputError(
                    f"{where}: {len(alone)} files have no {other} of the same name: {named(alone)}. Give each its "
                    f"{other}, or take it out of the folder of the {role}s."
                )
