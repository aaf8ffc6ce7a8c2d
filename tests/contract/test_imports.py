"""What the command line must not import to answer a mistake: nothing heavy."""

import ast
import os
import subprocess
import sys

import pytest

from blurr.config import paths

HEAVY = {"torch", "torchvision", "fastai", "transformers", "datasets", "pandas", "mlflow", "sklearn", "pyarrow"}
FILES = sorted(paths.PACKAGE.rglob("*.py"))


def module_of(file):
    return ".".join(file.relative_to(paths.PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


def imports(statements):
    for node in statements:
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_the_command_line_reaches_nothing_heavy_by_imports_at_the_top_of_modules():
    modules = {module_of(file): file for file in FILES}
    todo, seen = ["blurr.run", "blurr.cli"], set()
    while todo:
        module = todo.pop()
        if module in seen or module not in modules:
            continue
        seen.add(module)
        reached = list(imports(ast.parse(modules[module].read_text()).body))
        assert not HEAVY & {name.split(".")[0] for name in reached}, module
        todo += reached
    assert {"blurr.config.explain", "blurr.config.composing", "blurr.config.paths"} <= seen


@pytest.mark.parametrize(
    "name", ["blurr", "blurr.config.checks", "blurr.config.signatures", "blurr.config.paths", "blurr.doctor"]
)
def test_a_module_that_the_command_line_loads_later_is_light_too(name):
    file = next(file for file in FILES if module_of(file) == name)
    assert not HEAVY & {module.split(".")[0] for module in imports(ast.parse(file.read_text()).body)}


@pytest.mark.parametrize(
    "words",
    [["--cfg", "job"], ["--cfg", "job", "--resolve", "task=summarization"], ["--help"], ["--info", "defaults"]],
    ids=" ".join,
)
def test_a_command_line_that_runs_nothing_loads_nothing_heavy(words, tmp_path):
    program = (
        "import sys; from blurr import run\n"
        "try: run.main()\n"
        f"finally: print('loaded:', sorted({HEAVY} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(paths.PACKAGE.parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr.splitlines()[-1] == "loaded: []"
    assert done.stdout
    assert not list(tmp_path.iterdir())
