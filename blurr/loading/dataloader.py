"""Batch encoded rows for fastai, in an order that seed and epoch decide, and show what is in a batch."""

import html
import multiprocessing
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from fastai.data.core import TfmdDL
from fastcore.foundation import L
from fastcore.imports import in_notebook
from numpy.typing import NDArray

from blurr.loading.bucketing import Batches, BatchSize, Buckets, Order, numbered
from blurr.loading.draws import SEEDS, row_seeds
from blurr.loading.rows import Batch, EncodedRows, Inputs, Items, Table
from blurr.loading.shown import TableCell
from blurr.process.children import begin_group
from blurr.process.terminal import terminal

WHOLE = (0, 1)  # the only share of a batch
OF_1X = {"dataloaders", "learner", "ctxs", "unique", "skip_special_tokens"}  # what showing needed in blurr 1.x


class ShownInputs(dict[str, Any]):
    """Inputs with the loader that can show them, a type that fastai can dispatch by."""

    def __init__(self, dl: "RowsDL", inputs: Inputs) -> None:
        super().__init__(inputs)
        self.dl = dl


class ShareOfBatch(NamedTuple):
    """A share of a batch.

    Attributes:
        rows: The numbers of its rows.
        longer: Rows of other shares that are longer than all of these.
    """

    rows: Order
    longer: Order


