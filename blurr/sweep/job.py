"""What Hydra calls for each job: a run by itself, or a trial of a sweep."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from blurr.config import explain
from blurr.process import setup


@explain.job
def experiment(cfg: DictConfig, **trial: Any) -> float | list[float]:
    """Check one job's config, run it with what a sweep passes to its trials, and return the objective."""
    from blurr.config import checks

    job = HydraConfig.get()
    cfg.output_dir = job.runtime.output_dir
    checks.check(cfg)
    setup.set_threads(cfg.threads)

    from blurr.experiment import run_experiment

    setup.collect_as_usual()
    words, choices = list(job.overrides.task), dict(job.runtime.choices)
    cfg = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "sweep"])  # not a part of the run
    # A sweep continues after a failed job, and reports it at its end.
    with explain.Answering() if job.mode == RunMode.RUN else nullcontext():
        return run_experiment(cfg, folder=Path(cfg.output_dir), overrides=words, choices=choices, **trial)
