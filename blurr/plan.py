"""Say what a run would do, without doing it: rows, tokens, labels, parameters, steps; no weights are loaded."""

import re
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from omegaconf import DictConfig, OmegaConf

from blurr.config.building import build
from blurr.config.objectives import fitted_to_rows
from blurr.data.core import RawData
from blurr.data.distinct import Distinct
from blurr.data.media import Media, measured, shown_rows
from blurr.loading.bucketing import Buckets
from blurr.loading.columns import Ragged
from blurr.loading.loader import Loader
from blurr.loading.rows import EncodedRows
from blurr.models.groups import SPLITTERS, groups_of, note_of_freezing
from blurr.models.objects import HFObjects
from blurr.process.setup import hide_progress_bars
from blurr.tasks.base import Task
from blurr.tasks.encoding import encoded_splits
from blurr.tasks.parts import build_augment, build_hf, build_optimizer, build_raw
from blurr.text.lengths import length_limit
from blurr.training import schedules
from blurr.training.callbacks.gradient_accumulation import batches_per_step
from blurr.training.default_rates import default_rate
from blurr.training.embeddings import outlook
from blurr.training.learning_rate import learning_rate
from blurr.training.loop import Steps
from blurr.training.optimizers import as_opt_func
from blurr.training.rehearsal import Rehearsal, doubts_of_steps, steps_of

Facts = list[tuple[str, str]]
MOST_LABELS = 12
TIMED = 30  # files that are decoded to see how long that takes
# What is probably not meant: so many different numbers, rows of a class; such shares of texts cut, of one class.
FEW_NUMBERS, FEW_ROWS = 20, 5
MUCH_CUT, MUCH_OF_ONE = 0.1, 0.9


def plan(cfg: DictConfig, words: Sequence[str] = ()) -> dict[str, Facts]:
    """Describe the run that a config asks for.

    Args:
        cfg: the config.
        words: of the command line that it was composed of.

    Returns:
        Sections by their titles: `config`, `rows`, `tokens`, `files` of media, `labels` where there are any,
        `parameters`, `training`, and `look at this`: what is probably not meant, and what to do.
    """
    hide_progress_bars()
    task: Task = build(cfg.task)
    raw = build_raw(cfg, task)
    cfg = fitted_to_rows(cfg, task.target.predicted(raw), words, raw.kind, raw.reason, is_trial=False)
    hf = build_hf(cfg, task, raw, load_weights=False)
    loader: Loader = build(cfg.loader)
    splits = raw.ordered_splits
    encoded = encoded_splits(task, raw, hf, cache=loader.cache)
    training, doubts = _training(cfg, hf, task.training_rows(encoded["train"], hf), loader)
    return {
        "config": [(str(key), _yaml(value)) for key, value in cfg.items()],
        "rows": [*((name, f"{len(rows)}") for name, rows in splits.items()), *_left_out(raw), ("from", raw.source)],
        "tokens": [fact for name, rows in encoded.items() for fact in _of_rows(name, rows, task, hf)],
        "files": [fact for role, media in task.schema.media.items() for fact in _files(raw, role, media)],
        "labels": _labels(raw, splits, task.schema.classes) + _metrics(cfg) if raw.kind else [],
        "parameters": [*_parameters(hf), *_embedding(cfg, encoded["train"], hf)],
        "training": training,
        "look at this": [
            *_doubts_of_labels(raw, task.schema.classes),
            *_doubts_of_lengths(encoded["train"], task, hf),
            *doubts,
        ],
    }


def _left_out(raw: RawData) -> Facts:
    """Say which rows cannot be used, if the run leaves them out."""
    return [
        (f"{split} left out", f"{len(them)}: {'; '.join(them[:MOST_LABELS])}") for split, them in raw.broken.items()
    ]


def _files(raw: RawData, role: str, media: Media) -> Iterable[tuple[str, str]]:
    """Say how many files of media there are, how large, of which formats, and how long one takes to decode."""
    for split, rows in raw.ordered_splits.items():
        yield f"{split} {role}", f"{len(rows)} {media.kind}s, {media.summary(measured(rows, role, media))}"
    names = Counter(Path(row[role]).suffix.lower() for row in shown_rows(raw.train.select_columns([role])))
    formats = ", ".join(f"{suffix or 'in memory'} {count}" for suffix, count in names.most_common())
    yield "formats", formats
    times = []
    for cell in raw.train.with_format(None).select(range(min(TIMED, len(raw.train))))[role][:]:
        content = cell["bytes"] if cell["bytes"] is not None else Path(cell["path"]).read_bytes()
        started = time.perf_counter()
        media.examine(content)
        times.append(time.perf_counter() - started)
    yield "decoding", f"{1000 * float(np.median(times)):.1f} ms each, median of {len(times)}"


def _yaml(value: Any) -> str:
    return OmegaConf.to_yaml(value, resolve=True).rstrip() if OmegaConf.is_config(value) else str(value)


