"""Describe where a run took place: versions, machine, and the state of the code in git."""

import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

import blurr
from blurr.runs.secrets import mask_config

PACKAGES = ("torch", "fastai", "transformers", "datasets", "tokenizers", "hydra-core", "mlflow", "numpy", "pandas")
MAX_DIFF_CHARACTERS = 5_000_000  # a diff above this is data committed by mistake, not code


@dataclass(frozen=True)
class GitState:
    """The git state of a folder; `diff` covers the tracked files."""

    commit: str
    branch: str
    untracked: list[str]
    diff: str

    def record(self) -> dict[str, Any]:
        """Return the entry of environment.json; the diff has a file of its own."""
        return {
            "commit": self.commit,
            "branch": self.branch,
            "dirty": bool(self.diff),
            "untracked": self.untracked[:100],
        }


def git_state(folder: Path) -> GitState | None:
    """Ask git about `folder`; None without git, outside a checkout, or before the first commit."""
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None
    untracked = _git(folder, "ls-files", "--others", "--exclude-standard") or ""
    return GitState(
        commit=commit.strip(),
        branch=(_git(folder, "rev-parse", "--abbrev-ref", "HEAD") or "").strip(),
        untracked=untracked.splitlines(),
        diff=(_git(folder, "diff", "HEAD") or "")[:MAX_DIFF_CHARACTERS],
    )


def describe_environment(git: GitState | None) -> dict[str, Any]:
    """Return the content of environment.json: what a reproduction of the run depends on."""
    described: dict[str, Any] = {
        "blurr": blurr.__version__,
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := installed(name))},
        "platform": platform.platform(),
        "cpu": {"name": platform.processor() or platform.machine(), "count": os.cpu_count()},
        "threads": _threads(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "gpu": _gpus(),
        "git": git.record() if git else None,
    }
    return dict(mask_config(described))  # names of branches and files are the user's


def _git(folder: Path, *arguments: str) -> str | None:
    """Run git in `folder`; None if git is missing, fails, or takes longer than 20 seconds."""
    # without optional locks, this cannot block the user's own git commands
    command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode(errors="replace")


@cache
def installed(package: str) -> str | None:
    """Return the version of a package, None if it is not installed; cached, also for processes forked later."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _threads() -> int | None:
    """Return torch's number of threads, on which the last digits depend; None if torch is not loaded."""
    torch = sys.modules.get("torch")
    return None if torch is None else int(torch.get_num_threads())


def _gpus() -> list[dict[str, Any]]:
    """Return the GPUs that torch sees; a process that has not loaded torch uses none."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return []
    devices = map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
    return [{"name": device.name, "memory_gib": round(device.total_memory / 2**30, 1)} for device in devices]
