"""The site names everything that can be set or imported, and every file that a run leaves."""

import ast
import re
import signal
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

import blurr
from blurr.config import checks, explain, paths
from blurr.metrics.base import direction_of
from blurr.process import signals
from blurr.runs import folder
from docs.pages import api, knobs, messages, metrics, tasks
from docs.pages.hooks import made
from docs.pages.markdown import text

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
LIBRARIES = {"nltk", "rouge-score", "sacrebleu", "seqeval", "torchmetrics", "transformers"}
OPTIONS = [(group, name) for group in paths.groups() for name in paths.options(group)]
INNER = [(f"sweep/{group}", name) for group in ("executor", "pruner") for name in paths.options(f"sweep/{group}")]

# Where errors are raised again, or several together, in the words of those that were caught.
HANDED_ON = {
    *("config/checks.py: _raise_all", "config/combinations.py: path_of", "config/wording.py: in_words_of_notebook"),
    *("data/cells.py: read", "data/checks.py: _check_file", "data/checks.py: check_columns"),
    *("data/formats/tables.py: sound", "serve/pyfunc.py: _answer", "sweep/commands.py: _ls"),
    *("sweep/run.py: exit_as_earned", "training/last_words.py: _reason"),
}


def keys_of(file: Path, group: str) -> Iterator[str]:
    """Yield the keys that an option's file sets, with dots, without what only composes or builds."""
    text = file.read_text(encoding="utf-8")
    package = re.search(r"^# @package (\S+)", text, re.MULTILINE)
    prefix = package[1].replace("_global_", "") if package else group.replace("/", ".")
    values = yaml.safe_load(text)
    yield from leaves(values, prefix) if values else ()


def leaves(values: Any, prefix: str) -> Iterator[str]:
    if not isinstance(values, dict) or not values:
        yield prefix
        return
    for key, value in values.items():
        if not key.startswith("_") and f"{prefix}.{key}" not in (".defaults", ".hydra", f"{prefix}.defaults"):
            yield from leaves(value, f"{prefix}.{key}".lstrip("."))


def is_named(key: str, page: str) -> bool:
    """Has a page a row for a key, or for the value that it is a part of?"""
    parts = key.split(".")
    return any(f"| `{'.'.join(parts[:length])}` |" in page for length in range(1, len(parts) + 1))


@pytest.mark.parametrize(("group", "name"), [*OPTIONS, *INNER], ids=lambda each: str(each))
def test_every_option_is_on_the_site_with_all_of_its_keys(group: str, name: str):
    page = made()[f"reference/options/{group.split('/')[0]}.md"]
    part = page.partition(f"\n## {group}={name}\n")[2].partition("\n## ")[0]
    file = paths.options(group)[name]
    assert "```bash\nblurr run " in part
    if group != paths.EXPERIMENTS:
        assert [key for key in keys_of(file, group) if not is_named(key, part)] == []
        assert all(target in part for target in knobs.targets(group, file).values())


def test_every_key_outside_of_groups_is_on_the_site():
    page = made()["reference/options/index.md"]
    keys = {*keys_of(paths.config_file(), ""), *(key for key in checks.KEYS if "." not in key)} - set(paths.groups())
    assert [key for key in sorted(keys) if not is_named(key, page)] == []


def test_values_and_bounds_are_those_that_are_checked():
    page = made()["reference/options/schedule.md"]
    assert "| `schedule.epochs` | `4` |  | a whole number of at least 1 and at most 1,000,000 |" in page
    assert "| `schedule.warmup` | `0.0` | share of the steps | a number of at least 0 and at most 1 |" in page


def test_an_option_shows_what_it_is_built_on():
    assert "It is [`data=hub`](#datahub) with the values below." in made()["reference/options/data.md"]


