"""Choose between a checkpoint and a model from scratch, without loading torch."""

import logging
import os
from functools import cache
from pathlib import Path
from typing import Literal
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from huggingface_hub import try_to_load_from_cache
from huggingface_hub.constants import ENDPOINT
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # documented, but not exported

from blurr.errors import InputError, ResourceError

log = logging.getLogger(__name__)
Weights = Literal["auto", "pretrained", "scratch"]

REMEDY = (
    "Set model.name to a local folder that save_pretrained wrote, or choose a family (`blurr ls model`), which can be "
    "trained from scratch."
)


def choose_weights(name: str, weights: Weights, arch: str | None = None) -> str:
    """Return `pretrained` or `scratch`; a fallback to the latter is a warning.

    Raises:
        InputError: there is no such checkpoint, or it is not local and the Hub may not be asked.
        ResourceError: it is not local, and the Hub does not answer.
    """
    if weights == "scratch":
        return "scratch"
    if is_at_hand(name) or hub_has(name):
        return "pretrained"
    if weights == "pretrained" or arch is None:
        said = f"The checkpoint {name!r} is neither a local folder nor in the cache, and the Hugging Face Hub "
        if is_offline():
            raise InputError(f"{said}is not asked, because HF_HUB_OFFLINE is set. {REMEDY}")
        raise ResourceError(f"{said}({ENDPOINT}) does not answer. Try again later. {REMEDY}")
    log.warning(
        "The checkpoint %r is not available (no local folder, not cached, the Hub does not answer): a small %s with "
        "RANDOM weights is trained from scratch instead. Set model.weights=pretrained to forbid this.",
        name,
        arch,
    )
    return "scratch"


def is_at_hand(name: str) -> bool:
    """Return whether a checkpoint is a local folder or in the cache.

    Raises:
        InputError: a path that does not exist, or a folder without a model.
    """
    path = Path(name)
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise InputError(
                f"The folder {name!r} holds no config.json; it has {sorted(p.name for p in path.iterdir())[:8]}. "
                "Set model.name to a folder that save_pretrained wrote."
            )
        return True
    if path.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
        raise InputError(f"There is no folder {name!r}. Set model.name to a folder that save_pretrained wrote.")
    return isinstance(try_to_load_from_cache(name, "config.json"), str)


def is_offline() -> bool:
    """Return whether HF_HUB_OFFLINE forbids asking the Hub."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}


@cache
def hub_has(name: str) -> bool:
    """Ask the Hub, once and for at most 3 seconds, whether it has a model; `False` if it does not answer.

    Raises:
        InputError: the Hub has no such model, or not for this user.
    """
    if is_offline():
        return False
    request = Request(f"{ENDPOINT}/api/models/{name}", headers=build_hf_headers())
    try:
        with urlopen(request, timeout=3):  # nosec B310  # named by the user
            return True
    except HTTPError as e:
        if e.code in {401, 403, 404}:
            raise InputError(
                f"The Hugging Face Hub has no model {name!r}, or you may not read it ({e.code} {e.reason}). {REMEDY}"
            ) from e
        log.debug("The Hub answers %s %s", e.code, e.reason)
    except OSError as e:
        log.debug("The Hub does not answer: %s", e)
    return False
