"""Check the described rows of a run against what its task predicts, before anything is made of them."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Self

from annotated_types import Ge, Le, MaxLen, MinLen
from pydantic import BaseModel, model_validator

from blurr.errors import InputError
from blurr.runs.jsonlines import REMEDY
from blurr.runs.parsing import Number, Whole, validated
from blurr.runs.record import Rows

FIGURES = ("loss", "exact_match", "f1")  # NaN and the infinities are kept as text
NEEDED = {"target", "prediction", "loss"}
Label = str | float | bool
Probabilities = Annotated[dict[str, Annotated[float, Ge(0), Le(1.01)]], MinLen(1)]


class Described(BaseModel):
    """A row that was predicted on; the columns of the data stand beside."""

    target: Any
    prediction: Any
    loss: Number
    token_count: Whole = 0


class OfLabels(Described):
    """A row with several labels."""

    target: list[Label]
    prediction: list[Label]
    probs: Probabilities


class OfClasses(Described):
    """A row of one class."""

    target: Label
    prediction: Label
    probs: Probabilities


class Alternative(BaseModel):
    """Another answer to a question; None: that there is none."""

    answer: str | None
    score: float


class OfAnswers(Described):
    """A question; an answer that is none is empty."""

    question: str
    context: str
    target: list[str] | str
    prediction: str
    start: Whole | None
    end: Whole | None
    exact_match: Number
    f1: Number
    others: list[Alternative] = []


class OfWords(Described):
    """The words of a text, and a label for each."""

    tokens: list[str]
    target: list[str]
    prediction: list[str]

    @model_validator(mode="after")
    def has_as_many_labels(self) -> Self:
        """Check that every label has its word."""
        if not len(self.tokens) >= len(self.target) == len(self.prediction):
            raise ValueError(f"{len(self.tokens)} words, {len(self.target)} and {len(self.prediction)} labels")
        return self


class OfTokens(Described):
    """A text whose tokens were predicted, and how many of them were right."""

    target_count: Whole
    right_count: Whole


class OfMasks(Described):
    """A picture: the classes in its masks, and for each the pixels that are true, predicted, and both."""

    target: list[str]
    prediction: list[str]
    pixel_accuracy: Number | None
    pixels: dict[str, Annotated[list[Whole], MinLen(3), MaxLen(3)]]
    target_count: Whole


class Object(BaseModel):
    """An object in a picture, with its box: left, top, right and bottom."""

    label: str
    box: Annotated[list[float], MinLen(4), MaxLen(4)]


class Predicted(Object):
    """An object as a model finds it."""

    score: Annotated[float, Ge(0), Le(1)]


class OfBoxes(Described):
    """A picture: the classes of its objects, and their boxes; the predicted ones have the highest scores."""

    target: list[str]
    prediction: list[str]
    boxes: list[Object]
    predicted_boxes: list[Predicted]

    @model_validator(mode="after")
    def has_a_box_for_each(self) -> Self:
        """Check that every predicted object has its box."""
        if len(self.prediction) > len(self.predicted_boxes):
            raise ValueError(f"{len(self.prediction)} predicted objects, {len(self.predicted_boxes)} boxes")
        return self


class OfNumbers(Described):
    """A row with a number."""

    target: Number
    prediction: Number


class OfTexts(Described):
    """A row with a text."""

    target: str
    prediction: str


class OfChats(OfTokens, OfTexts):
    """A chat: its messages, the tokens of its answers, and the last answer as the model writes it."""

    messages: list[dict[str, Any]]


class OfTranscripts(OfTexts):
    """What is said in a sound, and what was heard: the words side by side, one of a pair missing or both."""

    alignment: list[Annotated[list[str | None], MinLen(2), MaxLen(2)]]


# What a task may predict (see `Scored.kind`), and how its rows look. The most telling comes first.
KINDS: dict[str, type[Described]] = {
    "labels": OfLabels,
    "classes": OfClasses,
    "answers": OfAnswers,
    "words": OfWords,
    "masks": OfMasks,
    "boxes": OfBoxes,
    "chats": OfChats,
    "tokens": OfTokens,
    "numbers": OfNumbers,
    "transcripts": OfTranscripts,
    "texts": OfTexts,
}
SPECIAL = {"texts": "transcripts", "tokens": "chats"}  # a kind that tells more, of which rows may be


def predicted(row: Mapping[str, Any], recorded: str) -> str:
    """Return what was predicted: a key of `KINDS`, or nothing if the row is of another kind.

    Args:
        row: a described row, with `target` and `prediction`.
        recorded: what the run says that its task predicts. Runs of an early blurr and tasks of one's own may not say
            it, or say a word that is not known here; then the fields of the row decide.
    """
    fitting = [name for name, kind in KINDS.items() if _reason(row, kind) is None]
    if SPECIAL.get(recorded) in fitting:
        return SPECIAL[recorded]
    if recorded in KINDS:
        return recorded if recorded in fitting else ""
    return fitting[0] if fitting else ""


def checked(rows: Rows, recorded: str) -> tuple[Rows, str | None]:
    """Return described rows with their figures as numbers, and what they are predictions of.

    Args:
        rows: as `Task.evaluate` describes them.
        recorded: see `predicted`.

    Returns:
        The kind is None if there are no rows, or rows without a target, a prediction and a loss.

    Raises:
        InputError: a row is of another kind than the first.
    """
    if not rows or not set(rows[0]) >= NEEDED:
        return rows, None
    kind = predicted(rows[0], recorded)
    for number, row in enumerate(rows, 1):
        reason = _reason(row, KINDS.get(kind, Described))
        if reason:
            raise InputError(f"Row {number} of the predictions is not as a run of blurr wrote it: {reason}. {REMEDY}")
    return [{**row, **_figures(row)} for row in rows], kind


def _figures(row: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(row[name]) for name in FIGURES if row.get(name) in ("nan", "inf", "-inf")}


def _reason(row: Mapping[str, Any], kind: type[Described]) -> str | None:
    """Return why a row is not of a kind; None if it is."""
    try:
        validated(kind, json.dumps(row))
    except ValueError as error:
        return str(error)
    return None
