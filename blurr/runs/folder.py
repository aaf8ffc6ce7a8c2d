"""Name the files of a run's folder, and keep the folder to one run."""

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from blurr.errors import InputError, writing
from blurr.process.locks import held, is_held
from blurr.runs.asides import ASIDE
from blurr.runs.checksums import SEAL, Damaged, is_sealed, sealed_files, text_checksum
from blurr.runs.jsonlines import REMEDY, read_whole, to_json
from blurr.runs.parsing import parse_json, validated
from blurr.runs.shapes import Line

# What a run leaves in its folder.
RECORD = "run.json"  # see `tracking.journal`; says whose the folder is
METRICS = "metrics.jsonl"  # every logged value; its first line says whose it is
SCORES = "metrics.json"  # final; where it stands, the run has finished
INTERVALS = "intervals.json"  # the ends of the 95 % intervals of the final scores that have one
CONFIG, OVERRIDES = "config.yaml", "overrides.yaml"
ENVIRONMENT, DIFF = "environment.json", "git.diff"
FACTS, ERROR, LOG = "facts.json", "error.txt", "blurr.log"
TABLES = {"valid": "predictions.jsonl", "test": "predictions_test.jsonl"}
PREVIEWS = "previews.jsonl"  # of rows that hold files, such as pictures
CHECKPOINTS, CHECKPOINT = "checkpoints", "step-*"
MODEL, CARD, ADAPTER = "model", "README.md", "adapter"
LR_FIND, LR_PLOT = "lr_find.json", "lr_find.png"  # what the search for a learning rate saw
REPORT, PLOTS = "report.html", "plots"
AUGMENTED = f"{PLOTS}/augmented.png"  # a sheet of training rows
LOCK = "run.lock"  # held while the run is alive
LEDGER = "ledger.jsonl"  # of a sweep, whose folder is no run's
PRECISION = "precision.json"  # of a sweep: what precision=auto is for all of its trials

OWN_CHECKSUM = "checksum"  # of RECORD itself, in it
STATUS = "status"  # in RECORD, of every version of blurr
IDENTITY = "identity"  # of a run, in RECORD, METRICS, place.json of a checkpoint, and checksums.json of a model
OF_MODEL = (  # besides those that its checksums name
    *("model.safetensors", "config.json", "generation_config.json", "blurr.json", SEAL, CARD, "not_kept.json"),
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt", "vocab.json", "merges.txt"),
    *("MLmodel", "conda.yaml", "python_env.yaml", "requirements.txt"),
    *("input_example.json", "serving_input_example.json"),
)
# Of an adapter: two are peft's, the last one tells the model that it is for.
OF_ADAPTER = (ADAPTER_CONFIG, ADAPTER_WEIGHTS, BASE) = "adapter_config.json", "adapter_model.safetensors", "base.json"
OF_TRAINING = ("loss", "learning_rate", "metrics", "metrics_[0-9]", "token_lengths")  # plots of the whole run
OF_SPLIT = (
    *("outcomes", "precision_recall", "calibration", "confusion", "entities", "slices", "predicted", "errors"),
    *("perplexity", "losses_of_rows", "overlap", "lengths_written"),
    *("confused", "top_losses", "label_errors", "near_duplicates"),
)
FILES = (
    *(METRICS, SCORES, INTERVALS, CONFIG, OVERRIDES, ENVIRONMENT, DIFF, FACTS, ERROR, REPORT),
    *(*TABLES.values(), PREVIEWS),
    *(f"{split}_entities.txt" for split in TABLES),
    *(LR_FIND, LR_PLOT, AUGMENTED),
    *(f"{PLOTS}/{name}.png" for name in OF_TRAINING),
    *(f"{PLOTS}/{split}_{name}.png" for split in ("validation", "test") for name in OF_SPLIT),
    *(f"{CHECKPOINTS}/{name}" for name in (f"{CHECKPOINT}/*", "best.pth*", "last.pth*")),
    *(f"{MODEL}/{name}" for name in (*OF_MODEL, *OF_ADAPTER)),
    *(f"{ADAPTER}/{name}" for name in (*OF_ADAPTER, SEAL)),
    RECORD,  # the last to go, for it says whose the others are
)
HALF_WRITTEN = (  # what a killed run leaves, also one of an earlier blurr
    *(ASIDE, f"{MODEL}/{ASIDE}", f"{ADAPTER}/{ASIDE}", f"{CHECKPOINTS}/{ASIDE}", f"{CHECKPOINTS}/.{'[0-9a-f]' * 32}"),
    *(".model.part", f"{RECORD}.part", f"{SCORES}.part", f"{OVERRIDES}.part"),
)
SHOWN = 5  # names of files in a message


