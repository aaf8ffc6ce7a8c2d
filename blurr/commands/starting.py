"""`blurr init`: write a small folder to start from, for a file or for generated rows."""

import argparse
import json
import os
import re
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from blurr.config import paths
from blurr.errors import InputError, nearest, writing
from blurr.process.arguments import Commands
from blurr.process.next_steps import command, show_next

READ = 500  # rows that a guess looks at
SAMPLE, ROWS = "sample.jsonl", 1000  # what is written where there is no file
FIRST_TASK = "sequence_classification"
README = "README.md"


def add_init(commands: Commands) -> None:
    """Add `init` to the commands of `blurr`."""
    init = commands.add(
        "init",
        "write a small folder to start from, with the columns of a file of yours filled in",
        _init,
        about="It has an experiment and a README with the commands. Without FILE there are generated rows.",
        examples=["blurr init reviews.csv", "blurr init --task summarization"],
        part="to train",
    )
    said = "your rows, in any format that blurr reads (default: generated rows)"
    init.add_argument("file", metavar="FILE", nargs="?", help=said)
    init.add_argument("--task", help=f"what to learn, see `blurr ls task` (default: as the columns look; {FIRST_TASK})")
    init.add_argument(
        "--folder", metavar="FOLDER", help="the folder to write (default: the name of the file, or start)"
    )


def _init(arguments: argparse.Namespace) -> int:
    tasks = list(paths.options("task"))
    if arguments.task is not None and arguments.task not in tasks:
        there = ", ".join(tasks)
        raise InputError(f"--task {arguments.task}: there is none.{nearest(arguments.task, tasks)} There are: {there}.")
    source = None if arguments.file is None else Path(arguments.file).expanduser()
    name = re.sub(r"[^\w-]", "_", source.name.partition(".")[0]) if source else "start"
    folder = Path(arguments.folder or name)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} is there already, and not empty. Name another folder: --folder …")
    if source is None:
        task, columns, why = arguments.task or FIRST_TASK, {}, {}
        rows, train = _generated(task), SAMPLE
    else:
        found = _guessed(source, arguments.task)
        task, columns, why = found.task, found.columns, found.why
        rows, train = [], os.path.relpath(source.absolute(), folder.absolute())
    name = name if name not in paths.options(paths.EXPERIMENTS) else f"{name}_own"
    _write(folder, name, train, task=task, columns=columns, rows=rows)
    _say(folder, name, task, columns, why)
    return 0


def _guessed(source: Path, task: str | None) -> Any:
    from blurr.data.formats.content import FileOptions
    from blurr.data.guessing import guess
    from blurr.data.readers import stream_files
    from blurr.data.sources import find_files

    found = find_files(str(source), FileOptions())
    rows = [row for row in islice(stream_files(found), READ) if isinstance(row, dict)]
    if not rows:
        raise InputError(f"{source} has no row that can be read.")
    roles = {each: list(_columns_of(each)) for each in paths.options("task")}
    made = guess(rows, {name: named for name, named in roles.items() if named}, task)
    missing = [role for role, column in _columns_of(made.task).items() if column and role not in made.columns]
    if missing:
        there = ", ".join(dict.fromkeys(name for row in rows for name in row))
        raise InputError(
            f"{source}: no column looks like the {' and the '.join(missing)} of task={made.task}. It has {there}. Name "
            f"another task with --task, or the columns yourself: blurr run task={made.task} data=files "
            f"data.train={source} " + " ".join(f"data.columns.{role}=…" for role in missing)
        )
    return made


def _columns_of(task: str) -> dict[str, str | None]:
    """Return the roles of a task, as its option says; those that it needs have a column."""
    option = yaml.safe_load(paths.options("task")[task].read_text(encoding="utf-8"))
    columns: dict[str, str | None] = (option.get("data") or {}).get("columns") or {}
    return columns


def _generated(task: str) -> list[dict[str, Any]]:
    from blurr.config import composing

    composing.prepare_process()

    from blurr.config.building import build
    from blurr.data.samples import different_rows

    schema = build(composing.compose([f"task={task}"]).task).schema
    return different_rows(schema.sample, min(ROWS, schema.sample_rows), seed=42, label=schema.label)


def _write(
    folder: Path,
    name: str,
    train: str,
    *,
    task: str,
    columns: Mapping[str, str],
    rows: Sequence[Mapping[str, Any]],
) -> None:
    word = paths.headline(paths.options("task")[task])
    chosen = {"train": train, **({"columns": dict(columns)} if columns else {})}
    experiment = folder / paths.EXPERIMENTS / f"{name}.yaml"
    body = {"data": chosen, "schedule": {"epochs": 4}, "loader": {"batch_size": 16}}
    with writing(folder):
        experiment.parent.mkdir(parents=True, exist_ok=True)
        if rows:
            lines = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
            (folder / SAMPLE).write_text(lines, encoding="utf-8")
        experiment.write_text(
            f"# @package _global_\n# {word}\n# blurr run experiments={name}\n"
            f"defaults:\n  - override /task: {task}\n  - override /data: files\n"
            f"{yaml.safe_dump(body, sort_keys=False, allow_unicode=True)}",
            encoding="utf-8",
        )
        (folder / README).write_text(_readme(name, task, word), encoding="utf-8")


def _readme(name: str, task: str, word: str) -> str:
    run = f"experiments={name}"
    return "\n".join(
        [
            f"# {name}",
            "",
            f"{word}",
            "",
            f"The task is {task}; experiments/{name}.yaml has the settings. Run these in this folder:",
            "",
            "```bash",
            f"blurr plan {run}  # what a run would do",
            f"blurr run {run}  # train, evaluate, record",
            f"blurr run -m {run} optimizer.lr=2e-5,5e-5,1e-4  # a grid",
            "blurr leaderboard  # all runs, the best first",
            "blurr ui  # MLflow's pages",
            "```",
            "",
        ]
    )


def _say(folder: Path, name: str, task: str, columns: Mapping[str, str], why: Mapping[str, str]) -> None:
    from blurr.process.terminal import show

    found = [("", f"data.columns.{role}", f"{column} ({why[role]})") for role, column in columns.items()]
    show(f"{folder}/{paths.EXPERIMENTS}/{name}.yaml", [("", "task", task), *found])
    plan, run = (command(word, f"experiments={name}") for word in ("plan", "run"))
    show_next({"go there": f"cd {command(folder).removeprefix('blurr ')}", "plan": plan, "run": run})
