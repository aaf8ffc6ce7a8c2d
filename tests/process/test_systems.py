"""Systems that lack modules and calls which Linux has: a single run works there, and the rest says that it does not."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from blurr.config import paths

ROOT = Path(__file__).parents[2]
OF_ONE_SYSTEM = {"fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog", "msvcrt", "winreg"}
HIDE = """
import os, sys
import psutil  # has a build for each system
for name in ("fcntl", "resource", "pwd", "grp", "syslog"):
    sys.modules[name] = None
for name in ("fork", "setsid", "killpg", "sched_getaffinity", "getuid", "geteuid"):
    delattr(os, name)
"""
RUN = """
from blurr import run
run.main()
"""
TINY = ("model.weights=scratch", "data.rows=40", "schedule.epochs=1", "tracking=none", "output_dir=out")


def elsewhere(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run blurr without what Windows lacks."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", HIDE + RUN, *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("file", sorted(paths.PACKAGE.rglob("*.py")), ids=lambda file: file.stem)
def test_modules_of_one_system_are_imported_where_they_are_needed(file: Path):
    found = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        found |= {alias.name for alias in node.names} if isinstance(node, ast.Import) else set()
        found |= {str(node.module)} if isinstance(node, ast.ImportFrom) else set()
    assert not found & OF_ONE_SYSTEM


def test_a_single_run_works_without_them(tmp_path: Path):
    done = elsewhere(tmp_path, *TINY)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "report.html").is_file()
    assert not list(tmp_path.rglob("*.part"))


def test_a_sweep_says_in_one_message_that_it_cannot_fork(tmp_path: Path):
    done = elsewhere(tmp_path, "-m", "seed=1,2", *TINY)
    assert done.returncode == 1
    last = done.stderr.rstrip().splitlines()[-1]
    assert last.startswith("The trials of a sweep are forked from one process, which this operating system cannot do.")
    assert "Traceback" not in done.stderr
