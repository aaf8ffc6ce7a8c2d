"""The contract between the runner and a task: a task is what its models read, times what it learns to give."""

import random
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from fastai.callback.core import Callback
from fastai.data.core import DataLoaders
from fastai.learner import Learner

from blurr.data.core import RawData, Schema
from blurr.data.examining import read_item
from blurr.data.naming import WEIGHT
from blurr.errors import InputError
from blurr.loading.columns import Column, as_column
from blurr.loading.dataloader import RowsDL
from blurr.loading.loader import Loader, fitting
from blurr.loading.rows import Batch, EncodedRows, Table
from blurr.metrics.base import Metric
from blurr.metrics.outcome import Evaluation
from blurr.metrics.streamed import RowMetric, streamed
from blurr.models.devices import device_of
from blurr.models.groups import SPLITTERS
from blurr.models.inputs import ModalityInputs
from blurr.models.losses import RowWeightedLoss, WeighRows, own_loss
from blurr.models.objects import HFObjects
from blurr.models.wrapper import has_batch_norm
from blurr.process.forked import made_in_order
from blurr.targets.base import Target
from blurr.tasks import encoding, evaluating
from blurr.training.inference import as_items
from blurr.training.interpretation import EvaluationCallback
from blurr.training.learner import Blearner
from blurr.training.optimizers import adamw, as_opt_func
from blurr.training.sharding import shard

MOST_PROCESSES = 8  # that encode; each takes a hundred megabytes
WORTH_PROCESSES = 20  # parts of a split, below which starting processes takes longer than they save
HALF_A_PAIR = re.compile("[\ud800-\udfff]")


