"""Time epochs with a frozen body whose outputs are kept: `python -m benchmarks.frozen`.

The head of a BERT with random weights, of the size of all-MiniLM-L6-v2, is trained for some epochs on generated texts,
as they are and several joined to one, once with `callbacks=[cache_frozen_features]` and once with the body run each
time. Times are milliseconds of one thread of a processor for a training step; validation is left out.
"""

import statistics
import time

import torch
from datasets.utils import logging as datasets_logging
from fastai.callback.core import Callback
from fastai.learner import Learner

from benchmarks.commands import markdown, show
from blurr.config.composing import compose
from blurr.data.samples import load_samples
from blurr.loading.loader import Loader
from blurr.tasks.parts import build_hf
from blurr.text.sequence_classification.task import SequenceClassification
from blurr.training.callbacks.cache_frozen_features import CacheFrozenFeatures
from blurr.training.precision import seed_everything
from blurr.training.schedules import constant

ROWS, EPOCHS, JOINED = 200, 4, (1, 4)
SIZES = ["hidden_size=384", "num_hidden_layers=6", "num_attention_heads=12", "intermediate_size=1536"]


class Watch(Callback):  # type: ignore[misc]  # fastai is not typed
    """Takes the time of a training step, in each epoch, and keeps the body in eval mode."""

    order = 1

    def before_fit(self) -> None:
        self.times: list[float] = []

    def before_train(self) -> None:
        self.model.hf_model.base_model.eval()
        self.start = time.process_time()

    def after_train(self) -> None:
        self.times.append(1000 * (time.process_time() - self.start) / self.n_iter)


def trained(joined: int, *cbs: Callback) -> Learner:
    """Train the head alone, on so many texts joined to one."""
    seed_everything(1)
    task = SequenceClassification()
    raw = load_samples(task.schema, rows=ROWS)
    for name, rows in raw.splits.items():
        raw.splits[name] = rows.map(lambda row: {"text": " ".join([row["text"]] * joined)})
    words = ["model=bert", "model.weights=scratch", *(f"model.scratch.{size}" for size in SIZES)]
    hf = build_hf(compose(words), task, raw)
    dls = task.dataloaders(raw, hf, Loader(cache=False))
    learner = task.learner(dls, hf, raw=raw, metrics={}, cbs=[*cbs, Watch()])
    learner.logger = lambda *_: None
    with learner.no_bar():
        constant(learner, 1e-3, epochs=EPOCHS, freeze=True)
    return learner


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    datasets_logging.disable_progress_bar()
    rows, differences = [], []
    for joined in JOINED:
        learners = {"run each time": trained(joined), "kept": trained(joined, CacheFrozenFeatures())}
        for name, learner in learners.items():
            first, *later = learner.watch.times
            tokens = f"{learner.dls.train.lengths.mean():.0f}"
            after = statistics.median(later)
            rows.append([tokens, name, f"{first:.1f}", f"{after:.2f}", f"{after / first:.4f}"])
        one, other = (torch.stack(learner.recorder.losses) for learner in learners.values())
        differences.append(float((one - other).abs().max()))
    show(markdown(["tokens of a row", "outputs of the body", "first epoch", "later epochs", "later / first"], rows))
    show(f"\nThe losses of the steps differ by {max(differences):.1g} at the most.")


if __name__ == "__main__":
    main()
