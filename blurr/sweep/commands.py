"""`blurr sweep` and `blurr reproduce`: look at sweeps and their best trials, and run a recorded run again."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from blurr.config.store import WHERE
from blurr.errors import InputError, writing
from blurr.process.arguments import Commands, add_trust
from blurr.process.imports import import_libraries
from blurr.process.next_steps import command, show_next

if TYPE_CHECKING:
    from blurr.sweep.configurations import Configuration
    from blurr.sweep.ledger import Ledger
    from blurr.sweep.objectives import Objective

LATEST = "name or folder of the sweep (default: the latest)"


def add_sweep(commands: Commands) -> None:
    """Add `sweep` with its own commands to those of `blurr`."""
    sweep = commands.add(
        "sweep",
        "look at the sweeps of this folder: ls, show, best, export",
        about="A sweep is started by `blurr run -m`, and goes on by `blurr run sweep.resume=NAME`.",
        examples=[
            "blurr run -m model=bert,distilbert optimizer.lr=1e-4,3e-4 sweep.name=first",
            "blurr sweep best first",
        ],
        part="to train",
    )
    parts = Commands(sweep)
    parts.add("ls", "list the sweeps, the oldest first", _ls, examples=["blurr sweep ls"])
    for name, work, word in (
        ("show", _show, "show all trials of a sweep, repetitions as one row, and what went wrong"),
        ("best", _best, "show how to run the best configuration again, and where its outputs are"),
        ("export", _export, "write the best configuration as an experiment, which `blurr run experiments=best` runs"),
    ):
        part = parts.add(name, word, work, examples=[f"blurr sweep {name} first"])
        part.add_argument("sweep", metavar="SWEEP", nargs="?", help=LATEST)
        if work is _show:
            said = "a row for each trial, each seed and fold by itself"
            part.add_argument("--trials", action="store_true", help=said)
        else:
            add_trust(part)
    part.add_argument("--to", metavar="FILE", default="experiments/best.yaml", help="the file")
    part.add_argument("--force", action="store_true", help="replace the file if it exists")


def add_reproduce(commands: Commands) -> None:
    """Add `reproduce` to the commands of `blurr`."""
    again = commands.add(
        "reproduce",
        "run a recorded run again, and compare settings and metrics",
        _reproduce,
        about="The exit code is 1 where a metric comes out differently.",
        examples=["blurr reproduce outputs/mine", "blurr reproduce outputs/mine seed=1"],
        part="about records",
    )
    again.add_argument("run", metavar="RUN", help="id of an MLflow run, or an output folder")
    again.add_argument("changes", metavar="KEY=VALUE", nargs="*", default=[], help="what is to differ from the record")
    again.add_argument("--uri", help=f"the MLflow store that has the run ({WHERE})")
    add_trust(again)


def _ls(arguments: argparse.Namespace) -> int:
    from rich.table import Table

    from blurr.process.terminal import terminal
    from blurr.sweep.board import numbers_of
    from blurr.sweep.configurations import best, configurations_of
    from blurr.sweep.ledger import Ledger
    from blurr.sweep.resuming import folders

    table = Table("sweep", "trials", "finished", "pruned", "failed", "best", box=None, pad_edge=False)
    broken = []
    for folder in folders():
        try:
            ledger = Ledger(folder)
        except InputError as error:  # the others are listed nevertheless
            broken.append(str(error))
            continue
        name, trials = ledger.folder.name, ledger.trials.values()
        if not _is_begun(ledger):
            table.add_row(name, "0", "0", "0", "0", "killed before its first trial")
            continue
        counts = [str(sum(trial.state == state for trial in trials)) for state in ("finished", "pruned", "failed")]
        winners = [
            f"{numbers_of(each.finished)}: " + ", ".join(f"{name} {score}" for name, score in _scores(ledger, each))
            for each in best(configurations_of(trials), _objectives(ledger))
        ]
        table.add_row(name, f"{len(trials)}/{ledger.head['total']}", *counts, "; ".join(winners))
    terminal().print(table)
    if broken:
        raise InputError("\n".join(broken))
    there = folders()
    show_next({"show one": command("sweep", "show", there[-1].name)} if there else {})
    return 0


def _show(arguments: argparse.Namespace) -> int:
    from blurr.sweep.board import Board

    ledger = _ledger(arguments.sweep)
    Board(_objectives(ledger), ledger.head["total"], workers=1).close(ledger, by_trial=arguments.trials)
    show_next({"best": command("sweep", "best", ledger.folder.name)})
    return 0


def _best(arguments: argparse.Namespace) -> int:
    from blurr.process.terminal import terminal
    from blurr.sweep.configurations import repeated_values

    ledger, winner = _winner(arguments.sweep)
    words = _words(ledger, winner, trusted=arguments.trust)
    out = terminal()
    for name, score in _scores(ledger, winner, digits=6):
        out.print(f"{name} {score}", soft_wrap=True)
    repeated = repeated_values(winner.trials)
    if repeated:
        over = ", ".join(f"{key}={','.join(values)}" for key, values in repeated.items())
        out.print(f"mean ± standard deviation over {over}, n={winner.count}", soft_wrap=True)
    for number in winner.numbers:
        out.print(f"trial {number}, in {ledger.folder / str(number)}", soft_wrap=True)
    out.print(command("run", *words), soft_wrap=True)
    first = ledger.folder / str(winner.numbers[0])
    show_next({"keep it": command("sweep", "export", ledger.folder.name), "report": command("report", first)})
    return 0


def _export(arguments: argparse.Namespace) -> int:
    from blurr.process.terminal import terminal
    from blurr.sweep.configurations import repeated_values
    from blurr.sweep.export import experiment_yaml

    ledger, winner = _winner(arguments.sweep)
    _words(ledger, winner, trusted=arguments.trust)
    file = Path(arguments.to)
    if file.exists() and not arguments.force:
        raise InputError(f"{file} is there already. Give another file with --to, or replace it with --force.")
    with writing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(experiment_yaml(ledger, winner), encoding="utf-8")
    left_out = ", ".join(repeated_values(winner.trials))
    if left_out:
        terminal().print(
            f"{left_out} left out: the base config's counts, or give one with the command.", soft_wrap=True
        )
    terminal().print(f"{file} written", soft_wrap=True)
    show_next({"run it": command("run", f"experiments={file.stem}")})
    return 0


def _reproduce(arguments: argparse.Namespace) -> int:
    from rich.table import Table

    from blurr.config import composing
    from blurr.process import setup
    from blurr.process.terminal import terminal

    composing.prepare_process()
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    import_libraries()
    from blurr.reproduce import reproduce

    setup.collect_as_usual()
    before, after = reproduce(arguments.run, uri=arguments.uri, changes=arguments.changes, trusted=arguments.trust)
    for title, rows in (("what is different now", before), ("metrics that came out differently", after)):
        table = Table(title, "then", "now", box=None, pad_edge=False)
        for row in rows:
            table.add_row(*row)
        if not rows:
            table.add_row("nothing")
        terminal().print("\n", table)
    show_next({"compare": command("leaderboard")})
    return 1 if after else 0


def _ledger(name: str | None) -> "Ledger":
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


def _is_begun(ledger: "Ledger") -> bool:
    """Does the ledger have the objectives and the number of trials?"""
    return {"goals", "total"} <= set(ledger.head)


def _winner(name: str | None) -> "tuple[Ledger, Configuration]":
    """Return a sweep's ledger and its best configuration, the first one if there are several."""
    from blurr.sweep.configurations import best, configurations_of

    ledger = _ledger(name)
    winners = best(configurations_of(ledger.trials.values()), _objectives(ledger))
    if not winners:
        raise InputError(f"No trial of the sweep {ledger.head['name']} has finished, so none is best.")
    return ledger, winners[0]


def _words(ledger: "Ledger", winner: "Configuration", *, trusted: Sequence[str] = ()) -> list[str]:
    """Return the overrides that run a configuration again, but not those that say where.

    They will count as the user's own, so nothing that somebody else put into the ledger may call other code.

    Raises:
        InputError: an override would run code that is not listed in `blurr.config.trust`, or no sweep writes that.
    """
    from blurr.config.trust import TRUST, check_words
    from blurr.sweep.export import says_where_it_runs
    from blurr.sweep.resuming import check_weights
    from blurr.sweep.space import overrides_of

    check_weights(ledger)
    words = [each for each in overrides_of(ledger.head["fixed"], winner.point) if not says_where_it_runs(each)]
    check_words(words, where=str(ledger.folder), remedy=TRUST, trusted=trusted)
    return words


def _objectives(ledger: "Ledger") -> "list[Objective]":
    from blurr.sweep.objectives import Objective

    return [Objective(name, direction) for name, direction in ledger.head["goals"]]


def _scores(ledger: "Ledger", winner: "Configuration", *, digits: int = 4) -> list[tuple[str, str]]:
    return [(name, score) for (name, _), score in zip(ledger.head["goals"], winner.scores(digits), strict=True)]