@pytest.mark.parametrize("module", api.FACADES)
def test_every_public_name_of_a_facade_is_on_the_site(module: str):
    found = list(api.names(module))
    file = paths.PACKAGE.joinpath(*module.split(".")[1:]).with_suffix(".py")
    public = next(
        ast.literal_eval(node.value)
        for node in ast.parse(file.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    )
    assert [each.name for each in found] == public
    index = made()["reference/api/index.md"]
    for each in found:
        assert f"`{each.name}`" in index
        if each.is_ours:
            assert f"::: {each.path}\n" in made()[f"reference/api/{each.path.split('.')[1]}.md"] + "\n"
    assert [name for name in api.OTHERS if f"`{name}`" not in index] == []


def test_every_metric_has_a_formula():
    assert sorted(metrics.FORMULAS) == sorted(paths.options("metrics"))


@pytest.mark.parametrize("name", metrics.FORMULAS)
def test_the_direction_of_a_metric_on_the_site_is_the_one_that_objectives_take(name: str):
    (row,) = re.findall(rf"^\| \[`{name}`\].*$", made()["reference/metrics.md"], re.MULTILINE)
    better = {cell.strip() for cell in row.split(" | ")} & {"high", "low"}
    for key, part in yaml.safe_load(paths.options("metrics")[name].read_text(encoding="utf-8")).items():
        assert better == {metrics.BETTER[direction_of(f"valid/{key}", part["_target_"], remedy="")]}


@pytest.mark.parametrize("name", metrics.FORMULAS)
def test_the_library_of_a_metric_on_the_site_is_the_one_that_computes_it(name: str):
    target = next(iter(yaml.safe_load(paths.options("metrics")[name].read_text(encoding="utf-8")).values()))["_target_"]
    source = (ROOT / f"{target.rpartition('.')[0].replace('.', '/')}.py").read_text(encoding="utf-8")
    library = metrics.FORMULAS[name]["library"]
    named = re.search(rf"from {library.replace('-', '_')}[. ]", source)
    assert named if library in LIBRARIES else library.startswith("blurr")


def test_every_task_has_a_page_with_a_row_and_an_answer():
    assert sorted(tasks.SEEN) == sorted(paths.options("task"))
    for name in tasks.SEEN:
        assert {"## A row and its answer", "## Served", "## In a notebook"} <= set(
            made()[f"tasks/{name}.md"].splitlines()
        )


@pytest.mark.parametrize("name", tasks.SEEN)
def test_the_row_on_the_page_of_a_task_has_the_columns_that_it_needs(name: str):
    roles = yaml.safe_load(paths.options("task")[name].read_text(encoding="utf-8"))["data"]["columns"]
    assert set(tasks.SEEN[name]["row"]) <= set(roles)


def test_every_command_and_flag_is_on_the_site():
    from blurr import cli

    page = made()["reference/commands.md"]
    there = {f"## blurr {name}": parser for name, parser in cli.commands().parsers.items()}
    for parser in list(there.values()):
        inner = [
            each for action in parser.actions if isinstance(action.choices, dict) for each in action.choices.values()
        ]
        there |= {f"### {each.prog}": each for each in inner}
    for title, parser in there.items():
        part = page.partition(f"\n{title}\n")[2].partition("\n#")[0]
        flags = [] if title == "## blurr run" else [flag for flag in parser.flags if flag not in ("-h", "--help")]
        assert part
        assert [flag for flag in flags if not re.search(rf"{flag}\b", part)] == []


def test_every_file_of_a_run_is_on_the_site():
    page = (DOCS / "reference" / "run_folder.md").read_text(encoding="utf-8")
    patterns = [each.strip("`") for each in page.replace(",", " ").split() if each.startswith("`")]
    patterns = [*patterns, "plots/*", "checkpoints/step-*/*", "checkpoints/*.pth*", "*.checksum"]
    names = [name.removeprefix("model/").removeprefix("adapter/") for name in folder.FILES]
    lacking = [name for name in names if not any(fnmatch(name, each) for each in patterns)]
    assert lacking == []


def test_every_error_that_the_code_makes_is_read():
    called = re.compile(rf"(?<![\w.`])(?<!class )(?:{'|'.join([*messages.KINDS, *messages.SUBCLASSES])})\((?!\))")
    count = sum(len(called.findall(file.read_text(encoding="utf-8"))) for file in paths.PACKAGE.rglob("*.py"))
    collected = sum(each.where.startswith("config/checks.py: _") for each in messages.raised())
    assert count <= len(messages.raised()) <= count + collected


def test_every_message_is_on_the_site_but_those_that_hand_on_what_others_said():
    assert {each.where for each in messages.raised() if not each.texts} == HANDED_ON
    page = made()["reference/messages.md"]
    assert [each.where for each in messages.raised() for said in each.texts if f"\n- {text(said)}\n" not in page] == []


@pytest.mark.parametrize(
    "message",
    [
        "There is no group '‹group›'. There are: ‹…›.",
        "is cut off: it holds ‹there› of ‹size› bytes. Copy or download it again",
        "callbacks=[mixup,cutmix] would mix rows twice, and their losses only once. Choose one of them.",
        "‹group›=‹option›: there is no such option‹…›. ‹group› has: ‹…›. `blurr ls ‹group›` describes them.",
        "‹key› was taken out of the config, and every run needs it. Leave ~‹key› out.",
        "‹word›: this is nested too deeply: ‹…› brackets are open at once, and ‹…› are the most.",
    ],
    ids=["where it is raised", "a helper", "a constant", "a caller's", "a generator's", "a helper's in a part"],
)
def test_messages_are_found_wherever_they_are_made(message: str):
    assert f"\n- {text(message)}" in made()["reference/messages.md"]


def test_every_exit_code_is_on_the_site():
    page = (DOCS / "reference" / "exit_codes.md").read_text(encoding="utf-8")
    codes = {0, explain.USER_MISTAKE, explain.CRASH, *(128 + signal.Signals[name] for name in signals.NAMES)}
    assert {int(found) for found in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)} == codes
    assert [name for name in signals.NAMES if name not in page] == []


def test_every_tag_that_blurr_names_is_on_the_site():
    page = (DOCS / "reference" / "mlflow.md").read_text(encoding="utf-8")
    found = set()
    for file in paths.PACKAGE.rglob("*.py"):
        source = file.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(source)) if ".tag(" in source else ():
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "tag":
                found |= {f"blurr.{each.arg}" for each in node.keywords if each.arg}
        found |= set(re.findall(r'"(blurr\.[a-z_]+)"', source)) - {"blurr.json", "blurr.log"}
    found = {name for name in found if not (paths.PACKAGE / name.removeprefix("blurr.")).is_dir()} | {"blurr.sweep"}
    assert [name for name in sorted(found) if f"`{name}`" not in page] == []


def test_the_readme_names_every_task_and_the_citation_the_version():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [task for task in paths.options("task") if f"`{task}`" not in readme] == []
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert str(citation["version"]) == blurr.__version__
