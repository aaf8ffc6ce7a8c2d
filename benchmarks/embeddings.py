"""Time steps that train only the rows of the embedding that occur: `python -m benchmarks.embeddings --data FOLDER`.

Sentences of SST-2 (the folder holds sst2), a BERT of MiniLM's sizes with random weights and the tokenizer of `--model`,
once with its own vocabulary and once with one of 250,000 rows, as multilingual models have. Each training is a process
of its own with one thread of a CPU, in turn: seconds of a processor for a step, and the highest memory. Then the
largest difference between the weights of the two ways after the same steps without dropout.
"""

import argparse
import json
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from fastai.data.core import DataLoaders
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

from benchmarks.commands import markdown, show
from benchmarks.measuring import machine, ratio
from blurr.data.at_hand import from_data
from blurr.data.core import RawData
from blurr.loading.loader import Loader
from blurr.models.objects import HFObjects
from blurr.text.inputs import TextRows
from blurr.text.sequence_classification.task import SequenceClassification
from blurr.training.precision import Precision, precision_callbacks
from blurr.training.schedules import one_cycle

STEPS, BATCH, LR = 40, 16, 5e-5
SIZES = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
VOCABULARIES: tuple[int | None, ...] = (None, 250_000)  # None: the tokenizer's own
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")
HEADER = ["vocabulary", "precision", "embedding", "rows trained", "ms a step", "faster", "peak, MiB", "less, MiB"]
Way = tuple[int | None, Precision, bool]


def train(raw: RawData, tokenizer: Any, way: Way, *, dropout: bool = True) -> tuple[float, int, dict[str, Any]]:
    """Train an epoch without validation; give the seconds of a step, the rows trained at the most, and the weights."""
    vocabulary, precision, compact = way
    torch.manual_seed(0)
    still = {} if dropout else {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    config = BertConfig(vocab_size=vocabulary or len(tokenizer), pad_token_id=tokenizer.pad_token_id, **SIZES, **still)
    task, model = SequenceClassification(), BertForSequenceClassification(config)
    hf = HFObjects("bert", config, tokenizer, model, compact_embeddings=compact)
    dls = task.dataloaders(raw, hf, Loader(batch_size=BATCH, cache=False), device="cpu")
    loaders = DataLoaders(dls.train, dls.valid.new(TextRows({})))
    cbs = precision_callbacks(precision)
    with tempfile.TemporaryDirectory() as folder:
        learner = task.learner(loaders, hf, raw=raw, metrics={}, cbs=cbs, path=Path(folder))
        trained: list[int] = []
        embedding = model.get_input_embeddings()
        embedding.register_forward_hook(lambda *_: trained.append(len(embedding.weight)))
        with learner.no_bar(), learner.no_logging():
            start = time.process_time()
            one_cycle(learner, LR, epochs=1)
            taken = time.process_time() - start
    return taken / STEPS, max(trained), model.state_dict()


def measured(raw: RawData, tokenizer: Any, way: Way) -> dict[str, float]:
    """Train in a fork of this process; give seconds of a step, rows trained, and the highest memory in MiB."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        seconds, rows, _ = train(raw, tokenizer, way)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        os.write(writing, json.dumps({"seconds": seconds, "rows": rows, "peak": peak}).encode())
        os._exit(0)  # as a fork, it must not clean up what belongs to its parent
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    found: dict[str, float] = json.loads(said)
    return found


def rows_of(found: dict[Way, list[dict[str, float]]], size: int) -> list[list[str]]:
    """Make the rows of the table."""
    table = []
    for (vocabulary, precision, compact), values in found.items():
        full = found[vocabulary, precision, False]
        seconds, peaks = ([each[name] for each in values] for name in ("seconds", "peak"))
        less = statistics.median(f["peak"] - each["peak"] for f, each in zip(full, values, strict=True))
        faster = ratio([each["seconds"] for each in full], seconds)
        way = [f"{vocabulary or size}", precision, "compact" if compact else "full", f"{values[0]['rows']:.0f}"]
        numbers = [f"{statistics.median(seconds) * 1000:.1f}", f"{faster:.2f}", f"{statistics.median(peaks):.0f}"]
        table.append([*way, *numbers, f"{less:.0f}" if compact else ""])
    return table


def difference(raw: RawData, tokenizer: Any) -> float:
    """Give the largest difference between weights trained in the two ways."""
    one, other = (train(raw, tokenizer, (None, "fp32", compact), dropout=False)[2] for compact in (True, False))
    return max(float((weight - other[name]).abs().max()) for name, weight in one.items())


def asked_for(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds sst2/train.tsv")
    parser.add_argument("--model", required=True, help="folder or Hub id of a tokenizer")
    parser.add_argument("--precision", choices=PRECISIONS, action="append", help="both without it; may be repeated")
    parser.add_argument("--repeats", type=int, default=3)
    return parser.parse_args(words)


def main() -> None:
    """Print the table."""
    asked = asked_for()
    torch.set_num_threads(1)
    frame = pd.read_csv(asked.data / "sst2" / "train.tsv", sep="\t", quoting=3).rename(columns={"sentence": "text"})
    frame = frame.sample(STEPS * BATCH + 1, random_state=0)
    raw = from_data(SequenceClassification.schema, frame[1:], valid=frame[:1])
    tokenizer = AutoTokenizer.from_pretrained(asked.model)
    precisions = asked.precision or PRECISIONS
    ways = [(v, precision, compact) for v in VOCABULARIES for precision in precisions for compact in (False, True)]
    found: dict[Way, list[dict[str, float]]] = {way: [] for way in ways}
    for _ in range(asked.repeats):
        for way in ways:
            found[way].append(measured(raw, tokenizer, way))
    show(markdown(HEADER, rows_of(found, len(tokenizer))))
    show(f"Largest difference of a weight after {STEPS} steps: {difference(raw, tokenizer):.1g}. {machine()}.")


if __name__ == "__main__":
    main()
