"""`python -m blurr.run task=… model=…`: compose a config from its options and run one experiment, or a grid with -m."""

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from blurr.config import composing, explain, paths
from blurr.process import garbage, threads
from blurr.runs import resume
from blurr.sweep import resuming
from blurr.tracking.finding import find_run


@explain.job
def experiment(cfg: DictConfig, **trial: Any) -> float | list[float]:
    """Check one job's config and run it, with what a sweep gives its trials; returns the objective."""
    from blurr.config import checks

    job = HydraConfig.get()
    cfg.output_dir = job.runtime.output_dir
    checks.check(cfg)
    threads.set_threads(cfg.threads)

    from blurr.experiment import run_experiment

    garbage.collect_as_usual()
    words, choices = list(job.overrides.task), dict(job.runtime.choices)
    cfg = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "sweep"])  # is no part of what a run is
    # A sweep goes on with its other jobs after a failed one, and says so at its end.
    with explain.Answering() if job.mode == RunMode.RUN else nullcontext():
        return run_experiment(cfg, folder=Path(cfg.output_dir), overrides=words, choices=choices, **trial)


def hand_to_hydra() -> None:
    """Let Hydra compose the command line's config and run it, or a sweep of it."""
    explain.check_flags(sys.argv[1:])
    sys.argv[1:] = resume.expand(resuming.expand(sys.argv[1:]), find_run)
    composing.prepare_process()
    hydra.main(config_path=str(paths.config_root()), config_name="config", version_base="1.3")(experiment)()


def main() -> None:
    """Run the command line, and answer its mistakes in blurr's words."""
    with explain.Answering():
        hand_to_hydra()


if __name__ == "__main__":
    main()
