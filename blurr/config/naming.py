"""What configs look up: models in a word, by the option or by what is loaded, and the weights of a trial."""

import re
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

ANY_MODEL = "auto"  # the option that says nothing by itself
MODEL_FOLDER = "model"  # a run's model lies in a folder of this name
CACHED = "models--"  # how the Hub's cache names the folder of a checkpoint
RESOLVER, WEIGHTS = "blurr.model", "blurr.weights"  # the names by which conf/ calls the functions below


def register() -> None:
    """Let configs say `${blurr.model:OPTION}` for the word of their model, `${blurr.weights:}` for those at hand."""
    OmegaConf.register_new_resolver(RESOLVER, _label_in, replace=True)
    OmegaConf.register_new_resolver(WEIGHTS, _weights_at_hand, replace=True)


def _weights_at_hand(*, _root_: DictConfig) -> str:
    """Return `pretrained` where `model.name` is a folder, else `scratch`."""
    name = OmegaConf.select(_root_, "model.name", throw_on_missing=False)
    return "pretrained" if name and Path(str(name)).is_dir() else "scratch"


def _label_in(choice: str | None, *, _root_: DictConfig) -> str:
    name = OmegaConf.select(_root_, "model.name", throw_on_missing=False)
    return re.sub(r"[^\w.+-]", "_", model_label(choice, name))  # it names a folder


def model_label(choice: str | None, name: str | None) -> str:
    """Return the word for a model: the option, or the last name of the checkpoint where the option is `auto`.

    Args:
        choice: the option of the group `model`.
        name: `model.name`: a Hub id or a folder.
    """
    if choice != ANY_MODEL or not name:
        return choice or ""
    parts = [part for part in re.split(r"[/\\]", name) if part not in ("", ".", "..")]
    cached = [part for part in parts if part.startswith(CACHED)]
    if cached:
        return cached[-1].rpartition("--")[2]
    if parts[1:] and parts[-1] == MODEL_FOLDER:
        parts.pop()
    return parts[-1] if parts else name
