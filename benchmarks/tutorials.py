"""Picture what tutorials show, into docs/pictures/: `python -m benchmarks.tutorials --work FOLDER`.

FOLDER has a folder for each tutorial, by its name, in which it was walked through:
`python -m docs.pages.walk docs/tutorials/chat.md --work FOLDER/chat`. With names of pictures, only those are taken.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser

from benchmarks.browser import chromium
from benchmarks.pictures import PAGE, TRY, ask, keep, opened, taken
from benchmarks.servers import serving
from blurr.report.page import write_report
from blurr.runs.record import Record

WIDTH = 1180  # pixels of a report
ONLY = """wanted => document.querySelectorAll("main > *, .parts > *").forEach(each => {
  const title = each.querySelector(":scope > h3")?.textContent ?? "";
  if (!each.matches(".parts") && !wanted.includes(title)) each.remove();
})"""
QUESTIONS = ("Who founded Arven?", "And its river?", "What is 3 plus 4?")
Shot = Callable[[Browser, Path], Image.Image]


def report(run: str, *titles: str, height: int = 900) -> Shot:
    """Picture parts of a run's report.

    Args:
        run: its folder, in that of the tutorial.
        titles: of the parts.
        height: most pixels.
    """

    def shot(browser: Browser, folder: Path) -> Image.Image:
        file, _ = write_report(Record(folder / run))
        with opened(browser, file.as_uri(), (WIDTH, 100)) as page:
            page.evaluate(ONLY, list(titles))
            return taken(page, height=height)

    return shot


def files(*names: str) -> Shot:
    """Take pictures that a tutorial has written, side by side."""

    def shot(browser: Browser, folder: Path) -> Image.Image:
        found = [Image.open(folder / name).convert("RGB") for name in names]
        whole = Image.new("RGB", (sum(each.width for each in found), max(each.height for each in found)), "white")
        left = 0
        for each in found:
            whole.paste(each, (left, 0))
            left += each.width
        return whole

    return shot


def conversation(browser: Browser, folder: Path) -> Image.Image:
    """Picture a conversation on the page of a server."""
    with (
        serving(["blurr.cli", "serve", str(folder / "outputs/chat"), "--port"], "/ready") as address,
        opened(browser, address, TRY) as page,
    ):
        ask(page, *QUESTIONS)
        return taken(page, height=PAGE[1])


PICTURES: dict[str, tuple[str, Shot]] = {
    "tutorial_tickets": (
        "sequence_classification",
        report("outputs/tickets", "Confusion matrix", "Calibration", "Top losses"),
    ),
    "tutorial_names": (
        "token_classification",
        report("outputs/token_classification", "Entities, right and wrong", "Sentences"),
    ),
    "tutorial_translation": ("translation", report("outputs/translation", "Texts beside their references", height=400)),
    "tutorial_stories": ("causal_lm", report("outputs/causal_lm", "Loss", "Metrics by epoch")),
    "tutorial_chat": ("chat", conversation),
    "tutorial_boxes": ("object_detection", files("boxes.png")),
    "tutorial_masks": ("semantic_segmentation", report("outputs/semantic_segmentation", "Each class", "Top losses")),
    "tutorial_overlay": ("semantic_segmentation", files("overlay.png")),
    "tutorial_search": ("sweeps", files("multirun/search/plots/optimization_history.png")),
}


def main() -> None:
    """Take all pictures, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "names", nargs="*", choices=[*PICTURES, []], default=[], help="pictures to take; all by default"
    )
    parser.add_argument("--work", type=Path, required=True, help="has a folder for each tutorial")
    asked = parser.parse_args()
    with chromium() as browser:
        for name in asked.names or PICTURES:
            tutorial, shot = PICTURES[name]
            keep(name, shot(browser, (asked.work / tutorial).resolve()))


if __name__ == "__main__":
    main()
