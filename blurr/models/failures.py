"""Explain why a checkpoint cannot be loaded: it is broken, of another kind, or a package or a machine is missing."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pickle import UnpicklingError
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError

from blurr.errors import InputError, ResourceError, chain, how_to_install, is_no_answer, resource_error
from blurr.models.weights import is_offline

MISSING = re.compile(r"requires the (\w+) library")
INSTALL = {"timm": how_to_install("vision")}
# What transformers lets through of a folder that is broken; RuntimeError where sizes do not fit.
UNREADABLE = (
    *(OSError, ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RuntimeError),
    *(SafetensorError, StrictDataclassError),
)


@contextmanager
def with_packages(name: str) -> Iterator[None]:
    """Say which package is missing that an architecture needs.

    Raises:
        InputError: one is missing.
    """
    try:
        yield
    except ImportError as e:
        package = MISSING.search(str(e))
        if package is None:
            raise
        how = INSTALL.get(package[1], f"pip install {package[1]}")
        raise InputError(f"The model {name!r} needs the package {package[1]}: {how}") from e


@contextmanager
def readable(name: str, model_cls: Any) -> Iterator[None]:
    """Explain why transformers cannot load a checkpoint.

    Raises:
        InputError: it is broken or of another kind.
        ResourceError: the Hub does not answer, or memory or disk do not suffice.
    """
    try:
        yield
    except InputError:  # of an adapter's base, say
        raise
    except UnpicklingError as e:  # torch's own words advise to run what is in it
        raise InputError(
            f"The weights of the model {name!r} are a pickle that holds more than numbers, which is not read: it would "
            "run whatever is in it. Take weights in the form safetensors."
        ) from e
    except UNREADABLE as e:
        failure = resource_error(e)
        if failure is not None:
            raise failure from e
        if not is_offline() and any(map(is_no_answer, chain(e))):
            raise ResourceError(f"The Hugging Face Hub does not give the model {name!r}: {e} Try again later.") from e
        if "trust_remote_code" in str(e):
            raise InputError(
                f"The model {name!r} brings Python code of its own, which is not run. If you have read that code and "
                "trust it: +model.model_kwargs.trust_remote_code=true"
            ) from e
        raise InputError(
            f"Cannot load a model from {name!r} as {getattr(model_cls, '__name__', model_cls)}: {e} "
            "Give a Hub id, or a folder that save_pretrained wrote, of a model that can do this task."
        ) from e
