"""Hooks of MkDocs: pages that are made from the code, pages from outside of docs/, notebooks, and the navigation."""

import posixpath
import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))  # MkDocs loads this file by its path

from docs.pages import api, commands, messages, metrics, notebooks, options, tasks  # noqa: E402

MAKERS = (options, metrics, commands, api, messages, tasks)
# Files of the repository that are pages, too, and where they stand in the site.
OUTSIDE = {
    "experiments/README.md": "results/experiments.md",
    "benchmarks/families.md": "results/families.md",
    "SECURITY.md": "explanation/security.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
}


@cache
def made() -> dict[str, str]:
    """Return every page that does not lie in docs/, by its path in the site."""
    found = {path: text for maker in MAKERS for path, text in maker.make().items()}
    return {**found, **{path: (ROOT / file).read_text(encoding="utf-8") for file, path in OUTSIDE.items()}}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the made pages into the navigation, where it names a folder."""
    made.cache_clear()
    config.nav = _expanded(config.nav, sorted(made()))
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the made pages, and a page for each notebook."""
    for path, text in made().items():
        files.append(File.generated(config, path, content=text))
    for notebook in [each for each in files if each.src_uri.endswith(".ipynb")]:
        for path, content in notebooks.make(Path(str(notebook.abs_src_path)), notebook.src_uri).items():
            files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Point links to files outside of docs/ at their pages."""
    here = page.file.src_uri
    whole = {path: file for file, path in OUTSIDE.items()}
    folder = posixpath.dirname(posixpath.join("docs", here) if here not in whole else whole[here])

    def pointed(found: re.Match[str]) -> str:
        target, hash_, anchor = found[2].partition("#")
        file = posixpath.normpath(posixpath.join(folder, target))
        goal = OUTSIDE.get(file) or (file.removeprefix("docs/") if here in whole and file.startswith("docs/") else None)
        if goal is None:
            return found[0]
        return f"{found[1]}({posixpath.relpath(goal, posixpath.dirname(here) or '.')}{hash_}{anchor})"

    return re.sub(r"(\])\((?!https?:|#|mailto:)([^)\s]+)\)", pointed, markdown)


def _expanded(nav: Any, made_pages: list[str]) -> Any:
    """Replace each folder in the navigation, such as `reference/options/`, by its pages."""
    if isinstance(nav, list):
        return [_expanded(each, made_pages) for each in nav]
    if isinstance(nav, dict):
        return {title: _expanded(each, made_pages) for title, each in nav.items()}
    if isinstance(nav, str) and nav.endswith("/"):
        inside = [path for path in made_pages if posixpath.dirname(path) == nav.rstrip("/")]
        return sorted(inside, key=lambda path: (not path.endswith("index.md"), path))
    return nav
