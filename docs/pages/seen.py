"""Record what the pages of tasks show, from runs of every task: `python -m docs.pages.seen FOLDER`.

FOLDER has a run of each task, by its name: `blurr run task=translation output_dir=FOLDER/translation`. Each is served
for one request, and docs/pages/seen.json is written.
"""

import argparse
import json
import random
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import soundfile
import yaml
from PIL.Image import Image

from benchmarks.servers import serving
from blurr.config import paths
from blurr.runs.folder import SCORES
from blurr.serve.predictor import Predictor
from blurr.serve.typed import rounded

FILE = Path(__file__).parent / "seen.json"
SUFFIXES = {"image": "png", "audio": "wav"}
FOLDERS = {"image_classification": "photos", "audio_classification": "clips"}  # a folder for each class
# Shorter and more telling than the sample items of these tasks.
ITEMS = {
    "causal_lm": {"text": "Maria is a singer from Dublin. She"},
    "masked_lm": {"text": "Maria is a [MASK] from Dublin. She hums the loud microphone."},
}
LONGEST = 12  # values of a list that are shown
LETTERS = 240  # of a text


def main() -> None:
    """Write docs/pages/seen.json; what is known of tasks without a run stays."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="has a run of each task, by its name")
    parser.add_argument("--only", choices=list(paths.options("task")), nargs="*", help="these tasks")
    given = parser.parse_args()
    folder = given.folder
    seen = json.loads(FILE.read_text(encoding="utf-8")) if FILE.is_file() else {}
    for task in given.only or paths.options("task"):
        if (folder / task / SCORES).is_file():
            seen[task] = record(task, folder / task)
            FILE.write_text(json.dumps(seen, ensure_ascii=False, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def record(name: str, run: Path) -> dict[str, Any]:
    """Return what the page of a task shows of a run.

    Args:
        name: of the task.
        run: its folder.
    """
    predictor = Predictor.load(run)
    task = predictor.saved.task
    row = task.schema.sample(random.Random(0))
    item, media = ITEMS.get(name, predictor.example), predictor.media
    files = {role: f"one.{SUFFIXES[role]}" for role in media}
    with tempfile.TemporaryDirectory() as folder:
        for role, file in files.items():
            _write(item[role], Path(folder) / file)
        command = _request(item, files)
        response = asked(run, command, Path(folder))
    shown = {role: files.get(role) or value for role, value in item.items()}
    return {
        "row": shortened({key: files.get(key) or _named(value) for key, value in row.items()}),
        "item": shown,
        "answer": shortened(predictor.predict([item])[0]),
        "scores": json.loads((run / SCORES).read_text(encoding="utf-8")),
        "request": command,
        "response": shortened(response),
        "checkpoint": yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))["model"]["name"],
        "rows": FOLDERS.get(name, "rows.jsonl"),
    }


def _write(value: Any, file: Path) -> None:
    """Write a picture, or the samples of a sound and their rate."""
    if isinstance(value, Image):
        value.save(file)
    else:
        soundfile.write(file, *value)


def _named(value: Any) -> Any:
    """Return what stands for a picture that a row holds besides its inputs."""
    return "mask.png" if isinstance(value, Image) else value


def _request(item: Mapping[str, Any], files: Mapping[str, str]) -> str:
    if files:
        return "curl localhost:8000/predict " + " ".join(f"-F {role}=@{file}" for role, file in files.items())
    body = json.dumps({"inputs": [item]}, ensure_ascii=False).replace("'", "'\\''")
    return f"curl localhost:8000/predict -H 'Content-Type: application/json' -d '{body}'"


def shortened(value: Any) -> Any:
    """Return a value with numbers of four digits, and long lists and texts cut."""
    return _cut(rounded(value))


def _cut(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _cut(each) for key, each in value.items()}
    if isinstance(value, list):
        return [*map(_cut, value[:LONGEST]), *(["…"] if len(value) > LONGEST else [])]
    return f"{value[:LETTERS]}…" if isinstance(value, str) and len(value) > LETTERS else value


def asked(run: Path, command: str, folder: Path) -> Any:
    """Return what a server of a run answers to a command with curl."""
    with serving(["blurr.cli", "serve", str(run.resolve()), "--port"], "/ready") as address:
        words = command.replace("localhost:8000", address.removeprefix("http://"))
        done = subprocess.run(["bash", "-c", f"{words} -s"], cwd=folder, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)


if __name__ == "__main__":
    main()
