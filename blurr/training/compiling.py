"""Compile a model for training and evaluation, and pad its batches so that it is not compiled for every length."""

import os
import shutil
from dataclasses import replace
from typing import Literal

from fastai.callback.core import Callback

from blurr.errors import InputError
from blurr.loading.loader import Loader

Compile = bool | Literal["reduce-overhead", "max-autotune"]
MULTIPLE = 32  # to which lengths are rounded up; the tables of positions of nearly all models are a multiple of it


class CompileModel(Callback):  # type: ignore[misc]  # fastai is not typed
    """Compile the model, in place, before the first batch; the first batches take a minute or more.

    It pays on a GPU and in long trainings. Generation and the saved model go by the model as it was.

    Args:
        mode: of `torch.compile`; `None` is its default.
    """

    def __init__(self, mode: Literal["reduce-overhead", "max-autotune"] | None = None) -> None:
        self.mode = mode
        self.is_compiled = False

    def before_fit(self) -> None:
        if not self.is_compiled:
            self.model.compile(mode=self.mode)
            self.is_compiled = True


def compile_callbacks(wish: Compile) -> list[Callback]:
    """Give the callbacks that make a learner train a compiled model.

    Args:
        wish: `False`; `True`, torch's default; `reduce-overhead` (CUDA graphs); `max-autotune` (tries kernels).

    Raises:
        InputError: there is no C++ compiler, without which torch compiles nothing.
    """
    if not wish:
        return []
    names = [os.environ.get("CXX", "g++"), "clang++"]
    if not any(map(shutil.which, names)):
        raise InputError(f"compile={wish} needs a C++ compiler, and there is none of {names}. Set compile=false.")
    return [CompileModel(None if wish is True else wish)]


def for_compiling(loader: Loader) -> Loader:
    """Round lengths up, unless the user has said to what."""
    return replace(loader, pad_to_multiple_of=loader.pad_to_multiple_of or MULTIPLE)
