"""Read the blocks of code of a page, for the tests, and for whoever walks through a page."""

import re
from dataclasses import dataclass

FENCE = re.compile(
    r"(?:^<!-- (?P<mark>not compared|not run): (?P<reason>[^\n]*?) -->\n)?"
    r"^(?P<fence>```+)(?P<language>\w*) *(?P<title>[^\n]*)\n(?P<code>.*?)^(?P=fence)$",
    re.MULTILINE | re.DOTALL,
)
NOT_RUN, NOT_COMPARED = "not run", "not compared"


@dataclass(frozen=True)
class Block:
    """A block of code.

    Args:
        page: the page that it stands on.
        language: `bash`, `text`, …
        title: the name of the file that it is; '' for none.
        code: what stands in it.
        place: where that begins in the page.
        before: the last line before it.
        mark: `not run` or `not compared`, as the comment above it says; '' without one.
        reason: why, as that comment says.
    """

    page: str
    language: str
    title: str
    code: str
    place: int
    before: str
    mark: str
    reason: str

    @property
    def is_run(self) -> bool:
        """Is it run by whoever goes through the page?"""
        return self.mark != NOT_RUN

    @property
    def commands(self) -> list[str]:
        """The commands of a shell; a line may go on behind a backslash."""
        lines = re.sub(r"\\\n\s*", "", self.code).splitlines()
        return [line for line in lines if line.strip() and not line.startswith("#")]


def blocks(text: str, page: str = "") -> list[Block]:
    """Return the blocks of a page, in order.

    Args:
        text: of the page.
        page: its name.
    """
    return [_block(found, text, page) for found in FENCE.finditer(text)]


def without_code(text: str) -> str:
    """Return a page without its blocks."""
    return FENCE.sub("", text)


def _block(found: re.Match[str], text: str, page: str) -> Block:
    title = re.search(r'title="([^"]+)"', found["title"])
    return Block(
        page=page,
        language=found["language"],
        title=title[1] if title else "",
        code=found["code"],
        place=found.start("code"),
        before=text[: found.start()].strip().rpartition("\n")[2],
        mark=found["mark"] or "",
        reason=found["reason"] or "",
    )
