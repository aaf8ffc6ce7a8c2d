"""Sounds in tables: a player in a page or a notebook, the length in a terminal."""

import base64
import io
import wave

import numpy as np
from numpy.typing import NDArray

from blurr.loading.shown import TableCell

MOST_SECONDS = 30  # of a sound in a page


def shown_sound(samples: NDArray[np.float32], rate: int) -> TableCell:
    """Return a sound as a cell of a table.

    Args:
        samples: `(samples,)` in [-1, 1].
        rate: Samples per second.
    """
    seconds = len(samples) / rate
    source = f"data:audio/wav;base64,{base64.b64encode(as_wav(samples[: MOST_SECONDS * rate], rate)).decode()}"
    return TableCell(f'<audio controls preload="none" src="{source}"></audio>', f"{seconds:.1f} s", (samples, rate))


def as_wav(samples: NDArray[np.float32], rate: int) -> bytes:
    """Return samples in [-1, 1] as a WAV file of 16 bits."""
    made = io.BytesIO()
    with wave.open(made, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return made.getvalue()
