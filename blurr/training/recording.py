"""The run that is open in a notebook, which records every learner that trains meanwhile."""

from dataclasses import dataclass
from typing import Any, Protocol

from fastai.learner import Learner


class Recording(Protocol):
    """A run that a notebook has opened, see `blurr.notebook.track`."""

    def begin(self, learner: Learner) -> None:
        """Record what this learner trains from now on."""
        ...

    def report(self) -> Any:
        """Return the report of the run, which a notebook shows."""
        ...


@dataclass
class Current:
    """The run that is open; a notebook has one at a time."""

    recording: Recording | None = None


CURRENT = Current()
