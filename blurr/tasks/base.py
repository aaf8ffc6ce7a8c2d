"""The contract between the runner and a task: what differs is a method to override, what never differs stands here."""

import math
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from fastai.callback.core import Callback
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastai.losses import CrossEntropyLossFlat
from transformers import PretrainedConfig

from blurr.data import core as data_module
from blurr.data.core import LabelOptions, RawData, Schema, UnknownLabels
from blurr.data.own_columns import beside
from blurr.data.splits import split_by
from blurr.errors import InputError
from blurr.loading.dataloader import TextDL
from blurr.loading.lengths import fitting
from blurr.loading.loader import Loader
from blurr.loading.rows import Batch, Table, TokenizedRows, by_row, in_order
from blurr.metrics.base import Metric, Scored
from blurr.metrics.outcome import Evaluation
from blurr.metrics.streamed import RowMetric, RowsLater, notes_of, streamed
from blurr.metrics.worthless import doubts
from blurr.models.losses import loss_per_row
from blurr.models.objects import HFObjects, build_model
from blurr.models.positions import advice_of, check_length
from blurr.tasks.encoding import tokenized_splits, with_token_counts
from blurr.tasks.encoding import ordered_splits, tokenized_splits, with_token_counts
from blurr.text.inputs import collator_for
from blurr.text.lengths import advice_of, check_length
from blurr.text.special_tokens import SpecialTokens
from blurr.training.inference import as_items
from blurr.training.interpretation import EvaluationCallback
from blurr.training.learner import Blearner
from blurr.training.optimizers import adamw, as_opt_func

Loss = Literal["auto", "model", "cross_entropy"]


