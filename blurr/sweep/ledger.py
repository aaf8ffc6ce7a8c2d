"""Keep a sweep's journal: every event a line that is on the disk before anything follows from it, with a checksum."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal

from blurr.errors import InputError, writing
from blurr.runs.checksums import OF_LINE, open_line, seal_line
from blurr.runs.folder import LEDGER, try_lock
from blurr.runs.jsonlines import to_json
from blurr.sweep.space import Point

State = Literal["running", "finished", "pruned", "failed"]
JOURNAL, LOCK = LEDGER, "lock"
SEALED = "sealed"  # said on the first line: every line has a checksum; those of earlier versions have none
LOCK_SECONDS = 15.0  # trials whose parent was killed die at once; this leaves the system time to bury them


@dataclass
class Trial:
    """One trial, as the journal knows it.

    Attributes:
        number: counted from 0; also its folder's name.
        hash: of its command line.
        point: what varies, and its value.
        state: `running` also where the sweep was killed meanwhile.
        attempts: how often it was started.
        values: of the objectives, once it is finished; of the last evaluation where it was pruned.
        reports: of the last attempt, number of the evaluation to the objective's value.
        reason: why it failed.
        details: the traceback, or what there is in its place.
        twin: number of the trial that has the same values and was run in its place.
        seconds: wall-clock time of the last attempt.
        cpu: seconds of computing of the last attempt.
    """

    number: int
    hash: str
    point: Point
    state: State = "running"
    attempts: int = 0
    values: list[float] = field(default_factory=list)
    reports: dict[int, float] = field(default_factory=dict)
    reason: str = ""
    details: str = ""
    twin: int | None = None
    seconds: float = 0.0
    cpu: float = 0.0

    @property
    def is_done(self) -> bool:
        """Has it come to its end, so that it is not to be run again?"""
        return self.state in ("finished", "pruned")

    def __str__(self) -> str:
        return " ".join(f"{key}={value}" for key, value in self.point.items())


class Ledger:
    """A sweep's trials, rebuilt from the journal in its folder. One process writes it.

    Attributes:
        folder: of the sweep.
        head: what the sweep was begun with, and decided on at its beginning; empty where it is new.
        trials: by number.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.head: dict[str, Any] = {}
        self.trials: dict[int, Trial] = {}
        self._path = folder / JOURNAL
        for event in _read(self._path):
            self._apply(event)

    def first(self, identity: str) -> Trial | None:
        """Find the first trial with this hash."""
        return next((trial for trial in self.trials.values() if trial.hash == identity), None)

    def begin(self, **head: Any) -> None:
        """Write down what the sweep is; a later call adds to it."""
        self._write({"event": "sweep", **({} if self.head else {SEALED: True}), **head})

    def propose(self, number: int, identity: str, point: Point) -> Trial:
        """Write down a trial before it is started."""
        self._write({"event": "trial", "number": number, "hash": identity, "point": point})
        return self.trials[number]

    def start(self, number: int) -> None:
        """Write down that a trial is being started, the first time or again."""
        self._write({"event": "started", "number": number})

    def report(self, number: int, step: int, value: float) -> None:
        """Write down the objective of one evaluation."""
        self._write({"event": "report", "number": number, "step": step, "value": value})

    def end(self, number: int, state: State, **facts: Any) -> None:
        """Write down how a trial ended, with the fields of `Trial` that are known then."""
        self._write({"event": "ended", "number": number, "state": state, **facts})

    def _write(self, event: dict[str, Any]) -> None:
        event["time"] = round(time.time(), 3)
        text = to_json(event)
        with (
            writing(self._path, f"Make room, and go on with sweep.resume={self.folder.name}."),
            self._path.open("ab") as file,
        ):
            if file.tell() and _last_byte(self._path) != b"\n":
                _mend(file, self._path.read_bytes())
            file.write(f"{seal_line(text)}\n".encode())
            file.flush()
            os.fsync(file.fileno())
        self._apply(json.loads(text))

    def _apply(self, event: dict[str, Any]) -> None:
        kind, facts = event["event"], {key: value for key, value in event.items() if key not in ("event", "time")}
        if kind == "sweep":
            self.head.update({"time": event["time"], **self.head, **facts})
            return
        number = facts.pop("number")
        if kind == "trial":
            self.trials[number] = Trial(number, **facts)
            return
        trial = self.trials[number]
        if kind == "started":
            trial.state, trial.reports, trial.attempts = "running", {}, trial.attempts + 1
        elif kind == "report":
            trial.reports[facts["step"]] = float(facts["value"])
        else:
            for name, value in facts.items():
                setattr(trial, name, [float(each) for each in value] if name == "values" else value)


@contextmanager
def locked(folder: Path) -> Iterator[Ledger]:
    """Open a sweep's ledger so that no other process can; trials inherit the lock, which so outlives a killed parent.

    Raises:
        InputError: the sweep is running in another process.
        ResourceError: the folder cannot be made.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("a") as file:
        until = time.monotonic() + LOCK_SECONDS
        while not try_lock(file.fileno()):
            if time.monotonic() > until:
                raise InputError(f"The sweep in {folder} is running in another process. Wait for its end, or stop it.")
            time.sleep(0.1)
        yield Ledger(folder)  # read now: a killed process may have written until the lock was free


def _read(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the events of a journal; a last line that was cut off is none.

    Raises:
        InputError: a line is not as it was written.
    """
    data = path.read_bytes() if path.exists() else b""
    *lines, rest = data.split(b"\n")
    is_sealed = _is_sealed(data)
    for number, line in enumerate(lines, 1):
        event = _event(line, is_sealed=is_sealed)
        if event is not None:
            yield event
        elif is_sealed:  # earlier versions left lines that were cut off
            raise _damaged(path, number)
    event = _event(rest, is_sealed=is_sealed)
    if event is not None:
        yield event
    elif _goes_beyond(rest):
        raise _damaged(path, len(lines) + 1)


def _is_sealed(data: bytes) -> bool:
    first, _, _ = data.partition(b"\n")
    return OF_LINE.encode() in first or f'"{SEALED}": true'.encode() in first


def _event(line: bytes, *, is_sealed: bool) -> dict[str, Any] | None:
    """Read a line; None where it is not as it was written."""
    if is_sealed and OF_LINE.encode() not in line:
        return None
    try:
        event = json.loads(open_line(line.decode()))
    except ValueError:
        return None
    return event if isinstance(event, dict) else None


def _goes_beyond(rest: bytes) -> bool:
    """Is there more than one value on a last line, as when the end of the line was overwritten? A cut leaves less."""
    try:
        _, end = json.JSONDecoder().raw_decode(rest.decode(errors="replace"))
    except ValueError:
        return False
    return end < len(rest)


def _mend(file: BinaryIO, data: bytes) -> None:
    """End a last line that lacks its end alone; delete one of which a kill or a full disk has cut off more."""
    whole = data.rfind(b"\n") + 1
    if _event(data[whole:], is_sealed=_is_sealed(data)) is None:
        file.truncate(whole)
    else:
        file.write(b"\n")


def _damaged(path: Path, number: int) -> InputError:
    return InputError(
        f"Line {number} of {path} is not as it was written. Put back a copy of the file, or delete this line and all "
        "that follow: what they tell of is run again. Or begin anew with another sweep.name."
    )


def _last_byte(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1)