@dataclass
class Task(ABC):
    """A kind of problem. The fields of a subclass are the keys of its YAML.

    Attributes:
        schema: Roles of the columns that it reads and learns from.
        model_cls: Name of the transformers auto class that makes its models.
        inputs: What its modality knows of processors.
        target_cls: What it learns to give.
        learner_cls: The class of its learners.
        show_rows: What `show_batch` and `show_results` show, see `RowsDL`.
    """

    schema: ClassVar[Schema]
    model_cls: ClassVar[str]
    inputs: ClassVar[ModalityInputs]
    target_cls: ClassVar[type[Target]]
    learner_cls: ClassVar[type[Blearner]] = Blearner
    show_rows: ClassVar[Callable[..., Table]]

    # -- what differs from task to task

    @abstractmethod
    def encode(self, rows: Mapping[str, Sequence[Any]], hf: HFObjects) -> dict[str, list[Any]]:
        """Turn columns of raw rows into columns of inputs, and of `labels` where the rows have targets; pure.

        Where a row becomes several windows, the column `row` holds, for each window, the number of its row.
        """

    def encode_parts(self, parts: Sequence[Mapping[str, Sequence[Any]]], hf: HFObjects) -> Iterator[Mapping[str, Any]]:
        """Encode the rows of a split, which come in parts; yield the columns of one part after the other.

        Many parts are encoded in as many processes as the run has threads, up to eight. A task whose encoded rows may
        hold several of its rows, such as joined texts, carries on from part to part.
        """

        def encoded(number: int) -> tuple[dict[str, Column], int]:
            rows = parts[number]
            columns = {name: as_column(values) for name, values in self.encode(rows, hf).items()}
            return columns, len(rows[next(iter(rows))]) if "row" in columns else 0

        processes = min(torch.get_num_threads(), MOST_PROCESSES) if len(parts) >= WORTH_PROCESSES else 1
        before = 0
        for columns, count in made_in_order(encoded, len(parts), processes=processes):
            if "row" in columns:  # of each window: a number within the part
                columns["row"] = np.asarray(columns["row"]) + before
                before += count
            yield columns

    def encode_items(self, rows: Mapping[str, Sequence[Any]], hf: HFObjects) -> dict[str, list[Any]]:
        """Do the same for items to predict on."""
        return self.encode(rows, hf)

    def make_rows(self, columns: Mapping[str, Any], rows: Mapping[str, Sequence[Any]], hf: HFObjects) -> EncodedRows:
        """Bundle the columns that `encode` made with what `decode` needs of the raw rows."""
        return self.inputs.rows_cls(columns, self.target.vocab(hf))

    def training_rows(self, rows: EncodedRows, hf: HFObjects) -> EncodedRows:
        """Return the rows that training batches are made of, such as several in one."""
        return rows

    def facts_of(self, rows: EncodedRows) -> list[tuple[str, str]]:
        """Return what a plan says of encoded rows besides their lengths: names and values."""
        return []

    def collator(self, hf: HFObjects, loader: Loader, *, train: bool) -> Callable[..., Batch]:
        """Return what makes a batch `(inputs, targets)` of encoded rows, in training or in evaluation."""
        return self.inputs.collator(hf.processor, loader.pad_to_multiple_of)

    def check(self, hf: HFObjects) -> None:
        """Refuse settings that the model cannot follow, such as rows longer than it has positions for."""
        return

    def learner_options(self, hf: HFObjects) -> dict[str, Any]:
        """Return the arguments that the class of the learner takes besides those of `Blearner`."""
        return self.target.learner_options(hf)

    def augmented_sheet(self, dls: DataLoaders) -> bytes | None:
        """Return a PNG of training rows beside what augmentation makes of them; None where nothing does."""
        return None

    def corpus(self, raw: RawData) -> Iterator[str]:
        """Yield the texts of the training split, to train a processor on; of no other split."""
        for role in self.schema.roles:
            is_text = role in raw.train.column_names and isinstance(raw.train[0][role], str)
            if is_text and (role != self.schema.label or self.schema.writes_labels):
                for block in raw.train.select_columns([role]).iter(encoding.ROWS_AT_ONCE):
                    yield from block[role]

    def row_of(self, item: Any) -> dict[str, Any]:
        """Return an item to predict on as a row under the task's roles."""
        first, words = self.schema.required[0], {role: each.kind for role, each in self.schema.media.items()}
        is_row = isinstance(item, Mapping) and not (self.schema.media and {"path", "bytes", "array"} & item.keys())
        row = dict(item) if is_row else {first: item}
        if first not in row or (first in self.schema.texts and not isinstance(row[first], str)):
            kind = "a text" if first in self.schema.texts else f"a {words.get(first, 'value')}"
            said = f"{item!r:.200}" if words else f"{item!r}"
            raise InputError(f"An item to predict on needs {kind} under {first!r}; this one is {said}.")
        for role in self.schema.texts.intersection(row):
            if row[role] is not None and not isinstance(row[role], str):
                raise InputError(f"An item to predict on needs a text under {role!r}; this one is {item!r}.")
        return {**row, **{role: read_item(row[role], kind) for role, kind in self.schema.media.items() if role in row}}

    def example(self, hf: HFObjects, seed: int = 0) -> dict[str, Any]:
        """Return a sample item to predict on; different seeds give different samples."""
        row = self.schema.sample(random.Random(seed))
        return {role: row[role] for role in self.schema.inputs if role in row}

    # -- what never differs

    @property
    def target(self) -> Target:
        """What the task learns to give, with the task's settings."""
        return self.target_cls(**{each.name: getattr(self, each.name) for each in fields(self.target_cls)})

    def resolved(self, learner: Learner) -> "Task":
        """Return a copy with every `auto` replaced by the value that training chose."""
        return replace(self, **self.target.resolved(learner))

    def row_schema(self, hf: HFObjects | None = None) -> Schema:
        """Return how rows are read: to learn from, or to score the trained model `hf` on, which knows its labels."""
        options, names = (
            self.target.label_options() or self.schema.labels,
            None if hf is None else self.target.vocab(hf),
        )
        known = None if names is None else tuple(names)
        return replace(self.schema, labels=options and replace(options, known=known))

    def prepare(self, raw: RawData) -> RawData:
        """Set rows aside that training needs for itself."""
        return self.target.prepare(raw, [role for role in self.schema.inputs if role in raw.train.column_names])

    def encoded(self, columns: Mapping[str, Sequence[Any]], hf: HFObjects) -> EncodedRows:
        """Encode columns of raw rows."""
        return self.make_rows(self.encode(columns, hf), columns, hf)

    def encoded_items(self, hf: HFObjects, items: Any) -> EncodedRows:
        """Encode raw items to predict on; see `as_items`."""
        rows = [self.row_of(item) for item in as_items(items)]
        known = [role for role in self.schema.inputs if all(role in row for row in rows)]
        columns = {role: [row[role] for row in rows] for role in known}
        check_unicode(columns)
        return self.make_rows(self.encode_items(columns, hf), columns, hf)

    def dataloaders(
        self, raw: RawData, hf: HFObjects, loader: Loader, *, device: str = "auto", augment: Any = None
    ) -> DataLoaders:
        """Encode every split once, and make a loader of each, in the order of `raw.ordered_splits`.

        Args:
            raw: The rows.
            hf: Processor and model.
            loader: How batches are made.
            device: That batches and model go to, see `device_of`.
            augment: Changes the batches of training at random, as the modality of the task does it.
        """
        self.check(hf)
        fits = fitting(loader, hf.config)
        splits = encoding.encoded_splits(self, raw, hf, cache=loader.cache)
        if "train" in splits:
            splits["train"] = self.training_rows(splits["train"], hf)
        encoding.keep(splits.values(), loader)
        loaders = [self.loader(rows, hf, fits, train=name == "train", augment=augment) for name, rows in splits.items()]
        target = device_of(device)
        dls = DataLoaders(*loaders, device=target)
        dls.to(target)
        return dls

    def loader(self, rows: EncodedRows, hf: HFObjects, loader: Loader, *, train: bool, augment: Any = None) -> RowsDL:
        """Make the loader of encoded rows; its `test_dl` takes raw items, too."""
        return RowsDL(
            rows,
            task=self,
            tokenizer=hf.processor,
            show_rows=type(self).show_rows,
            encode=partial(self.encoded_items, without_model(hf)),
            create_batch=self.collator(hf, loader, train=train),
            before_batch=self.inputs.before_batch(hf.processor, augment if train else None),
            after_batch=self.inputs.after_batch(hf.processor, augment if train else None),
            seed=loader.seed,
            bucket=loader.bucket,
            num_workers=loader.workers(rows),
            pin_memory=loader.pin_memory,
            bs=loader.size(train=train).rows,
            max_tokens=loader.most(rows),
            least=2 if train and has_batch_norm(hf.model) else 1,  # one row has no deviation
            shuffle=train,
        )

    def learner(
        self,
        dls: DataLoaders,
        hf: HFObjects,
        *,
        raw: RawData,
        metrics: Mapping[str, Metric | RowMetric],
        optimizer: Callable[..., Any] = adamw,
        cbs: Sequence[Callback] = (),
        **options: Any,
    ) -> Blearner:
        """Make the learner, with all its weights trainable; beside an adapter, those of its base stay as they are."""
        target = self.target
        loss, weighing = target.loss_func(hf, raw), []
        if "train" in raw.splits and WEIGHT in raw.train.column_names:
            loss, weighing = RowWeightedLoss(loss or own_loss(dls.train_ds)), [WeighRows()]
        model = hf.model if hf.adapter is None else hf.adapter.wrapped()
        if hf.shard:
            shard(hf.model)
        return self.learner_cls(
            dls,
            model,
            loss_func=loss,
            opt_func=as_opt_func(optimizer),
            cbs=[EvaluationCallback(target.decode, completed=target.completed), *target.callbacks(hf), *weighing, *cbs],
            metrics=streamed(metrics, target.scored(hf)),
            **{
                "freeze": False,
                "splitter": SPLITTERS[hf.groups],
                "compact_embeddings": hf.compact_embeddings,
                **self.learner_options(hf),
                **options,
            },
        )

    def evaluate(self, learner: Learner, raw: RawData, split: str = "valid") -> Evaluation:
        """Score a split in a stream, and describe each of its rows."""
        return evaluating.evaluate(self.target, learner, raw, split, self.schema.roles)

    def interpret(self, learner: Learner, dl: RowsDL) -> Table:
        """Describe each row of a loader, its windows merged, beside what `show_batch` shows of it."""
        return evaluating.interpret(self.target, learner, dl)

    def predict(self, learner: Learner, items: Any, **options: Any) -> list[Any]:
        """Predict one item or many."""
        return self.target.predict(learner, items, **options)


def check_unicode(columns: Mapping[str, Sequence[Any]]) -> None:
    """Refuse texts that no tokenizer can read.

    Raises:
        InputError: a text holds half of a surrogate pair, as JSON and Python can write it and Unicode has it not.
    """
    for role, values in columns.items():
        for value in values:
            for text in value if isinstance(value, list) else [value]:
                if isinstance(text, str) and HALF_A_PAIR.search(text):
                    raise InputError(
                        f"The {role} {text!r:.80} is not Unicode: it holds half of a surrogate pair. Write the whole "
                        "character, or leave it out."
                    )


def without_model(hf: HFObjects) -> HFObjects:
    """Keep the model out of what a loader holds: it would go into each of its workers and exports."""
    return replace(hf, model=None, adapter=None)  # type: ignore[arg-type]
