"""The notebook code on the page of each task runs as it stands, with rows and a checkpoint of the names that it has."""

import json
import random
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import soundfile
from code_blocks import blocks
from PIL.Image import Image
from running import run

from blurr.config.building import build
from blurr.config.composing import compose
from docs.pages.blocks import Block

PAGES = {each.page: each for each in blocks() if each.page.startswith("tasks: ") and each.language == "python"}
QUICK = ("debug=quick", "tracking=none", "report=false")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


def on_disk(value: Any, file: Path) -> Any:
    """Write a picture or a sound, and return its path; return anything else as it is."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(value, Image):
        value.save(file.with_suffix(".png"))
        return str(file.with_suffix(".png"))
    if isinstance(value, tuple):  # samples and their rate
        soundfile.write(file.with_suffix(".wav"), *value)
        return str(file.with_suffix(".wav"))
    return value


def write_rows(task: str, where: str) -> None:
    """Write rows as the page's code reads them, a file or a folder for each class, and one file to predict on."""
    draw, schema = random.Random(0), build(compose([f"task={task}"]).task).schema
    rows = [schema.sample(draw) for _ in range(24)]
    if Path(where).suffix:
        with Path(where).open("w", encoding="utf-8") as file:
            for i, row in enumerate(rows):
                named = {role: on_disk(value, Path("files", f"{role}{i}")) for role, value in row.items()}
                file.write(json.dumps(named) + "\n")
    for i, row in enumerate(rows):
        for role in schema.media:
            on_disk(row[role], Path(where, str(row["label"]), str(i)) if not Path(where).suffix else Path("one"))
            on_disk(row[role], Path("one"))


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_the_notebook_code_of_a_task_runs(page: Block, work: Path):
    task = Path(page.page).stem
    ((where, checkpoint),) = re.findall(r'from_data\("(\S+?)", "(\S+?)"', page.code)
    write_rows(task, where)
    run(work / "RUN", f"task={task}", *QUICK)
    shutil.copytree(work / "RUN" / "model", work / checkpoint)
    names: dict[str, Any] = {}
    *statements, last = page.code.strip().splitlines()
    exec(compile("\n".join(statements), page.page, "exec"), names)  # noqa: S102
    (found,) = eval(last, names)  # noqa: S307
    assert found is not None
    assert len(names["learn"].recorder.values) == 1
