"""Time the start of a run up to its first step: `python -m benchmarks.startup`.

Beside `python -m blurr.run` on a checkpoint in a folder and a csv file of 1000 rows: the shortest script that does the
same with torch and transformers alone, and one with datasets and Trainer. Every process ends at its first step; what
counts are the seconds for which it had a processor. For Trainer, the package accelerate is needed.
"""

import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

from fastai.callback.core import Callback

from benchmarks.cache import prepare
from benchmarks.commands import markdown, seconds_of, show
from benchmarks.measuring import alternate, machine, ratio

ROWS, REPEATS = 1000, 3
RAW = """
import csv, os, sys, torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer
folder, file = sys.argv[1:]
rows = list(csv.DictReader(open(file)))
names = sorted({row["label"] for row in rows})
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForSequenceClassification.from_pretrained(folder)
encoded = tokenizer([row["text"] for row in rows], truncation=True)["input_ids"]
order = sorted(range(len(rows)), key=lambda i: len(encoded[i]))[:16]
batch = tokenizer.pad({"input_ids": [encoded[i] for i in order]}, return_tensors="pt")
labels = torch.tensor([names.index(rows[i]["label"]) for i in order])
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
model(**batch, labels=labels).loss.backward()
optimizer.step()
os._exit(0)
"""
TRAINER = """
import os, sys
from datasets import load_dataset
from transformers import AutoModelForSequenceClassification, AutoTokenizer, Trainer, TrainerCallback, TrainingArguments
folder, file = sys.argv[1:]
class Stop(TrainerCallback):
    def on_step_end(self, *_, **__):
        os._exit(0)
rows = load_dataset("csv", data_files=file)["train"].class_encode_column("label")
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForSequenceClassification.from_pretrained(folder)
rows = rows.map(lambda batch: tokenizer(batch["text"], truncation=True), batched=True)
options = TrainingArguments(os.path.dirname(file), report_to="none", use_cpu=True, per_device_train_batch_size=16)
Trainer(model, options, train_dataset=rows, processing_class=tokenizer, callbacks=[Stop()]).train()
"""


class StopAtFirstStep(Callback):  # type: ignore[misc]  # fastai is not typed
    """End the process when the first step is done."""

    def after_step(self) -> None:
        """Leave without a word."""
        os._exit(0)


def ways(folder: Path) -> dict[str, Callable[[], float]]:
    """Give the commands to compare."""
    model, file = str(folder / "model"), str(folder / "rows.csv")
    blurr = ["-m", "blurr.run", "task=sequence_classification", "model=auto", f"model.name={model}", "data=files"]
    blurr += [f"data.train={file}", f"+callbacks.stop._target_={__spec__.name}.{StopAtFirstStep.__name__}"]
    timed = partial(seconds_of, folder=folder, caches=folder)
    return {
        "torch and transformers alone": partial(timed, ["-c", RAW, model, file]),
        "datasets and Trainer": partial(timed, ["-c", TRAINER, model, file]),
        "blurr": partial(timed, blurr),
        "blurr, tracking=none": partial(timed, [*blurr, "tracking=none"]),
    }


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, ROWS)
        every = ways(folder)
        first = {"blurr, the first run of all": [every["blurr"]()] * REPEATS}  # makes MLflow's store
        seconds = {**alternate(every, repeats=REPEATS), **first}
    raw, trainer = seconds["torch and transformers alone"], seconds["datasets and Trainer"]
    header = ["up to the first step", "seconds of a processor", "torch and transformers = 1", "Trainer = 1"]
    rows = [
        [way, f"{median(taken):.1f}", f"{ratio(taken, raw):.2f}", f"{ratio(taken, trainer):.2f}"]
        for way, taken in seconds.items()
    ]
    show(markdown(header, rows))
    show(f"\n{machine()} a process; medians of {REPEATS} rounds")


if __name__ == "__main__":
    main()
