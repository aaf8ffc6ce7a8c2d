"""`blurr run --help`: examples, the groups with their defaults, the usual keys, the flags."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from blurr.config import paths
from blurr.process.arguments import listing, width, wrapped

FLAGS = ("-h", "--help")
MOST_LETTERS = 70  # of the names of a group's options
FIRST = ("task", "model", "data")  # of the groups
EXAMPLES = (
    ("blurr run task=summarization model=bart", "on generated sample data, no network needed"),
    ("blurr run data=files data.train=my.csv data.columns.label=stars", "classify the texts of your own file"),
    ("blurr run task=image_classification data=files data.train=photos", "pictures in a folder for each class"),
    ("blurr run -m model=bert,roberta optimizer.lr=1e-5,5e-5", "a grid: one run for each combination"),
    ("blurr run resume=last", "go on with the last run that did not end"),
)
# The keys most used, with a word on each.
KEYS = (
    ("data.train", "with data=files: a file, a folder or a pattern; data.valid=, data.test= are others"),
    ("data.columns.text", "with data=files: the column of a role (text, image, label, summary, question …)"),
    ("model.name", "a Hub id or a folder; with model=auto any checkpoint's"),
    ("schedule.epochs", "how long to train"),
    (
        "optimizer.lr",
        "the learning rate: a number, a pair (first and last layers), auto, or null: by schedule and weights",
    ),
    ("loader.batch_size", "rows of a batch, or auto"),
    ("metrics", "as many as you like, e.g. metrics=[accuracy,matthews]"),
    ("seed", "of everything that is drawn by chance"),
    ("precision", "fp32, bf16, fp16 or auto"),
    ("output_dir", "the folder of the run, by default outputs/<task>-<model>/<time>"),
    ("resume", "go on with a run: auto (or anew), last, a folder or an id"),
)
FLAGS_THERE = (
    ("-m, --multirun", "a grid: key=value1,value2; see `blurr sweep --help`"),
    ("--cfg job", "print every key and value of the run, and run nothing; --package optimizer: of that part"),
    ("--info defaults-tree", "where the parts of a config come from; --info searchpath: the folders searched"),
    ("--hydra-help", "all other flags"),
)
CLOSING = (
    "A value that holds blanks or any of ,()[]{}:=\\ is quoted twice: 'key=\"my value\"'. Your own options go beside "
    "your work, e.g. ./model/mine.yaml for model=mine. `blurr plan` with the same words says what a run would do; "
    "debug=quick runs all of it in seconds; `blurr doctor` examines the machine."
)


def is_wanted(words: Sequence[str]) -> bool:
    """Does a command line of `blurr run` ask for help?"""
    return any(word in FLAGS for word in words)


def show() -> None:
    """Print the help of `blurr run`, as wide as the terminal."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from blurr.process.terminal import PlainConsole

    columns = width()
    console = PlainConsole(width=columns)
    for line in _opening(columns):
        console.print(line, soft_wrap=True)
    groups = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for name, options in (("group", {"no_wrap": True}), ("default", {"overflow": "fold"}), ("what it is", {})):
        groups.add_column(name, **options)
    for group, default, word in sorted(paths.contents(), key=lambda each: (*FIRST, each[0]).index(each[0])):
        named = Text(f"\n{_some_options(group)}", style="dim")
        groups.add_row(Text(group, style="bold"), default or "-", Text(word) + named)
    console.print(groups)
    for line in _closing(columns):
        console.print(line, soft_wrap=True)


def defaults() -> dict[str, str]:
    """Return the usual keys with the values that they have by default; '' for none, or one that is made up later."""
    config = _read(paths.config_file())
    chosen = {group: default for group, default, _ in paths.contents()}
    found = {}
    for key, _ in KEYS:
        top, _, rest = key.partition(".")
        values = config.get(top) or _read(paths.options(top)["files" if top == "data" else chosen[top]]) if rest else {}
        value: Any = values.get(rest) if rest else chosen.get(key, config.get(key))
        found[key] = "" if value in (None, "???") or "${" in str(value) else str(value)
    return found


def _read(file: Path) -> Any:
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def _some_options(group: str) -> str:
    """Name the first options of a group, the user's own before all others, and how many more there are."""
    files = paths.options(group)
    names = sorted(files, key=lambda name: not paths.is_own(files[name]))
    shown = [name for i, name in enumerate(names) if len(", ".join(names[: i + 1])) <= MOST_LETTERS]
    left = len(names) - len(shown)
    return ", ".join(shown) + (f" … {left} more" if left else "")


def _opening(columns: int) -> list[str]:
    said = "Train a Hugging Face transformer with fastai, evaluate it, and record the run in MLflow."
    lines = ["usage: blurr run [GROUP=OPTION …] [KEY=VALUE …] [FLAG …]", "", *wrapped(said, columns), "", "examples:"]
    for command, word in EXAMPLES:
        lines += [f"  {command}", *wrapped(word, columns, "      ")]
    return [
        *lines,
        "",
        *wrapped("Choose an option of a group with GROUP=OPTION (`blurr ls model` lists all of a group):", columns),
    ]


def _closing(columns: int) -> list[str]:
    there = defaults()
    wide = max(map(len, there)) + 2
    keys = [(f"{key}=", f"{word} (default: {there[key]})" if there[key] else word) for key, word in KEYS]
    return [
        *wrapped("Change any value with KEY=VALUE; most used are", columns),
        *listing(keys, columns, wide),
        "",
        "flags:",
        *listing(FLAGS_THERE, columns, wide + 3),
        "",
        *wrapped(CLOSING, columns),
    ]
