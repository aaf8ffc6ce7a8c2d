"""Predict on texts of mixed length: `python -m benchmarks.throughput --run FOLDER`, a run of sequence classification.

`blurr predict`'s way from file to file beside transformers looped by hand, batches of 32 in the order of the file,
which reads and writes the same. Both in one process and one thread, in turn.
"""

import argparse
import json
import tempfile
from pathlib import Path

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from benchmarks.commands import markdown, show
from benchmarks.measuring import alternate, machine, ratio, timed
from benchmarks.serving import texts_of
from blurr.runs.jsonlines import read_lines
from blurr.serve.files import predict_file
from blurr.serve.predictor import ROWS, Predictor

TEXTS, REPEATS = 2000, 3


def by_hand(model: torch.nn.Module, tokenizer: object, source: Path, target: Path) -> None:
    """Do what the documentation of transformers shows, for a file."""
    texts = [row["text"] for row in read_lines(source)]
    names = model.config.id2label
    with target.open("w") as file:
        for start in range(0, len(texts), ROWS):
            part = texts[start : start + ROWS]
            batch = tokenizer(part, padding=True, truncation=True, return_tensors="pt")
            with torch.inference_mode():
                probs = model(**batch).logits.softmax(-1)
            for text, row in zip(part, probs.tolist(), strict=True):
                best = max(range(len(row)), key=row.__getitem__)
                file.write(json.dumps({"text": text, "label": names[best], "score": row[best], "probs": row}) + "\n")


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True, help="the folder of a run of sequence classification")
    folder = parser.parse_args().run / "model"
    torch.set_num_threads(1)
    rows_of_32, default = Predictor.load(folder, batch_size=ROWS), Predictor.load(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with tempfile.TemporaryDirectory() as empty:
        source, target = Path(empty, "in.jsonl"), Path(empty, "out.jsonl")
        source.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts_of(TEXTS)))
        ways = {
            "transformers by hand, 32 rows": lambda: timed(lambda: by_hand(model, tokenizer, source, target)),
            "blurr, 32 rows": lambda: timed(lambda: predict_file(rows_of_32, source, target)),
            "blurr, as it comes": lambda: timed(lambda: predict_file(default, source, target)),
        }
        took = alternate(ways, repeats=REPEATS)
    first = next(iter(took.values()))
    rows = [[name, f"{TEXTS / min(each):.0f}", f"{ratio(first, each):.2f}"] for name, each in took.items()]
    show(machine())
    show(markdown(["way", "texts a CPU second", "times as fast"], rows))


if __name__ == "__main__":
    main()
