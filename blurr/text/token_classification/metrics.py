"""Metrics of labelled words by seqeval, which counts whole entities."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from seqeval.metrics import accuracy_score, classification_report, f1_score, precision_score, recall_score
from seqeval.metrics.sequence_labeling import get_entities

from blurr.errors import InputError
from blurr.metrics.bootstrap import Draws, Numbers, ratio

Score = Literal["precision", "recall", "f1", "accuracy"]
OUTSIDE = "O"
LIKE_OUTSIDE = ("o", "0", "_", "-", "out", "outside", "none", "nil")
PREFIXED = re.compile(r"([BIESLUMW])(?:[-_:/|](.*))?", re.DOTALL)  # B-PER, B_PER, and B where there are no types
SUFFIXED = re.compile(r"(.+)-([BIESLUMW])", re.DOTALL)
SMALL = re.compile(r"[bieslumw](?:[-_:/|].*)?", re.DOTALL)
AS_IOBES = {"L": "E", "U": "S", "W": "S", "M": "I"}
UNTYPED = "_"  # as seqeval names the type of tags without one
SCORES = {"precision": precision_score, "recall": recall_score, "f1": f1_score}


@dataclass(frozen=True)
class WordLabels:
    """Labels of words that follow each other in a document.

    Attributes:
        document: Number of the document.
        start: Position of the first of these words in it.
        labels: A label per word.
    """

    document: int
    start: int
    labels: list[str]


class Seqeval:
    """Score predicted entities against true ones: type and both ends must match.

    `update` takes lists of `WordLabels` in any order; `compute` joins the windows of each document, so that an entity
    counts once. Labels follow IO, IOB1, IOB2, IOBES or BILOU, with types or without; of labels without a prefix,
    neighbours of the same name are one entity. See `check_tags` for what is refused.

    Args:
        score: `precision` (share of predicted entities that are right), `recall` (share of true entities found), `f1`
            (their harmonic mean), or `accuracy` (share of words with the right label).
        average: `micro` over all entities, `macro` over the types, or `weighted` by the types' number of entities;
            ignored by `accuracy`.
    """

    reads: ClassVar[str] = "words"
    direction: ClassVar[str] = "maximize"

    def __init__(self, score: Score = "f1", average: Literal["micro", "macro", "weighted"] = "micro") -> None:
        self.score, self.average = score, average
        self.reset()

    def reset(self) -> None:
        self.predicted: list[WordLabels] = []
        self.true: list[WordLabels] = []

    def update(self, predictions: Sequence[WordLabels], targets: Sequence[WordLabels]) -> None:
        if not isinstance(predictions, list) or not all(isinstance(part, WordLabels) for part in predictions):
            raise InputError("seqeval scores labelled words, which this task does not predict; see `blurr ls metrics`.")
        self.predicted += predictions
        self.true += targets

    def compute(self) -> float:
        true, predicted = documents(self.true), documents(self.predicted)
        if self.score == "accuracy":
            return float(accuracy_score(true, predicted))
        chunks = [[iobes(labels) for labels in part] for part in (true, predicted)]
        return float(SCORES[self.score](*chunks, average=self.average, zero_division=0))

    def resampled(self, draws: Draws) -> Numbers:
        """Return the score of each draw of documents, from the entities of each that are right, predicted and true."""
        rows = sorted({part.document for part in self.true})
        counts = draws.counts[:, rows]
        true, predicted = documents(self.true), documents(self.predicted)
        if self.score == "accuracy":
            pairs = [list(zip(*each, strict=True)) for each in zip(true, predicted, strict=True)]
            right = np.array([sum(a == b for a, b in each) for each in pairs])
            return ratio(counts @ right, counts @ np.array([len(each) for each in pairs]))
        found, known = ([set(entities(labels)) for labels in part] for part in (predicted, true))
        kinds = sorted({kind for each in [*found, *known] for kind, _, _ in each})
        both = [a & b for a, b in zip(found, known, strict=True)]
        of_kinds = [counts @ _counted(part, kinds) for part in (both, found, known)]  # (draws, kinds) each
        return _averaged(self.score, self.average, *of_kinds)

    def report(self) -> str:
        """Return precision, recall, F1 and number of true entities of each type, as a table."""
        return entity_report(documents(self.true), documents(self.predicted))


def _counted(parts: Sequence[set[tuple[str, int, int]]], kinds: Sequence[str]) -> Numbers:
    """Count the entities of each kind in each document, `(documents, kinds)`."""
    tallies = [Counter(kind for kind, _, _ in part) for part in parts]
    return np.array([[tally[kind] for kind in kinds] for tally in tallies], dtype=np.float64)


def _averaged(score: Score, average: str, right: Numbers, predicted: Numbers, true: Numbers) -> Numbers:
    """Return the score of each draw from counts of its entities, `(draws, kinds)`, averaged as seqeval does."""
    if average == "micro":
        right, predicted, true = (each.sum(1, keepdims=True) for each in (right, predicted, true))
    precision, recall = ratio(right, predicted), ratio(right, true)
    values = {"precision": precision, "recall": recall, "f1": ratio(2 * precision * recall, precision + recall)}[score]
    weights = true if average == "weighted" else (predicted + true > 0).astype(np.float64)
    return ratio((values * weights).sum(1), weights.sum(1))


def documents(parts: Sequence[WordLabels]) -> list[list[str]]:
    """Join the labels of each document, in the order of its words."""
    whole: dict[int, list[str]] = {}
    for part in sorted(parts, key=lambda part: (part.document, part.start)):
        whole.setdefault(part.document, []).extend(part.labels)
    return list(whole.values())


def entity_report(true: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> str:
    """Return the table of `Seqeval.report`; each document is a list of labels."""
    chunks = [[iobes(labels) for labels in part] for part in (true, predicted)]
    if not any(get_entities(labels) for part in chunks for labels in part):
        return "There are no entities, neither true nor predicted.\n"
    return str(classification_report(*chunks, digits=4, zero_division=0))


def entities(labels: Sequence[str]) -> list[tuple[str, int, int]]:
    """Return type, first and last word of each entity, as the metrics count them."""
    return [(str(kind), int(first), int(last)) for kind, first, last in get_entities(iobes(labels))]


def iobes(labels: Sequence[str]) -> list[str]:
    """Write labels with the prefixes that seqeval knows; a name without one is inside an entity."""
    return [_iobes(label) for label in labels]


def _iobes(label: str) -> str:
    if label == OUTSIDE:
        return label
    if known := PREFIXED.fullmatch(label):
        return f"{AS_IOBES.get(known[1], known[1])}-{known[2] or UNTYPED}"
    if known := SUFFIXED.fullmatch(label):
        return f"{AS_IOBES.get(known[2], known[2])}-{known[1]}"
    return f"I-{label}"


def inside_of(label: str) -> str:
    """Return the label of the words after the first of an entity: `I-PER` for `B-PER`, `I` for `B`."""
    if PREFIXED.fullmatch(label):
        return f"I{label[1:]}" if label[0] == "B" else label
    return f"{label[:-1]}I" if SUFFIXED.fullmatch(label) and label[-1] == "B" else label


def check_tags(names: Sequence[str]) -> None:
    """Refuse ambiguous tags, whose scores would mean something else.

    Raises:
        InputError: The tags are numbers, the outside tag is not `O`, prefixes are small letters, or styles are mixed.
    """
    others = [name for name in names if name != OUTSIDE]
    there = f"The tags are {list(names)[:20]}."
    if others and all(name.isdecimal() for name in others):
        raise InputError(
            "The tags are numbers, and which of them are outside of entities is unknown. Name them in the order of "
            f"their numbers, for example task.label_names=[O,B-PER,I-PER]. {there}"
        )
    for name in others:
        if name.casefold() in LIKE_OUTSIDE:
            raise InputError(
                f"The tag {name!r} would count as an entity: words outside of entities have the tag {OUTSIDE!r}, a "
                f"capital letter. Write {OUTSIDE!r} for it in the data. {there}"
            )
        if SMALL.fullmatch(name):
            raise InputError(
                f"The tag {name!r} has a small letter for a prefix; prefixes are capitals, as in {name[0].upper()}"
                f"{name[1:]}. Correct the tags in the data. {there}"
            )
    mixed = _in_another_way(others)
    if mixed:
        raise InputError(
            f"The tag {mixed[0]!r} says where a word stands in its entity in another way than the tag "
            f"{next(name for name in others if name not in mixed)!r}. Write all alike, as in B-PER and I-PER. {there}"
        )


def _in_another_way(names: Sequence[str]) -> list[str]:
    """Return suffixed tags among prefixed ones, and those and single letters among tags that are neither."""
    after = [name for name in names if SUFFIXED.fullmatch(name) and not PREFIXED.fullmatch(name)]
    letters = [name for name in names if len(name) == 1 and PREFIXED.fullmatch(name)]
    are_plain = any(not PREFIXED.fullmatch(name) and not SUFFIXED.fullmatch(name) for name in names)
    return [*after, *letters] if are_plain else after if len(after) < len(names) else []
