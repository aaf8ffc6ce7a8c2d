"""Read a learner that `learn.export` wrote, with this version of blurr or an earlier one."""

import pickle
from pathlib import Path
from typing import Any

from fastai.learner import Learner
from fastai.learner import load_learner as fastai_load_learner

from blurr.config.moved import current_name
from blurr.errors import InputError


class Unpickler(pickle.Unpickler):
    """Finds what a pickle names where it stands today."""

    def find_class(self, module: str, name: str) -> Any:
        """Return the function or class of that name; `name` has a dot for one inside a class."""
        here, *names = current_name(f"{module}.{name}").rsplit(".", name.count(".") + 1)
        try:
            return super().find_class(here, ".".join(names))
        except (ImportError, AttributeError) as error:  # fastai hides the first
            raise InputError(
                f"This export needs {module}.{name}, which cannot be had: {error}. If it is yours, import or define it "
                "as it was when you exported. If it is a library's, install the version that you exported with."
            ) from error


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
    return learner
