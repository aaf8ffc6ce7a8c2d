"""The blocks of code of the README and the documentation, as the tests run them."""

import shlex
from collections.abc import Iterator
from pathlib import Path

from docs.pages.blocks import Block
from docs.pages.blocks import blocks as blocks_of
from docs.pages.hooks import OUTSIDE, made

ROOT = Path(__file__).parents[2]
LANGUAGES = {"bash", "python", "yaml", "json", "text"}


def texts() -> dict[str, str]:
    """Return every page by its name: the README, what lies in docs/, and what is made for the site."""
    pages = [file for file in (ROOT / "docs").rglob("*.md") if file.parent.name != "tutorials"]  # test_tutorials.py
    lying = {f"docs/{file.relative_to(ROOT / 'docs').as_posix()}": file for file in sorted(pages)}
    files = {"README.md": ROOT / "README.md", **{name: ROOT / name for name in OUTSIDE}, **lying}
    tasks = {f"tasks: {path}": text for path, text in made().items() if path.startswith("tasks/")}
    return {**{name: file.read_text(encoding="utf-8") for name, file in files.items()}, **tasks}


def blocks() -> Iterator[Block]:
    """Yield the blocks of all pages."""
    for page, text in texts().items():
        yield from blocks_of(text, page)


def words_of(line: str) -> list[str]:
    """Return the words of a command, without its comment."""
    return shlex.split(line, comments=True)
