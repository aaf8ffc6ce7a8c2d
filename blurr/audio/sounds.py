"""Examine sounds, pack those in memory into files, and open them: one channel, at the rate that a model reads."""

import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from blurr.audio.containers import check_whole
from blurr.audio.decoding import ENDLESS, blocks, library, opened, resampled
from blurr.audio.looks import RATE, look_of, preview_of
from blurr.audio.players import MOST_HERTZ, player_of
from blurr.data.media import Look, Player
from blurr.errors import InputError

LONGEST = 3600  # seconds: an hour is 230 MB in memory at 16 kHz, and models read half a minute at a time
RATES = (1000, 768_000)  # Hz, the lowest and the highest
LOUDEST = 10.0  # beyond, numbers are those of integers; a little more than 1 is what lossy files decode to
MP3_SLACK = 2 * 1152  # samples: two frames, by which the length that an MP3 says may be wrong
CHANNELS = 32  # of an array, at most
WIDTHS = {"int16": 1 << 15, "int32": 1 << 31}  # types of samples, and the number that stands for 1
TOO_LONG = (
    "lasts an hour or longer, which is too much to hold in memory: cut it into pieces, such as by "
    "ffmpeg -i in.wav -f segment -segment_time 600 part%03d.wav"
)
GIVE = 'give (array, rate), or {"array": array, "sampling_rate": rate}, with the rate in Hz'


class Sounds:
    """The Media of sounds: what libsndfile reads. Measures are seconds, Hz, and channels of what was decoded."""

    kind = "sound"
    suffixes = frozenset(
        {
            *(".aif", ".aifc", ".aiff", ".au", ".caf", ".flac", ".mp3", ".oga", ".ogg", ".opus", ".snd", ".wav"),
            *(".w64", ".wave"),
            # with a message that says how to convert them
            *(".3gp", ".aac", ".amr", ".avi", ".m4a", ".m4b", ".mka", ".mkv", ".mov", ".mp4", ".webm", ".wma"),
        }
    )
    measures: Mapping[str, str] = {"seconds": "float64", "rate": "int32", "channels": "int32"}

    @property
    def version(self) -> str:
        """The library that decodes them.

        Raises:
            InputError: It is not installed.
        """
        try:
            library("soxr")
            return f"libsndfile {library('soundfile').__libsndfile_version__}"
        except InputError as error:
            raise InputError(f"Sounds {error}.") from error

    def examine(self, content: bytes) -> dict[str, float]:
        """Decode a sound block by block, and return its seconds, rate and channels.

        Raises:
            InputError: It cannot be opened; the message goes on after its name.
        """
        check_whole(content)
        with opened(content) as file:
            _check_head(file)
            samples = _check_samples(file)
            return {"seconds": samples / file.samplerate, "rate": file.samplerate, "channels": file.channels}

    def summary(self, measures: Mapping[str, Sequence[float]]) -> str:
        """Describe seconds, rates and channels in a line."""
        seconds = np.array(measures["seconds"])
        rates = _counted([f"{rate / 1000:g} kHz" for rate in measures["rate"]])
        channels = _counted([{1: "mono", 2: "stereo"}.get(int(n), f"{n} channels") for n in measures["channels"]])
        together = f"{seconds.sum() / 60:,.1f} minutes together"
        spread = f"{seconds.min():.2g} to {seconds.max():.3g} seconds, median {np.median(seconds):.2g}"
        return f"{spread}, {together}; {rates}; {channels}"

    def pack(self, value: Any) -> tuple[bytes, str] | None:
        """Return samples with their rate as the content of a wav file, and a hash of them.

        Args:
            value: `(array, rate)`, or a mapping with `array` and `sampling_rate`. An array is `(samples,)` or has a
                second axis, the shorter one, of channels; floats of -1 to 1, int16, int32 or uint8.

        Raises:
            InputError: There is no rate, or an array is of another type or shape.
        """
        if isinstance(value, np.ndarray) or (isinstance(value, list) and value and np.ndim(value[0]) < 2):
            raise InputError(f"is an array without a rate: {GIVE}")
        if isinstance(value, Mapping) and {"array", "sampling_rate"} <= value.keys():
            value = (value["array"], value["sampling_rate"])
        if not isinstance(value, tuple) or len(value) != 2 or np.ndim(value[0]) == 0:
            return None
        rate = _rate_of(value[1])
        samples = _samples_of(np.asarray(value[0]), is_list=isinstance(value[0], list))
        content = _as_wav(samples, rate)
        return content, xxhash.xxh3_128_hexdigest(content)

    def look(self, source: Mapping[str, Any]) -> Look:
        """Return hash, sketch, seconds, level and rate of a sound."""
        return look_of(open_sound(source, RATE), seconds=source["seconds"], rate=source["rate"])

    def preview(self, source: Mapping[str, Any]) -> str:
        """Return a small waveform, as PNG."""
        return preview_of(open_sound(source, RATE))

    def player(self, source: Mapping[str, Any]) -> Player:
        """Return the beginning of a sound as MP3."""
        rate = min(source["rate"], MOST_HERTZ)
        return player_of(open_sound(source, rate), rate)


SOUNDS = Sounds()


def samples_of(seconds: float, rate: int) -> int:
    """Return how many samples `open_sound` returns of a sound."""
    return max(1, round(seconds * rate))