def new_identity() -> str:
    """Return an identity that no other run has."""
    return secrets.token_hex(8)


class Whose(BaseModel):
    """What RECORD says of the other files of a folder; see `runs.journal` for the rest of it."""

    identity: str | None = None
    artifacts: dict[str, str | None] = {}
    checksums: dict[str, str] = {}


def identity_of(folder: Path) -> str | None:
    """Return the identity of the run in a folder; None where there is no run, or one that has none.

    Raises:
        InputError: RECORD is broken.
    """
    return Whose(**read_record(folder)).identity


def read_record(folder: Path, kind: type = Whose) -> dict[str, Any]:
    """Return what RECORD says of a folder; nothing where there is none.

    Args:
        folder: of the run.
        kind: the type of what is asked for.

    Raises:
        InputError: it is not as it was written.
    """
    path = folder / RECORD
    if not path.is_file():
        return {}
    found: dict[str, Any] = read_whole(path, parse_json, kind)
    written = found.pop(OWN_CHECKSUM, None)  # earlier versions of blurr wrote none
    if written not in (None, checksum_of(found)):
        raise InputError(f"{path} is not as it was written: its checksum is another. {REMEDY}")
    if written is None and STATUS not in found:  # which every version wrote
        raise InputError(f"{path} is not as it was written: it has neither a checksum nor {STATUS!r}. {REMEDY}")
    return found


def checksum_of(record: dict[str, Any]) -> str:
    """Return the checksum of what RECORD says, which does not depend on how it is spaced."""
    return text_checksum(to_json(record))


def holds_run(folder: Path) -> bool:
    """Is there a run in the folder that can be gone on with? Those of earlier versions of blurr have no identity."""
    return (folder / RECORD).is_file() and (identity_of(folder) is not None or (folder / CONFIG).is_file())


def has_steps(folder: Path) -> bool:
    """Has the run in a folder trained, so that there is something to lose?"""
    metrics = folder / METRICS
    there = (folder / SCORES).is_file() or (metrics.is_file() and metrics.stat().st_size > 0)
    return there or any((folder / CHECKPOINTS).glob(CHECKPOINT))


def is_alive(folder: Path) -> bool:
    """Does a process work on the run in a folder?"""
    return is_held(folder / LOCK)


