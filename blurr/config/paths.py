"""Locate the options: conf/ and experiments/, in a checkout, in an installed wheel, and beside the user's work."""

import re
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
EXPERIMENTS = "experiments"


def config_root() -> Path:
    """Return the folder that holds config.yaml: beside the package in a checkout, inside it in a wheel.

    Raises:
        FileNotFoundError: neither folder has it: the installation is broken.
    """
    folders = [PACKAGE.parent / "conf", PACKAGE / "conf"]
    for folder in folders:
        if (folder / "config.yaml").is_file():
            return folder
    raise FileNotFoundError(f"blurr is installed without its options: no config.yaml in {folders}. Reinstall blurr.")


def config_file() -> Path:
    """Return the file that lists the usual option of each group."""
    return config_root() / "config.yaml"


def groups() -> list[str]:
    """Return the names of the option groups: conf/'s folders and `experiments`."""
    return sorted([folder.name for folder in config_root().iterdir() if folder.is_dir()] + [EXPERIMENTS])


def contents() -> Iterator[tuple[str, str, str]]:
    """Yield each group, its default ('' for none) and what it is for, as the list in config.yaml says."""
    text = config_file().read_text(encoding="utf-8")
    for group, default, word in re.findall(r"^  - (\w+): (.+?)  # (.+)$", text, re.MULTILINE):
        yield group, "" if default in ("null", "[]") else default.strip("[]"), word


def own_root() -> Path | None:
    """Return the folder that may hold the user's own options; None if it is that of blurr's own."""
    here = Path.cwd()
    return None if here in (config_root(), config_root().parent) else here


def shipped_folder(group: str) -> Path:
    """Return the folder of a group's options that come with blurr."""
    return config_root().parent / EXPERIMENTS if group == EXPERIMENTS else config_root() / group


def options(group: str) -> dict[str, Path]:
    """Return a group's options and their files; the user's own option hides a shipped one of the same name."""
    own = own_root()
    folders = [shipped_folder(group)] + ([own / group] if own else [])
    files = {file.stem: file for folder in folders for file in folder.glob("*.yaml")}
    return dict(sorted(files.items()))


def is_own(file: Path) -> bool:
    """Is this option the user's own, and not one that comes with blurr?"""
    return file.parent != shipped_folder(file.parent.name)


def from_here(path: Path) -> str:
    """Return a path relative to the launch folder if it is inside."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except (ValueError, FileNotFoundError):  # it is outside, or the launch folder is gone meanwhile
        return str(path)


def headline(file: Path) -> str:
    """Return the first comment of an option's file, skipping Hydra's `@package` line; '' if there is none."""
    for line in _opening_comments(file):
        text = line.lstrip("# ").strip()
        if text and not text.startswith("@"):
            return text
    return ""


def example(file: Path) -> list[str]:
    """Return the words of the command in an option's first comments, `blurr run …`; none if there is no command."""
    start = "# blurr run "
    commands = [line.removeprefix(start) for line in _opening_comments(file) if line.startswith(start)]
    return commands[0].split() if commands else []


def _opening_comments(file: Path) -> Iterator[str]:
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            return
        yield line
