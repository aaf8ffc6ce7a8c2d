"""Write Markdown: tables, blocks of code, cells that cannot break their table."""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table, with a row of heads."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def text(value: object) -> str:
    """Return plain text for a cell or a paragraph; what stands in backticks stays code, no other markup counts."""
    parts = str(value).replace("\n", " ").split("`")
    if len(parts) % 2 == 0:  # a backtick without its pair
        return _escaped("`".join(parts))
    return "".join(code(part) if i % 2 else _escaped(part) for i, part in enumerate(parts))


def _escaped(plain: str) -> str:
    return re.sub(r"([\\`*_\[\]|{}#])", r"\\\1", plain.replace("&", "&amp;").replace("<", "&lt;"))


def code(value: object) -> str:
    """Return a value as code inside a line or a cell."""
    said = str(value).replace("\n", " ").replace("|", "\\|")
    ticks = "``" if "`" in said else "`"
    space = " " if "`" in said else ""
    return f"{ticks}{space}{said}{space}{ticks}" if said else ""


def block(body: str, language: str = "text") -> str:
    """Return lines as a block of code."""
    fence = "````" if "```" in body else "```"
    return f"{fence}{language}\n{body.rstrip()}\n{fence}\n"


def pretty(value: Any) -> str:
    """Return a value as JSON to read: lists of plain values on one line."""
    said = json.dumps(value, ensure_ascii=False, indent=1)
    return re.sub(r"\[\n[^\[\]{}]*\]", lambda found: f"[{' '.join(found[0][1:-1].split())}]", said)


def page(title: str, *parts: str) -> str:
    """Return a page: its title and its parts, with empty lines between."""
    return "\n\n".join([f"# {title}", *(part.strip("\n") for part in parts if part)]) + "\n"
