"""Change training sounds at random: the options of `conf/augment` for sounds."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from blurr.config.annotations import Fraction, Natural, NonNegative
from blurr.loading.draws import Stream, uniform

OF_WAVES = 5  # numbers drawn for each wave
Wave = NDArray[np.float32]


def sound(
    crop: bool = True,
    max_shift: NonNegative = 0.1,
    max_gain: NonNegative = 6.0,
    least_snr: NonNegative | None = 15.0,
    time_masks: Natural = 1,
    frequency_masks: Natural = 1,
    max_time: Fraction = 0.1,
    max_frequency: Fraction = 0.15,
) -> "SoundChanges":
    """Return changes of place, loudness and noise, and masks; see `SoundChanges`."""
    return SoundChanges(crop, max_shift, max_gain, least_snr, time_masks, frequency_masks, max_time, max_frequency)


def spec_augment(
    time_masks: Natural = 2, frequency_masks: Natural = 2, max_time: Fraction = 0.1, max_frequency: Fraction = 0.2
) -> "SoundChanges":
    """Return the masks of SpecAugment alone; see `SoundChanges`."""
    return SoundChanges(False, 0.0, 0.0, None, time_masks, frequency_masks, max_time, max_frequency)


@dataclass(frozen=True)
class SoundChanges:
    """Shift each sound in time, make it louder or softer, add noise, and hide stretches of time and of frequency.

    Models that read spectra lose what is hidden, which becomes the mean of the spectrum (SpecAugment, Park et al. 2019,
    arXiv:1904.08779); models that read waves lose stretches of time, which become silent.

    Args:
        crop: Take the window of a model that reads one, such as AST, from a random place of a longer sound, in place of
            its beginning.
        max_shift: Seconds in either direction; what moves out is lost, and silence comes in.
        max_gain: Decibels, in either direction.
        least_snr: Decibels by which a sound is louder than the noise added to it, at least; half of the sounds have
            none added. None adds none.
        time_masks: Stretches of time that are hidden.
        frequency_masks: Stretches of frequency that are hidden.
        max_time: Longest such stretch, as a share of the sound.
        max_frequency: Widest one, as a share of the frequencies.
    """

    crop: bool
    max_shift: float
    max_gain: float
    least_snr: float | None
    time_masks: int
    frequency_masks: int
    max_time: float
    max_frequency: float

    def waves(
        self, waves: Sequence[Wave], seeds: torch.Tensor, rate: int, *, window: int | None = None, hide: bool = False
    ) -> list[Wave]:
        """Return changed waves, each as long as it was, or as the window.

        Args:
            waves: `(samples,)` each.
            seeds: Of the rows, int64 `(batch,)`.
            rate: Samples per second.
            window: Samples that the model reads, if it reads no more.
            hide: Hide stretches of time in the waves, too.
        """
        drawn = self._drawn(seeds).numpy()
        if window is not None and self.crop:
            waves = [cropped(wave, window, numbers[4]) for wave, numbers in zip(waves, drawn, strict=True)]
        changed = [self._changed(*each, rate) for each in zip(waves, drawn, seeds.tolist(), strict=True)]
        if hide:
            for wave, numbers in zip(changed, drawn, strict=True):
                for start, end in self._stretches(numbers, len(wave), self.time_masks, self.max_time, 0):
                    wave[start:end] = 0
        return changed

    def _changed(self, wave: Wave, drawn: NDArray[np.float32], seed: int, rate: int) -> Wave:
        by = round((2 * drawn[0] - 1) * self.max_shift * rate)
        moved = np.zeros_like(wave)
        if abs(by) < len(wave):
            moved[max(by, 0) : len(wave) + min(by, 0)] = wave[max(-by, 0) : len(wave) - max(by, 0)]
        moved *= np.float32(10 ** ((2 * drawn[1] - 1) * self.max_gain / 20))
        if self.least_snr is not None and drawn[2] < 0.5:
            snr = self.least_snr + 20 * drawn[3]
            level = float(np.sqrt(np.mean(np.square(moved)))) * 10 ** (-float(snr) / 20)
            moved += np.random.default_rng(seed % 2**64).normal(0, level, len(moved)).astype(np.float32)
        return moved

    def spectra(self, values: torch.Tensor, seeds: torch.Tensor, *, frames_last: bool) -> torch.Tensor:
        """Return spectra of which stretches are hidden.

        Args:
            values: `(batch, frames, frequencies)`.
            seeds: Of the rows, int64 `(batch,)`.
            frames_last: They are `(batch, frequencies, frames)`.
        """
        changed = values.clone()
        for row, numbers in zip(changed, self._drawn(seeds).cpu().numpy(), strict=True):
            mean, spectrum = row.mean(), row.T if frames_last else row
            for start, end in self._stretches(numbers, len(spectrum), self.time_masks, self.max_time, 0):
                spectrum[start:end] = mean
            width = spectrum.shape[1]
            for start, end in self._stretches(
                numbers, width, self.frequency_masks, self.max_frequency, self.time_masks
            ):
                spectrum[:, start:end] = mean
        return changed

    def _drawn(self, seeds: torch.Tensor) -> torch.Tensor:
        return uniform(seeds, OF_WAVES + 2 * (self.time_masks + self.frequency_masks), Stream.AUGMENT)

    def _stretches(
        self, drawn: NDArray[np.float32], size: int, count: int, share: float, first: int
    ) -> list[tuple[int, int]]:
        """Return beginnings and ends of stretches, from the numbers drawn for them, of which `first` stand before."""
        found = []
        for length, place in drawn[OF_WAVES + 2 * first :].reshape(-1, 2)[:count]:
            taken = round(length * share * size)
            start = round(place * (size - taken))
            found.append((start, start + taken))
        return found

    def __str__(self) -> str:
        noise = "" if self.least_snr is None else f", noise {self.least_snr:g} dB below half of the sounds or softer"
        window = "a window from anywhere in longer sounds, " if self.crop else ""
        moved = f"{window}shifted by up to {self.max_shift:g} s, {self.max_gain:g} dB louder or softer{noise}; "
        masks = f"{self.time_masks} stretches of time and {self.frequency_masks} of frequency hidden"
        return f"{moved if window or self.max_shift or self.max_gain or noise else ''}{masks}"


def cropped(wave: Wave, window: int, place: float) -> Wave:
    """Return the part of a longer wave that begins at this share of what is left over."""
    start = round(float(place) * max(0, len(wave) - window))
    return wave[start : start + window]
