"""`blurr sweep` and `blurr reproduce`: look at sweeps and their best trials, and run a recorded run again."""

import argparse
import os
import shlex
from pathlib import Path
from typing import Any

from blurr.config.trust import TRUST, add_trust, check_words
from blurr.errors import InputError, writing
from blurr.tracking.sink import DEFAULT_STORE


def add_commands(commands: Any) -> None:
    """Add `sweep` with its own commands, and `reproduce`, to the parser of `blurr`.

    Args:
        commands: what `add_subparsers` gave.
    """
    again = commands.add_parser("reproduce", help="run a recorded run again; say what is different, and what came out")
    again.add_argument("run", help="id of an MLflow run, or an output folder")
    again.add_argument("changes", nargs="*", help="key=value, for what is not to be as it was")
    again.add_argument("--uri", default=DEFAULT_STORE, help="of the MLflow store (default: %(default)s)")
    add_trust(again)
    again.set_defaults(command=_reproduce)
    sweep = commands.add_parser("sweep", help="look at the sweeps of this folder: ls, show, best, export")
    parts = sweep.add_subparsers(title="commands", required=True, metavar="COMMAND")
    ls = parts.add_parser("ls", help="list the sweeps, the oldest first")
    ls.set_defaults(command=_ls)
    for name, command, said in (
        ("show", _show, "show all trials of a sweep, and what went wrong"),
        ("best", _best, "say how the best trial was run, and where its outputs are"),
        ("export", _export, "write the best trial as an experiment: blurr run experiments=best"),
    ):
        part = parts.add_parser(name, help=said)
        part.add_argument("sweep", nargs="?", help="name or folder of the sweep; left out, it is the latest")
        part.set_defaults(command=command)
    part.add_argument("--to", default="experiments/best.yaml", help="the file (default: %(default)s)")
    part.add_argument("--force", action="store_true", help="replace the file where there is one")
    add_trust(part)


def _ls(arguments: argparse.Namespace) -> int:
    from rich.table import Table

    from blurr.process.terminal import terminal
    from blurr.sweep.ledger import Ledger
    from blurr.sweep.objectives import best
    from blurr.sweep.resuming import folders

    table = Table("sweep", "trials", "finished", "pruned", "failed", "best", box=None, pad_edge=False)
    for folder in folders():
        ledger = Ledger(folder)
        trials = ledger.trials.values()
        counts = [str(sum(trial.state == state for trial in trials)) for state in ("finished", "pruned", "failed")]
        if not _is_begun(ledger):
            table.add_row(folder.name, "0", "0", "0", "0", "killed before its first trial")
            continue
        names = [name for name, _ in ledger.head["goals"]]
        winners = [
            f"{trial.number}: " + ", ".join(f"{n} {v:.4g}" for n, v in zip(names, trial.values, strict=True))
            for trial in best(trials, _goals(ledger))
        ]
        table.add_row(folder.name, f"{len(trials)}/{ledger.head['total']}", *counts, "; ".join(winners))
    terminal().print(table)
    return 0


def _show(arguments: argparse.Namespace) -> int:
    from blurr.sweep.board import Board

    ledger = _ledger(arguments.sweep)
    Board(_goals(ledger), ledger.head["total"], workers=1).close(ledger)
    return 0


def _best(arguments: argparse.Namespace) -> int:
    from blurr.process.terminal import terminal
    from blurr.sweep.space import words_of

    ledger, trial = _winner(arguments.sweep)
    out = terminal()
    for (name, _), value in zip(ledger.head["goals"], trial.values, strict=True):
        out.print(f"{name} {value:.6g}")
    out.print(f"trial {trial.number}, in {ledger.folder / str(trial.twin or trial.number)}", soft_wrap=True)
    out.print(f"python -m blurr.run {shlex.join(words_of(ledger.head['fixed'], trial.point))}", soft_wrap=True)
    return 0


def _export(arguments: argparse.Namespace) -> int:
    from blurr.process.terminal import terminal
    from blurr.sweep.export import experiment_yaml, is_about_the_place
    from blurr.sweep.space import words_of

    ledger, trial = _winner(arguments.sweep)
    # the file counts as the user's own from then on, so nothing may get into it that she would not have written
    words = [word for word in words_of(ledger.head["fixed"], trial.point) if not is_about_the_place(word)]
    check_words(words, where=str(ledger.folder), remedy=TRUST, trusted=arguments.trust)
    file = Path(arguments.to)
    if file.exists() and not arguments.force:
        raise InputError(f"{file} is there already. Give another file with --to, or replace it with --force.")
    with writing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(experiment_yaml(ledger, trial), encoding="utf-8")
    terminal().print(f"{file} written. To run it: python -m blurr.run experiments={file.stem}", soft_wrap=True)
    return 0


def _reproduce(arguments: argparse.Namespace) -> int:
    from rich.table import Table

    from blurr.config import composing
    from blurr.process import setup
    from blurr.process.terminal import terminal

    composing.prepare_process()
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    from blurr.reproduce import reproduce

    setup.collect_as_usual()
    before, after = reproduce(arguments.run, uri=arguments.uri, changes=arguments.changes, trusted=arguments.trust)
    for title, rows in (("what is different now", before), ("metrics that came out otherwise", after)):
        table = Table(title, "then", "now", box=None, pad_edge=False)
        for row in rows:
            table.add_row(*row)
        if not rows:
            table.add_row("nothing")
        terminal().print("\n", table)
    return 1 if after else 0


def _ledger(name: str | None) -> Any:
    from blurr.sweep.ledger import Ledger
    from blurr.sweep.resuming import find, folders

    there = folders()
    if name is None and not there:
        raise InputError("There are no sweeps here: no multirun/*/ledger.jsonl. Go to the folder they were started in.")
    ledger = Ledger(find(name or str(there[-1])))
    if not _is_begun(ledger):
        raise InputError(
            f"The sweep in {ledger.folder} was killed before its first trial. Go on with it: sweep.resume="
            f"{ledger.folder.name}"
        )
    return ledger


def _is_begun(ledger: Any) -> bool:
    """Has the sweep got as far as what its trials are compared by, and how many there are?"""
    return {"goals", "total"} <= set(ledger.head)


def _winner(name: str | None) -> Any:
    """Give a sweep's ledger and its best trial, the first where there are several."""
    from blurr.sweep.objectives import best

    ledger = _ledger(name)
    winners = best(ledger.trials.values(), _goals(ledger))
    if not winners:
        raise InputError(f"No trial of the sweep {ledger.head['name']} has finished, so none is best.")
    return ledger, winners[0]


def _goals(ledger: Any) -> Any:
    from blurr.sweep.objectives import Goal

    return [Goal(name, direction) for name, direction in ledger.head["goals"]]
