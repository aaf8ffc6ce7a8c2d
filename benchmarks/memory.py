"""Measure the highest memory of training and evaluation: `python -m benchmarks.memory`.

Each in a process of its own with one thread of a CPU. Training: a BERT with random weights, by a raw loop of torch and
transformers alone, and by blurr. Evaluation: a causal language model of 50,000 words, on 2,000 rows and on 20,000.
"""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from benchmarks.commands import markdown, show

BATCH, TOKENS, STEPS = 16, 192, 3
SIZES = {"vocab_size": 20_000, "hidden_size": 512, "num_hidden_layers": 4, "num_attention_heads": 8}
WORDS, LENGTH, FEW, MANY = 50_000, 6, 2_000, 20_000
HEADER = ["what", "before, MiB", "peak, MiB", "peak above before, MiB", "peak, ratio", "above before, ratio"]


def peak() -> float:
    """Give the highest memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def train_by_raw_loop() -> float:
    """Train by the least code there is; give the memory before."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    model = BertForSequenceClassification(BertConfig(**SIZES)).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    before = peak()
    for _ in range(STEPS):
        ids = torch.randint(1, SIZES["vocab_size"], (BATCH, TOKENS))
        batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": torch.zeros(BATCH).long()}
        model(**batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return before


def train_by_blurr() -> float:
    """Train the same by blurr's learner; give the memory before."""
    import numpy as np
    from fastai.data.core import DataLoaders
    from transformers import BertConfig, BertForSequenceClassification

    from blurr.loading.dataloader import RowsDL
    from blurr.text.inputs import TextCollator, TextRows
    from blurr.training.learner import Blearner
    from blurr.training.schedules import one_cycle

    ids = np.random.default_rng(0).integers(1, SIZES["vocab_size"], (BATCH * STEPS, TOKENS)).tolist()
    rows = TextRows({"input_ids": ids, "labels": [0] * BATCH * STEPS})
    dl = RowsDL(rows, tokenizer=None, show_rows=list, create_batch=TextCollator(0), bs=BATCH, shuffle=True)
    model = BertForSequenceClassification(BertConfig(**SIZES))
    learner = Blearner(DataLoaders(dl, dl.new(TextRows({}))), model, freeze=False)
    before = peak()
    with learner.no_bar(), learner.no_logging():
        one_cycle(learner, 1e-4, epochs=1)
    return before


def evaluate(rows: int) -> float:
    """Evaluate a language model on so many rows; give the memory before."""
    import numpy as np
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    from blurr.data.at_hand import from_data
    from blurr.loading.loader import Loader
    from blurr.models.objects import HFObjects
    from blurr.text.language_modeling.causal_lm import CausalLM
    from blurr.text.language_modeling.metrics import Perplexity

    words = Tokenizer(models.WordLevel({f"w{i}": i for i in range(WORDS)}, unk_token="w0"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="w0", eos_token="w1")
    config = GPT2Config(
        vocab_size=WORDS, n_embd=16, n_layer=1, n_head=2, n_positions=32, pad_token_id=0, bos_token_id=1, eos_token_id=1
    )
    hf = HFObjects("gpt2", config, tokenizer, GPT2LMHeadModel(config))
    task = CausalLM(block_size=LENGTH, chunk=False)
    numbers = np.random.default_rng(0).integers(2, WORDS, (rows, LENGTH))
    texts = [{"text": " ".join(f"w{i}" for i in row)} for row in numbers]
    raw = from_data(task.schema, texts[:FEW], valid=texts)
    dls = task.dataloaders(raw, hf, Loader(cache=False))
    learner = task.learner(dls, hf, raw=raw, metrics={"perplexity": Perplexity()})
    before = peak()
    task.evaluate(learner, raw)
    return before


MEASURED: dict[str, Callable[[], float]] = {
    "training, raw loop": train_by_raw_loop,
    "training, blurr": train_by_blurr,
    f"evaluation of {FEW} rows": lambda: evaluate(FEW),
    f"evaluation of {MANY} rows": lambda: evaluate(MANY),
}


def measure(what: str) -> tuple[float, float]:
    """Run one in a process of its own; give its memory before and at its peak."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.memory", what]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found["before"], found["peak"]


def main() -> None:
    """Print the table."""
    table: list[list[str]] = []
    names = list(MEASURED)
    for pair in (names[:2], names[2:]):
        found = [measure(what) for what in pair]
        (first_before, first_peak), _ = found
        for what, (before, highest) in zip(pair, found, strict=True):
            above = (highest - before) / (first_peak - first_before)
            numbers = [f"{value:.0f}" for value in (before, highest, highest - before)]
            table.append([what, *numbers, f"{highest / first_peak:.2f}", f"{above:.2f}"])
    show(markdown(HEADER, table))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        show(json.dumps({"before": MEASURED[sys.argv[1]](), "peak": peak()}))
    else:
        main()
