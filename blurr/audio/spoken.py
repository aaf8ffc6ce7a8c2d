"""Sample data for speech recognition: short texts, spoken by a synthesizer with a sound for each letter."""

import math
import random
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

RATE = 16_000  # Hz
PARTIALS = 24  # sines that a sound is made of
LOUDNESS = 0.3  # of a vowel, as the square root of its mean power
FADE = 0.008  # seconds in which a sound begins and ends
# fmt: off
WORDS = (
    "a", "and", "ant", "big", "bird", "blue", "boat", "can", "cat", "dark", "dog", "dust", "fast", "find", "fish",
    "from", "gold", "hand", "hat", "ice", "in", "lamp", "left", "milk", "moth", "nine", "open", "over", "pink",
    "rain", "red", "river", "sand", "six", "snow", "song", "sun", "tin", "two", "under", "up", "wind",
)
# fmt: on


@dataclass(frozen=True)
class Sound:
    """What a letter sounds like.

    Attributes:
        formants: Frequencies in Hz at which it is loud.
        voiced: Made of the multiples of the voice's pitch, else of noise.
        seconds: Its length at the usual speed.
        loudness: Amplitude, from 0 to 1.
    """

    formants: tuple[float, ...]
    voiced: bool = True
    seconds: float = 0.06
    loudness: float = 1.0


def _vowel(*formants: float) -> Sound:
    return Sound(formants, seconds=0.085)


def _noise(*formants: float) -> Sound:
    return Sound(formants, voiced=False, loudness=0.5)


# each letter has a sound of its own, as no real language has it: what is written can be heard
SOUNDS = {
    "a": _vowel(750, 1200),
    "e": _vowel(520, 1850),
    "i": _vowel(280, 2300),
    "o": _vowel(500, 900),
    "u": _vowel(300, 700),
    "b": Sound((200, 1000), seconds=0.05, loudness=0.8),
    "c": _noise(1700, 3400),
    "d": Sound((220, 1800), seconds=0.05, loudness=0.8),
    "f": _noise(2500, 6600),
    "g": Sound((250, 2500), seconds=0.05, loudness=0.8),
    "h": _noise(600, 1300),
    "k": _noise(2200, 2700),
    "l": Sound((360, 1350, 2900), loudness=0.8),
    "m": Sound((180, 1150), loudness=0.7),
    "n": Sound((240, 1600), loudness=0.7),
    "p": _noise(300, 900),
    "r": Sound((330, 1300, 1700), loudness=0.8),
    "s": _noise(5200, 6400),
    "t": _noise(3700, 4600),
    "v": Sound((200, 2000, 3500), loudness=0.7),
    "w": Sound((260, 610), loudness=0.8),
    "x": _noise(2900, 5000),
}


@dataclass(frozen=True)
class Voice:
    """Who speaks.

    Attributes:
        pitch: Frequency of the voice in Hz.
        size: Factor of all formants: above 1 for short throats.
        speed: Sounds are so many times as short.
    """

    pitch: float
    size: float
    speed: float

    @classmethod
    def any(cls, rng: random.Random) -> "Voice":
        return cls(rng.uniform(95, 220), rng.uniform(0.92, 1.1), rng.uniform(0.85, 1.2))


def say(text: str, voice: Voice, noise: np.random.Generator) -> NDArray[np.float32]:
    """Speak a text of the letters of `SOUNDS` and spaces; returns samples at `RATE`, in [-1, 1]."""
    parts = [_silence(0.04, noise), *(_sounding(letter, voice, noise) for letter in text), _silence(0.04, noise)]
    wave = np.concatenate(parts)
    wave += noise.normal(0, 0.01, len(wave))
    return (wave * (0.7 / max(0.7, float(np.abs(wave).max())))).astype(np.float32)


def _silence(seconds: float, noise: np.random.Generator) -> NDArray[np.float64]:
    return np.zeros(round(noise.uniform(1, 2) * seconds * RATE))


def _sounding(letter: str, voice: Voice, noise: np.random.Generator) -> NDArray[np.float64]:
    """Return a letter as samples: a sum of sines, each as loud as the nearest formant makes it."""
    if letter == " ":
        return _silence(0.05, noise)
    sound = SOUNDS[letter]
    formants = np.array(sound.formants) * voice.size
    if sound.voiced:
        pitch = voice.pitch * noise.uniform(0.95, 1.05)
        tones, widths = pitch * np.arange(1, PARTIALS + 1), 60 + 0.06 * formants
    else:
        tones = noise.choice(formants, PARTIALS) * noise.uniform(0.85, 1.15, PARTIALS)
        widths = 200 + 0.1 * formants
    gains = (1 / (1 + ((tones[:, None] - formants) / widths) ** 2)).sum(1)
    length = round(sound.seconds * noise.uniform(0.9, 1.1) / voice.speed * RATE)
    times = np.arange(length) / RATE
    turns = tones[:, None] * times + noise.uniform(0, 1, (PARTIALS, 1))
    sines = np.sin((2 * math.pi * (turns % 1)).astype(np.float32))  # many times as fast as in float64
    edge = np.minimum(1, np.minimum(times, times[::-1]) / FADE)
    wave: NDArray[np.float64] = LOUDNESS * sound.loudness * gains / np.sqrt((gains**2).sum()) @ sines * edge
    return wave


def speech(rng: random.Random) -> dict[str, Any]:
    """Return two or three words as `text`, and a voice that says them as `audio`."""
    text = " ".join(rng.sample(WORDS, rng.choice((2, 3))))
    wave = say(text, Voice.any(rng), np.random.default_rng(rng.getrandbits(32)))
    return {"audio": (wave, RATE), "text": text}
