"""Run an experiment in this process, as the command line does, on a small model from scratch."""

from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from blurr.config import composing
from blurr.data import checks
from blurr.experiment import run_experiment

TINY_BERT = (
    *("model.scratch.hidden_size=32", "model.scratch.num_hidden_layers=1", "model.scratch.num_attention_heads=2"),
    *("model.scratch.intermediate_size=32", "model.scratch_vocab=500"),
)
USUAL = ("model.weights=scratch", "report=false")  # half of the time of a small run goes into drawing its report


def run(folder: Path, *words: str, usual: tuple[str, ...] = ()) -> Any:
    """Compose, check and run.

    Args:
        folder: of the run.
        words: of the command line; these are recorded.
        usual: what a module's runs have in common; not recorded.

    Returns:
        The value of the objective.
    """
    folder.mkdir(parents=True, exist_ok=True)
    cfg = composing.compose([f"output_dir={folder}", *USUAL, *usual, *words])
    checks.check(cfg)
    choices = dict(OmegaConf.to_container(composing.HydraConfig.get().runtime.choices))
    cfg = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "sweep"])
    return run_experiment(cfg, folder=folder, overrides=list(words), choices=choices)
