"""What Hydra calls before a run or a sweep, and for each job: a run by itself, or a trial of a sweep."""

import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from blurr.config import explain, paths
from blurr.config.trust import quoted
from blurr.errors import writing
from blurr.process import launched, launching, setup, terminal
from blurr.process.imports import import_libraries


@explain.job
def experiment(cfg: DictConfig, **trial: Any) -> float | list[float]:
    """Check a job's config, run it, and return its objectives; `trial` is what a sweep adds for its trials."""
    from blurr.data import checks
    from blurr.runs.resume import threads_begun_with

    job = HydraConfig.get()
    is_run = job.mode == RunMode.RUN
    cfg.output_dir = job.runtime.output_dir
    checks.check(cfg)
    begun_with = threads_begun_with(cfg, Path(cfg.output_dir))
    # torch reads the number when it is loaded
    if begun_with is None:
        setup.set_threads(cfg.threads, processes=cfg.processes)
    else:
        setup.set_threads_as_begun(begun_with)
    if cfg.processes > 1:
        setup.stay_forkable()
    terminal.move("Loading libraries")
    import_libraries()

    import blurr.experiment  # noqa: F401  # before the processes are forked that share it
    from blurr.sweep.together import run_together

    setup.collect_as_usual()
    overrides, choices = list(job.overrides.task), dict(job.runtime.choices)
    cfg = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "sweep"])  # a trial is a run like any other
    if cfg.processes > 1 and launched.world() == 1:
        launching.become(cfg.processes, folder=paths.from_here(Path(cfg.output_dir)) if is_run else None)
    cfg.processes = launched.world()
    # A run answers its mistake here. That of a trial is raised: the sweep reports it and goes on with the others.
    with explain.Answering() if is_run else nullcontext():
        return run_together(cfg, folder=Path(cfg.output_dir), overrides=overrides, choices=choices, **trial)


class BeforeRun(Callback):
    """Checks a config before Hydra makes the run's folder, so that a mistake leaves nothing behind."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Stop with one message and exit code 2 if the config of a single run has mistakes."""
        from blurr.data import checks

        HydraConfig.instance().set_config(config)  # `${hydra:…}` is resolved from there
        with explain.Answering():
            checks.check(config)
            check_writable(Path(config.output_dir))

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Use `output_dir=…` as the folder of a whole sweep."""
        if any(override.startswith("output_dir=") for override in config.hydra.overrides.task):
            config.hydra.sweep.dir = config.output_dir
            # each job composes anew
            config.hydra.overrides.hydra.append(f"hydra.sweep.dir={quoted(config.output_dir)}")


def check_writable(folder: Path) -> None:
    """Make the folder of a run and a file in it, before anything is loaded that takes time.

    Raises:
        ResourceError: the folder cannot be made or written.
    """
    with writing(folder.absolute(), "Choose another output_dir, or start blurr in a folder of your own."):
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
