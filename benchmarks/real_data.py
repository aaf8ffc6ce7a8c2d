"""Learn from public data: `python -m benchmarks.real_data --data FOLDER --model FOLDER [--only sst2,stsb]`.

FOLDER of the data holds one folder for each row of the table, named as the row is; FOLDER of the model is the encoder
all-MiniLM-L6-v2. Each row is one command with a fixed seed, in a process of its own with one thread. What it gave is
kept in `real_data.json` beside this file, so that a row can be measured anew without the others.
"""

import argparse
import json
import re
import string
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.commands import Finished, markdown, run, show

KEPT = Path(__file__).with_suffix(".json")
HEADER = [
    "data",
    "command, besides the model",
    "result",
    "epoch by epoch",
    "goal",
    "reached",
    "minutes (CPU)",
    "seen on",
]


@dataclass(frozen=True)
class Claim:
    """What is run on one data set, and what it must reach.

    Args:
        words: the command line, besides the encoder.
        metrics: of the validation rows, the first of which has the goal.
        least: what the first metric must reach; `None`: each must be higher at the end than after the first epoch.
        encoder: starts from the encoder's weights, not from scratch.
        beside: gives a second opinion on the predictions, of the run and the folder of the data.
    """

    words: str
    metrics: tuple[str, ...]
    least: float | None
    encoder: bool = True
    beside: Callable[[Finished, Path], str] | None = None

    @property
    def goal(self) -> str:
        return "rises" if self.least is None else f"{self.metrics[0]} ≥ {self.least}"

    def reached(self, done: Finished) -> bool:
        """Is the goal reached?"""
        if self.least is not None:
            return done.metrics[f"valid/{self.metrics[0]}"] >= self.least
        courses = [done.epochs(f"valid/{name}") for name in self.metrics]
        return all(course[-1] > course[0] for course in courses)


def official(done: Finished, data: Path) -> str:
    """Score the answers by the arithmetic of SQuAD 1.1, written anew from its definition, against the file itself."""
    content = json.loads((data / "xquad.en.json").read_text(encoding="utf-8"))
    asked = [q for title in content["data"] for paragraph in title["paragraphs"] for q in paragraph["qas"]]
    true = {q["id"]: [answer["text"] for answer in q["answers"]] for q in asked}
    answers = {row["id"]: row["prediction"] for row in done.rows("predictions.jsonl")}
    exact = [max(_bag(answer) == _bag(each) for each in true[key]) for key, answer in answers.items()]
    f1 = [max(_overlap(_bag(answer), _bag(each)) for each in true[key]) for key, answer in answers.items()]
    n = len(answers)
    return f"; official arithmetic on the {n} answers: {100 * sum(exact) / n:.2f}, {100 * sum(f1) / n:.2f}"


def _bag(answer: str) -> list[str]:
    """Give an answer's words: lower case, without punctuation, without articles."""
    bare = answer.lower().translate(str.maketrans("", "", string.punctuation))
    return re.sub(r"\b(?:an?|the)\b", " ", bare).split()


def _overlap(answer: list[str], true: list[str]) -> float:
    shared = sum(min(n, Counter(true)[word]) for word, n in Counter(answer).items())
    return 2 * shared / (len(answer) + len(true)) if shared else 0.0


CLAIMS = {
    "sst2": Claim(
        "data=files data.train=train.tsv data.valid=dev.tsv data.columns.text=sentence schedule.epochs=2",
        ("accuracy",),
        0.85,
    ),
    "stsb": Claim(
        "data=files data.train=train.csv data.valid=dev.csv data.columns.text=sentence1 "
        "data.columns.text_pair=sentence2 data.columns.label=score metrics=[pearson,spearman] "
        "objective=valid/pearson schedule.epochs=6 optimizer.lr=1e-4 loader.batch_size=8 precision=bf16",
        ("pearson", "spearman"),
        0.75,
    ),
    "wnut17": Claim(
        "task=token_classification data=files data.train=train.conll data.valid=dev.conll optimizer.lr=2e-4 "
        "schedule.epochs=2",
        ("f1", "precision", "recall"),
        0.45,
    ),
    "go_emotions": Claim(
        "data=files data.train=train.jsonl data.valid=dev.jsonl data.columns.label=labels task.threshold=auto "
        "metrics=[f1] objective=valid/f1 schedule=linear_warmup schedule.epochs=6 optimizer.lr=[1e-4,5e-3] "
        "precision=bf16",
        ("f1",),
        0.38,
    ),
    "xquad": Claim(
        "task=question_answering data=files data.train=xquad.en.json data.splits.by=group data.splits.column=title "
        "schedule.epochs=3 optimizer.lr=2e-4 loader.batch_size=8 precision=bf16",
        ("exact_match", "f1"),
        None,
        beside=official,
    ),
    "dialogsum": Claim(
        "task=summarization model=bart model.weights=scratch model.scratch_vocab=2000 data=files data.train=dev.jsonl "
        "data.columns.text=dialogue loader.batch_size=8 schedule.epochs=12 optimizer.lr=1e-3 task.max_length=192 "
        "generation=beam task.generation.max_new_tokens=32 +task.generation.min_new_tokens=12 "
        "task.generation.no_repeat_ngram_size=2",
        ("rouge1", "rougeL"),
        None,
        encoder=False,
    ),
    "multi30k": Claim(
        "task=translation model=marian model.weights=scratch data=files data.train=train.jsonl data.valid=val.jsonl "
        "data.columns.source=translation.de data.columns.target=translation.en loader.batch_size=32 schedule.epochs=9 "
        "optimizer.lr=2e-3 task.generation.max_new_tokens=40",
        ("bleu", "chrf"),
        None,
        encoder=False,
    ),
}


def measure(name: str, claim: Claim, data: Path, model: Path) -> dict[str, str]:
    """Run one row of the table."""
    with tempfile.TemporaryDirectory() as folder:
        weights = ["model=auto", f"model.name={model}"] if claim.encoder else []
        words = [*claim.words.split(), *weights, "tracking=none", "seed=42"]
        done = run(words, folder=Path(folder) / "out", start=data)
        result = ", ".join(f"{each} {done.metrics[f'valid/{each}']:.4g}" for each in claim.metrics)
        courses = ["→".join(f"{value:.3g}" for value in done.epochs(f"valid/{each}")) for each in claim.metrics]
        return {
            "data": name,
            "command": f"`{claim.words}`",
            "result": result + (claim.beside(done, data) if claim.beside else ""),
            "epochs": ", ".join(courses),
            "goal": claim.goal,
            "reached": "yes" if claim.reached(done) else "no",
            "minutes": f"{done.minutes:.1f} ({done.cpu_minutes:.1f})",
            "seen": f"{datetime.now(tz=UTC):%Y-%m-%d}",
        }


def main() -> None:
    """Measure the rows that are asked for, and print those and the kept ones."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with one folder for each row")
    parser.add_argument("--model", type=Path, required=True, help="folder of all-MiniLM-L6-v2")
    parser.add_argument("--only", default=",".join(CLAIMS), help="rows to measure; '' prints the kept ones")
    given = parser.parse_args()
    for name in filter(None, given.only.split(",")):
        row = measure(name, CLAIMS[name], (given.data / name).resolve(), given.model.resolve())
        kept = {**_kept(), name: row}
        KEPT.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    rows: Mapping[str, Any] = _kept()
    show(markdown(HEADER, [list(rows[name].values()) for name in CLAIMS if name in rows]))


def _kept() -> dict[str, Any]:
    return json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.is_file() else {}


if __name__ == "__main__":
    main()