def open_sound(source: Mapping[str, Any], rate: int) -> NDArray[np.float32]:
    """Open a sound: the mean of its channels, from -1 to 1.

    Args:
        source: Its `bytes`, or None and its `path`; and `seconds`, as examined.
        rate: To resample it to, in Hz.

    Returns:
        `(samples,)`, as many as `samples_of` returns.

    Raises:
        InputError: It cannot be opened any more, or is another one.
    """
    try:
        with opened(source["bytes"] if source["bytes"] is not None else source["path"]) as file:
            of = file.samplerate
            wave = np.concatenate([*_mono(file), np.zeros(0, np.float32)])
        if len(wave) != round(source["seconds"] * of):
            raise InputError("has changed since it was examined")
        return _fitted(resampled(wave, of=of, to=rate), samples_of(source["seconds"], rate))
    except InputError as error:
        raise InputError(f"The sound {source['path'] or 'without a name'} {error}.") from error


def _mono(file: Any) -> Iterator[NDArray[np.float32]]:
    return (block.mean(axis=1) if block.shape[1] > 1 else block[:, 0] for block in blocks(file))


def _fitted(wave: NDArray[np.float32], samples: int) -> NDArray[np.float32]:
    """Trim or pad a wave by the samples in which resamplers differ."""
    padded = np.pad(wave[:samples], (0, max(0, samples - len(wave))))
    return np.clip(padded, -1, 1, out=padded)


def _check_head(file: Any) -> None:
    """Refuse a sound by what its head says.

    Raises:
        InputError: It is too long, empty, or has an odd rate.
    """
    if not RATES[0] <= file.samplerate <= RATES[1]:
        raise InputError(_odd_rate(file.samplerate))
    if not file.frames:
        raise InputError("is empty: it has a head, and no samples")
    if LONGEST * file.samplerate <= file.frames < ENDLESS:
        raise InputError(TOO_LONG)


def _check_samples(file: Any) -> int:
    """Decode a sound, and return the number of its samples in each channel.

    Raises:
        InputError: It is broken, silent, too long or too loud.
    """
    samples, peak = 0, 0.0
    for block in blocks(file):
        samples += len(block)
        peak = float(np.maximum(peak, np.abs(block).max()))  # which is not a number where one of them is not
        if samples >= LONGEST * file.samplerate:
            raise InputError(TOO_LONG)
    slack = MP3_SLACK if file.format == "MP3" else 0
    if samples + slack < file.frames:
        decoded, said = samples / file.samplerate, file.frames / file.samplerate
        raise InputError(f"is broken: {decoded:.2f} of its {said:.2f} seconds can be decoded")
    if not np.isfinite(peak):
        raise InputError("is broken: it holds numbers that are infinite or not a number")
    if peak == 0:
        raise InputError("is silent: all its samples are zero")
    if peak > LOUDEST:
        raise InputError(f"has samples up to {peak:,.0f}, and floats are of -1 to 1: divide them, or save integers")
    return samples


def _counted(names: Sequence[str]) -> str:
    """Return a name, or several with how many have each, the most frequent first."""
    counts = {name: names.count(name) for name in dict.fromkeys(names)}
    if len(counts) == 1:
        return names[0]
    return ", ".join(f"{name} ({counts[name]:,})" for name in sorted(counts, key=lambda name: -counts[name]))


def _rate_of(value: Any) -> int:
    is_number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not is_number or value != int(value) or not RATES[0] <= value <= RATES[1]:
        raise InputError(_odd_rate(value))
    return int(value)


def _odd_rate(rate: Any) -> str:
    return f"has a rate of {rate!r} Hz, and sounds have {RATES[0]:,} to {RATES[1]:,} samples a second"


def _samples_of(values: NDArray[Any], *, is_list: bool) -> NDArray[np.float32]:
    """Return samples as floats, `(samples, channels)`; integers in lists have no type, and count as int16 if they fit.

    Raises:
        InputError: They are of another type or shape.
    """
    if is_list and values.dtype.kind == "i" and np.abs(values).max(initial=0) < WIDTHS["int16"]:
        values = values.astype(np.int16)
    kind, shape = values.dtype, values.shape
    is_known = kind.kind == "f" or kind == np.uint8 or kind.name in WIDTHS
    if not is_known or not values.size or values.ndim > 2 or (values.ndim == 2 and min(shape) > CHANNELS):
        raise InputError(
            f"is an array {shape} of {kind}, and a sound is (samples,) or (samples, channels) of floats of -1 to 1, "
            f"int16, int32 or uint8, with at most {CHANNELS} channels"
        )
    if values.ndim == 2 and shape[0] < shape[1]:  # as torchaudio has them
        values = values.T
    if kind == np.uint8:
        values = (values.astype(np.float32) - 128) / 128
    return (values / np.float32(WIDTHS.get(kind.name, 1))).astype(np.float32).reshape(len(values), -1)


def _as_wav(samples: NDArray[np.float32], rate: int) -> bytes:
    """Return a wav file of 32-bit floats, without what changes from write to write."""
    content = np.ascontiguousarray(samples, "<f4").tobytes()
    channels = samples.shape[1]
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 3, channels, rate, 4 * channels * rate, 4 * channels, 32)
    fact = struct.pack("<4sII", b"fact", 4, len(samples))
    data = struct.pack("<4sI", b"data", len(content)) + content
    return struct.pack("<4sI4s", b"RIFF", 4 + len(form) + len(fact) + len(data), b"WAVE") + form + fact + data
