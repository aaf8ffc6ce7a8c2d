"""The results of a split and of a run: scores, notes beside them, and doubts about them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from blurr.metrics.base import Direction, declared_direction, metric_key
from blurr.metrics.bootstrap import Interval

WORTHLESS = "worth nothing?"


@dataclass(frozen=True)
class Evaluation:
    """What a model does on one split.

    Attributes:
        metrics: `loss` and the value of each metric.
        rows: One per row of the split, in its order: the columns, the target, the prediction, the loss.
        notes: Notes beside metrics, by name, such as the class that an F1 is for.
        doubts: Reasons why the result may be worthless; usually empty.
        intervals: The ends of the 95 % interval of each score that has one, see `blurr.metrics.bootstrap`.
    """

    metrics: dict[str, float]
    rows: Sequence[dict[str, Any]]
    notes: dict[str, str] = field(default_factory=dict)
    doubts: list[str] = field(default_factory=list)
    intervals: dict[str, Interval] = field(default_factory=dict)


@dataclass
class Outcome:
    """The scores of all splits.

    Attributes:
        scores: Scores by keys such as `valid/f1`.
        notes: Notes beside scores, by the same keys.
        doubts: Reasons why the scores of a split may be worthless.
        directions: Which way each metric is better, by name; None if it does not say.
        intervals: The ends of the 95 % intervals of scores, by the same keys.
    """

    scores: dict[str, float] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    doubts: list[str] = field(default_factory=list)
    directions: dict[str, Direction | None] = field(default_factory=dict)
    intervals: dict[str, Interval] = field(default_factory=dict)

    def add(self, split: str, evaluation: Evaluation) -> None:
        """Add the evaluation of a split."""
        self.scores |= {metric_key(split, name): value for name, value in evaluation.metrics.items()}
        self.notes |= {metric_key(split, name): note for name, note in evaluation.notes.items()}
        self.intervals |= {metric_key(split, name): ends for name, ends in evaluation.intervals.items()}
        self.doubts += [f"{split}: {line}" for line in evaluation.doubts]

    def ask(self, metrics: Mapping[str, object]) -> None:
        """Ask each metric, by its name, which way it is better."""
        self.directions = {name: declared_direction(metric) for name, metric in metrics.items()}

    def tags(self) -> dict[str, str]:
        """Return tags by which runs can be searched."""
        notes = "; ".join(f"{key} {note}" for key, note in self.notes.items())
        said = {"directions": json.dumps(self.directions), "notes": notes, "worthless": "; ".join(self.doubts)}
        said["intervals"] = json.dumps(self.intervals) if self.intervals else ""
        return {name: text for name, text in said.items() if text}

    def lines(self) -> dict[str, str]:
        """Return what the summary shows beside the scores: label to text."""
        return {WORTHLESS: "; ".join(self.doubts)} if self.doubts else {}
