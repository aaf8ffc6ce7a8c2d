"""What a sound is like: as a few numbers, to find sounds that are nearly the same; as a small waveform, for pages."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from blurr.data.media import Look
from blurr.loading.shown import data_url

RATE = 8000  # Hz at which sounds are compared
WINDOW, LOWEST = 512, 80  # samples, and Hz
BANDS, PARTS = 36, 18  # of the spectrogram that is compared: logarithmic in Hz, equal in time
BITS = 8  # of each side of the hash
FLOOR = 25.0  # dB below the loudest cell, from which all is silent: codecs change what is quieter
STEP = 1.0  # dB between neighbours that make a bit
WIDE, HIGH = 160, 48  # pixels of a waveform
INK = 0x4C, 0x72, 0xB0


def look_of(wave: NDArray[np.float32], *, seconds: float, rate: int) -> Look:
    """Return the hash, the sketch and the measures of a sound.

    The sketch is a spectrogram of few cells, in dB below the loudest one, so that a copy at another level has the same.
    A bit of the hash says whether the difference of two neighbouring bands grows from one part of the sound to the
    next. Source: Haitsma and Kalker 2002, A Highly Robust Audio Fingerprinting System (ISMIR).

    Args:
        wave: At `RATE`, `(samples,)`.
        seconds: Of the file.
        rate: Of the file, in Hz.
    """
    sketch = _spectrogram(wave)
    coarse = sketch.reshape(BITS + 1, PARTS // (BITS + 1), BITS + 1, BANDS // (BITS + 1)).mean(axis=(1, 3))
    changes = np.diff(np.diff(coarse, axis=0), axis=1)
    measures = {"seconds": seconds, "level in dBFS": level_of(wave), "rate in Hz": float(rate)}
    return Look((changes > STEP).ravel(), sketch.ravel(), measures)


def level_of(wave: NDArray[np.float32]) -> float:
    """Return the root mean square of a wave in dB below the loudest possible one, at least -120."""
    return float(20 * np.log10(max(1e-6, np.sqrt(np.mean(np.square(wave, dtype=np.float64))))))


def _spectrogram(wave: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the power in parts and bands, `(PARTS, BANDS)`, from -FLOOR to 0 dB."""
    padded = np.pad(wave, (0, max(0, WINDOW + PARTS - len(wave))))
    starts = np.linspace(0, len(padded) - WINDOW, max(PARTS, 2 * len(padded) // WINDOW)).astype(np.int64)
    power = np.empty((len(starts), BANDS))
    edges = np.geomspace(LOWEST, RATE / 2, BANDS + 1) / (RATE / 2) * (WINDOW // 2)
    bins = np.minimum(edges.astype(np.int64), WINDOW // 2)
    window = np.hanning(WINDOW)
    for row, start in enumerate(starts):
        spectrum = np.abs(np.fft.rfft(padded[start : start + WINDOW] * window)) ** 2
        power[row] = np.add.reduceat(spectrum, bins[:-1])
    parts = [part.mean(axis=0) for part in np.array_split(power, PARTS)]
    cells = 10 * np.log10(np.maximum(np.stack(parts), 1e-12))
    below: NDArray[np.float32] = np.maximum(cells - cells.max(), -FLOOR).astype(np.float32)
    return below


def waveform(wave: NDArray[np.float32]) -> Image.Image:
    """Draw a wave, `(samples,)`: for each column of pixels, from its lowest to its highest sample."""
    edges = np.linspace(0, len(wave), WIDE + 1).astype(np.int64)[:-1]
    loudest = max(float(np.abs(wave).max()), 1e-6)
    tops, bottoms = (function.reduceat(wave, edges) / loudest for function in (np.maximum, np.minimum))
    rows = np.arange(HIGH)[:, None]
    middle = (HIGH - 1) / 2
    is_ink = (rows >= np.floor(middle - tops * middle)) & (rows <= np.ceil(middle - bottoms * middle))
    made = np.full((HIGH, WIDE, 3), 255, np.uint8)
    made[is_ink] = INK
    return Image.fromarray(made)


def preview_of(wave: NDArray[np.float32]) -> str:
    """Return a small waveform as a `data:` URL."""
    return data_url(waveform(wave).quantize(4), "PNG")
