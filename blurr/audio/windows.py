"""Long sounds in windows that a model can read, cut where it is quiet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from blurr.audio.sounds import open_sound, samples_of
from blurr.audio.waves import LEAST_SECONDS, Waves
from blurr.data.media import values_of

SEARCHED = 0.2  # share at the end of a window in which a quiet place is looked for
QUIET = 0.1  # seconds whose loudness is compared


class Window(NamedTuple):
    """A part of a sound.

    Attributes:
        row: Number of the sound.
        start: Where it begins, in seconds.
        stop: Where it ends.
    """

    row: int
    start: float
    stop: float


def windows_of(sounds: Sequence[Mapping[str, Any]], most: float, rate: int) -> list[Window]:
    """Return the windows of sounds, in order: one of each that is no longer than a window.

    Args:
        sounds: Cells of the rows; only those of long ones are decoded.
        most: Seconds of a window.
        rate: Samples per second.
    """
    windows = []
    for row, seconds in enumerate(values_of(sounds, "seconds")):
        if seconds <= most:
            windows.append(Window(row, 0.0, float(seconds)))
            continue
        cuts = quiet_cuts(open_sound(sounds[row], rate), round(most * rate), round(QUIET * rate))
        windows += [Window(row, a / rate, b / rate) for a, b in zip(cuts, cuts[1:], strict=False)]
    return windows


def quiet_cuts(wave: NDArray[np.float32], most: int, quiet: int) -> list[int]:
    """Return where to cut a wave into parts of at most so many samples, its beginning and end among the places.

    Args:
        wave: `(samples,)`.
        most: Samples of a part.
        quiet: Samples whose loudness is compared.
    """
    cuts = [0]
    while len(wave) - cuts[-1] > most:
        end = cuts[-1] + most
        begin = end - max(quiet, round(SEARCHED * most))
        loudness = [
            float(np.square(wave[i : i + quiet]).sum()) for i in range(begin, end - quiet + 1, max(1, quiet // 2))
        ]
        cuts.append(begin + int(np.argmin(loudness)) * max(1, quiet // 2) + quiet // 2)
    return [*cuts, len(wave)]


@dataclass(frozen=True)
class WaveParts(Waves):
    """The waves of parts of sounds, whose cells have the sound as `whole`, and `start` and `stop` in seconds."""

    last: dict[str, NDArray[np.float32]] = field(default_factory=dict, compare=False)

    def made(self, file: Mapping[str, Any]) -> NDArray[np.float32]:
        """Return the part, of a sound that is decoded once for all parts that follow each other."""
        whole = file["whole"]
        if whole["hash"] not in self.last:
            self.last.clear()
            self.last[whole["hash"]] = open_sound(whole, self.rate)
        begin, end = (round(file[name] * self.rate) for name in ("start", "stop"))
        wave = self.last[whole["hash"]][begin:end]
        return np.pad(wave, (0, max(0, samples_of(LEAST_SECONDS, self.rate) - len(wave))))


def parts_of(sounds: Sequence[Mapping[str, Any]], windows: Sequence[Window], rate: int) -> WaveParts:
    """Return the waves of windows of sounds."""
    cells = {window.row: sounds[window.row] for window in windows}
    return WaveParts([_cell(cells[window.row], window) for window in windows], rate)


def _cell(whole: Mapping[str, Any], window: Window) -> dict[str, Any]:
    place = {"start": window.start, "stop": window.stop, "seconds": window.stop - window.start}
    return {**place, "whole": whole, "hash": f"{whole['hash']}:{window.start:.4f}:{window.stop:.4f}"}
