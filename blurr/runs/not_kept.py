"""The note in the folder of a model whose weights a sweep has deleted."""

import shlex
from pathlib import Path

from pydantic import BaseModel

from blurr.errors import InputError
from blurr.runs.jsonlines import read_whole
from blurr.runs.parsing import parse_json

NOT_KEPT = "not_kept.json"


class NotKept(BaseModel):
    """What the note says: the sweep, the trial and its folder, and the folders of the trials that were kept."""

    sweep: str
    trial: int
    folder: str
    kept: list[str] = []


def check_kept(model: Path) -> None:
    """Refuse the folder of a model whose weights a sweep has deleted.

    Raises:
        InputError: says which trial it was of, which were kept, and how to train it again.
    """
    if not (model / NOT_KEPT).is_file():
        return
    note = NotKept(**read_whole(model / NOT_KEPT, parse_json, NotKept))
    kept = f"It has kept those in {', '.join(note.kept)}." if note.kept else "It has kept none."
    raise InputError(
        f"{model} has no weights: trial {note.trial} of the sweep {note.sweep} was not one of those whose weights "
        f"sweep.keep keeps. {kept} To train it again: blurr reproduce {shlex.quote(note.folder)}"
    )
