"""The sweeper that Hydra calls for `-m`. Hydra takes sweepers from nowhere but a package of this name."""

from hydra.core.config_store import ConfigStore
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class BlurrSweeper(Sweeper):
    """Runs a sweep for Hydra."""

    config: DictConfig
    hydra_context: HydraContext

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.config, self.hydra_context, self.task_function = config, hydra_context, task_function

    def sweep(self, arguments: list[str]) -> None:
        """Run the sweep that a command line asks for; leaves with exit code 1 where a trial failed.

        Args:
            arguments: the words of the command line, those for Hydra itself aside.
        """
        from blurr.sweep.run import run_sweep  # here, because Hydra imports this file for every command line
        from blurr.sweep.trial import Context

        run_sweep(arguments, Context(self.config, self.hydra_context, self.task_function))


ConfigStore.instance().store(
    group="hydra/sweeper",
    name="blurr",
    node={"_target_": f"{BlurrSweeper.__module__}.{BlurrSweeper.__name__}"},
    provider="blurr",
)
