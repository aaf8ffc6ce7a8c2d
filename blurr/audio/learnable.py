"""Rows that a model can learn to write down: neither too short nor too long, and with room for their text."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from datasets import DatasetDict
from numpy.typing import NDArray

from blurr.audio.extractors import extracted, extractor_of, names_of, reads_waves
from blurr.audio.sounds import samples_of
from blurr.data.core import RawData
from blurr.data.media import values_of
from blurr.errors import InputError
from blurr.loading.collate import stacked
from blurr.loading.rows import IGNORED
from blurr.models.ctc import frames_of, needed_frames
from blurr.models.objects import HFObjects

log = logging.getLogger(__name__)
SURE = 2  # frames beyond twice of what is needed are not counted exactly
TOO_MANY = 0.5  # share of training rows without room for their text that shows a mistake


def within(raw: RawData, least: float | None, most: float | None, why: str) -> RawData:
    """Leave out training rows whose sound is shorter or longer, in seconds, and log how many.

    Args:
        raw: The rows; those to validate and test on stay.
        least: Seconds, or None.
        most: Seconds, or None.
        why: What asks for it, for messages.

    Raises:
        InputError: no training row is left.
    """
    if "train" not in raw.splits or (least is None and most is None):
        return raw
    seconds = np.array(values_of(raw.train["audio"], "seconds"))
    kept = (seconds >= (least or 0)) & (seconds <= (np.inf if most is None else most))
    if kept.all():
        return raw
    if not kept.any():
        raise InputError(
            f"No training row is left: their sounds last {seconds.min():.1f} to {seconds.max():.1f} s, and {why}."
        )
    log.warning("%d of %d training rows are left out: %s.", int((~kept).sum()), len(kept), why)
    return _only(raw, kept)


def with_room(raw: RawData, hf: HFObjects, labels: Sequence[Sequence[int]]) -> RawData:
    """Leave out training rows whose text has more tokens than a CTC model makes frames of their sound.

    Args:
        raw: The rows; those to validate and test on stay.
        hf: Model and processor.
        labels: Tokens of the texts of the training rows.

    Raises:
        InputError: that is half of them or more.
    """
    needed = needed_frames(stacked([np.asarray(ids, dtype=np.int64) for ids in labels], IGNORED)).numpy()
    kept = _frames(raw, hf, needed) >= needed
    if kept.all():
        return raw
    count = int((~kept).sum())
    said = f"{count} of {len(kept)} training rows have more characters than {hf.arch} makes frames of their sounds"
    if count > TOO_MANY * len(kept):
        raise InputError(
            f"{said}, so it cannot write them down. Look whether sounds and texts belong together; a model with more "
            "frames per second can write faster speech."
        )
    log.warning("%s; they are left out.", said)
    return _only(raw, kept)


def _frames(raw: RawData, hf: HFObjects, needed: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the frames of training rows; of rows that have far more than is needed, about as many as they have."""
    extractor = extractor_of(hf.processor)
    seconds = values_of(raw.train["audio"], "seconds")
    samples = np.array([samples_of(each, extractor.sampling_rate) for each in seconds])
    if reads_waves(extractor):
        lengths = samples
    else:
        second = _spectra(extractor, extractor.sampling_rate)
        lengths = samples * second // extractor.sampling_rate
        about = frames_of(hf.model, torch.from_numpy(lengths))
        close = np.nonzero((lengths if about is None else about.numpy()) < SURE * needed)[0]
        lengths[close] = [_spectra(extractor, int(samples[row])) for row in close]
    found = frames_of(hf.model, torch.from_numpy(lengths))
    return lengths if found is None else found.numpy()


def _spectra(extractor: Any, samples: int) -> int:
    """Return how many spectra an extractor makes of so many samples."""
    made, names = extracted(extractor, [np.zeros(samples, np.float32)]), names_of(extractor)
    return int(made[names.mask].sum() if names.mask else made[names.main].shape[1])


def _only(raw: RawData, kept: NDArray[np.bool_]) -> RawData:
    train = raw.train.select(np.nonzero(kept)[0])
    return replace(raw, splits=DatasetDict({**raw.splits, "train": train}))
