"""Make a page of a notebook: its texts, its code, and what its cells have shown."""

import base64
import json
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docs.pages.markdown import block

KINDS = {"image/png": "png", "image/svg+xml": "svg"}


def make(file: Path, path: str) -> dict[str, str | bytes]:
    """Return the page of a notebook and its pictures, by their paths in the site.

    Args:
        file: the notebook.
        path: its path in docs/.
    """
    stem = path.removesuffix(".ipynb")
    parts: list[str] = []
    pictures: dict[str, str | bytes] = {}
    for cell in json.loads(file.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else block(source, "python"))
        for output in cell.get("outputs", []):
            for kind, value in _shown(output):
                if kind not in KINDS:
                    parts.append(value)
                    continue
                name = f"{stem}_{len(pictures)}.{KINDS[kind]}"
                pictures[name] = base64.b64decode(value) if kind == "image/png" else value
                parts.append(f"![What the cell above shows]({posixpath.basename(name)})")
    parts.append(f"This page is a notebook: [{posixpath.basename(path)}]({posixpath.basename(path)}).")
    return {f"{stem}.md": "\n\n".join(parts) + "\n", **pictures}


def _shown(output: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the richest form of what a cell has shown: a picture, a table in HTML, or text."""
    data = output.get("data", {})
    for kind in KINDS:
        if kind in data:
            yield kind, "".join(data[kind])
            return
    if "text/html" in data:
        html = "".join(data["text/html"])
        if not _on_one_line(html).strip():  # a style
            return
        yield "html", f"<div>{_on_one_line(html)}</div>" if "<table" in html else block("".join(data["text/plain"]))
        return
    said = "".join(output.get("text", data.get("text/plain", "")))
    if said.strip():
        yield "text", block(said)


def _on_one_line(html: str) -> str:
    """Return HTML in which Markdown finds nothing to change."""
    without_style = re.sub(r"<style.*?</style>|<script.*?</script>", "", html, flags=re.DOTALL)
    return re.sub(r"\s*\n\s*", " ", without_style)
