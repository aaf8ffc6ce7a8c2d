"""Fit metrics and objective to the labels: numbers are not scored as classes, nor classes as numbers."""

import copy
import logging
from collections.abc import Iterable, Sequence

from omegaconf import DictConfig, OmegaConf, open_dict

from blurr.config import combinations, paths
from blurr.errors import InputError

log = logging.getLogger(__name__)

DEFAULTS = {"numbers": ("pearson", "spearman"), "classes": ("accuracy", "f1")}
"""Kind of labels to the options of `metrics` that are used if the user names none."""


def fitted(cfg: DictConfig, reads: str, words: Iterable[str], *, reason: str) -> DictConfig:
    """Return the config with metrics and objective that fit what they read.

    Metrics that do not fit are replaced by the defaults, and so is an objective that names one of them. Those that the
    command line names are refused instead.

    Args:
        cfg: a whole config.
        reads: what the task's metrics read for these rows, such as `numbers`.
        words: overrides of the command line.
        reason: why they read that, for messages.

    Raises:
        InputError: the user names a metric, or an objective, that does not fit.
    """
    if reads not in DEFAULTS:
        return cfg
    unfit = [str(name) for name, node in cfg.metrics.items() if combinations.reads_of(node) not in (None, reads)]
    if not unfit:
        return cfg
    names = objectives(cfg)
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
    """Do the same if the config alone says what the labels are, before any row is read."""
    kind = OmegaConf.select(cfg, "task.kind")
    reads = {"regression": "numbers", "multiclass": "classes", "multilabel": "classes"}.get(str(kind))
    return cfg if reads is None else fitted(cfg, reads, words, reason=f"task.kind={kind}")


def fitted_to_rows(
    cfg: DictConfig, reads: str, overrides: Sequence[str], kind: str | None, reason: str | None, *, is_trial: bool
) -> DictConfig:
    """Return the config with metrics and objective that fit the labels of the rows.

    Args:
        cfg: a whole config.
        reads: what the task's metrics read of these rows, such as `numbers`.
        overrides: of the command line.
        kind: of the labels, such as `regression`; None if the task has no labels.
        reason: why they are of that kind.
        is_trial: whether a sweep compares the objective, which then cannot change.

    Raises:
        InputError: the user names others, or the objective of a trial does not fit.
    """
    why = f"{kind}, since {reason}" if kind else "by the task"
    said = fitted_as_said(cfg, overrides)
    fit = fitted(said, reads, overrides, reason=why)
    if is_trial and fit.objective not in (cfg.objective, said.objective):
        raise InputError(
            f"objective={cfg.objective} does not fit the labels: {why}. A sweep compares one objective, and "
            f"learns it before the rows are read: say task.kind={kind}, or objective={fit.objective}."
        )
    return fit


def objectives(cfg: DictConfig) -> list[str]:
    """Return the names of the metrics that `cfg.objective` names, one or several."""
    return [cfg.objective] if isinstance(cfg.objective, str) else list(cfg.objective)


def _check_not_asked(unfit: Sequence[str], lost: Sequence[str], reads: str, words: Sequence[str], reason: str) -> None:
    keys = [word.lstrip("+~").partition("=")[0] for word in words]
    fits = f"These fit: {', '.join(combinations.options_that_read([reads]))}."
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
