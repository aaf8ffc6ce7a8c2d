"""Read a learner that `learn.export` wrote, with this version of blurr or an earlier one."""

import pickle
from functools import partial
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from fastai.learner import Learner
from fastai.learner import load_learner as fastai_load_learner

from blurr.config.moved import current_name
from blurr.errors import InputError
from blurr.loading.dataloader import RowsDL
from blurr.targets.base import Target
from blurr.tasks.base import Task


class Unpickler(pickle.Unpickler):
    """Finds what a pickle names where it stands today."""

    def find_class(self, module: str, name: str) -> Any:
        """Return the function or class of that name; `name` has a dot for one inside a class."""
        if name == "getattr" and module in ("builtins", "__builtin__"):
            return _attribute  # by which a pickle names a method of an object
        written = f"{module}.{name}"
        current = current_name(written)
        try:
            return super().find_class(module, name) if current == written else resolve_name(current)
        except (ImportError, AttributeError) as error:  # fastai hides the first
            raise InputError(
                f"This export needs {module}.{name}, which cannot be had: {error}. If it is yours, import or define it "
                "as it was when you exported. If it is a library's, install the version that you exported with."
            ) from error


def _attribute(owner: Any, name: str) -> Any:
    """Return an attribute; the methods of a target were those of its task before 0.2."""
    is_of_target = isinstance(owner, type) and issubclass(owner, Task) and name in vars(Target)
    return partial(_call_target, name) if is_of_target else getattr(owner, name)


def _call_target(name: str, task: Task, learner: Learner) -> Any:
    return getattr(task.target, name)(learner)


class OldNames:
    """Stands for the module `pickle` where torch asks for one."""

    Unpickler = Unpickler

    @staticmethod
    def load(file: Any, **options: Any) -> Any:
        """Read one object, as `pickle.load` does; torch reads files of its old format by this."""
        return Unpickler(file, **options).load()


def load_learner(path: str | Path, cpu: bool = True) -> Learner:
    """Load an exported learner; fastai's function of this name cannot read exports of earlier versions of blurr.

    The file is a pickle, which can run any code: load only what you trust.

    Args:
        path: of the file.
        cpu: put the model on the CPU, else on the default device.
    """
    learner: Learner = fastai_load_learner(path, cpu=cpu, pickle_module=OldNames)
    for dl in learner.dls.loaders:
        if isinstance(dl, RowsDL) and dl.task is None and isinstance(dl.encode, partial):
            dl.task = dl.own["task"] = dl.encode.args[0]  # before 0.2 a loader knew its task by what encodes for it
    return learner
