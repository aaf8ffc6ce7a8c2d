"""Time whole jobs as a user pays for them: `python -m benchmarks.jobs --data FOLDER --model FOLDER`.

FOLDER of the data holds sst2, wnut17 and dialogsum, FOLDER of the model an encoder such as all-MiniLM-L6-v2. From the
start of a process to its end: read the rows, tokenize, train, validate after each epoch, save. Beside `blurr run` with
all that it does by default (record, predictions, intervals, report), the same without, a raw loop, and Trainer; their
scripts are in `benchmarks/peers`. All start from the same weights, with the same files, steps, rates and precision,
one after the other in each round, with empty caches and one thread; what counts are the seconds for which a process
had a processor. Each round has a seed of its own. Trainer needs the package accelerate.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification, AutoTokenizer

from benchmarks.commands import line, markdown, seconds_of, show
from benchmarks.measuring import machine, ratio
from benchmarks.peers.job import Job, Task, rows_of, tags_in
from blurr.config.composing import compose
from blurr.data.at_hand import from_data
from blurr.tasks.parts import build_hf
from blurr.text.seq2seq.summarization import Summarization

FILES: dict[Task, tuple[str, str, int, int]] = {
    "sst2": ("train.tsv", "dev.tsv", 800, 300),
    "wnut17": ("train.conll", "dev.conll", 800, 300),
    "dialogsum": ("dev.jsonl", "dev.jsonl", 300, 60),
}
SETTINGS: dict[Task, tuple[int, float]] = {"sst2": (1, 1e-4), "wnut17": (1, 2e-4), "dialogsum": (2, 1e-3)}
WORDS: dict[Task, list[str]] = {
    "sst2": ["task=sequence_classification", "data.columns.text=sentence"],
    "wnut17": ["task=token_classification"],
    "dialogsum": ["task=summarization", "data.columns.text=dialogue"],
}
BART = ["d_model=256", "encoder_ffn_dim=1024", "decoder_ffn_dim=1024", "encoder_layers=3", "decoder_layers=3"]
HEADER = ["job", "way", "seconds of a processor", "raw = 1", "blurr is faster", "scores, mean of the rounds"]
Scores = dict[str, float]


@dataclass(frozen=True)
class Seen:
    """What a process took, and how good its model is."""

    seconds: float
    scores: Scores


# -- files and first weights


def first_lines(source: Path, rows: int, *, skip: int = 0) -> str:
    """Return so many lines, after a header that stays and others that are skipped."""
    lines = source.read_text(encoding="utf-8").splitlines(keepends=True)
    header = lines[:1] if source.suffix == ".tsv" else []
    return "".join([*header, *islice(lines, len(header) + skip, len(header) + skip + rows)])


def first_sentences(source: Path, rows: int) -> str:
    """Return so many sentences of a conll file."""

    def kept() -> Iterator[str]:
        blank = 0
        for each in source.read_text(encoding="utf-8").splitlines():
            blank += not each.strip()
            if blank == rows:
                return
            yield each.strip()

    return "\n".join(kept()) + "\n"


def prepare(task: Task, data: Path, encoder: Path, folder: Path) -> Job:
    """Write the rows of a job, and the weights that all begin with."""
    train, valid, n_train, n_valid = FILES[task]
    paths = [folder / f"train{Path(train).suffix}", folder / f"valid{Path(valid).suffix}"]
    if task == "wnut17":
        texts = [first_sentences(data / task / name, n) for name, n in ((train, n_train), (valid, n_valid))]
    else:
        skip = n_train if train == valid else 0
        texts = [first_lines(data / task / train, n_train), first_lines(data / task / valid, n_valid, skip=skip)]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text, encoding="utf-8")
    epochs, lr = SETTINGS[task]
    first = folder / "first"
    job = Job(task, str(paths[0]), str(paths[1]), str(first), str(folder / "out"), epochs=epochs, lr=lr, seed=0)
    torch.manual_seed(0)
    save_bart(job, first) if task == "dialogsum" else save_encoder(job, encoder, first)
    return job


def save_encoder(job: Job, encoder: Path, first: Path) -> None:
    """Save the encoder with a new head."""
    names = ["0", "1"] if job.task == "sst2" else tags_in([*rows_of(job, job.train), *rows_of(job, job.valid)])
    ids = {name: i for i, name in enumerate(names)}
    cls = AutoModelForSequenceClassification if job.task == "sst2" else AutoModelForTokenClassification
    cls.from_pretrained(encoder, label2id=ids, id2label=dict(enumerate(names))).save_pretrained(first)
    AutoTokenizer.from_pretrained(encoder).save_pretrained(first)


def save_bart(job: Job, first: Path) -> None:
    """Save a small BART with random weights, and a tokenizer of the training rows."""
    rows = [{"text": row["dialogue"], "summary": row["summary"]} for row in rows_of(job, job.train)]
    task = Summarization()
    words = ["task=summarization", "model=bart", "model.weights=scratch", *(f"model.scratch.{size}" for size in BART)]
    hf = build_hf(compose(words), task, from_data(task.schema, rows, valid=rows[:1]))
    hf.model.save_pretrained(first)
    hf.tokenizer.save_pretrained(first)


# -- the ways


def blurr_words(job: Job, *options: str) -> list[str]:
    """Say the job in blurr's words."""
    words = [*WORDS[job.task], "model=auto", f"model.name={job.model}", "data=files", f"data.train={job.train}"]
    words += [f"data.valid={job.valid}", "schedule=linear_warmup", f"schedule.warmup={job.warmup}"]
    words += [f"schedule.epochs={job.epochs}", f"optimizer.lr={job.lr}", f"loader.batch_size={job.batch_size}"]
    words += [f"optimizer.weight_decay={job.weight_decay}", f"optimizer.max_grad_norm={job.max_grad_norm}"]
    words += [f"task.max_length={job.max_length}", f"seed={job.seed}", f"output_dir={job.output}", *options]
    if job.task == "dialogsum":
        words += [f"task.generation.max_new_tokens={job.new_tokens}", f"task.max_target_length={job.max_length}"]
    return ["-m", "blurr.run", *words]


