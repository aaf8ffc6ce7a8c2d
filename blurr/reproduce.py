"""Run a recorded run again: say what is different now, and compare what comes out."""

import json
import math
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from mlflow import MlflowClient
from omegaconf import DictConfig, OmegaConf

from blurr.config.building import build
from blurr.config.trust import TRUST, check_config
from blurr.errors import InputError
from blurr.experiment import build_raw, run_experiment
from blurr.process.terminal import terminal
from blurr.process.threads import set_threads
from blurr.runs.folder import CONFIG, DIFF, ENVIRONMENT, OVERRIDES, SCORES, identity_of
from blurr.runs.jsonlines import flatten, read_whole
from blurr.runs.secrets import MASK, mask_text
from blurr.tracking.environment import describe_environment, git_state
from blurr.tracking.sink import IDENTITY_TAG
from blurr.tracking.store import SQLITE, STORE_ERRORS, resolve_uri, store_failure

FILES = (CONFIG, OVERRIDES, ENVIRONMENT, SCORES, DIFF)
TOLERANCE = 1e-6  # relative; the same code on the same machine gives the same numbers, but for the last digits
Difference = tuple[str, str, str]  # what, then, now


@dataclass(frozen=True)
class Record:
    """What is known of a run that was recorded.

    Attributes:
        name: id of the MLflow run, or its folder.
        identity: of the run; None where an earlier blurr has recorded it.
        config: resolved.
        overrides: what the command line changed.
        environment: versions, machine and git state.
        metrics: final scores; empty where the run did not finish.
        tags: of the MLflow run; empty where only the folder is known.
        fingerprint: of the data; None where it is not known.
        diff: the uncommitted changes of the code.
    """

    name: str
    config: dict[str, Any]
    overrides: list[str]
    environment: dict[str, Any]
    metrics: dict[str, float]
    tags: Mapping[str, str] = field(default_factory=dict)
    fingerprint: str | None = None
    diff: str = ""
    identity: str | None = None

    def __str__(self) -> str:
        return f"the run {self.identity} of {self.name}" if self.identity else self.name


def reproduce(
    run: str, *, uri: str, changes: Sequence[str] = (), trusted: Sequence[str] = ()
) -> tuple[list[Difference], list[Difference]]:
    """Run a recorded run again in a new output folder, tracked as it was.

    Args:
        run: id of an MLflow run, or an output folder.
        uri: of the MLflow store, where `run` is an id.
        changes: words of the form `key=value`, for what cannot or is not to be as it was.
        trusted: packages that the record may name functions and classes of, besides what `blurr.config.trust` lists.

    Returns:
        What is different of code, machine and data, and of the metrics.

    Raises:
        InputError: there is no such run, or its record holds no config, or one that would run code of its own.
    """
    record = read_folder(Path(run), run) if Path(run).is_dir() else read_run(run, uri)
    check_config(record.config, where=f"The config of {run}", remedy=TRUST, trusted=trusted)
    cfg = config_of(record, changes)
    if record.environment.get("threads"):
        set_threads(record.environment["threads"])
    raw = build_raw(cfg, build(cfg.task))
    before = list(differences(record, raw.fingerprint))
    folder = Path(cfg.output_dir)
    choices = {group: record.tags.get(f"blurr.{group}") for group in ("task", "model", "data")}
    terminal().print(f"Running again, in {folder}: {record}", soft_wrap=True)
    words = [*record.overrides, *changes]
    run_experiment(cfg, folder=folder, overrides=words, choices=choices, tags={"blurr.reproduces": str(record)})
    now = json.loads((folder / SCORES).read_text(encoding="utf-8"))
    return before, list(compare(record.metrics, now))