def _of_rows(split: str, rows: EncodedRows, task: Task, hf: HFObjects) -> Iterable[tuple[str, str]]:
    yield from _lengths(split, rows, task, hf)
    yield from ((f"{split} {name}", said) for name, said in task.facts_of(rows))


def _lengths(split: str, rows: EncodedRows, task: Task, hf: HFObjects) -> Iterable[tuple[str, str]]:
    """Say how long the rows are, and how many of them reach the limit and so may be cut."""
    for column, values, limit, _ in _limited(rows, task, hf):
        if len(values):
            low, middle, high, most = np.percentile(values.lengths, [0, 50, 95, 100]).astype(int)
            cut = "no limit" if limit is None else f"{(values.lengths >= limit).mean():.1%} reach the limit of {limit}"
            yield f"{split} {column}", f"{low} to {most}, median {middle}, 95 % up to {high}; {cut}"


def _limited(rows: EncodedRows, task: Task, hf: HFObjects) -> Iterable[tuple[str, Ragged, int | None, str]]:
    """Yield each column of tokens with its limit, and the key that sets it."""
    settings = vars(task)
    for column, key in ((rows.names.main, "max_length"), ("labels", "max_target_length")):
        values = rows.columns.get(column)
        if isinstance(values, Ragged):
            is_text = rows.names.unit == "tokens"  # a model of sounds writes as many as it likes
            yield column, values, length_limit(hf.tokenizer, settings.get(key)) if is_text else None, f"task.{key}"


def _doubts_of_lengths(rows: EncodedRows, task: Task, hf: HFObjects) -> Facts:
    """Say which columns are cut too often."""
    found = []
    for column, values, limit, key in _limited(rows, task, hf):
        share = 0.0 if limit is None or not len(values) else (values.lengths >= limit).mean()
        if share > MUCH_CUT:
            advice = length_limit(hf.tokenizer, None)
            is_short = advice is None or (limit or 0) < advice
            remedy = f"allow more: {key}={advice or 2 * (limit or 1)}" if is_short else "take a model that reads more"
            found.append((f"{share:.0%} of the texts are cut ({column}, {limit} tokens)", remedy))
    return found


def _doubts_of_labels(raw: RawData, role: str | None) -> Facts:
    """Say what looks wrong with the labels of the training rows."""
    if raw.kind is None or role is None:
        return []
    counted = Distinct.of(raw.train, role).counted()
    total = sum(counted.values())
    if raw.kind == "regression":
        is_whole = all(float(value).is_integer() for value in counted)
        said = f"the label is predicted as a number, and has {len(counted)} different whole numbers"
        return [(said, "if they are classes: task.kind=multiclass")] if is_whole and len(counted) <= FEW_NUMBERS else []
    found = []
    rare = sorted((str(name) for name, n in counted.items() if n < FEW_ROWS))
    if rare:
        remedy = "add rows, merge or leave out these, or callbacks=[class_balance]"
        found.append((f"{len(rare)} of {len(counted)} labels have under {FEW_ROWS} rows: {_first(rare)}", remedy))
    if len(counted) > FEW_NUMBERS and raw.kind == "multiclass" and all(str(name).isdecimal() for name in counted):
        said = f"the label has {len(counted)} different whole numbers, each taken for a class"
        found.append((said, "if they are quantities: task.kind=regression"))
    name, most = counted.most_common(1)[0] if counted else ("", 0)
    if raw.kind == "multiclass" and most > MUCH_OF_ONE * total:
        rarest = min(counted, key=lambda label: counted[label])
        is_word = re.fullmatch(r"\w+", str(rarest))  # other names would need quotes
        positive = f" metrics.f1.positive={rarest}" if len(counted) == 2 and is_word else ""
        remedy = f"look at metrics=[f1,matthews]{positive}, and try callbacks=[class_balance]"
        found.append((f"{most / total:.0%} of the rows are {name}", remedy))
    for split in ("valid", "test"):
        there = Distinct.of(raw.splits[split], role).counted() if split in raw.splits else counted
        lacking = sorted(str(label) for label, n in counted.items() if n >= FEW_ROWS and label not in there)
        if lacking:
            remedy = "add rows of these; where the rows are drawn, data.splits.by=stratified"
            found.append((f"{split} has no row of {len(lacking)} of {len(counted)} labels: {_first(lacking)}", remedy))
    return found


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:MOST_LABELS]) + (" …" if len(names) > MOST_LABELS else "")


def _labels(raw: RawData, splits: Mapping[str, Dataset], role: str | None) -> Facts:
    """Say what the labels are taken for and why, and which there are."""
    facts = [("kind", f"{raw.kind}: {raw.reason}")]
    if role is not None:
        count = _range if raw.kind == "regression" else _counts
        facts += [(name, count(rows, role)) for name, rows in splits.items()]
    return facts


