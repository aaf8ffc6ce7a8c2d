"""Build the objects that a config describes. The only file that calls `instantiate`."""

from functools import partial
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from blurr.config.moved import with_current_names
from blurr.errors import InputError


def build(node: DictConfig, **run_time: Any) -> Any:
    """Build the object that a config node describes; what the object refuses is reported as the user's mistake.

    Args:
        node: has a `_target_`, or is a dict of such nodes.
        run_time: arguments that only the run knows.

    Raises:
        InputError: the object refuses an argument.
    """
    if "_target_" not in node:
        return {name: build(child) for name, child in node.items()}
    node = _with_current_names(node)
    try:
        deferred = unwrap_partials(instantiate(node, _convert_="all", _partial_=True))
    except InstantiationException as e:
        if isinstance(e.__cause__, InputError):
            raise e.__cause__ from None
        raise _refused(node, e.__cause__ or e) from e
    if node.get("_partial_", False):
        return deferred
    if run_time:  # given to instantiate itself, they would be copied into its config
        return deferred(**run_time)
    try:
        return deferred()
    except InputError:
        raise
    except (TypeError, ValueError) as e:
        raise _refused(node, e) from e


def unwrap_partials(value: Any) -> Any:
    """Replace Hydra's partials by plain ones: Hydra's check their target again at every call, which takes 2.7 ms.

    Args:
        value: a deferred target, which may have others among its arguments; or a list or dict of these.
    """
    if isinstance(value, partial):
        return partial(value.func, *map(unwrap_partials, value.args), **unwrap_partials(value.keywords))
    if isinstance(value, list):
        return [unwrap_partials(each) for each in value]
    if isinstance(value, dict):
        return {name: unwrap_partials(each) for name, each in value.items()}
    return value


def _with_current_names(node: DictConfig) -> DictConfig:
    plain = OmegaConf.to_container(node)
    current = with_current_names(plain)
    if current == plain:
        return node
    renamed: DictConfig = OmegaConf.create(current)
    renamed._set_parent(node._get_parent())  # interpolations look for other keys from where the node stands
    return renamed


def _refused(node: DictConfig, error: BaseException) -> InputError:
    return InputError(f"{error} Correct the keys of {node.get('_target_')} in the config.")
