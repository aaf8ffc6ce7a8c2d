"""Decode sound files block by block, by libsndfile, and resample them by soxr."""

from collections.abc import Iterator
from importlib import import_module
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blurr.audio.containers import other_kind
from blurr.errors import InputError, how_to_install

BLOCK = 1 << 18  # samples of all channels that are decoded at once: 1 MB
START = 64  # bytes that tell what a file is
ENDLESS = 1 << 62  # what libsndfile has for files that do not say their length is more


def library(name: str) -> Any:
    """Import soundfile or soxr, which are an extra.

    Raises:
        InputError: It is not installed; the message goes on after what needs it.
    """
    try:
        return import_module(name)
    except (ImportError, OSError) as error:  # an OSError is a libsndfile that is not there
        raise InputError(f"cannot be opened without {name} ({error}): {how_to_install('audio')}") from error


def opened(content: bytes | str) -> Any:
    """Read the head of a sound file, and return soundfile's object.

    Args:
        content: Its bytes or its path.

    Raises:
        InputError: It is not one; the message goes on after its name.
    """
    soundfile = library("soundfile")
    start = content[:START] if isinstance(content, bytes) else _start(content)
    try:
        return soundfile.SoundFile(BytesIO(content) if isinstance(content, bytes) else content)
    except soundfile.LibsndfileError as error:
        raise InputError(other_kind(start) or f"is broken: {_said(error)}") from error


def _start(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(START)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}") from error


def blocks(file: Any) -> Iterator[NDArray[np.float32]]:
    """Decode a file piece by piece: `(samples, channels)`, of -1 to 1 where the file keeps to it.

    Raises:
        InputError: It is broken; the message goes on after its name.
    """
    if file.frames > ENDLESS:
        raise InputError("does not say how long it is, as a stream that was cut short: ffmpeg -i in.flac out.flac")
    soundfile, size = library("soundfile"), max(1, BLOCK // file.channels)
    while True:
        try:
            block = file.read(size, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise InputError(f"is broken: {_said(error)}") from error
        if not len(block):
            return
        yield block


def resampled(wave: NDArray[np.float32], *, of: int, to: int) -> NDArray[np.float32]:
    """Return a wave, `(samples,)`, at another rate, in Hz, by soxr at its quality HQ."""
    if of == to:
        return wave
    made: NDArray[np.float32] = library("soxr").resample(wave, of, to, quality="HQ")
    return made


def _said(error: Any) -> str:
    return str(error.error_string).strip().rstrip(".").removeprefix("Error : ")
