"""Run an experiment in this process, or in each of several that train together; the first one composes its config."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from blurr.config import composing, explain
from blurr.errors import InputError
from blurr.process import launched, launching, setup
from blurr.process.imports import import_libraries


@dataclass
class _Shared:
    """Whether the first of the processes that were started from outside has told the others what to run."""

    is_told: bool = False


_shared = _Shared()


def run_together(cfg: DictConfig, *, folder: Path, **given: Any) -> float | list[float]:
    """Run an experiment with the other processes, if there are any; in each, failures are the first's to tell.

    Args:
        cfg: the composed config.
        folder: of the run.
        given: see `run_experiment`.
    """
    from blurr.experiment import run_experiment
    from blurr.training.distributed import from_first, joined
    from blurr.training.last_words import failing_once

    is_outside = launched.world() > 1 and not launching.is_forked()
    _shared.is_told = True
    with failing_once(), joined():
        if is_outside:
            OmegaConf.resolve(cfg)
            from_first(lambda: (cfg, folder, {name: value for name, value in given.items() if name != "report"}))
        return run_experiment(cfg, folder=folder, **given)


def follow() -> None:
    """Run what the first of several processes has composed, which others have started."""
    spoken = os.dup(2)
    launching.hush(tempfile.TemporaryFile())  # noqa: SIM115  # open while the process lives
    composing.prepare_process()
    import_libraries()
    from blurr.experiment import run_experiment
    from blurr.training.distributed import from_first, joined
    from blurr.training.last_words import failing_once

    setup.collect_as_usual()
    with explain.Answering():
        try:
            with failing_once(), joined():
                told = from_first(lambda: None)
                if told is None:
                    raise SystemExit(explain.CRASH)
                cfg, folder, given = told
                setup.set_threads(cfg.threads)
                run_experiment(cfg, folder=folder, **given)
        except Exception:
            os.dup2(spoken, 2)  # the first does not say it
            raise


@contextmanager
def telling_others() -> Iterator[None]:
    """Do in a `with` block what leads to a run; if it does not, the other processes that wait for it are told."""
    try:
        yield
    finally:
        if launched.world() > 1 and not launching.is_forked() and not _shared.is_told:
            import_libraries()
            from blurr.training.distributed import from_first, joined

            with joined():
                from_first(lambda: None)


def check_no_sweep(words: list[str]) -> None:
    """Refuse a sweep that torchrun, accelerate or srun has started several times.

    Raises:
        InputError: it has.
    """
    if launched.world() > 1 and {"-m", "--multirun"} & set(words):
        raise InputError(
            f"{launched.world()} processes were started for a sweep, which starts those of its trials itself. Start "
            f"one, without torchrun, accelerate or srun: blurr run -m processes={launched.world()} …"
        )
