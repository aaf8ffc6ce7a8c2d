"""Fit metrics and objective to what the labels are: numbers are not scored as classes, nor classes as numbers."""

import copy
import logging
from collections.abc import Iterable, Sequence

from omegaconf import DictConfig, OmegaConf, open_dict

from blurr.config import checks, paths
from blurr.errors import InputError

log = logging.getLogger(__name__)

DEFAULTS = {"numbers": ("pearson", "spearman"), "classes": ("accuracy", "f1")}
"""What a metric reads to the options of `metrics` that a task takes where the user names none."""


def fitted(cfg: DictConfig, reads: str, words: Iterable[str], *, reason: str) -> DictConfig:
    """Return the config with metrics and objective that fit what they read.

    Metrics that do not fit are replaced by the defaults, and so is an objective that names one of them; but those that
    the command line names are the user's word, and are refused.

    Args:
        cfg: a whole config.
        reads: what the task's metrics read of these rows, such as `numbers`.
        words: of the command line.
        reason: why they read that, for messages.

    Raises:
        InputError: the user names a metric, or an objective, that does not fit.
    """
    if reads not in DEFAULTS:
        return cfg
    unfit = [str(name) for name, node in cfg.metrics.items() if checks.reads_of(node) not in (None, reads)]
    if not unfit:
        return cfg
    names = [cfg.objective] if isinstance(cfg.objective, str) else list(cfg.objective)
    lost = [name for name in names if name.partition("/")[2] in unfit]
    _check_not_asked(unfit, lost, reads, list(words), reason)
    chosen, metrics = DEFAULTS[reads], {name: node for name, node in cfg.metrics.items() if name not in unfit}
    for name in chosen:
        metrics |= OmegaConf.load(paths.options("metrics")[name])
    kept = dict.fromkeys(f"valid/{chosen[0]}" if name in lost else name for name in names)
    cfg = copy.deepcopy(cfg)
    with open_dict(cfg):
        cfg.metrics = metrics
        cfg.objective = next(iter(kept)) if len(kept) == 1 else list(kept)
    log.info("Metrics: %s; objective: %s. %s.", ", ".join(metrics), cfg.objective, reason.capitalize())
    return cfg


def fitted_as_said(cfg: DictConfig, words: Iterable[str]) -> DictConfig:
    """Do the same where the config alone says what the labels are, before any row is read."""
    kind = OmegaConf.select(cfg, "task.kind")
    reads = {"regression": "numbers", "multiclass": "classes", "multilabel": "classes"}.get(str(kind))
    return cfg if reads is None else fitted(cfg, reads, words, reason=f"task.kind={kind}")


def _check_not_asked(unfit: Sequence[str], lost: Sequence[str], reads: str, words: Sequence[str], reason: str) -> None:
    keys = [word.lstrip("+~").partition("=")[0] for word in words]
    fits = f"These fit: {', '.join(checks.options_that_read([reads]))}."
    if any(key.partition(".")[0] == "metrics" for key in keys):
        raise InputError(
            f"metrics: {', '.join(unfit)} cannot score {reads}, which these labels are ({reason}). {fits} Leave "
            f"metrics out for {', '.join(DEFAULTS[reads])}."
        )
    if lost and "objective" in keys:
        raise InputError(
            f"objective={lost[0]} cannot score {reads}, which these labels are ({reason}). {fits} Leave "
            f"objective out for valid/{DEFAULTS[reads][0]}."
        )
