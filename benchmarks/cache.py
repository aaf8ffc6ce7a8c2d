"""Time what the cache of tokenized rows saves: `python -m benchmarks.cache [ROWS]`.

Generated rows (100,000) in a csv file, and a model in a folder. Two runs, each in a process of its own, up to their
first batch: the first tokenizes, the second finds the rows in the cache.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.commands import markdown, show

ROWS = 100_000
WORDS = ["task=sequence_classification", "model=auto", "data=files"]
HEADER = ["seconds of one processor", "first run", "second run", "second / first"]
STAGES = {
    "launch": "launch: imports and config",
    "data": "reading the csv file",
    "model": "tokenizer and model",
    "tokens": "tokenizing, or reading the cache",
    "batch": "the rest up to the first batch",
    "after": "all after the model is there",
    "all": "all, from launch to first batch",
}


def start(file: str, model: str) -> dict[str, float]:
    """Do what a run does up to its first batch, and say how long each stage took."""
    from blurr.config.building import build
    from blurr.config.composing import compose, prepare_process
    from blurr.tasks import encoding as tokenized
    from blurr.tasks.parts import build_hf, build_raw

    prepare_process()
    cfg = compose([*WORDS, f"model.name={model}", f"data.train={file}"])
    task = build(cfg.task)
    marks = {"launch": time.process_time()}
    raw = build_raw(cfg, task)
    marks["data"] = time.process_time()
    hf = build_hf(cfg, task, raw)
    marks["model"] = time.process_time()
    tokenized.encoded_splits(task, raw, hf, cache=True)
    marks["tokens"] = time.process_time()
    task.dataloaders(raw, hf, build(cfg.loader)).train.one_batch()
    marks["batch"] = time.process_time()
    ends = list(marks.values())
    spent = {name: end - before for name, end, before in zip(marks, ends, [0.0, *ends], strict=False)}
    return {**spent, "after": ends[-1] - marks["model"], "all": ends[-1]}


def prepare(folder: Path, rows: int) -> None:
    """Write the rows and a small model."""
    from blurr.config.building import build
    from blurr.config.composing import compose
    from blurr.data.samples import load_samples
    from blurr.tasks.parts import build_hf

    cfg = compose(["task=sequence_classification", "model=bert", "model.weights=scratch"])
    task = build(cfg.task)
    raw = load_samples(task.schema, rows=2000)
    frame = raw.train.to_pandas()
    frame = frame.sample(rows, replace=True, random_state=0)
    frame["text"] = [f"{text} {number}" for number, text in enumerate(frame["text"])]  # no row twice
    frame.to_csv(folder / "rows.csv", index=False)
    hf = build_hf(cfg, task, raw)
    hf.model.save_pretrained(folder / "model")
    hf.tokenizer.save_pretrained(folder / "model")


def run(folder: Path) -> dict[str, float]:
    """Start in a process of its own."""
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "benchmarks.cache",
        str(folder / "rows.csv"),
        str(folder / "model"),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "BLURR_CACHE": str(folder)}
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main(rows: int) -> None:
    """Print the table for so many rows."""
    with tempfile.TemporaryDirectory() as name:
        prepare(Path(name), rows)
        first, second = run(Path(name)), run(Path(name))
    table = [[what, f"{first[k]:.2f}", f"{second[k]:.2f}", f"{second[k] / first[k]:.3f}"] for k, what in STAGES.items()]
    show(markdown(HEADER, table))


if __name__ == "__main__":
    if len(sys.argv) > 2:
        show(json.dumps(start(*sys.argv[1:])))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS)
