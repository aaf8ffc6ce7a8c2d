"""Walk through a page as its reader does: `python -m docs.pages.walk docs/tutorials/resume.md --work FOLDER`.

In a page, a block with a title is a file, a block of bash has commands, and a block of text or json below it is what
they print. Files are written and commands run in the order of the page, in one folder. What the page shows must be
among the printed lines, in its order; numbers and what stands in quotes may differ. `…` on a line of its own stands for
lines that are left out, and at the end of a line for the rest of it. `blurr serve` stays in the background, and a
command whose comment says "Ctrl-C after epoch 1" is interrupted there; one that says "exit code 2" ends with it.
After `cd FOLDER` the commands run there.

With `--record`, the lines of the page are replaced by those that were printed, and a line OUT by all of them.
`<!-- tests: words -->` has words that tests add to each `blurr run` of the page, so that it takes seconds; then
blocks below `<!-- not compared: reason -->` may say anything. A block below `<!-- not run: reason -->` is not read.
"""

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from docs.pages.blocks import NOT_COMPARED, Block, blocks

SMALLER = re.compile(r"^<!-- tests: (.+) -->$", re.MULTILINE)
INTERRUPTED = re.compile(r"#.*Ctrl-C after epoch (\d+)")
STOPPED = "130"  # the exit code after a Ctrl-C
MOVED = re.compile(r"cd (\S+)")
REFUSED = re.compile(r"#.*exit code (\d+)")
ANYTHING = "OUT"  # in a page that is being written: all that a command prints
LONGEST = 1800  # seconds of a command
HOME = "/home/you"  # in pages, the folder of a walk
PORT = "8000"  # in pages; servers of a walk listen on a free one
READY = re.compile(r"ready|Uvicorn running", re.IGNORECASE)


class Process(Protocol):
    """A process that has been started, as `subprocess.Popen` has it."""

    @property
    def returncode(self) -> int | None:
        """The exit code, None before the end."""

    def poll(self) -> int | None:
        """Return the exit code, None before the end."""

    def send_signal(self, signum: int, /) -> None:
        """Send a signal."""

    def wait(self, timeout: float) -> object:
        """Wait for the end."""


Start = Callable[[str, Path, Path], Process]


@dataclass
class Walk:
    """What a walk through a page found.

    Args:
        faults: what the page says and was not so.
        lines: what was printed for the lines that the page shows, by their places in it.
    """

    faults: list[str] = field(default_factory=list)
    lines: dict[int, tuple[str, str]] = field(default_factory=dict)


def smaller(text: str) -> str:
    """Return the words that tests add to each `blurr run` of a page."""
    found = SMALLER.search(text)
    return found[1] if found else ""


def walk(text: str, folder: Path, start: Start, *, added: str = "") -> Walk:
    """Do what a page says.

    Args:
        text: of the page.
        folder: empty, to work in.
        start: starts a command in a folder, with its output in a file.
        added: words for each `blurr run`.
    """
    printed = ""
    with ExitStack() as servers:
        walker = _Walker(folder, start, added, servers)
        for block in blocks(text):
            if not block.is_run:
                continue
            if block.title:
                file = folder / block.title
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(_elsewhere(block.code), encoding="utf-8")
            elif block.language == "bash":
                printed = "".join(map(walker.output_of, block.commands))
            elif block.language in ("text", "json") and not (added and block.mark == NOT_COMPARED):
                _compare(block, printed, walker.done)
    return walker.done


class _Walker:
    """Runs the commands of a page, one after the other, in the folder that the last `cd` went to."""

    def __init__(self, folder: Path, start: Start, added: str, servers: ExitStack) -> None:
        self.folder, self.start, self.added, self.servers = folder, start, added, servers
        self.here, self.done = folder, Walk()

    def output_of(self, command: str) -> str:
        """Run a command, and return what it printed."""
        moved = MOVED.match(command)
        if moved:
            self.here = self.here / moved[1]
            return ""
        with tempfile.NamedTemporaryFile(dir=self.folder, prefix=".walk-", delete=False) as opened:
            output = Path(opened.name)
        process = self.start(_elsewhere(_longer(command, self.added)), self.here, output)
        if command.startswith("blurr serve"):
            self.servers.enter_context(_in_background(process, output))
        elif not _is_well(command, process, output):
            said = output.read_text(encoding="utf-8")
            self.done.faults.append(f"exit code {process.returncode} of: {command}\n{said}")
        return output.read_text(encoding="utf-8").replace(str(_port()), PORT).replace(str(self.folder), HOME)


def _longer(command: str, added: str) -> str:
    if not added or not command.startswith("blurr run") or "resume=" in command:
        return command
    words, hash_, comment = command.partition(" #")
    return f"{words.rstrip()} {added}{hash_}{comment}"


