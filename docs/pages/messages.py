"""Make the page of error messages: every message in the code, with the remedy that it ends with."""

import ast
from collections.abc import Iterator

from blurr.config import paths
from docs.pages.markdown import page, text

PAGE = "reference/messages.md"
KINDS = {
    "InputError": "A mistake in what was given: exit code 2",
    "ResourceError": "A failure of the machine or a service: exit code 1",
}
SHORTEST = 30  # letters of a message that says something without its values


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
        "remedy stands in its last sentences. Values that a message fills in are shown as ‹…›. The page is made from "
        "the code: search it for a piece of a message that you have. In Python they are `blurr.errors.InputError` (a "
        "`ValueError`) and `blurr.errors.ResourceError`, both of them `blurr.errors.BlurrError`; `debug=traceback` "
        "shows where a message comes from. What every exit code means: [Exit codes](exit_codes.md)."
    )
    return {PAGE: page("Error messages", intro, *parts)}


def found(kind: str) -> Iterator[tuple[str, str]]:
    """Yield the file and the text of each message that an error of this class is raised with."""
    for file in sorted(paths.PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == kind and node.args:
                said = _said(node.args[0])
                if len(said.replace("‹…›", "")) >= SHORTEST:
                    yield file.relative_to(paths.PACKAGE).as_posix(), said


def _by_room(kind: str) -> dict[str, set[str]]:
    rooms: dict[str, set[str]] = {}
    for file, said in found(kind):
        rooms.setdefault(file.split("/")[0].removesuffix(".py"), set()).add(said)
    return dict(sorted(rooms.items()))


def _said(node: ast.expr) -> str:
    """Return the text of an expression, with `‹name›` for each value."""
    match node:
        case ast.Constant(value=str(value)):
            return value
        case ast.JoinedStr(values=values):
            return "".join(_said(value) for value in values)
        case ast.FormattedValue(value=ast.Name(id=name)):
            return f"‹{name}›"
        case ast.FormattedValue(value=ast.Attribute(attr=name)):
            return f"‹{name}›"
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _said(left) + _said(right)
    return "‹…›"
