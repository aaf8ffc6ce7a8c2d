"""Time an evaluation that generates: `python -m benchmarks.generation [--texts FILE --source COLUMN --target COLUMN]`.

The same rows, model (a small BART with random weights) and settings: once row by row, once by transformers'
Seq2SeqTrainer, once by blurr. Each gives the loss and a text of every row; the texts must be equal. Without a file the
rows are generated. Times are seconds of one processor. Seq2SeqTrainer needs the package accelerate.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from datasets.utils import logging as datasets_logging
from fastai.learner import Learner
from transformers import DataCollatorForSeq2Seq, Seq2SeqTrainer, Seq2SeqTrainingArguments

from benchmarks.commands import markdown, show
from blurr.config.composing import compose
from blurr.data.at_hand import from_data
from blurr.data.core import RawData
from blurr.data.samples import load_samples
from blurr.loading.loader import Loader
from blurr.models.objects import HFObjects
from blurr.tasks.parts import build_hf
from blurr.text.seq2seq.summarization import Summarization

SETTINGS = {"max_new_tokens": 32, "num_beams": 1, "do_sample": False}
HEADER = ["evaluation with generation", "rows in a batch", "seconds", "row by row is 1", "equal texts"]


def evaluate_row_by_row(raw: RawData, hf: HFObjects, columns: dict[str, list[list[int]]]) -> list[str]:
    """Give the texts of a plain loop over the rows."""
    texts = []
    with torch.inference_mode():
        for source, target in zip(columns["input_ids"], columns["labels"], strict=True):
            inputs = {"input_ids": torch.tensor([source]), "attention_mask": torch.ones(1, len(source)).long()}
            hf.model(**inputs, labels=torch.tensor([target])).loss.item()
            texts += hf.tokenizer.batch_decode(hf.model.generate(**inputs), skip_special_tokens=True)
    return [text.strip() for text in texts]


def evaluate_by_trainer(
    raw: RawData, hf: HFObjects, columns: dict[str, list[list[int]]], *, batch_size: int, folder: str
) -> list[str]:
    """Give the texts of transformers' own trainer."""
    options = {"report_to": "none", "use_cpu": True, "disable_tqdm": True, "per_device_eval_batch_size": batch_size}
    trainer = Seq2SeqTrainer(
        model=hf.model,
        args=Seq2SeqTrainingArguments(folder, predict_with_generate=True, **options),
        data_collator=DataCollatorForSeq2Seq(hf.tokenizer, model=hf.model),
        processing_class=hf.tokenizer,
    )
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    ids = trainer.predict(rows).predictions
    ids[ids < 0] = hf.tokenizer.pad_token_id
    return [text.strip() for text in hf.tokenizer.batch_decode(ids, skip_special_tokens=True)]


def evaluate_by_blurr(
    raw: RawData, hf: HFObjects, columns: dict[str, list[list[int]]], *, task: Summarization, learner: Learner
) -> list[str]:
    """Give the texts of the evaluation that ends every run."""
    return [row["prediction"] for row in task.evaluate(learner, raw).rows]


def timed(evaluate: Callable[..., list[str]], *given: Any) -> tuple[float, list[str]]:
    """Give the processor's seconds and the texts."""
    start = time.process_time()
    texts = evaluate(*given)
    return time.process_time() - start, texts


def asked_for() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=Path, help="a file of rows; generated ones without it")
    parser.add_argument("--source", default="text", help="column of the texts")
    parser.add_argument("--target", default="summary", help="column of the summaries")
    parser.add_argument("--rows", type=int, default=200)
    return parser.parse_args()


def main() -> None:
    """Print the table."""
    asked = asked_for()
    torch.set_num_threads(1)
    datasets_logging.disable_progress_bar()
    task = Summarization(max_length=256, generation=SETTINGS)
    names = {"text": asked.source, "summary": asked.target}
    raw = from_data(task.schema, asked.texts, columns=names) if asked.texts else load_samples(task.schema, rows=1000)
    raw.splits["valid"] = raw.train.select(range(min(asked.rows, len(raw.train))))
    hf = build_hf(compose(["task=summarization", "model=bart", "model.weights=scratch"]), task, raw)
    loader = Loader(cache=False)
    learner = task.learner(task.dataloaders(raw, hf, loader), hf, raw=raw, metrics={})
    hf.model.eval()
    columns = task.encode({name: raw.valid[name][:] for name in raw.valid.column_names}, hf)
    size = loader.size(train=False).rows
    with tempfile.TemporaryDirectory() as folder:
        trainer = partial(evaluate_by_trainer, folder=folder)
        ways: list[tuple[str, int, Callable[..., list[str]]]] = [
            ("row by row", 1, evaluate_row_by_row),
            ("Seq2SeqTrainer, its own batch size", 8, partial(trainer, batch_size=8)),
            ("Seq2SeqTrainer, blurr's batch size", size, partial(trainer, batch_size=size)),
            ("blurr", size, partial(evaluate_by_blurr, task=task, learner=learner)),
        ]
        results = [(name, n, *timed(way, raw, hf, columns)) for name, n, way in ways]
    _, _, first, expected = results[0]
    show(markdown(HEADER, [row_of(*result, first=first, expected=expected) for result in results]))


def row_of(
    name: str, batch_size: int, seconds: float, texts: list[str], *, first: float, expected: list[str]
) -> list[str]:
    """Make a row of the table."""
    equal = sum(a == b for a, b in zip(texts, expected, strict=True))
    return [name, str(batch_size), f"{seconds:.1f}", f"{first / seconds:.1f}", f"{equal} of {len(expected)}"]


if __name__ == "__main__":
    main()