def _elsewhere(text: str) -> str:
    """Return a text with the port that the servers of this walk listen on."""
    return re.sub(rf"(?<=:|\s){PORT}\b", str(_port()), text)


def _port() -> int:
    return 20_000 + os.getpid() % 20_000


def _is_well(command: str, process: Process, output: Path) -> bool:
    interrupted = INTERRUPTED.search(command)
    if interrupted:
        _wait_for(re.compile(rf"^{interrupted[1]}\s", re.MULTILINE), process, output)
        process.send_signal(signal.SIGINT)
    process.wait(LONGEST)
    refused = REFUSED.search(command)
    return str(process.returncode) == (STOPPED if interrupted else refused[1] if refused else "0")


@contextmanager
def _in_background(process: Process, output: Path) -> Iterator[None]:
    _wait_for(READY, process, output)
    yield
    process.send_signal(signal.SIGTERM)
    process.wait(60)


def _wait_for(pattern: re.Pattern[str], process: Process, output: Path) -> None:
    """Wait until a process has printed something, or has ended."""
    while process.poll() is None and not pattern.search(output.read_text(encoding="utf-8")):
        time.sleep(0.1)


def _compare(block: Block, printed: str, done: Walk) -> None:
    """Look for the lines of a block among those that were printed, in their order."""
    left, before, place = printed.splitlines(), "", block.place
    for line in block.code.splitlines(keepends=True):
        shown, here = line.rstrip("\n"), place
        place += len(line)
        if shown == ANYTHING:
            done.lines[here] = shown, printed.strip("\n")
        if shown.strip() in ("", "…", ANYTHING):
            continue
        at = next((number for number, each in enumerate(left) if _is_like(shown, each)), None)
        if at is not None:
            done.lines[here] = shown, _cut(left[at], shown)
            left = left[at + 1 :]
        elif masked(shown) != before:  # of equal lines, such as those of epochs, there may be fewer
            done.faults.append(f"not printed: {shown}\nprinted:\n{printed}")
            return
        before = masked(shown)


def masked(line: str) -> str:
    """Return a line without what differs from run to run: numbers, identities, what stands in quotes."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", line)
    quoted = re.sub(r'(?<=[\[:,{ ])"(?:[^"\\]|\\.)*"(?!:)', '""', plain)
    numbers = re.sub(r"\b(?:[0-9a-f]{16}){1,2}\b|-?\d+([.,:_-]\d+)*(e[+-]?\d+)?|\bnan\b", "0", quoted)
    return re.sub(r"\s+", " ", numbers).strip()


def _is_like(shown: str, printed: str) -> bool:
    if shown.endswith("…") and not printed.rstrip().endswith("…"):
        return masked(printed).startswith(masked(shown.removesuffix("…")))
    return masked(shown) == masked(printed)


def _cut(printed: str, shown: str) -> str:
    plain = printed.rstrip()
    return f"{plain[: len(shown) - 1]}…" if shown.endswith("…") and not plain.endswith("…") else plain


def recorded(text: str, done: Walk) -> str:
    """Return a page with the lines that were printed."""
    for place, (shown, printed) in sorted(done.lines.items(), reverse=True):
        text = text[:place] + printed + text[place + len(shown) :]
    return text


def in_shell(command: str, folder: Path, output: Path) -> subprocess.Popen[bytes]:
    """Start a command as a terminal does."""
    bin_ = str(Path(sys.executable).parent)
    settings = {"COLUMNS": "100", "PATH": f"{bin_}{os.pathsep}{os.environ['PATH']}"}
    with output.open("ab") as file:
        return subprocess.Popen(
            ["bash", "-c", f"exec {command}" if re.match(r"[\w./-]+ [^|&;]*$", command) else command],
            cwd=folder,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, **settings, "HF_HUB_OFFLINE": "1", "MLFLOW_DISABLE_TELEMETRY": "true"},
        )


def main() -> None:
    """Walk through a page, and say what was not so."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path)
    parser.add_argument("--work", type=Path, required=True, help="the folder to work in, which is kept")
    parser.add_argument("--record", action="store_true", help="put what was printed into the page")
    parser.add_argument("--small", action="store_true", help="with the words that tests add")
    asked = parser.parse_args()
    asked.work.mkdir(parents=True, exist_ok=True)
    text = asked.page.read_text(encoding="utf-8")
    done = walk(text, asked.work.resolve(), in_shell, added=smaller(text) if asked.small else "")
    if asked.record:
        asked.page.write_text(recorded(text, done), encoding="utf-8")
    sys.exit("\n\n".join(done.faults) or None)


if __name__ == "__main__":
    main()
