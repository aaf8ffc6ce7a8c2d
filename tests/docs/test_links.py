"""Every link and picture of the README and the documentation exists, with the heading that it points to."""

import re
import unicodedata
from functools import cache
from pathlib import Path

import pytest

from docs.pages.blocks import without_code
from docs.pages.hooks import OUTSIDE, made

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
TEXTS = [ROOT / "README.md", *(ROOT / name for name in OUTSIDE), *sorted((ROOT / "docs").rglob("*.md"))]


@cache
def anchors(text: str) -> set[str]:
    """Return what GitHub and the site make of headings."""
    found = set()
    for title in re.findall(r"^#+ +(.+?) *$", without_code(text), re.M):
        plain = unicodedata.normalize("NFKD", re.sub(r"[`*]|\]\(.*?\)|\[", "", title)).lower()
        found |= {re.sub(r"[^\w\s-]", "", plain).strip().replace(" ", "-")}
    return found


def text_of(file: Path) -> str | None:
    """Return the text of a page that lies there, or that is made from the code; None where there is none."""
    if file.is_file():
        return file.read_text(encoding="utf-8") if file.suffix == ".md" else ""
    if file.is_relative_to(ROOT / "docs"):
        return made().get(file.relative_to(ROOT / "docs").as_posix())
    return "" if file.is_dir() else None


def fault(file: Path, link: str) -> str | None:
    target, _, anchor = link.partition("#")
    goal = (file.parent / target).resolve() if target else file
    if goal.with_suffix(".ipynb").is_file():  # whose page is made of it
        return None
    text = text_of(goal)
    if text is None:
        return f"{link}: there is no {goal.relative_to(ROOT)}"
    return (
        f"{link}: no such heading"
        if anchor and not anchor.startswith("blurr.") and anchor not in anchors(text)
        else None
    )


@pytest.mark.parametrize("file", TEXTS, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_links_and_pictures_of_a_page_exist(file: Path):
    prose = re.sub(r"`[^`\n]*`", "", without_code(file.read_text(encoding="utf-8")))
    links = [link for link in LINK.findall(prose) if "://" not in link]
    assert [found for found in (fault(file, link) for link in links) if found] == []


def test_every_picture_stands_on_a_page():
    shown = "".join(file.read_text(encoding="utf-8") for file in TEXTS)
    assert [file.name for file in sorted((ROOT / "docs" / "pictures").iterdir()) if file.name not in shown] == []
