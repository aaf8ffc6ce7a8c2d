"""Sample data for audio: short melodies, told apart by how their pitch moves."""

import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

RATE = 8_000  # samples per second
SECONDS = (0.6, 1.2)  # of a sound
PITCH = (250.0, 900.0)  # Hz
OVERTONES = 3
TRILLS, BEEPS = (7.0, 10.0), (5.0, 8.0)  # per second
OCTAVES = 0.6  # by which a pitch rises or falls
SEMITONE = 2 ** (2 / 12)
NOISE = 0.03

Curve = NDArray[np.float64]


def _steady(share: Curve, seconds: float, rng: random.Random) -> Curve:
    return np.ones_like(share)


def _rising(share: Curve, seconds: float, rng: random.Random) -> Curve:
    return 2 ** (OCTAVES * share)


def _falling(share: Curve, seconds: float, rng: random.Random) -> Curve:
    return 2 ** (OCTAVES * (1 - share))


def _trill(share: Curve, seconds: float, rng: random.Random) -> Curve:
    turns = share * seconds * rng.uniform(*TRILLS)
    return np.where(turns % 1 < 0.5, 1.0, SEMITONE)


KINDS: dict[str, Callable[[Curve, float, random.Random], Curve]] = {
    "beeps": _steady,
    "falling": _falling,
    "rising": _rising,
    "steady": _steady,
    "trill": _trill,
}


def tones(rng: random.Random) -> dict[str, Any]:
    """Return a short sound as `audio`, its samples and their rate, and how its pitch moves as `label`."""
    kind, seconds = rng.choice(list(KINDS)), rng.uniform(*SECONDS)
    share = np.arange(round(seconds * RATE)) / round(seconds * RATE)
    pitch = math.exp(rng.uniform(*map(math.log, PITCH))) * KINDS[kind](share, seconds, rng)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    loudness = [rng.uniform(0.2, 1) / number for number in range(1, OVERTONES + 1)]
    parts = [each * np.sin(phase * number) for number, each in enumerate(loudness, start=1)]
    wave = np.sum(parts, axis=0) / sum(loudness)
    if kind == "beeps":
        wave = wave * (share * seconds * rng.uniform(*BEEPS) % 1 < 0.5)
    edges = np.minimum(1, 40 * np.minimum(share, 1 - share))  # without clicks at beginning and end
    noise = np.random.default_rng(rng.getrandbits(32)).normal(0, NOISE, len(share))
    return {"audio": ((rng.uniform(0.2, 0.8) * wave * edges + noise).astype(np.float32), RATE), "label": kind}
