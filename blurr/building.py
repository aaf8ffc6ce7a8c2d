"""Make the objects that a config describes. The only file that calls `instantiate`."""

from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig

from blurr.errors import InputError


def build(node: DictConfig, **run_time: Any) -> Any:
    """Make the object that a config node describes; a mistake in it stays the user's mistake.

    Args:
        node: with a `_target_`, or a dict of such nodes.
        run_time: arguments that only the run knows.

    Raises:
        InputError: the object refuses what the config says.
    """
    try:
        if run_time:  # given to instantiate itself, they would be copied into its config
            return instantiate(node, _convert_="all", _partial_=True)(**run_time)
        return instantiate(node, _convert_="all")
    except InstantiationException as e:
        if isinstance(e.__cause__, InputError):
            raise e.__cause__ from None
        raise InputError(f"{e.__cause__ or e} Correct the keys of {node.get('_target_')} in the config.") from e