def run(words: list[str], job: Job, caches: Path) -> float:
    """Run a command beside the job's files, and return the seconds for which it had a processor."""
    store = {"MLFLOW_TRACKING_URI": job.store} if job.store else {}
    return seconds_of(words, folder=Path(job.train).parent, caches=caches, HF_HUB_OFFLINE="1", **store)


def by_blurr(job: Job, *options: str) -> Seen:
    """Run blurr."""
    with tempfile.TemporaryDirectory() as caches:
        seconds = run(blurr_words(job, *options), job, Path(caches))
    scores = json.loads(Path(job.output, "metrics.json").read_text())
    return Seen(seconds, {name.removeprefix("valid/"): value for name, value in scores.items()})


def by_script(job: Job, script: str) -> Seen:
    """Run one of the peers' scripts."""
    Path(job.output).mkdir()
    with tempfile.TemporaryDirectory() as caches:
        path = job.write(Path(caches) / "job.json")
        seconds = run(["-m", f"benchmarks.peers.{script}", str(path)], job, Path(caches))
    return Seen(seconds, json.loads(Path(job.output, "scores.json").read_text()))


def ways(job: Job, store: str) -> dict[str, Callable[[Job], Seen]]:
    """Name the ways to do a job."""
    raw = {} if job.task == "dialogsum" else {"raw script": lambda job: by_script(job, "raw")}
    return {
        **raw,
        "blurr": by_blurr,
        "blurr, no tracking, no report": lambda job: by_blurr(job, "tracking=none", "report=false"),
        "Trainer": lambda job: by_script(job, "trainer"),
        "Trainer, grouped": lambda job: by_script(replace(job, grouped=True), "trainer"),
        "Trainer, grouped, MLflow": lambda job: by_script(replace(job, grouped=True, store=store), "trainer"),
    }


# -- the table


def measure(job: Job, repeats: int) -> dict[str, list[Seen]]:
    """Let all ways do the job in turn, so often; a first round by blurr makes MLflow's store and does not count."""
    folder = Path(job.train).parent
    by_blurr(replace(job, output=str(folder / "first-of-all")))
    every = ways(job, f"sqlite:///{folder / 'mlflow.db'}")
    seen: dict[str, list[Seen]] = {name: [] for name in every}
    for seed in range(repeats):
        for i, (name, way) in enumerate(every.items()):
            done = way(replace(job, seed=seed, output=str(folder / f"{seed}-{i}")))
            seen[name].append(done)
            sys.stderr.write(f"{job.task}, round {seed + 1}, {name}: {done.seconds:.1f} s\n")
    return seen


def table_of(job: Job, seen: dict[str, list[Seen]]) -> Iterator[list[str]]:
    """Make the rows of the table."""
    seconds = {name: [each.seconds for each in many] for name, many in seen.items()}
    shown = {"sst2": ["accuracy"], "wnut17": ["f1", "accuracy"], "dialogsum": ["rouge1", "rougeL"]}[job.task]
    for name, many in seen.items():
        raw = f"{ratio(seconds[name], seconds['raw script']):.2f}" if "raw script" in seconds else ""
        means = ", ".join(f"{score} {statistics.fmean(each.scores[score] for each in many):.3f}" for score in shown)
        faster = f"{ratio(seconds[name], seconds['blurr']):.2f}"
        yield [job.task, name, f"{statistics.median(seconds[name]):.1f}", raw, faster, means]


def asked_for() -> Any:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with one folder for each job")
    parser.add_argument("--model", type=Path, required=True, help="folder of an encoder")
    parser.add_argument("--only", choices=list(FILES), action="append", help="one of the jobs; may be repeated")
    parser.add_argument("--repeats", type=int, default=5)
    return parser.parse_args()


def main() -> None:
    """Print the table, a job as soon as it is measured."""
    asked = asked_for()
    show(markdown(HEADER, []))
    for task in asked.only or FILES:
        with tempfile.TemporaryDirectory() as name:
            job = prepare(task, asked.data, asked.model, Path(name))
            for row in table_of(job, measure(job, asked.repeats)):
                show(line(row))
    show(f"\n{machine()} a process; medians of {asked.repeats} rounds")


if __name__ == "__main__":
    main()
