"""Waves of sounds: decoded and resampled once, and kept for the next epoch."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from blurr.audio.sounds import SOUNDS, open_sound, samples_of
from blurr.data.media import values_of
from blurr.loading.decoded import Decoded

LEAST_SECONDS = 0.25  # shorter sounds end with silence: convolutions need some frames, and masks of SpecAugment ten


@dataclass(frozen=True)
class Waves(Decoded):
    """The waves of sounds, each made when it is read; row `i` is `(samples,)`, float32 in [-1, 1], of one channel.

    Args:
        rate: Samples per second.
        most: Samples to which longer sounds are cut; None keeps them whole.
    """

    dtype: ClassVar[type[np.generic]] = np.float32

    rate: int
    most: int | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return ()

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        seconds = values_of(self.files, "seconds")
        chosen = seconds if self.numbers is None else [seconds[i] for i in self.numbers]
        whole = np.array([samples_of(each, self.rate) for each in chosen], dtype=np.int64)
        return np.clip(whole, samples_of(LEAST_SECONDS, self.rate), self.most)

    @property
    def ingredients(self) -> dict[str, Any]:
        return {"rate": self.rate, "most": self.most, "least": LEAST_SECONDS, "version": SOUNDS.version}

    def made(self, file: Mapping[str, Any]) -> NDArray[np.float32]:
        wave = open_sound(file, self.rate)[: self.most]
        short = samples_of(LEAST_SECONDS, self.rate) - len(wave)
        return np.pad(wave, (0, short)) if short > 0 else wave
