"""What the scores of a run would be without a model: the most frequent class, the mean, the text itself."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from omegaconf import OmegaConf

from blurr.config import signatures
from blurr.config.building import build
from blurr.metrics.base import Scored, metric_key
from blurr.metrics.streamed import StreamedMetric, streamed
from blurr.report.rows import checked
from blurr.report.texts import source_of
from blurr.runs.record import Record, Rows

# Metrics that are quick and need no model of their own. A run's config may be somebody else's: nothing else is built.
QUICK = ("classification", "regression", "rouge", "bleu")
OF_TEXT = ("blurr.text.token_classification.metrics.", "blurr.text.question_answering.metrics.")
MOST_TEXTS = 2000  # more take longer to score than anybody waits for a report
LEAD = 3  # sentences
SENTENCE = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])")


@dataclass(frozen=True)
class Guess:
    """Predictions that need no model, in the form that the metrics of a task read.

    Attributes:
        name: how they were made.
        predictions: of all rows.
        targets: of all rows.
        names: of the classes.
    """

    name: str
    predictions: Any
    targets: Any
    names: list[str] | None = None


def baselines(record: Record) -> dict[str, str]:
    """Return what stands beside the scores of a run, by their keys: a guess without a model, and its own score."""
    found: dict[str, str] = {}
    for split, described in record.tables.items():
        rows, kind = checked(described, record.predicts)
        guess = GUESSES[kind](rows, record) if kind in GUESSES else None
        if guess is None:
            continue
        for name, config in (record.config.get("metrics") or {}).items():
            if metric_key(split, name) in record.scores and _is_quick(str(config.get("_target_"))):
                found[metric_key(split, name)] = f"{guess.name}: {_score(name, config, guess, kind):.4g}"
    return found


def _is_quick(target: str) -> bool:
    return signatures.is_ours(target) and target.startswith((*(f"blurr.metrics.{name}." for name in QUICK), *OF_TEXT))


def _score(name: str, config: dict[str, Any], guess: Guess, kind: str | None) -> float:
    """Score a guess by the run's own metric, with the run's settings."""
    (shown,) = streamed({name: build(OmegaConf.create(config))}, Scored(str(kind), guess.names))
    if not isinstance(shown, StreamedMetric):
        return float("nan")
    shown.reset()
    shown.metric.update(guess.predictions, guess.targets)
    return shown.value


def _most_frequent_class(rows: Rows, record: Record) -> Guess | None:
    targets = [str(row["target"]) for row in rows]
    names = list(map(str, record.facts.get("labels") or sorted(set(targets))))
    if not set(targets) <= set(names):
        return None
    best = Counter(targets).most_common(1)[0][0]
    logits = torch.zeros(len(rows), len(names))
    logits[:, names.index(best)] = 1
    return Guess(f"always {best}", logits, torch.tensor([names.index(target) for target in targets]), names)


def _most_frequent_labels(rows: Rows, record: Record) -> Guess | None:
    names = list(map(str, record.facts.get("labels") or []))
    sets = [frozenset(map(str, row["target"])) for row in rows]
    if not set().union(*sets) <= set(names):
        return None
    best = Counter(sets).most_common(1)[0][0]
    chosen = torch.tensor([[1.0 if name in best else -1.0 for name in names]])
    targets = torch.tensor([[float(name in each) for name in names] for each in sets])
    said = ", ".join(name for name in names if name in best) or "no label"
    return Guess(f"always {said}", chosen.expand(len(rows), -1), targets, names)


def _mean(rows: Rows, record: Record) -> Guess:
    targets = torch.tensor([float(row["target"]) for row in rows], dtype=torch.float64)
    mean = targets.mean()
    return Guess(f"always the mean, {mean:.4g}", mean.expand(len(rows), 1), targets)


def _source(rows: Rows, record: Record) -> Guess | None:
    """Take the first sentences of a text for its summary, and a text for its own translation."""
    if len(rows) > MOST_TEXTS:
        return None
    sources = [source_of(row) for row in rows]
    is_summary = record.facts.get("choices", {}).get("task") == "summarization"
    predictions = [" ".join(SENTENCE.split(text)[:LEAD]) for text in sources] if is_summary else sources
    name = f"the first {LEAD} sentences" if is_summary else "the source itself"
    return Guess(name, predictions, [row["target"] for row in rows])


def _most_frequent_tag(rows: Rows, record: Record) -> Guess:
    from blurr.text.token_classification.metrics import OUTSIDE, WordLabels  # seqeval takes long to import

    counts = Counter(label for row in rows for label in row["target"])
    best = OUTSIDE if OUTSIDE in counts else counts.most_common(1)[0][0]
    targets = [WordLabels(number, 0, row["target"]) for number, row in enumerate(rows)]
    predictions = [WordLabels(each.document, 0, [best] * len(each.labels)) for each in targets]
    return Guess("no entity" if best == OUTSIDE else f"always {best}", predictions, targets)


def _no_answer(rows: Rows, record: Record) -> Guess | None:
    from blurr.text.question_answering.spans import AnswerWindow  # transformers takes long to import

    if all(row["target"] for row in rows):
        return None  # nobody would guess that
    targets = [row["target"] if isinstance(row["target"], list) else [row["target"]] for row in rows]
    windows = [AnswerWindow(number, "", [], 0.0, 0.0) for number in range(len(rows))]
    return Guess("no answer", windows, targets)


GUESSES: dict[str, Callable[[Rows, Record], Guess | None]] = {
    "classes": _most_frequent_class,
    "labels": _most_frequent_labels,
    "numbers": _mean,
    "texts": _source,
    "answers": _no_answer,
    "words": _most_frequent_tag,
}
