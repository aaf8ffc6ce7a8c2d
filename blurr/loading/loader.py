"""The settings of a loader: how rows become batches, of lengths that the architecture can take."""

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
from transformers import PretrainedConfig

from blurr.config.annotations import BatchRows, Count, Multiple, NonNegative, Positive, Seed, Workers
from blurr.errors import InputError
from blurr.loading.bucketing import BatchSize
from blurr.loading.rows import EncodedRows
from blurr.process.setup import usable_cores

WORTH_WORKERS = 5.0  # seconds of a pass from which processes of its own are started for decoding


@dataclass(frozen=True)
class Loader:
    """How rows become batches.

    Args:
        batch_size: Rows in a training batch; `auto` finds the largest that fits, see `blurr.training.batch_size`.
        eval_batch_size: Rows in a validation or test batch; None means twice `batch_size`.
        max_tokens: Tokens of a batch, padding included, instead of a number of rows; null counts rows.
        max_seconds: Seconds of sound in a batch, padding included, instead of a number of rows; null counts rows.
        num_workers: Processes that make batches. `auto` is none, which is the fastest for encoded text, and for
            pictures and sounds the cores that do not train, as long as decoding takes a pass more than a few seconds.
        pin_memory: Collate into page-locked memory, from which a GPU copies without waiting.
        pad_to_multiple_of: Round the padded length up to a multiple of this, for tensor cores.
        bucket: Put rows of similar length together; `False` makes plain random batches.
        seed: Seed of the order of the batches.
        cache: Keep the encoded rows for the next run on the same data; see `blurr.loading.cache`.
        cache_gb: Most gigabytes of decoded pictures or sounds to keep for the next epoch and the next run; what does
            not fit is decoded anew in each epoch.
    """

    batch_size: BatchRows | Literal["auto"] = 16
    eval_batch_size: BatchRows | None = None
    max_tokens: Count | None = None
    max_seconds: Positive | None = None
    num_workers: Workers | Literal["auto"] = "auto"
    pin_memory: bool = False
    pad_to_multiple_of: Multiple | None = None
    bucket: bool = True
    seed: Seed = 42
    cache: bool = True
    cache_gb: NonNegative = 4.0

    def size(self, *, train: bool) -> BatchSize:
        """Return the size of a batch in training or evaluation.

        Raises:
            InputError: It is `auto`, and not known yet.
        """
        if self.batch_size == "auto":
            raise InputError("batch_size=auto works only in the training of `blurr run`; give a number here.")
        rows = self.batch_size if train else self.eval_batch_size or 2 * self.batch_size
        return BatchSize(rows, self.max_tokens)

    def most(self, rows: EncodedRows) -> int | None:
        """Return how much makes a batch, in the unit of the rows' lengths; None where rows are counted.

        Raises:
            InputError: A limit is set that does not fit what the rows are measured in.
        """
        if self.max_tokens is not None and rows.names.unit != "tokens":
            raise InputError("loader.max_tokens counts tokens, of which these rows have none. Set loader.batch_size.")
        if self.max_seconds is not None and not (rows.rate and rows.names.unit):
            why = "the model reads windows of one length" if rows.rate else "these rows are no sounds"
            raise InputError(f"loader.max_seconds counts seconds of sound, and {why}. Set loader.batch_size.")
        return self.max_tokens if self.max_seconds is None else max(1, round(self.max_seconds * rows.rate))

    def workers(self, rows: EncodedRows) -> int:
        """Return how many processes make the batches of these rows."""
        if self.num_workers != "auto":
            return self.num_workers
        return max(1, usable_cores() - torch.get_num_threads()) if rows.seconds_to_make > WORTH_WORKERS else 0


def fitting(loader: Loader, config: PretrainedConfig) -> Loader:
    """Return the loader, with `pad_to_multiple_of` where the architecture accepts only some lengths.

    Reformer's positions are learnt in a grid that a batch must fill in training; without it, it attends in chunks.
    """
    values = config.to_dict()
    if values.get("axial_pos_embds"):
        needed = math.prod(values["axial_pos_shape"])
    elif "attn_layers" in values and "local_attn_chunk_length" in values:
        kinds = {f"{kind}_attn_chunk_length" for kind in values["attn_layers"]}
        needed = math.lcm(*(values[kind] or 1 for kind in kinds))
    else:
        return loader
    return replace(loader, pad_to_multiple_of=math.lcm(needed, loader.pad_to_multiple_of or 1))
