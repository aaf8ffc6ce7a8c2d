"""Keep a sweep's ledger: one line per event, with a checksum, on disk before anything follows from the event."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from blurr.errors import InputError, writing
from blurr.process.locks import try_lock
from blurr.runs.checksums import OF_LINE, open_line, seal_line
from blurr.runs.folder import LEDGER, sweep_up
from blurr.runs.jsonlines import to_json
from blurr.runs.parsing import parse_json, validated
from blurr.sweep.events import BEGUN, PLANNED, Event, State
from blurr.sweep.space import Point

LOCK = "lock"
SEALED = "sealed"  # key of the first line if every line has a checksum; earlier versions wrote none
LOCK_SECONDS = 15.0  # trials whose parent was killed die at once, but the system takes time to remove them


@dataclass
class Trial:
    """One trial, as the ledger knows it.

    Attributes:
        number: counted from 0; also the name of its folder.
        hash: identifies its command line.
        point: each varying key with its value.
        state: `running` also if the sweep was killed meanwhile.
        attempts: number of starts.
        values: the objectives of a finished trial, or those of a pruned trial's last evaluation.
        reports: the last attempt's objective by evaluation, counted from 1.
        reason: why it failed.
        details: the traceback, or what there is instead.
        twin: number of the trial with the same values that was run instead.
        seconds: wall-clock time of the last attempt.
        cpu: processor seconds of the last attempt.
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
        """Has it ended so that a resumed sweep does not run it again?"""
        return self.state in ("finished", "pruned")

    def __str__(self) -> str:
        return " ".join(f"{key}={value}" for key, value in self.point.items())


class Ledger:
    """A sweep's trials, rebuilt from the file in its folder. One process writes it.

    Attributes:
        folder: the sweep's folder.
        head: how the sweep was started, and what was decided for all of its trials; empty for a new sweep.
        trials: by number.
        history: what happened, in its order: `trial`, `started`, `report` or `ended`, the trial's number, and the step
            of the report or the state at the end.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.head: dict[str, Any] = {}
        self.trials: dict[int, Trial] = {}
        self.history: list[tuple[str, int, Any]] = []
        self._path = folder / LEDGER
        for number, event in _read(self._path):
            reason = self._misfit(event)
            if reason:
                raise _damaged(self._path, number, reason)
            self._apply(event)

    def first(self, identity: str) -> Trial | None:
        """Return the first trial with this hash."""
        return next((trial for trial in self.trials.values() if trial.hash == identity), None)

    def ends(self) -> Iterator[tuple[float | None, dict[int, Trial]]]:
        """Yield, for each time that a trial ended, the seconds since 1970 and all trials as they were then."""
        past = copy(self)
        past.head, past.trials, past.history = {}, {}, []
        for _, event in _read(self._path):
            past._apply(event)
            if event["event"] == "ended":
                yield event.get("time"), past.trials

    def begin(self, **head: Any) -> None:
        """Add entries to the head."""
        self._write({"event": "sweep", **({} if self.head else {SEALED: True}), **head})

    def propose(self, number: int, identity: str, point: Point) -> Trial:
        """Write down a trial before it is started."""
        self._write({"event": "trial", "number": number, "hash": identity, "point": point})
        return self.trials[number]

    def start(self, number: int) -> None:
        """Write down that a trial is about to be started, possibly again."""
        self._write({"event": "started", "number": number})

    def report(self, number: int, step: int, value: float) -> None:
        """Write down the objective of one evaluation."""
        self._write({"event": "report", "number": number, "step": step, "value": value})

    def end(self, number: int, state: State, **fields: Any) -> None:
        """Write down how a trial ended, with the fields of `Trial` that are known then."""
        self._write({"event": "ended", "number": number, "state": state, **fields})

    def _write(self, event: dict[str, Any]) -> None:
        event["time"] = round(time.time(), 3)
        text = to_json(event)
        with (
            writing(self._path, f"Make room, and go on with sweep.resume={self.folder.name}."),
            self._path.open("a+b") as file,
        ):
            _mend(file)
            file.write(f"{seal_line(text)}\n".encode())
            file.flush()
            os.fsync(file.fileno())
        self._apply(json.loads(text))

    def _apply(self, event: dict[str, Any]) -> None:
        kind, fields = event["event"], {key: value for key, value in event.items() if key not in ("event", "time")}
        if kind == "sweep":
            self.head.update({"time": event.get("time"), **self.head, **fields})
            return
        number = fields.pop("number")
        self.history.append((kind, number, fields.get("step", fields.get("state"))))
        if kind == "trial":
            self.trials[number] = Trial(number, **fields)
            return
        trial = self.trials[number]
        if kind == "started":
            trial.state, trial.reports, trial.attempts = "running", {}, trial.attempts + 1
        elif kind == "report":
            trial.reports[fields["step"]] = float(fields["value"])
        else:
            for name, value in fields.items():
                setattr(trial, name, [float(each) for each in value] if name == "values" else value)

    def _misfit(self, event: dict[str, Any]) -> str | None:
        """Return why an event cannot follow those before it; None if it can."""
        is_head = event["event"] == "sweep"
        missing = sorted((BEGUN if is_head else BEGUN | PLANNED) - {*self.head, *(event if is_head else ())})
        if missing:
            return f"nothing up to it says what the sweep is (its {', '.join(missing)})"
        if is_head:
            return None
        is_known = event["number"] in self.trials
        if event["event"] == "trial":
            return "it names a trial twice, or leaves one out" if event["number"] != len(self.trials) else None
        if not is_known:
            return f"no line before it begins trial {event['number']}"
        if event.get("state") == "finished" and len(event.get("values", [])) != len(self.head["goals"]):
            return f"the sweep compares {len(self.head['goals'])} values"
        return None


@contextmanager
def locked(folder: Path) -> Iterator[Ledger]:
    """Open a sweep's ledger, which no other process can then open; trials inherit the lock and may outlive the sweep.

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
        for each in (folder, *folder.glob("[0-9]*")):
            sweep_up(each)
        yield Ledger(folder)  # read after locking: a killed sweep may have written until then


