"""The site names everything that can be set or imported, and every file that a run leaves."""

import ast
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

from blurr.config import checks, paths
from blurr.runs import folder
from docs.pages import api, knobs, metrics, tasks
from docs.pages.hooks import made
from docs.pages.newcomer import masked, missing, steps

DOCS = Path(__file__).parents[2] / "docs"
OPTIONS = [(group, name) for group in paths.groups() for name in paths.options(group)]
INNER = [(f"sweep/{group}", name) for group in ("executor", "pruner") for name in paths.options(f"sweep/{group}")]


@pytest.mark.parametrize(("group", "name"), [*OPTIONS, *INNER], ids=lambda each: str(each))
def test_every_option_is_on_the_site_with_all_of_its_keys(group: str, name: str):
    page = made()[f"reference/options/{group.split('/')[0]}.md"]
    part = page.partition(f"\n## {group}={name}\n")[2].partition("\n## ")[0]
    file = paths.options(group)[name]
    assert "```bash\nblurr run " in part
    if group != paths.EXPERIMENTS:
        assert [knob.key for knob in knobs.knobs(group, file) if f"| `{knob.key}` |" not in part] == []
        assert all(target in part for target in knobs.targets(group, file).values())


def test_every_key_outside_of_groups_is_on_the_site():
    page = made()["reference/options/index.md"]
    config = yaml.safe_load(paths.config_file().read_text(encoding="utf-8"))
    keys = {key for key in config if key not in ("defaults", "hydra")}
    keys |= {key for key in checks.KEYS if "." not in key}
    assert [key for key in sorted(keys) if f"| `{key}" not in page] == []


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


def test_every_metric_has_a_formula():
    assert sorted(metrics.FORMULAS) == sorted(paths.options("metrics"))


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


def test_every_command_has_its_help_on_the_site():
    from blurr import cli

    page = made()["reference/commands.md"]
    assert [name for name in cli.commands().parsers if f"\n## blurr {name}\n" not in page] == []


def test_every_file_of_a_run_is_on_the_site():
    page = (DOCS / "reference" / "run_folder.md").read_text(encoding="utf-8")
    patterns = [each.strip("`") for each in page.replace(",", " ").split() if each.startswith("`")]
    patterns = [*patterns, "plots/*", "checkpoints/step-*/*", "checkpoints/*.pth*", "*.checksum"]
    names = [name.removeprefix("model/").removeprefix("adapter/") for name in folder.FILES]
    lacking = [name for name in names if not any(fnmatch(name, each) for each in patterns)]
    assert lacking == []


def test_messages_on_the_site_are_those_of_the_code():
    page = made()["reference/messages.md"]
    assert "There is no group '‹group›'." in page
    assert page.count("\n- ") > 400


def test_the_start_page_runs_its_commands_in_order():
    found = [commands for commands, _ in steps((DOCS / "start.md").read_text(encoding="utf-8"))]
    assert found[0].startswith("blurr run debug=quick")
    assert any("blurr init" in each for each in found)
    assert "blurr predict" in found[-1]


def test_output_is_compared_without_its_numbers():
    assert masked("valid/loss   0.7105  [0.681, 0.74]") == masked("valid/loss  0.5  [1, 2]")
    assert missing("one\n…\nthree 3\n", "zero\none\ntwo\nthree 4\n") == []
    assert missing("three\none\n", "one\nthree\n") == ["one"]