def read_run(run: str, uri: str) -> Record:
    """Read what MLflow has of a run."""
    uri = resolve_uri(uri)
    if uri.startswith(SQLITE) and not Path(uri.removeprefix(SQLITE)).exists():
        raise InputError(f"There is no folder {run}, and no MLflow store {uri}. Give the store with --uri.")
    client = MlflowClient(tracking_uri=uri)
    try:
        found = client.get_run(run)
        with tempfile.TemporaryDirectory() as folder:
            there = {file.path for file in client.list_artifacts(run)}
            for name in there.intersection(FILES):
                client.download_artifacts(run, name, folder)
            record = read_folder(Path(folder), run)
    except STORE_ERRORS as error:
        raise store_failure(
            error, f"MLflow at {mask_text(uri)} has no run {run}, or does not give it: {error}"
        ) from error
    digests = [each.dataset.digest for each in found.inputs.dataset_inputs] if found.inputs else []
    known = {"tags": found.data.tags, "identity": found.data.tags.get(IDENTITY_TAG)}
    return Record(**{**vars(record), **known, "fingerprint": digests[0] if digests else None})


def read_folder(folder: Path, name: str) -> Record:
    """Read what a run left in its output folder."""
    if not (folder / CONFIG).is_file():
        raise InputError(f"{name} recorded no config.yaml, so it cannot be run again.")

    def read(file: str, parse: Callable[[str], Any], kind: type) -> Any:
        return read_whole(folder / file, parse, kind) if (folder / file).exists() else kind()

    return Record(
        name,
        config=read(CONFIG, yaml.safe_load, dict),
        overrides=read(OVERRIDES, yaml.safe_load, list),
        environment=read(ENVIRONMENT, json.loads, dict),
        metrics={key: float(value) for key, value in read(SCORES, json.loads, dict).items()},
        diff=read(DIFF, str, str),
        identity=identity_of(folder),
    )


def config_of(record: Record, changes: Sequence[str]) -> DictConfig:
    """Give the config to be run: as it was, in a new folder, with the weights and batches that were really used."""
    cfg = OmegaConf.create(record.config)
    weights = record.tags.get("blurr.weights")
    if weights and OmegaConf.select(cfg, "model.weights") == "auto":
        cfg.model.weights = weights
    size = record.tags.get("blurr.batch_size")
    if size and OmegaConf.select(cfg, "loader.batch_size") == "auto":
        cfg.loader.batch_size = int(size)
    cfg.resume, cfg.overwrite = None, False
    cfg.output_dir = str(Path("outputs", f"reproduced-{datetime.now():%Y-%m-%d_%H-%M-%S-%f}").absolute())
    merged = OmegaConf.merge(cfg, OmegaConf.from_dotlist(list(changes)))
    hidden = [key for key, value in flatten(OmegaConf.to_container(merged)).items() if MASK in value]
    if hidden:
        raise InputError(f"{', '.join(hidden)} were hidden in the record. Give them: blurr reproduce … {hidden[0]}=…")
    return OmegaConf.create(OmegaConf.to_container(merged))  # type: ignore[return-value]  # it is a mapping


def differences(record: Record, fingerprint: str) -> Iterator[Difference]:
    """Say what of code, versions, machine and data is not as it was."""
    git = git_state(Path.cwd())
    now = flatten(describe_environment(git))
    then = flatten(record.environment)
    for key in sorted(then.keys() | now.keys()):
        if then.get(key) != now.get(key):
            yield key, then.get(key, "none"), now.get(key, "none")
    if record.fingerprint is not None and record.fingerprint != fingerprint[: len(record.fingerprint)]:
        yield "data", record.fingerprint, fingerprint
    if (mask_text(git.diff) if git else "") != record.diff:
        yield "code", "its own uncommitted changes (git.diff)", "others, or none"


def compare(then: Mapping[str, float], now: Mapping[str, float]) -> Iterator[Difference]:
    """Say which metrics came out otherwise."""
    for key in sorted(then.keys() | now.keys()):
        old, new = float(then.get(key, math.nan)), float(now.get(key, math.nan))
        if not (math.isclose(old, new, rel_tol=TOLERANCE, abs_tol=sys.float_info.epsilon) or old != old and new != new):
            yield key, f"{old:.6g}", f"{new:.6g}"