def of_line(values: dict[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """Split a line of metrics.jsonl into the identity of its run, which the first one has, and what was logged."""
    return values.get(IDENTITY), {key: value for key, value in values.items() if key != IDENTITY}


def check_log(folder: Path, identity: str) -> None:
    """Check whose metrics.jsonl it is.

    Raises:
        InputError: it is of another run.
    """
    found: str | None = None
    with suppress(FileNotFoundError, ValueError), (folder / METRICS).open(encoding="utf-8") as lines:
        found = validated(Line, next(lines, "")).identity  # a kill may have cut it off
    if found not in (identity, None):
        raise InputError(
            f"{folder / METRICS} is of the run {found}, and {folder} holds the run {identity}. Move it away; what this "
            "run logged before its last checkpoint is lost then."
        )


@dataclass(frozen=True)
class Claim:
    """A folder that is held for one run.

    Attributes:
        folder: of the run.
        identity: of the run.
        goes_on: the run is there already.
    """

    folder: Path
    identity: str
    goes_on: bool


@contextmanager
def claimed(folder: Path, *, goes_on: bool = False, overwrite: bool = False) -> Iterator[Claim]:
    """Hold a folder for one run.

    Args:
        folder: made where it is missing.
        goes_on: take up the run that is there, if one is.
        overwrite: delete the files of the run that is there.

    Raises:
        InputError: the run that is there is alive, or would be written over.
        ResourceError: the folder cannot be made or written.
    """
    with writing(folder, "Choose another output_dir."):
        folder.mkdir(parents=True, exist_ok=True)
    with held(folder / LOCK) as is_mine:
        if not is_mine:
            raise InputError(
                f"A process works on the run {identity_of(folder) or ''} in {folder}. Wait for its end or stop it, or "
                "give another output_dir."
            )
        if (folder / LEDGER).exists():
            raise InputError(f"{folder} holds a sweep, and no run writes over it or goes on with it. Give another.")
        if goes_on and holds_run(folder):
            sweep_up(folder)
            yield Claim(folder, identity_of(folder) or new_identity(), goes_on=True)
        else:
            make_room(folder, overwrite=overwrite)
            yield Claim(folder, new_identity(), goes_on=False)


def sweep_up(folder: Path) -> None:
    """Delete what a killed process has left half-written in the folder of a run or sweep, which is held."""
    for left in [path for name in HALF_WRITTEN for path in folder.glob(name)]:
        if left.is_dir():
            shutil.rmtree(left)
        else:
            left.unlink()


def make_room(folder: Path, *, overwrite: bool) -> None:
    """Delete what a run has left that made no step, or that is to be overwritten; nothing else is touched.

    Raises:
        InputError: something is there that is not to be overwritten.
    """
    there, identity = written(folder), identity_of(folder)
    if identity is None and there:
        names = [path.relative_to(folder).as_posix() for path in there]
        raise InputError(
            f"{folder} has {', '.join(names[:SHOWN])}{' …' if names[SHOWN:] else ''}, which a run would write over, "
            f"and no {RECORD} that says whose they are. Give another output_dir, or move these files away"
            + (f"; resume={folder} goes on with the run of an earlier blurr." if holds_run(folder) else ".")
        )
    if has_steps(folder) and not overwrite:
        raise InputError(
            f"{folder} holds the run {identity} ({_state(folder)}). Go on with it: resume={folder}; or give another "
            "output_dir; or overwrite=true, which deletes its files first."
        )
    for path in there:
        path.unlink()
    sweep_up(folder)
    if there and (folder / LOG).is_file():
        (folder / LOG).write_text("")  # emptied, for this process may have opened it
    for name in (f"{CHECKPOINTS}/{CHECKPOINT}", CHECKPOINTS, MODEL, ADAPTER, PLOTS):
        for empty in (path for path in folder.glob(name) if path.is_dir() and not any(path.iterdir())):
            empty.rmdir()


def written(folder: Path) -> list[Path]:
    """Return the files in a folder that a run writes, RECORD last.

    Those are `FILES`, what the checksums of the model name, and the reports that the record names, such as those of a
    task of your own.
    """
    model = folder / MODEL
    there = [path for name in FILES[:-1] for path in sorted(folder.glob(name))]
    reports = [Path(path).name for path in read_record(folder).get("artifacts", {})]
    there += [folder / name for name in reports if name.startswith(tuple(f"{split}_" for split in TABLES))]
    with suppress(Damaged):  # the usual names are known without it
        there += [model / name for name in (sealed_files(model) if is_sealed(model) else ())]
    return [path for path in dict.fromkeys([*there, folder / RECORD]) if path.is_file()]


def _state(folder: Path) -> str:
    if (folder / SCORES).is_file():
        return "finished"
    *whole, _ = (folder / METRICS).read_bytes().split(b"\n") if (folder / METRICS).is_file() else [b""]
    with suppress(ValueError):
        return f"unfinished, at step {validated(Line, whole[-1].decode()).step}" if whole else "unfinished"
    return "unfinished, and its metrics are broken"