class RowsDL(TfmdDL):  # type: ignore[misc]  # fastai is not typed
    """A fastai DataLoader of encoded rows, in batches of similar length, that can show itself.

    A batch is `(inputs, targets)`, see `PaddingCollator`.

    Args:
        dataset: `EncodedRows`, or what `encode` turns into them.
        tokenizer: Turns ids back into text; the processor of other modalities.
        show_rows: `(dl, inputs, targets, predictions, **options) -> table`, what `show_batch` and `show_results` show.
        encode: Turns raw items into `EncodedRows`, for `test_dl`.
        task: The task that predicts and interprets for a learner on these rows, see `tasks.base.Task`.
        lengths: Length of each row, for bucketing; None takes the dataset's.
        seed: Seed of the order of the batches.
        bucket: Put rows of similar length together.
        max_tokens: Number of tokens in a batch, padding included, instead of `bs` rows.
        least: Rows that a model can train on; a training batch of fewer is joined with another.
        kwargs: As for fastai's `TfmdDL`.

    Attributes:
        epoch: Number of the next pass over the training rows; with `seed` it decides their order.
        first: The batch of that pass to begin with, to resume within an epoch.
        by_length: Only rows of one length make a batch, see `batch_by_length`.
        chances: Probability of each row to be drawn, with replacement, in training; None takes each row once.
        share: Which of how many equal shares of each batch this process takes.
    """

    share: tuple[int, int] = WHOLE
    chances: NDArray[Any] | None = None
    by_length = False
    task: Any = None

    def __init__(
        self,
        dataset: Any = None,
        *,
        tokenizer: Any,
        show_rows: Callable[..., Table],
        encode: Callable[[Any], EncodedRows] | None = None,
        task: Any = None,
        lengths: NDArray[Any] | None = None,
        seed: int = 42,
        bucket: bool = True,
        max_tokens: int | None = None,
        least: int = 1,
        num_workers: int = 0,
        **kwargs: Any,
    ) -> None:
        self.own = {"tokenizer": tokenizer, "show_rows": show_rows, "encode": encode, "task": task}
        self.own |= {"seed": seed, "bucket": bucket, "max_tokens": max_tokens, "least": least}
        self.tokenizer, self.show_rows, self.encode, self.task = tokenizer, show_rows, encode, task
        self.seed, self.bucket, self.max_tokens, self.least = seed, bucket, max_tokens, least
        self.epoch, self.first = 0, 0
        super().__init__(dataset, num_workers=num_workers, **kwargs)
        # torch draws a seed for its workers at each pass; with the global generator, a resumed run would draw one more
        self.fake_l.generator = torch.Generator().manual_seed(seed)
        self.lengths = self.dataset.lengths if lengths is None and bucket and self.n else lengths
        self.planned: tuple[int, NDArray[Any] | None, Batches] | None = None

    def batches(self) -> Batches:
        """Return the batches of the coming pass, each as an array of row numbers."""
        if self.planned is None or self.planned[0] != self.epoch or self.planned[1] is not self.chances:
            self.planned = None  # which makes room for the next
            self.planned = (self.epoch, self.chances, self._plan())
        return self.planned[2]

    def batch_by_length(self) -> None:
        """Put only rows of one length into a batch from now on, so that none is padded."""
        if not self.by_length:
            self.by_length, self.planned = True, None

    def row_lengths(self) -> NDArray[Any]:
        """Return each row's length, `(rows,)`, whether or not rows are bucketed by it; see `lengths`."""
        lengths = self.dataset.lengths if self.lengths is None else self.lengths
        return lengths if lengths.ndim == 1 else lengths[:, 0]

    def _plan(self) -> Batches:
        size = BatchSize(self.bs, self.max_tokens if self.dataset.names.unit else None)
        rows = self._rows_of_an_epoch() if self.shuffle else numbered(self.n)
        if self.dataset.is_picked and not self.shuffle:
            batches = Batches.even(rows, 1 if self.by_length else self.bs)
        elif self.by_length:
            batches = Buckets(self.row_lengths(), size).of_one_length()
        elif self.lengths is None:
            batches = Batches.even(rows, self.bs)
        else:
            buckets = Buckets(self.lengths[rows], size)
            chosen = buckets.training(seed=self.seed, epoch=self.epoch) if self.shuffle else buckets.evaluation()
            batches = chosen.of(rows)
        if self.drop_last and self.max_tokens is None:
            return batches.chosen(batches.sizes == self.bs)
        return batches.joined(self.least) if self.shuffle and 1 < self.least <= self.bs else batches

    def _rows_of_an_epoch(self) -> Order:
        rng = np.random.default_rng([self.seed, self.epoch])
        rows = numbered(self.n)
        drawn: Order = rng.permutation(rows) if self.chances is None else rng.choice(rows, self.n, p=self.chances)
        return drawn

    def in_one_order(self) -> "RowsDL":
        """Return the loader, or one of the same rows whose order stays the same from pass to pass."""
        return self.new(shuffle=False, drop_last=False) if self.shuffle else self

    # -- what fastai's Interpretation asks for

    @property
    def items(self) -> Items:
        """The rows, of which some can be picked."""
        return Items(self.dataset)

    def _pre_show_batch(self, b: Batch, max_n: int = 9) -> tuple["ShownInputs", Any, L]:
        """Return the first rows of a batch: inputs, targets, and a pair of number and target for each."""
        inputs, targets = ({k: v[:max_n] for k, v in b[0].items()}, b[1][:max_n])
        return ShownInputs(self, inputs), targets, L(enumerate(targets))

    # -- the methods by which fastai's DataLoader iterates

    def __len__(self) -> int:
        return len(self.batches()) if self.n else 0

    def get_idxs(self) -> Order:
        """Return the numbers of the rows in the order of the batches; fastai asks for them at each pass."""
        return self.batches().rows

    def sample(self) -> "Iterator[Order | ShareOfBatch]":
        """Return the batches that this process makes, or its share of them: some for each worker."""
        numbers = range(self.first, len(self.batches()))
        mine = (i for i in numbers if (i - self.first) % self.num_workers == self.offs)
        return (self.batches()[i] if self.share == WHOLE else self._part(i) for i in mine)

    def rows_of(self, batch: int) -> Order:
        """Return the numbers of the rows that this process takes of a batch.

        Where there are too few for all, it is the first row, which does not count: a process without a batch would
        leave the others waiting.
        """
        rows, (first, step) = self.batches()[batch], self.share
        return rows[:1] if self.is_spare(batch) else rows[first::step]

    def is_spare(self, batch: int) -> bool:
        """Does a batch have too few rows for this process to have one?"""
        return self.share[0] >= len(self.batches()[batch])

    def _part(self, batch: int) -> "ShareOfBatch":
        """Return the share of a batch, and which of its other rows are longer."""
        whole, mine, longer = self.batches()[batch], self.rows_of(batch), []
        for lengths in self._measured:
            longest = whole[int(np.argmax(lengths[whole]))]
            if lengths[longest] > lengths[mine].max():
                longer.append(longest)
        return ShareOfBatch(mine, np.array(longer, dtype=mine.dtype))

    @cached_property
    def _measured(self) -> list[NDArray[Any]]:
        """The lengths by which rows are padded, `(rows,)` each: of sources, and of targets that are padded apart."""
        if not self.dataset.names.unit:
            return []
        lengths = self.dataset.lengths if self.lengths is None else self.lengths
        return list(lengths.reshape(len(lengths), -1).T)

    def create_batches(self, samps: "Iterator[Order | ShareOfBatch]") -> Iterator[Any]:
        return (self._made(batch) for batch in samps)

    def _made(self, batch: "Order | ShareOfBatch") -> Any:
        """Make a batch, or a share of one, which is padded as the whole batch is: some models read pads."""
        rows, longer = batch if isinstance(batch, ShareOfBatch) else (batch, batch[:0])
        made = self.do_batch(self._rows(np.append(rows, longer)))
        if not len(longer):
            return made
        inputs, targets = made
        return {name: values[: len(rows)] for name, values in inputs.items()}, targets[: len(rows)]

    def _rows(self, batch: Order) -> list[dict[str, Any]]:
        rows = [self.dataset[i] for i in batch]
        if self.shuffle and self.dataset.is_drawn:
            seeds = row_seeds(self.seed, self.epoch, batch)
            rows = [{**row, SEEDS: seed} for row, seed in zip(rows, seeds, strict=True)]
        return rows

    def wif(self) -> None:
        """Begin as a worker, which a killed run must not leave behind, nor Ctrl-C end before the run has ended."""
        parent = multiprocessing.parent_process()
        begin_group(None if parent is None else parent.pid)

    def after_iter(self) -> None:
        """Go on to the next epoch; an interrupted pass starts over."""
        super().after_iter()
        self.first = 0
        if self.shuffle:
            self.epoch += 1

    def retain(self, res: Any, b: Any) -> Any:
        """Leave a batch as the collator made it: fastai would cast it to the type of a row. MPS has no doubles."""
        if self.device is None or torch.device(self.device).type != "mps":
            return res
        inputs, targets = res
        return {name: _single(values) for name, values in inputs.items()}, _single(targets)

    def new(self, dataset: Any = None, cls: Any = None, **kwargs: Any) -> "RowsDL":
        """Make a loader like this one for other rows: encoded ones, a fastai dataset, or raw items."""
        kwargs.pop("process", None)  # fastai's Interpretation gives it, for tables
        raw = dataset is not None and self.encode is not None and not isinstance(dataset, EncodedRows)
        rows = self.encode(dataset) if raw and self.encode else dataset
        lengths = self.lengths if dataset is None else None
        self._n_inp, self._types = 1, (dict, torch.Tensor)  # fastai would unpack a batch to find them
        return super().new(rows, cls, **{**self.own, "lengths": lengths, **kwargs})  # type: ignore[no-any-return]

    def show_batch(self, b: Batch | None = None, max_n: int = 6, show: bool = True, **options: Any) -> Table | None:
        """Show the first rows of a batch as a table; with `show=False`, return the table's rows.

        Args:
            b: The batch; None takes the first.
            max_n: Maximum number of rows.
            show: Display the table; `False` returns it.
            options: `trunc_at` truncates texts; `dataloaders`, which blurr 1.x needed, changes nothing.
        """
        inputs, targets = self.one_batch() if b is None else b
        return self._display(inputs, targets, None, max_n, show, options)

    def show_results(self, b: Batch, out: Any, max_n: int = 6, show: bool = True, **options: Any) -> Table | None:
        """Show rows of a batch beside predictions; `out` as `Learner.get_preds` returns them, or in a tuple."""
        out = out[0] if isinstance(out, tuple) else out
        return self._display(*b, out, max_n, show, options)

    def _display(
        self, inputs: Inputs, targets: torch.Tensor, out: Any, max_n: int, show: bool, options: dict[str, Any]
    ) -> Table | None:
        options = {k: v for k, v in options.items() if k not in OF_1X}
        few = {k: v[:max_n] for k, v in inputs.items()}
        table = self.show_rows(self, few, targets[:max_n], None if out is None else out[:max_n], **options)
        if not show:
            return table
        show_table(table)
        return None


def _single(values: torch.Tensor) -> torch.Tensor:
    return values.float() if values.dtype == torch.float64 else values


def show_table(table: Table) -> None:
    """Display the rows of a table: as HTML in a notebook, else as text."""
    if in_notebook():
        from IPython.display import HTML, display

        display(HTML(html_of(table)))  # type: ignore[no-untyped-call]
    else:
        terminal().print(pd.DataFrame(table).to_string(), soft_wrap=True)


def _cell(value: Any) -> Any:
    """Return what stands in the cell of a table: a number, or HTML."""
    if isinstance(value, TableCell):
        return value.html
    return value if isinstance(value, float) else html.escape(str(value))


def html_of(table: Table) -> str:
    """Return the rows of a table as HTML, aligned on the left, where long texts are read from."""
    left: Any = {"selector": "th, td", "props": "text-align: left; vertical-align: top"}
    frame = pd.DataFrame(table).map(_cell)
    styled = frame.style.format(precision=4).format_index(escape="html", axis="columns")
    text: str = styled.set_table_styles([left]).to_html()
    return text
