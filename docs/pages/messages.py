"""Make the page of error messages: every message in the code, with the remedy that it ends with."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from blurr.config import paths
from docs.pages.markdown import page, text
from docs.pages.wording import FEW, MOST, Module, Wording

PAGE = "reference/messages.md"
KINDS = {
    "InputError": "A mistake in what was given: exit code 2",
    "ResourceError": "A failure of the machine or a service: exit code 1",
}
SUBCLASSES = {"Damaged": "InputError", "PeerLost": "ResourceError"}
COLLECTED = ("blurr.config.checks",)  # whose generators yield mistakes, which are raised together
VALUES = re.compile(r"‹[^›]*›")


@dataclass(frozen=True)
class Raised:
    """An error that the code makes.

    Args:
        kind: its class, InputError or ResourceError.
        where: the file and the function.
        room: the first part of the module's name.
        texts: what it can say; none where it only hands on what others said.
    """

    kind: str
    where: str
    room: str
    texts: tuple[str, ...]


def make() -> dict[str, str]:
    """Return the page by its path in the site."""
    parts = []
    for kind, title in KINDS.items():
        parts.append(f"## {title}")
        for room, messages in _by_room(kind).items():
            listed = "\n".join(f"- {text(each)}" for each in sorted(messages))
            parts.append(f"### {room}\n\n{listed}")
    intro = (
        "Each mistake ends in one message, which says what is wrong, the value, what there is, and what to do; so its "
        "remedy stands in its last sentences. Values that a message fills in are shown as ‹…›; where a value looks "
        "like one that there is, the message adds “Did you mean …?”. What begins with a small letter goes on after "
        "the name of a file or a row. The page is made from the code: search it for a piece of a message that you "
        "have. In Python they are `blurr.errors.InputError` (a `ValueError`) and `blurr.errors.ResourceError`, both of "
        "them `blurr.errors.BlurrError`; `debug=traceback` shows where a message comes from. What every exit code "
        "means: [Exit codes](exit_codes.md)."
    )
    return {PAGE: page("Error messages", intro, *parts)}


@cache
def raised() -> tuple[Raised, ...]:
    """Return every error that the code makes, with its texts."""
    files = sorted(paths.PACKAGE.rglob("*.py"))
    modules = {_dotted(file.relative_to(paths.PACKAGE.parent).with_suffix("").parts): file for file in files}
    wording = Wording({name: Module(name, file) for name, file in modules.items()})
    return tuple(each for module in wording.modules.values() for each in _of_module(module, wording))


def _dotted(parts: tuple[str, ...]) -> str:
    return ".".join(parts).removesuffix(".__init__")


def _of_module(module: Module, wording: Wording) -> Iterator[Raised]:
    for node in module.nodes if any(f"{kind}(" in module.source for kind in (*KINDS, *SUBCLASSES)) else ():
        match node:
            case ast.Call(func=ast.Name(id=name), args=[said, *_]) if SUBCLASSES.get(name, name) in KINDS:
                yield _raised(SUBCLASSES.get(name, name), said, module, wording)
            case ast.Yield(value=ast.expr() as value) if module.name in COLLECTED:
                whole = (each for each in ast.walk(value) if isinstance(each, ast.JoinedStr))
                yield from (_raised("InputError", each, module, wording) for each in whole)


def _raised(kind: str, node: ast.expr, module: Module, wording: Wording) -> Raised:
    function = module.owners.get(node)
    where = f"{module.file.relative_to(paths.PACKAGE).as_posix()}: {function.name if function else ''}"
    given = list(wording.handed_on(node, module)) or [(module, node)]
    said = [text for place, each in given for text in _said(each, place, wording)]
    alike = {VALUES.sub("‹›", each): each for each in said}  # whatever the values are called
    return Raised(kind, where, module.name.split(".")[1], tuple(alike.values()))


def _said(node: ast.expr, module: Module, wording: Wording) -> list[str]:
    """Return the texts of a message that have words of their own."""
    for most in (FEW, MOST):
        found = [each for each in wording.texts(node, module, most=most) if VALUES.sub("", each).strip(" .:=\n")]
        if found:
            break
    return found


def _by_room(kind: str) -> dict[str, set[str]]:
    rooms: dict[str, set[str]] = {}
    for each in raised():
        if each.kind == kind:
            rooms.setdefault(each.room, set()).update(each.texts)
    return {room: messages for room, messages in sorted(rooms.items()) if messages}
