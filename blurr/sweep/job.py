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
    """Check a job's config, run it, and return its objectives; `trial` is what a sweep adds for its trials."""
    from blurr.config import checks

    job = HydraConfig.get()
    cfg.output_dir = job.runtime.output_dir
    checks.check(cfg)
    setup.set_threads(cfg.threads)  # torch reads the number when it is loaded

    from blurr.experiment import run_experiment

    setup.collect_as_usual()
    overrides, choices = list(job.overrides.task), dict(job.runtime.choices)
    cfg = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "sweep"])  # a trial is a run like any other
    # A run answers its mistake here. That of a trial is raised: the sweep reports it and goes on with the others.
    with explain.Answering() if job.mode == RunMode.RUN else nullcontext():
        return run_experiment(cfg, folder=Path(cfg.output_dir), overrides=overrides, choices=choices, **trial)