def _read(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the events of a ledger with the numbers of their lines; a last line that was cut off is skipped.

    Raises:
        InputError: a line has been changed.
    """
    data = path.read_bytes() if path.exists() else b""
    *lines, rest = data.split(b"\n")
    is_sealed = _is_sealed(data)
    for number, line in enumerate(lines, 1):
        event = _event(line, is_sealed=is_sealed)
        if event is not None:
            yield number, _typed(event, path, number)
        elif is_sealed or number == 1:  # earlier versions left lines that were cut off
            raise _damaged(path, number)
    event = _event(rest, is_sealed=is_sealed)
    if event is not None:
        yield len(lines) + 1, _typed(event, path, len(lines) + 1)
    elif _goes_beyond(rest):
        raise _damaged(path, len(lines) + 1)


def _typed(event: dict[str, Any], path: Path, number: int) -> dict[str, Any]:
    try:
        validated(Event, json.dumps(event))
    except ValueError as error:
        raise _damaged(path, number, str(error)) from error
    return event


def _is_sealed(data: bytes) -> bool:
    first, _, _ = data.partition(b"\n")
    return OF_LINE.encode() in first or f'"{SEALED}": true'.encode() in first


def _event(line: bytes, *, is_sealed: bool) -> dict[str, Any] | None:
    """Read a line; return None if it is not as it was written."""
    if is_sealed and OF_LINE.encode() not in line:
        return None
    try:
        event = parse_json(open_line(line.decode()))
    except ValueError:
        return None
    return event if isinstance(event, dict) else None


def _goes_beyond(rest: bytes) -> bool:
    """Does the last line hold more than one value, because its line end was overwritten? A cut leaves less than one."""
    try:
        _, end = json.JSONDecoder().raw_decode(rest.decode(errors="replace"))
    except ValueError:
        return False
    except RecursionError:
        return True
    return end < len(rest)


def _mend(file: BinaryIO) -> None:
    """Complete a last line that lacks only its line end; delete one of which a kill or a full disk cut off more."""
    file.seek(max(0, file.tell() - 1))
    if file.read() in (b"", b"\n"):
        return
    file.seek(0)
    data = file.read()
    start = data.rfind(b"\n") + 1
    if _event(data[start:], is_sealed=_is_sealed(data)) is None:
        file.truncate(start)
    else:
        file.write(b"\n")


def _damaged(path: Path, number: int, reason: str = "") -> InputError:
    said = f": {reason}" if reason else ""
    return InputError(
        f"Line {number} of {path} is not as it was written{said}. Put back a copy of the file, or delete this line "
        "and all that follow: their trials are run again. Or begin anew with another sweep.name."
    )
