"""Measure the memory that gradient checkpointing saves, and its time: `python -m benchmarks.gradient_checkpointing`.

Trains a BERT of 8 layers with random weights for two steps, each variant in a process of its own: on the accelerator
where there is one, else on one thread of the CPU.
"""

import json
import os
import resource
import subprocess
import sys
import time

from rich.console import Console
from rich.table import Table

ROWS, TOKENS, STEPS = 16, 192, 2
SIZES = {"hidden_size": 256, "num_hidden_layers": 8, "num_attention_heads": 4, "intermediate_size": 1024}
MIB = 2**20


def train(checkpointing: bool) -> dict[str, float]:
    """Train, and measure the peak of memory above what model and optimizer take, in MiB, and the seconds of a step."""
    from fastai.data.core import DataLoaders
    from transformers import BertConfig, BertForSequenceClassification

    from blurr.loading.dataloader import RowsDL
    from blurr.tasks.base import default_device
    from blurr.text.inputs import TextCollator, TextRows
    from blurr.training.callbacks.gradient_checkpointing import GradientCheckpointing
    from blurr.training.learner import Blearner

    device = default_device()
    rows = TextRows({"input_ids": [[1] * TOKENS] * ROWS * STEPS, "labels": [0, 1] * (ROWS * STEPS // 2)})
    dl = RowsDL(
        rows, tokenizer=None, show_rows=list, create_batch=TextCollator(0), bs=ROWS, shuffle=True, device=device
    )
    model = BertForSequenceClassification(BertConfig(vocab_size=1000, **SIZES)).to(device)
    cbs = [GradientCheckpointing()] if checkpointing else []
    learn = Blearner(DataLoaders(dl, dl.new(TextRows({}))), model, freeze=False, cbs=cbs)
    before = peak(device)
    start = time.perf_counter()
    with learn.no_bar(), learn.no_logging():
        learn.fit(1, 1e-4)
    return {"memory": peak(device) - before, "seconds": (time.perf_counter() - start) / STEPS}


def peak(device: object) -> float:
    """Give the highest memory so far, in MiB: of the accelerator, or of the process."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated(device) / MIB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(checkpointing: bool) -> dict[str, float]:
    """Train in a process of its own."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.gradient_checkpointing", str(int(checkpointing))]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Print the table."""
    table = Table("gradient checkpointing", "peak above model, MiB", "seconds a step")
    for checkpointing in (False, True):
        found = measure(checkpointing)
        table.add_row("on" if checkpointing else "off", f"{found['memory']:.0f}", f"{found['seconds']:.2f}")
    Console(width=100).print(table)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        Console().print_json(data=train(sys.argv[1] == "1"), indent=None)
    else:
        main()
