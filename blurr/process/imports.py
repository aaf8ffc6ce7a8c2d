"""Import transformers and fastai without the libraries that they load for functions which few runs call."""

import sys
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

# Each takes about as long to load as pandas, and is not called by what blurr does.
DEFERRED = {
    "scipy.optimize": ("linear_sum_assignment",),  # transformers: losses of object detection
    "scipy.stats": (),  # fastai: metrics, by the module
    "sklearn": (),
    "sklearn.metrics": (),  # fastai: metrics and interpretation, by the module
    "sklearn.model_selection": ("train_test_split",),  # fastai: a splitter of rows
}


class StandIn(ModuleType):
    """Stands for a module in `sys.modules` while others import it; whatever they take from it loads the real one.

    Args:
        spec: of the module.
        functions: what can be imported from it by name without that: each loads the real one when it is called.
    """

    def __init__(self, spec: ModuleSpec, functions: Iterable[str]) -> None:
        super().__init__(spec.name)
        # what others ask all modules for, which are loaded
        vars(self).update(__spec__=spec, __file__=spec.origin, __path__=_Path(spec.name))
        vars(self).update({function: _loading(spec.name, function) for function in functions})

    def __getattr__(self, name: str) -> Any:
        return getattr(_real(self.__name__), name)


class _Path(list[str]):
    """Where the parts of a module lie, which is asked for when one of them is imported."""

    def __init__(self, module: str) -> None:
        super().__init__()
        self.module = module

    def __iter__(self) -> Iterator[str]:
        return iter(_real(self.module).__path__)


def _loading(module: str, name: str) -> Callable[..., Any]:
    def function(*args: Any, **kwargs: Any) -> Any:
        return getattr(_real(module), name)(*args, **kwargs)

    function.__name__ = function.__qualname__ = name
    return function


def _stand_ins() -> dict[str, StandIn]:
    """Make a stand-in for each module that is installed and not loaded."""
    found = {name: _spec(name) for name in DEFERRED if name not in sys.modules}
    made = {name: StandIn(spec, DEFERRED[name]) for name, spec in found.items() if spec is not None}
    for name, module in made.items():
        package, _, part = name.rpartition(".")
        if package in made:
            vars(made[package])[part] = module
    return made


def _spec(name: str) -> ModuleSpec | None:
    """Find a module, without importing the package around it as `importlib.util.find_spec` does."""
    package = name.rpartition(".")[0]
    if not package:
        return PathFinder.find_spec(name)
    around = _spec(package)
    return around and PathFinder.find_spec(name, around.submodule_search_locations)


def _real(name: str) -> ModuleType:
    """Import a module itself, and withdraw what stands in for its package."""
    _withdraw(name.partition(".")[0])
    return import_module(name)


def _withdraw(package: str) -> None:
    for name in [name for name, module in sys.modules.items() if isinstance(module, StandIn)]:
        if name.partition(".")[0] == package:
            del sys.modules[name]


def import_libraries(*names: str) -> None:
    """Import transformers' models and fastai; nothing stands in for a module afterwards, and nothing is missing.

    What is loaded already stays what it is.

    Args:
        names: of the modules to import; by default those that every model needs.
    """
    made = _stand_ins()
    sys.modules.update(made)
    try:
        for name in names or ("transformers.modeling_utils", "fastai.basics"):
            import_module(name)
    finally:
        for name in made:
            _withdraw(name.partition(".")[0])
