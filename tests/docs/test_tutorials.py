"""The tutorials do as they say: their commands run in order in an empty folder, and print what the pages show."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from forked import Forked, door

from docs.pages import walk

DOCS = Path(__file__).parents[2] / "docs"
TUTORIALS = DOCS / "tutorials"
NOTEBOOKS = sorted(TUTORIALS.glob("*.ipynb"))
MACHINES = r"(?<![\w.:/])/(home/(?!you\b)|tmp|opt|root|work|var|mnt|Users|usr)/"
PAGES = sorted(file.stem for file in TUTORIALS.glob("*.md") if file.stem != "index")
BY_DEFAULT = {"token_classification", "translation"}  # the cheapest
ALONE = re.compile(r"blurr (?!serve)[^|;&>$]*")  # a command that needs no shell


def in_file(output: str, *words: str) -> None:
    """Do as `blurr words`, with all that is printed in a file."""
    descriptor = os.open(output, os.O_WRONLY | os.O_APPEND)
    for each in (1, 2):
        os.dup2(descriptor, each)
    sys.stdout.reconfigure(line_buffering=True)
    door("blurr.cli", *words)


def start(command: str, folder: Path, output: Path) -> walk.Process:
    if not ALONE.fullmatch(command.partition(" #")[0]):
        return walk.in_shell(command, folder, output)
    words = shlex.split(command, comments=True)[1:]
    return Forked(in_file, str(output), *words, cwd=folder, COLUMNS="100")


@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=[] if page in BY_DEFAULT else [pytest.mark.slow]) for page in PAGES]
)
def test_a_tutorial_does_what_it_says(page: str, tmp_path: Path):
    text = (TUTORIALS / f"{page}.md").read_text(encoding="utf-8")
    done = walk.walk(text, tmp_path, start, added=walk.smaller(text))
    assert done.faults == []
    assert done.lines


@pytest.mark.slow
def test_the_start_page_does_what_it_says(tmp_path: Path):
    assert walk.walk((DOCS / "start.md").read_text(encoding="utf-8"), tmp_path, start).faults == []


@pytest.mark.slow
def test_the_first_command_of_the_readme_prints_what_is_below_it(tmp_path: Path):
    text = (DOCS.parent / "README.md").read_text(encoding="utf-8").partition("\n## ")[0]
    done = walk.walk(re.sub(r"^pip install .*\n", "", text, flags=re.MULTILINE), tmp_path, start, added="debug=quick")
    assert done.faults == []
    assert len(done.lines) > 10


PAGE = """
```csv title="a.csv"
x
```

```bash
cat a.csv  # prints it
seq 1 \\
  3
false  # exit code 1
```

```text
x
…
3
```
"""


def test_a_walk_writes_files_and_compares_what_commands_print(tmp_path: Path):
    assert walk.walk(PAGE, tmp_path, walk.in_shell).faults == []
    assert (tmp_path / "a.csv").read_text() == "x\n"


@pytest.mark.parametrize(
    ("before", "after", "fault"),
    [
        ("x\n…", "y\n…", "not printed: y"),
        ("x\n…\n3", "3\nx", "not printed: x"),
        ("  # exit code 1", "", "exit code 1 of: false"),
    ],
    ids=["another line", "another order", "a failure"],
)
def test_a_walk_names_what_is_not_so(before: str, after: str, fault: str, tmp_path: Path):
    faults = walk.walk(PAGE.replace(before, after), tmp_path, walk.in_shell).faults
    assert [each.splitlines()[0] for each in faults] == [fault]


def test_numbers_identities_and_what_is_quoted_may_differ():
    shown = '{"label": "bad", "score": 0.9, "run": 28544bac7fcc88c928544bac7fcc88c9}   12 s'
    printed = '{"label": "good", "score": -1e-05, "run": 219f4082c5644e0c89e36bc134044d16} 3 s'
    assert walk.masked(shown) == walk.masked(printed)
    assert walk.masked("epoch 1") != walk.masked("step 1")


def test_a_page_is_recorded_with_what_was_printed(tmp_path: Path):
    page = "```bash\nseq 1 3\n```\n\n```text\nOUT\n```\n\n```bash\nseq 4 5\n```\n\n```text\n9\n…\n```\n"
    recorded = walk.recorded(page, walk.walk(page, tmp_path, walk.in_shell))
    assert recorded == page.replace("OUT", "1\n2\n3").replace("9", "4")


@pytest.mark.parametrize(("shown", "code"), [("1", 0), ("one", 1)], ids=["as shown", "another line"])
def test_a_walk_ends_with_a_code(shown: str, code: int, tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text(f"```bash\nseq 1 1\n```\n\n```text\n{shown}\n```\n")
    command = [sys.executable, "-m", "docs.pages.walk", str(page), "--work", str(tmp_path / "work")]
    assert subprocess.run(command, cwd=DOCS.parent, capture_output=True).returncode == code


def test_commands_run_in_the_folder_that_the_page_went_to(tmp_path: Path):
    page = "```bash\nmkdir inner\ncd inner  # the new one\n```\n```bash\npwd\n```\n```text\n/home/you/inner\n```\n"
    assert walk.walk(page, tmp_path, walk.in_shell).faults == []


def test_an_interrupted_command_ends_as_the_page_says(tmp_path: Path):
    script = "trap 'echo stopped; exit 130' INT; echo '1  0.5'; for i in {1..100}; do sleep 0.1; done"
    (tmp_path / "train").write_text(script)
    page = "```bash\nbash train  # Ctrl-C after epoch 1\n```\n\n```text\nstopped\n```\n"
    assert walk.walk(page, tmp_path, walk.in_shell).faults == []


def cells_of(notebook: Path) -> list[dict]:
    return [cell for cell in json.loads(notebook.read_text("utf-8"))["cells"] if cell["cell_type"] == "code"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_runs_from_top_to_bottom(notebook: Path, work: Path):
    names: dict[str, object] = {}
    for cell in cells_of(notebook):
        exec(compile("".join(cell["source"]), notebook.name, "exec"), names)  # noqa: S102
    assert names["learn"].recorder.values[-1][2] > 0.8  # the accuracy


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_is_kept_as_it_was_executed_without_noise_and_what_tells_of_a_machine(notebook: Path):
    outputs = [output for cell in cells_of(notebook) for output in cell["outputs"]]
    assert len(outputs) > 5
    assert [each for each in outputs if each.get("name") == "stderr" or each["output_type"] == "error"] == []
    said = [output.get("text", output.get("data", {}).get("text/plain", "")) for output in outputs]
    assert [text for text in map("".join, said) if re.search(MACHINES, text)] == []
    assert notebook.stat().st_size <= 250_000


@pytest.mark.parametrize("page", PAGES)
def test_a_tutorial_shows_nothing_of_a_machine_and_no_output_that_is_missing(page: str):
    text = (TUTORIALS / f"{page}.md").read_text(encoding="utf-8")
    assert not re.search(MACHINES, text)
    assert not re.search(rf"^{walk.ANYTHING}$", text, re.MULTILINE)


def test_the_first_page_names_every_tutorial():
    named = set(re.findall(r"\]\((\w+)\.md\)", (TUTORIALS / "index.md").read_text(encoding="utf-8")))
    assert named == {*PAGES, *(file.stem for file in NOTEBOOKS)}
