"""Compile a model, and pad its batches so that it is not compiled for every length."""

import os
import shutil
from dataclasses import replace
from typing import Literal

from fastai.callback.core import Callback

from blurr.errors import InputError
from blurr.loading.loader import Loader

Compile = bool | Literal["reduce-overhead", "max-autotune"]
MULTIPLE = 32  # lengths are rounded up to it; it divides the number of positions of nearly all models


class CompileModel(Callback):  # type: ignore[misc]  # fastai is not typed
    """Compile the model in place before the first batch; the first batches take a minute or more.

    This is worth it on a GPU and for long trainings. Generation and the saved model use the uncompiled model.

    Args:
        mode: mode of `torch.compile`; `None` is its default.
    """

    def __init__(self, mode: Literal["reduce-overhead", "max-autotune"] | None = None) -> None:
        self.mode = mode
        self.is_compiled = False

    def before_fit(self) -> None:
        if not self.is_compiled:
            self.model.compile(mode=self.mode)
            self.is_compiled = True


def compile_callbacks(requested: Compile) -> list[Callback]:
    """Return the callbacks with which a learner trains a compiled model.

    Args:
        requested: `False`; `True`, torch's default; `reduce-overhead` (CUDA graphs); `max-autotune` (tries kernels).

    Raises:
        InputError: there is no C++ compiler, which torch needs.
    """
    if not requested:
        return []
    names = [os.environ.get("CXX", "g++"), "clang++"]
    if not any(map(shutil.which, names)):
        raise InputError(
            f"compile={requested} needs a C++ compiler, and none of {names} is installed. Set compile=false."
        )
    return [CompileModel(None if requested is True else requested)]


def for_compiling(loader: Loader) -> Loader:
    """Round lengths up to a multiple of 32, unless the user has set another multiple."""
    return replace(loader, pad_to_multiple_of=loader.pad_to_multiple_of or MULTIPLE)