@dataclass
class Task(ABC):
    """A kind of problem. The fields of a subclass are the keys of its YAML.

    Args:
        special_tokens: what a special token is that is written in a text, such as `</s>`: `text`, or `parse`: a special
            token. The mask of a masked language model, tokens in a prefix or separator, and tokens that the user has
            added to the tokenizer are special all the same.
    """

    schema: ClassVar[Schema]
    model_cls: ClassVar[str]  # name of the transformers auto class
    predicts: ClassVar[str] = ""  # what its metrics read: classes, numbers, words, answers, texts or tokens; unknown
    learner_cls: ClassVar[type[Blearner]] = Blearner
    show_rows: ClassVar[Callable[..., Table]]
    options: ClassVar[Mapping[str, type]] = {}  # what a user of the trained model may ask of a prediction
    usual_length: ClassVar[int | None] = None  # of a row, where nobody has chosen: a shorter limit is no mistake then

    special_tokens: SpecialTokens = field(default="text", kw_only=True)

    # -- what differs from task to task

    def predicted(self, raw: RawData) -> str:
        """Return what metrics read where the labels are those of these rows: one of what `predicts` names."""
        return self.predicts

    def label_options(self) -> LabelOptions | None:
        """Return how the labels of rows are read, as the task's settings say."""
        return self.schema.labels

    def prepare(self, raw: RawData) -> RawData:
        """Set rows aside that the task needs for itself, as the split `tune`; by default none."""
        return raw

    def model_config(self, raw: RawData) -> dict[str, Any]:
        """Give what the model's config must know of the data, such as the label names."""
        return {}

    @abstractmethod
    def tokenize(self, rows: Mapping[str, Sequence[Any]], hf: HFObjects) -> dict[str, list[Any]]:
        """Turn columns of rows into columns of token ids, and of `labels` where the rows have targets; pure.

        Where a row becomes several windows, the column `row` holds, for each window, the number of its row.
        """

    def tokenize_items(self, rows: Mapping[str, Sequence[Any]], hf: HFObjects) -> dict[str, list[Any]]:
        """Do as `tokenize` does, for items to predict on."""
        return self.tokenize(rows, hf)

    def hold(self, tokenized: Mapping[str, Any], rows: Mapping[str, Sequence[Any]], hf: HFObjects) -> TokenizedRows:
        """Hold what `tokenize` made, and what `decode` needs of the rows that it was made of."""
        return TokenizedRows(tokenized, self.vocab(hf))

    @abstractmethod
    def decode(self, learner: Learner) -> tuple[Any, Any]:
        """Give `(predictions, targets)` of the batch that the learner has just run, as the metrics want them."""

    @abstractmethod
    def describe(self, learner: Learner) -> Table:
        """Give a row per row of that batch: `target`, `prediction` and what else is worth keeping."""

    def vocab(self, hf: HFObjects) -> list[str] | None:
        """Give the names of the labels, or `None` where the task has none."""
        return None

    def scored(self, hf: HFObjects) -> Scored:
        """Return what its metrics get to compare."""
        return Scored(self.predicts, self.vocab(hf))

    def loss_func(self, hf: HFObjects, raw: RawData) -> Any:
        """Give the loss; `None` stands for the one that the model computes itself."""
        return None

    def callbacks(self, hf: HFObjects) -> list[Callback]:
        """Give the callbacks that the task's learner always has."""
        return []

    def collator(self, hf: HFObjects, loader: Loader, *, train: bool) -> Callable[..., Batch]:
        """Give what makes a batch `(inputs, targets)` of tokenized rows, in training or in evaluation."""
        return collator_for(hf.tokenizer, loader.pad_to_multiple_of)

    def join(self, parts: list[dict[str, Any]]) -> dict[str, Any]:
        """Make one description of a row of those of its windows, where `tokenize` cut it into several."""
        return parts[0]

    def aligned(self, given: Table, rows: TokenizedRows, described: Table) -> Table:
        """Put what was read beside the descriptions of the tokenized rows, one row for each that was read."""
        fields = [self.join(part) for part in by_row(rows, described, len(given))]
        return beside(given, fields, self.schema.roles)

    def reports(self, rows: Table) -> dict[str, str]:
        """Give what a split's described rows are worth besides numbers: name of a file to its text."""
        return {}

    def row_of(self, item: Any) -> dict[str, Any]:
        """Make a row, under the task's column names, of an item to predict on."""
        text_role = self.schema.required[0]
        row = dict(item) if isinstance(item, Mapping) else {text_role: item}
        if not isinstance(row.get(text_role), str):
            raise InputError(f"An item to predict on needs a text under {text_role!r}; this one is {item!r}.")
        return row

    def example(self, hf: HFObjects, seed: int = 0) -> dict[str, Any]:
        """Make an item to predict on, for those who look what one is like; another seed makes another."""
        row = self.schema.sample(random.Random(seed))
        return {role: row[role] for role in self.schema.inputs if role in row}

    def for_checkpoint(self, hf: HFObjects) -> "Task":
        """Return the task for a checkpoint that is used as it is, without training."""
        return self

    def settled(self, learner: Learner) -> "Task":
        """Give the task with what training has decided in place of `auto`: all that predicting asks for."""
        return self

    # -- what never differs

    def row_schema(self, hf: HFObjects | None = None) -> Schema:
        """Return how rows are read: to learn from, or to score the trained model `hf` on, which knows its labels."""
        options, names = self.label_options(), None if hf is None else self.vocab(hf)
        known = None if names is None else tuple(names)
        return replace(self.schema, labels=options and replace(options, known=known))

    def corpus(self, raw: RawData) -> Iterator[str]:
        """Give the texts of the training split, to train a tokenizer on; of no other split."""
        for role in self.schema.roles:
            is_text = role in raw.train.column_names and isinstance(raw.train[0][role], str)
            if is_text and (role != self.schema.label or self.schema.writes_labels):
                yield from raw.train[role][:]

    def check_lengths(self, hf: HFObjects) -> None:
        """Refuse rows that are longer than the model has positions for; see `check_length`."""
        chosen, advice = vars(self), advice_of(hf.tokenizer)
        for name in ("max_length", "block_size"):
            check_length(f"task.{name}", chosen.get(name), hf.positions.source, advice, usual=self.usual_length)

    def dataloaders(self, raw: RawData, hf: HFObjects, loader: Loader) -> DataLoaders:
        """Tokenize every split once, and make one loader each, in the order of `raw.ordered_splits`."""
        fits = fitting(loader, hf.config)
        splits = tokenized_splits(self, raw, hf, cache=loader.cache)
        loaders = [self.loader(rows, hf, fits, train=name == "train") for name, rows in splits.items()]
        device = default_device()
        dls = DataLoaders(*loaders, device=device)
        dls.to(device)
        return dls

    def loader(self, rows: TokenizedRows, hf: HFObjects, loader: Loader, *, train: bool) -> TextDL:
        """Make the loader of tokenized rows; it takes raw items, too, as its `test_dl`."""
        return TextDL(
            rows,
            tokenizer=hf.tokenizer,
            show_rows=type(self).show_rows,
            encode=partial(encode_items, self, without_model(hf)),
            create_batch=self.collator(hf, loader, train=train),
            seed=loader.seed,
            bucket=loader.bucket,
            num_workers=loader.num_workers,
            pin_memory=loader.pin_memory,
            bs=loader.size(train=train).rows,
            max_tokens=loader.max_tokens,
            shuffle=train,
        )

    def encode(self, columns: Mapping[str, Sequence[Any]], hf: HFObjects) -> TokenizedRows:
        """Tokenize columns of rows."""
        return self.hold(self.tokenize(columns, hf), columns, hf)

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
        """Make the learner, with all its weights trainable."""
        learner = self.learner_cls(
            dls,
            hf.model,
            loss_func=self.loss_func(hf, raw),
            opt_func=as_opt_func(optimizer),
            cbs=[EvaluationCallback(self.decode), *self.callbacks(hf), *cbs],
            metrics=streamed(metrics, self.scored(hf)),
            **{"freeze": False, **self.learner_options(hf), **options},
        )
        learner.interpreter = self.interpret
        return learner

    def learner_options(self, hf: HFObjects) -> dict[str, Any]:
        """Give what the learner's class wants besides."""
        return {}

    def evaluate(self, learner: Learner, raw: RawData, split: str = "valid") -> Evaluation:
        """Score a split in a stream, and describe each of its rows."""
        names = list(raw.ordered_splits)
        dl = learner.dls[names.index(split)]
        values, windows = self._stream(learner, dl, self._described)
        rows = with_token_counts(self.aligned(raw.splits[split].to_list(), dl.dataset, windows), dl.dataset)
        scores = dict(zip(["loss", *(m.name for m in learner.metrics)], values, strict=True))
        scores |= {m.name: m.metric.score(rows) for m in learner.metrics if isinstance(m, RowsLater)}
        return Evaluation(scores, rows, notes_of(learner.metrics), doubts(self.predicts, rows, scores))

    def interpret(self, learner: Learner, dl: TextDL) -> Table:
        """Describe each row of a loader, its windows joined, beside what `show_batch` shows of it."""
        _, windows = self._stream(learner, dl, self._shown)
        count = 1 + max(dl.dataset.columns.get("row", [len(windows) - 1]), default=-1)
        return [{**_whole(parts), **self.join(parts)} for parts in by_row(dl.dataset, windows, count) if parts]

    def _stream(self, learner: Learner, dl: TextDL, describe: Callable[[Learner], Table]) -> tuple[list[float], Table]:
        """Validate; give loss and metrics, and the descriptions in the order of the tokenized rows."""
        collector, dl = EvaluationCallback(self.decode, describe), dl.in_one_order()
        with learner.removed_cbs(learner._grab_cbs(EvaluationCallback)), learner.no_bar():
            record = learner.validate(dl=dl, cbs=collector)
        return [math.nan if value is None else float(value) for value in record], in_order(
            dl.get_idxs(), collector.rows
        )

    def _shown(self, learner: Learner) -> Table:
        inputs = {name: values.cpu() for name, values in learner.xb[0].items()}
        fields = learner.dl.show_rows(learner.dl, inputs, learner.y.cpu())
        return [{**field, **row} for field, row in zip(fields, self._described(learner), strict=True)]

    def _described(self, learner: Learner) -> Table:
        losses = loss_per_row(learner.loss_func, learner.pred, *learner.yb).tolist()
        return [{**row, "loss": loss} for row, loss in zip(self.describe(learner), losses, strict=True)]


