"""Do what docs/start.md says, in order, in an empty folder, and compare: `python -m docs.pages.newcomer`.

A command's output must have the lines that the page shows below it, in order; numbers and times may differ.
`--write` puts today's output into the page instead.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

PAGE = Path(__file__).parents[1] / "start.md"
STEP = re.compile(
    r"(<!-- not run: .*? -->\n)?```bash\n(.*?)```\n(?:\n(?:[^`#]*?\n\n)??```text\n(.*?)```\n)?", re.DOTALL
)
MOVING = re.compile(r"Warning|warn\(")  # lines of libraries


class DiffersError(Exception):
    """A command does not say what the page shows."""


def steps(text: str) -> Iterator[tuple[str, str]]:
    """Yield the commands of each block that is run, with the output that is shown below it."""
    for found in STEP.finditer(text):
        if found[1] is None:
            yield found[2], found[3] or ""


def masked(line: str) -> str:
    """Return a line without what differs from run to run: numbers, times, ids, the width of columns."""
    line = re.sub(r"\b[0-9a-f]{32}\b", "ID", line)
    line = re.sub(r"\d+([.,:_-]\d+)*(e-?\d+)?", "#", line)
    return re.sub(r"\s+", " ", line).strip()


def missing(shown: str, said: str) -> list[str]:
    """Return the lines that a page shows and a command did not say, or not in this order."""
    there = iter([masked(line) for line in said.splitlines()])
    wanted = [line for line in shown.splitlines() if line.strip() not in ("", "…")]
    return [line for line in wanted if masked(line) not in there]


def run(commands: str, folder: Path) -> tuple[str, Path]:
    """Run commands in a shell, and return what they said and the folder that they ended in.

    Raises:
        subprocess.CalledProcessError: one of them failed.
    """
    script = f"set -e\n{commands}\npwd >&3"
    with tempfile.NamedTemporaryFile("r") as place:
        done = subprocess.run(
            ["bash", "-c", f"exec 3>{place.name}\n{script}"],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode:
            raise subprocess.CalledProcessError(done.returncode, commands, done.stdout)
        return done.stdout, Path(Path(place.name).read_text().strip())


def newcomer(text: str, folder: Path, *, write: bool = False) -> str:
    """Do what a page says in a folder.

    Args:
        text: of the page.
        folder: is empty.
        write: whether the page gets today's output.

    Returns:
        The page; with `write` with today's output.

    Raises:
        DiffersError: something that the page shows was not said.
    """
    place = folder
    for commands, shown in list(steps(text)):
        said, place = run(commands, place)
        clean = "\n".join(line.rstrip() for line in said.strip("\n").splitlines() if not MOVING.search(line))
        if write and shown:
            text = (
                text.replace(f"{commands}```", f"{commands}```\0", 1).replace(shown, f"{clean}\n", 1).replace("\0", "")
            )
        elif lacking := missing(shown, said):
            raise DiffersError(f"{commands}\nshould say\n{chr(10).join(lacking)}\nand said\n{said}")
    return text


def main() -> None:
    """Run the page in a new folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="put today's output into the page")
    write = parser.parse_args().write
    text = PAGE.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        text = newcomer(text, Path(folder), write=write)
    if write:
        PAGE.write_text(text, encoding="utf-8")
    sys.stdout.write("The commands of docs/start.md say what it shows.\n")


if __name__ == "__main__":
    main()
