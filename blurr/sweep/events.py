"""The types of the lines of a sweep's ledger."""

from typing import Annotated, Any, Literal

from annotated_types import Ge
from pydantic import BaseModel, ConfigDict, Field

from blurr.runs.parsing import Number, Time, Whole
from blurr.sweep.space import Point

State = Literal["running", "finished", "pruned", "failed"]


class Head(BaseModel):
    """An event that adds to the head of a ledger; each of them has some of these keys."""

    event: Literal["sweep"]
    name: str = ""
    argv: list[str] = []
    words: list[str] = []
    weights: str = ""
    fixed: list[str] = []
    goals: list[tuple[str, Literal["minimize", "maximize"]]] = []
    total: Whole = 0
    run: str | None = None
    identity: str = ""
    best: list[Whole] = []
    repetitions: Annotated[Whole, Ge(1)] = 1
    time: Time | None = None


class OfTrial(BaseModel):
    """What the events of a trial have in common."""

    model_config = ConfigDict(extra="forbid")
    number: Whole
    time: Time | None = None


class TrialProposal(OfTrial):
    """A trial was written down."""

    event: Literal["trial"]
    hash: str
    point: Point


class TrialStart(OfTrial):
    """A trial was started."""

    event: Literal["started"]


class TrialReport(OfTrial):
    """A trial was evaluated."""

    event: Literal["report"]
    step: Whole
    value: Number


class TrialEnd(OfTrial):
    """A trial ended; the rest is as in `blurr.sweep.ledger.Trial`."""

    event: Literal["ended"]
    state: State
    values: list[Number] = []
    reason: str = ""
    details: str = ""
    twin: Whole | None = None
    seconds: float = 0.0
    cpu: float = 0.0


Event: Any = Annotated[Head | TrialProposal | TrialStart | TrialReport | TrialEnd, Field(discriminator="event")]
BEGUN = {"name", "argv", "words", "weights"}  # keys of the head that its first event has
PLANNED = {"fixed", "goals", "total"}  # those that it has before the first trial
