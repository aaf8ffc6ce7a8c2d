"""Run a recorded run again: say what is different now, and compare what comes out."""

import math
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, get_args

from omegaconf import DictConfig, OmegaConf

from blurr.config.building import build
from blurr.config.destinations import check_destinations
from blurr.config.trust import TRUST, check_config, check_plain, key_of
from blurr.data import checks
from blurr.errors import InputError
from blurr.experiment import run_experiment
from blurr.models.weights import Weights
from blurr.process.setup import set_threads, set_threads_as_begun
from blurr.process.terminal import terminal
from blurr.runs.folder import CONFIG
from blurr.runs.jsonlines import flatten
from blurr.runs.record import Record
from blurr.runs.secrets import MASK, mask_text
from blurr.tasks.parts import build_raw
from blurr.tracking.environment import describe_environment, git_state
from blurr.tracking.finding import record_of
from blurr.training.learning_rate import recorded_rate
from blurr.training.precision_choice import Known

TOLERANCE = 1e-6  # relative; the same code on the same machine gives the same numbers, but for the last digits
Difference = tuple[str, str, str]  # what, then, now


def reproduce(
    run: str, *, uri: str | None = None, changes: Sequence[str] = (), trusted: Sequence[str] = ()
) -> tuple[list[Difference], list[Difference]]:
    """Run a recorded run again in a new output folder, tracked as it was.

    Args:
        run: the folder of a run, its identity, or the id of its MLflow run.
        uri: the address of the MLflow store that has the run, if there is no folder; for None see `config.store`.
        changes: overrides (`key=value`) for what cannot or should not be as it was.
        trusted: packages that the record may name functions and classes of, besides what `blurr.config.trust` lists.

    Returns:
        The differences of code, machine and data, and those of the metrics.

    Raises:
        InputError: there is no such run, it recorded no config, or its config would run code of its own, read the
            environment, or send data where the user does not say.
    """
    with record_of(run, uri=uri) as record:
        if not (record.folder / CONFIG).is_file():
            raise InputError(f"{run} recorded no config.yaml, so it cannot be run again.")
        record.check()
        if record.notebook is not None:
            raise InputError(
                f"{run} was trained by the code of a notebook, under the name {record.notebook!r}, which only the "
                "notebook can run again."
            )
        check_config(record.config, where=f"The config of {run}", remedy=TRUST, trusted=trusted)
        cfg = config_of(record, changes)
        plain: Any = OmegaConf.to_container(cfg)
        command = shlex.join(["blurr", "reproduce", run, *changes])
        named = [uri] if uri else []
        check_destinations(plain, given=changes, where=f"The config of {run}", command=command, named=named)
        checks.check(cfg)
        _set_threads(record, cfg, changes)
        raw = build_raw(cfg, build(cfg.task))
        before, scores = list(differences(record, raw.fingerprint)), record.scores
        folder = Path(cfg.output_dir)
        choices = {group: record.tags.get(f"blurr.{group}") for group in ("task", "model", "data")}
        said = f"the run {record.identity} of {run}" if record.identity else run
        terminal().print(f"Running again, in {folder}: {said}", soft_wrap=True)
        words = [*record.overrides, *changes]
        run_experiment(cfg, folder=folder, overrides=words, choices=choices, tags={"blurr.reproduces": said})
        return before, list(compare(scores, Record(folder).scores))


def _set_threads(record: Record, cfg: DictConfig, changes: Sequence[str]) -> None:
    """Set the number of threads that the record has, unless the user gives another."""
    begun_with = record.environment.get("threads")
    if any(key_of(each) == "threads" for each in changes):
        set_threads(cfg.threads)
    elif begun_with:
        set_threads_as_begun(begun_with)


def config_of(record: Record, changes: Sequence[str]) -> DictConfig:
    """Return the config to run: as recorded, in a new folder, with what `auto` and the default rate became."""
    if any(key_of(each) == "processes" for each in changes):
        raise InputError("processes: a run is run again in one process, which takes the same steps. Leave it out.")
    cfg = OmegaConf.create({**record.config, "processes": 1})
    weights = record.tags.get("blurr.weights")
    if weights in get_args(Weights) and OmegaConf.select(cfg, "model.weights") == "auto":
        cfg.model.weights = weights
    size = record.tags.get("blurr.batch_size")
    if size and OmegaConf.select(cfg, "loader.batch_size") == "auto":
        cfg.loader.batch_size = int(size)
    precision = record.tags.get("blurr.precision")
    if precision in get_args(Known) and OmegaConf.select(cfg, "precision") == "auto":
        cfg.precision = precision
    rate = record.tags.get("blurr.lr")
    optimizer = cfg.get("optimizer")
    if (
        rate and isinstance(optimizer, DictConfig) and "lr" in optimizer and optimizer.lr is None
    ):  # the default of another version may be another
        optimizer.lr = recorded_rate(rate)
    cfg.resume, cfg.overwrite = None, False
    cfg.device = cfg.get("device", "auto")  # which earlier versions did not record
    cfg.output_dir = str(Path("outputs", f"reproduced-{datetime.now():%Y-%m-%d_%H-%M-%S-%f}").absolute())
    merged = OmegaConf.merge(cfg, OmegaConf.from_dotlist(list(changes)))
    config = OmegaConf.to_container(merged, resolve=True)
    hidden = [key for key, value in flatten(config).items() if MASK in value]
    if hidden:
        raise InputError(f"{', '.join(hidden)} were hidden in the record. Give them: blurr reproduce … {hidden[0]}=…")
    check_plain(config, where="The record")
    return OmegaConf.create(config)  # type: ignore[return-value]  # it is a mapping


def differences(record: Record, fingerprint: str) -> Iterator[Difference]:
    """Yield what has changed of code, versions, machine and data."""
    git = git_state(Path.cwd())
    now = flatten(describe_environment(git))
    then = flatten(record.environment)
    for key in sorted(then.keys() | now.keys()):
        if then.get(key) != now.get(key):
            yield key, then.get(key, "none"), now.get(key, "none")
    recorded = record.facts.get("fingerprint", "")  # MLflow has only its beginning; a run that failed early none
    if not fingerprint.startswith(recorded):
        yield "data", recorded, fingerprint
    if (mask_text(git.diff) if git else "") != record.diff:
        yield "code", "its own uncommitted changes (git.diff)", "others, or none"


def compare(then: Mapping[str, float], now: Mapping[str, float]) -> Iterator[Difference]:
    """Yield the metrics that came out differently."""
    for key in sorted(then.keys() | now.keys()):
        old, new = float(then.get(key, math.nan)), float(now.get(key, math.nan))
        if not (math.isclose(old, new, rel_tol=TOLERANCE, abs_tol=sys.float_info.epsilon) or old != old and new != new):
            yield key, f"{old:.6g}", f"{new:.6g}"
