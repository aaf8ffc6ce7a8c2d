"""Write texts that others may have chosen, such as labels and names, into Markdown, where they stay texts."""

import html
import re

_MARKS = re.compile(r"([\\`*\[\]|~$]|(?<!\w)_|_(?!\w))")  # an underscore within a name is none


def plain(text: object) -> str:
    """Return a text for a line of Markdown: no markup, no HTML, no end of the line."""
    return _MARKS.sub(r"\\\1", html.escape(" ".join(str(text).split()), quote=False))


def code(text: str) -> str:
    """Return a text as code within a line."""
    line = " ".join(text.split())
    fence = "`" * (_longest_run(line) + 1)
    space = " " if "`" in line else ""
    return f"{fence}{space}{line}{space}{fence}"


def block(text: str, language: str) -> str:
    """Return a text as a block of code."""
    fence = "`" * max(3, _longest_run(text) + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)
