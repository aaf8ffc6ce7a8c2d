"""The settings of a loader: how rows become batches."""

from dataclasses import dataclass
from typing import Literal

from blurr.config.annotations import BatchRows, Count, Multiple, Seed, Workers
from blurr.errors import InputError
from blurr.loading.bucketing import BatchSize


@dataclass(frozen=True)
class Loader:
    """How rows become batches.

    Args:
        batch_size: rows in a training batch; `auto` finds out how many the memory holds, see
            `blurr.training.batch_size`.
        eval_batch_size: rows in a validation or test batch; `None` means twice `batch_size`.
        max_tokens: instead of a number of rows, the tokens of a batch, padding included; `null` counts rows.
        num_workers: processes that collate; 0 is the fastest for tokenized text.
        pin_memory: collate into memory from which a GPU copies without waiting.
        pad_to_multiple_of: round the padded length up to a multiple of this, for tensor cores.
        bucket: put rows of similar length together; `False` gives plain random batches.
        seed: seed of the order of the batches.
        cache: keep what the tokenizer made, for the next run on the same texts; see `blurr.loading.cache`.
    """

    batch_size: BatchRows | Literal["auto"] = 16
    eval_batch_size: BatchRows | None = None
    max_tokens: Count | None = None
    num_workers: Workers = 0
    pin_memory: bool = False
    pad_to_multiple_of: Multiple | None = None
    bucket: bool = True
    seed: Seed = 42
    cache: bool = True

    def size(self, *, train: bool) -> BatchSize:
        """Say how much makes a batch of training or of evaluation.

        Raises:
            InputError: it has not been found out yet.
        """
        if self.batch_size == "auto":
            raise InputError("batch_size=auto is found out by `blurr run`, in its training alone; give a number here.")
        rows = self.batch_size if train else self.eval_batch_size or 2 * self.batch_size
        return BatchSize(rows, self.max_tokens)