def _whole(parts: Table) -> dict[str, Any]:
    """Make one of what is shown of the windows of a row: the first of each field, all of what is a list."""
    joined = {k: [x for part in parts for x in part[k]] for k, v in parts[0].items() if isinstance(v, list)}
    return {**parts[0], **joined}


def from_data(
    task: Task,
    data: Any,
    pretrained_model_name_or_path: str | Path,
    *,
    columns: Mapping[str, Any],
    metrics: Callable[[PretrainedConfig], Mapping[str, Metric]],
    dblock_splitter: Callable[[Any], Any] | None = None,
    unknown_labels: UnknownLabels = "refuse",
    hf_kwargs: Mapping[str, Any] | None = None,
    dl_kwargs: Mapping[str, Any] | None = None,
    learner_kwargs: Mapping[str, Any] | None = None,
) -> Blearner:
    """Make a learner of rows and a checkpoint by the same steps as the runner: the high-level door to a task.

    Args:
        task: what to learn.
        data: a DataFrame, Dataset, DatasetDict, list of dicts, or the path of a file.
        pretrained_model_name_or_path: Hub id or local folder.
        columns: role to column.
        metrics: gives, for the model's config, name to metric; `learner_kwargs` may have others.
        dblock_splitter: a fastai splitter, called with the rows; `None` goes by a column `is_valid`, or at random.
        unknown_labels: `refuse` validation rows with labels that no training row has, or `drop` them.
        hf_kwargs: as for `get_hf_objects`.
        dl_kwargs: as for `Loader`; `bs` stands for `batch_size`, `val_bs` for `eval_batch_size`.
        learner_kwargs: as for `Blearner`.
    """
    train, valid = (data, None) if dblock_splitter is None else split_by(data, dblock_splitter)
    rows = data_module.from_data(task.row_schema(), train, valid=valid, columns=columns, unknown_labels=unknown_labels)
    given = task.prepare(rows)
    config = {**task.model_config(given), **(hf_kwargs or {}).get("config_kwargs", {})}
    hf = build_model(
        str(pretrained_model_name_or_path),
        model_cls=task.model_cls,
        corpus=tuple,
        load_weights=True,
        weights="pretrained",
        **{**(hf_kwargs or {}), "config": config},
    )
    names = {"bs": "batch_size", "val_bs": "eval_batch_size"}
    loader = Loader(**{names.get(k, k): v for k, v in (dl_kwargs or {}).items()})
    dls = task.dataloaders(given, hf, loader)
    options = {"freeze": True, **(learner_kwargs or {})}
    own = options.pop("metrics", None)
    learner = task.learner(dls, hf, raw=given, metrics=metrics(hf.config) if own is None else {}, **options)
    learner.metrics = learner.metrics if own is None else own
    return learner


