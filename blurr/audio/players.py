"""Sounds in pages and notebooks: a waveform and a player; in a terminal, the length."""

import base64
import io

import numpy as np
from numpy.typing import NDArray

from blurr.audio.decoding import library, resampled
from blurr.audio.looks import preview_of
from blurr.data.media import Player
from blurr.loading.shown import TableCell

MOST_SECONDS = 10  # of a sound in a page, about 50 kB
MOST_HERTZ = 16_000
RATES = (8000, 11_025, 12_000, 16_000)  # of MP3, in Hz
SMALL = {"bitrate_mode": "VARIABLE", "compression_level": 0.9}  # about 3.5 kB a second


def shown_sound(samples: NDArray[np.float32], rate: int) -> TableCell:
    """Return a sound as a cell of a table.

    Args:
        samples: `(samples,)` in [-1, 1].
        rate: Samples per second.
    """
    player = player_of(samples, rate)
    waveform = f'<img alt="" style="display:block" src="{preview_of(samples)}">'
    html = f'{waveform}<audio controls preload="none" src="{player.url}"></audio>'
    html += f"<br><small>{player.note}</small>" if player.note else ""
    return TableCell(html, f"{len(samples) / rate:.1f} s", (samples, rate))


def player_of(samples: NDArray[np.float32], rate: int) -> Player:
    """Return the beginning of a sound as a small MP3 for a page.

    Args:
        samples: `(samples,)` in [-1, 1].
        rate: Samples per second.
    """
    soundfile, made = library("soundfile"), io.BytesIO()
    heard = rate if rate in RATES else MOST_HERTZ
    wave = resampled(samples[: MOST_SECONDS * rate], of=rate, to=heard)
    soundfile.write(made, np.clip(wave, -1, 1), heard, format="MP3", **SMALL)
    seconds = len(samples) / rate
    note = f"the first {MOST_SECONDS} of {seconds:.0f} seconds" if seconds > MOST_SECONDS else ""
    return Player(f"data:audio/mpeg;base64,{base64.b64encode(made.getvalue()).decode()}", note)