def _metrics(cfg: DictConfig) -> Facts:
    objective = cfg.objective if isinstance(cfg.objective, str) else ", ".join(cfg.objective)
    return [("metrics", f"{', '.join(map(str, cfg.metrics))}; the objective is {objective}")]


def _range(rows: Dataset, role: str) -> str:
    low, mean, high = (float(f(rows[role][:])) for f in (np.min, np.mean, np.max))
    return f"{low:g} to {high:g}, mean {mean:.4g}"


def _counts(rows: Dataset, role: str) -> str:
    found = Distinct.of(rows, role).counted()
    counted, total = found.most_common(), sum(found.values())
    shown = ", ".join(f"{name} {n} ({n / total:.0%})" for name, n in counted[:MOST_LABELS])
    return shown + (f", and {len(counted) - MOST_LABELS} more" if len(counted) > MOST_LABELS else "")


def _trained(hf: HFObjects) -> torch.nn.Module:
    """Return the model as a learner splits it into groups."""
    return hf.model if hf.adapter is None else hf.adapter.wrapped()


def _parameters(hf: HFObjects) -> Facts:
    """Say how large each parameter group is; layers of one size that follow each other are one fact."""
    groups, facts = groups_of(_trained(hf), hf.groups), []
    for (size, is_layer), alike in groupby(enumerate(groups), lambda each: (each[1].size, each[1].is_layer)):
        numbers, names = zip(*((number, group.name) for number, group in alike), strict=True)
        if is_layer and len(names) > 1:
            facts.append((f"{numbers[0]} to {numbers[-1]} layers", f"{size:,} each"))
        else:
            facts += [(f"{number} {name}", f"{size:,}") for number, name in zip(numbers, names, strict=True)]
    note = note_of_freezing(_trained(hf), groups[-1].parameters)
    adapter = [] if hf.adapter is None else [("adapter", str(hf.adapter))]
    told = [("weights", f"{hf.weights} {hf.arch}, {hf.model.num_parameters():,} parameters"), *adapter, *facts]
    return [*told, ("frozen", note)] if note else told


def _embedding(cfg: DictConfig, rows: EncodedRows, hf: HFObjects) -> Facts:
    """Say how many rows of the input embedding are trained, unless the config asks for all of them."""
    if not hf.compact_embeddings or not isinstance(rows.columns.get(rows.names.main), Ragged):
        return []
    optimizer = as_opt_func(build_optimizer(cfg))([[torch.nn.Parameter(torch.zeros(1, 1))]], 1e-3)
    return [("input embedding", outlook(rows, hf.model, optimizer))]


def _training(cfg: DictConfig, hf: HFObjects, rows: EncodedRows, loader: Loader) -> tuple[Facts, Facts]:
    """Play the schedule; say what each of its fits would train, and where it has too few steps."""
    requested, schedule = cfg.optimizer.lr, build(cfg.schedule)
    default = default_rate(schedule, weights=hf.weights, config=hf.config, has_adapter=hf.adapter is not None)
    rehearsal = Rehearsal(SPLITTERS[hf.groups](_trained(hf)))
    schedule(rehearsal, learning_rate(requested, default=default.rate, find=lambda: default.rate))
    size, together = loader.size(train=True), batches_per_step(build(cfg.callbacks).values())
    per_epoch = max(1, -(-len(Buckets(rows.lengths, size).training(seed=loader.seed, epoch=0)) // together))
    augment = build_augment(cfg)
    facts = [("augmentation", str(augment))] if augment else []
    facts += [("default rate", default.reason)] if requested is None else []
    for i, (length, trained, rates) in enumerate(rehearsal.fits, start=1):
        rate = f"{rates[0]:.3g}" if len(set(rates)) == 1 else f"{rates[0]:.3g} (first group) to {rates[-1]:.3g} (last)"
        rate = "found by the learning rate finder" if requested == "auto" else f"up to {rate}"
        much = f"{length} x {per_epoch} steps"
        if isinstance(length, Steps):
            much = f"{length.number} steps ({length.number / per_epoch:.3g} epochs of {per_epoch})"
        facts.append((f"phase {i}", f"{much} on {trained:,} parameters, learning rate {rate}"))
    steps = steps_of([length for length, *_ in rehearsal.fits], per_epoch)
    of = f"{size.rows} rows" if size.tokens is None else f"up to {size.tokens} tokens"
    batches = f"{together} batches of " if together > 1 else ""
    of += f", shared by {cfg.processes} processes" if cfg.processes > 1 else ""
    return [*facts, ("in all", f"{steps} steps of {batches}{of}")], _doubts_of_steps(cfg, rehearsal, per_epoch)


def _doubts_of_steps(cfg: DictConfig, rehearsal: Rehearsal, per_epoch: int) -> Facts:
    is_ours = str(cfg.schedule["_target_"]).startswith(f"{schedules.__name__}.")
    return doubts_of_steps(rehearsal, per_epoch, cfg.schedule) if is_ours else []