def encode_items(task: Task, hf: HFObjects, items: Any) -> TokenizedRows:
    """Tokenize raw items to predict on; see `as_items`."""
    rows = [task.row_of(item) for item in as_items(items)]
    known = [role for role in task.schema.inputs if all(role in row for row in rows)]
    columns = {role: [row[role] for row in rows] for role in known}
    return task.hold(task.tokenize_items(columns, hf), columns, hf)


def without_model(hf: HFObjects) -> HFObjects:
    """Keep the model out of what a loader holds: it would go into each of its workers and exports."""
    return replace(hf, model=None)  # type: ignore[arg-type]


def default_device() -> torch.device:
    """Give the accelerator where there is one, else the CPU."""
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return found or torch.device("cpu")


def weighted_cross_entropy(
    hf: HFObjects, loss: Loss, weights: torch.Tensor | None, label_smoothing: float
) -> CrossEntropyLossFlat | None:
    """Give the loss that `task.loss` asks for; `None` stands for the model's own.

    Args:
        hf: the model it is for.
        loss: `auto` is the model's own unless class weights or label smoothing are asked for.
        weights: of the classes, `(classes,)`.
        label_smoothing: from 0 to 1.

    Raises:
        InputError: the model's own loss is asked for together with what it cannot do.
    """
    plain = weights is None and label_smoothing == 0
    if loss == "model" and not plain:
        raise InputError(
            "task.loss=model is the loss of the Hugging Face model, which has no class weights and no label smoothing. "
            "Set task.loss=cross_entropy, or leave task.class_weights and task.label_smoothing out."
        )
    if loss == "model" or (loss == "auto" and plain):
        return None
    return CrossEntropyLossFlat(weight=weights, label_smoothing=label_smoothing)
