"""Processes of their own, forked from one that has imported what they need: importing takes longer than most tests."""

import atexit
import importlib
import itertools
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from multiprocessing import forkserver
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PATH = os.pathsep.join([str(ROOT), str(Path(__file__).parent)])
LOADED = [
    *("blurr.cli", "blurr.run", "blurr.experiment", "blurr.plan", "blurr.reproduce", "blurr.doctor", "blurr.sweep.run"),
    *("blurr.report.page", "blurr.report.leaderboard", "blurr.serve.app", "blurr.serve.files", "blurr.serve.pushing"),
    *("blurr.text.modeling.all", "blurr.tracking.sync", "mlflow.store.tracking.sqlalchemy_store"),
]
OUTPUTS = Path(tempfile.mkdtemp(prefix="blurr-forked-"))
atexit.register(shutil.rmtree, OUTPUTS, ignore_errors=True)
atexit.register(lambda: [each.kill() for each in multiprocessing.active_children()])
context = multiprocessing.get_context("forkserver")
numbers = itertools.count()


class Forked:
    """A process that calls a function, with a folder, an environment and outputs of its own; it speaks like `Popen`."""

    def __init__(self, call: Callable[..., object], *given: Any, cwd: Path, **environment: str) -> None:
        start_server()
        self._files = [OUTPUTS / f"{next(numbers)}.{name}" for name in ("out", "err")]
        settings = {**os.environ, "PYTHONPATH": PATH, "COLUMNS": "200", **environment}
        for file in self._files:
            file.touch()
        self._process = context.Process(target=enter, args=(call, given, cwd, settings, self._files))
        self._process.start()
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, signum: int) -> None:
        os.kill(self.pid, signum)

    def kill(self) -> None:
        self._process.kill()

    def wait(self, timeout: float = 120) -> None:
        self._process.join(timeout)
        if self._process.exitcode is None:
            self.kill()
            raise subprocess.TimeoutExpired(self._process.name, timeout, self.stdout, self.stderr)

    @property
    def stdout(self) -> str:
        """What it has said up to now."""
        return self._files[0].read_text()

    @property
    def stderr(self) -> str:
        return self._files[1].read_text()

    def communicate(self, timeout: float = 120) -> tuple[str, str]:
        self.wait(timeout)
        return self.stdout, self.stderr


def start_server() -> None:
    """Start the process that the others are forked from, if there is none yet."""
    context.set_forkserver_preload(LOADED)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", PATH)
        patch.setenv("PYTHONSAFEPATH", "1")  # nothing of the folder that a test is in
        forkserver.ensure_running()


def enter(call: Callable[..., object], given: Any, cwd: Path, settings: dict[str, str], files: list[Path]) -> None:
    """Be a process that has just been started, and call a function."""
    missing = set(LOADED) - set(sys.modules)
    if missing:  # the server passes over what it cannot import
        raise ImportError(f"not loaded: {sorted(missing)}")
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(settings)
    launch = [] if "PYTHONSAFEPATH" in settings else [str(cwd)]
    sys.path[:0] = [*launch, *settings["PYTHONPATH"].split(os.pathsep)]
    for descriptor, file in enumerate(files, 1):
        with file.open("ab") as opened:
            os.dup2(opened.fileno(), descriptor)
    try:
        call(*given)
    finally:
        atexit._run_exitfuncs()


# -- what such a process may call


def door(name: str, *words: str) -> None:
    """Do as `python -m name words`."""
    module = importlib.import_module(name)
    sys.argv = [str(module.__file__), *words]
    module.main()


def code(text: str, *words: str) -> None:
    """Do as `python -c text words`."""
    sys.argv = ["-c", *words]
    exec(compile(text, "<string>", "exec"), {"__name__": "__main__"})


def door_with(experiment: Path, name: str, *words: str) -> None:
    """Do as `python -m name words`, with this file in place of the module that runs an experiment."""
    import blurr

    module = ModuleType("blurr.experiment")
    exec(compile(experiment.read_text(), experiment, "exec"), vars(module))
    sys.modules[module.__name__] = blurr.experiment = module
    door(name, *words)
