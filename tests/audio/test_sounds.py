"""Sounds: examined, packed, and opened as one channel at another rate."""

import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from blurr.audio import decoding
from blurr.audio.sounds import LONGEST, SOUNDS, open_sound, samples_of
from blurr.errors import InputError

Made = Callable[[], bytes]
RATE = 16_000


def tone(seconds: float = 0.5, *, rate: int = RATE, hertz: float = 440.0) -> np.ndarray:
    return (0.4 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def noise(seconds: float = 1.0, rate: int = RATE) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.5, 0.5, round(seconds * rate)).astype(np.float32)


def saved(samples: np.ndarray, form: str = "WAV", *, rate: int = RATE, subtype: str | None = None) -> bytes:
    made = io.BytesIO()
    soundfile.write(made, samples, rate, format=form, subtype=subtype)
    return made.getvalue()


def source(content: bytes, **others: Any) -> dict[str, Any]:
    return {"bytes": content, "path": None, **SOUNDS.examine(content), **others}


FORMS: dict[str, tuple[str, str | None, float]] = {  # and how far decoded samples lie from those that were saved
    "wav": ("WAV", None, 1e-4),
    "wav of 24 bits": ("WAV", "PCM_24", 1e-6),
    "wav of floats": ("WAV", "FLOAT", 0),
    "wav by a law": ("WAV", "ULAW", 0.02),
    "flac": ("FLAC", None, 1e-4),
    "vorbis": ("OGG", "VORBIS", 0.05),
    "opus": ("OGG", "OPUS", 0.1),
    "mp3": ("MP3", None, 0.1),
    "aiff": ("AIFF", None, 1e-4),
    "caf": ("CAF", None, 1e-4),
    "w64": ("W64", None, 1e-4),
}


@pytest.mark.parametrize(("form", "subtype", "apart"), FORMS.values(), ids=FORMS)
def test_every_kind_of_file_is_opened_with_its_samples(form: str, subtype: str | None, apart: float, tmp_path: Path):
    wave = tone()
    content = saved(wave, form, subtype=subtype)
    assert SOUNDS.examine(content) == {"seconds": 0.5, "rate": RATE, "channels": 1}
    opened = open_sound(source(content), RATE)
    assert opened.shape == wave.shape
    assert opened.dtype == np.float32
    middle = slice(1000, -1000)  # lossy codecs need a moment
    assert np.abs(opened - wave)[middle].max() <= apart
    file = tmp_path / "sound"
    file.write_bytes(content)
    assert np.array_equal(open_sound({**source(content), "bytes": None, "path": str(file)}, RATE), opened)


@pytest.mark.parametrize("rate", [8000, 11_025, 44_100, 48_000, 192_000])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_channels_are_averaged_and_rates_changed(rate: int, channels: int):
    samples = np.stack([tone(rate=rate) * (channel + 1) / channels for channel in range(channels)], axis=1)
    content = saved(samples, "WAV", rate=rate, subtype="FLOAT")
    assert SOUNDS.examine(content) == {"seconds": pytest.approx(0.5, abs=1e-4), "rate": rate, "channels": channels}
    opened = open_sound(source(content), RATE)
    expected = tone() * (channels + 1) / 2 / channels
    assert len(opened) == samples_of(source(content)["seconds"], RATE)
    assert np.abs(opened[200:-200] - expected[200 : len(opened) - 200]).max() < 2e-3


@pytest.mark.parametrize("samples", [1, 2, 7, 255])
@pytest.mark.parametrize("to", [8000, 48_000])
def test_short_sounds_have_the_length_that_is_foretold(samples: int, to: int):
    content = saved(tone(1)[1 : samples + 1], "WAV", subtype="FLOAT")
    assert len(open_sound(source(content), to)) == samples_of(samples / RATE, to)


def test_samples_beyond_one_are_clipped():
    assert np.abs(open_sound(source(saved(3 * tone(), "WAV", subtype="FLOAT")), RATE)).max() == 1


def test_a_wav_written_before_its_length_was_known_is_whole():
    content = bytearray(saved(tone()))
    content[4:8] = content[40:44] = b"\xff" * 4
    assert SOUNDS.examine(bytes(content))["seconds"] == 0.5


def test_a_file_may_end_in_tags():
    for form, end in (("MP3", b"TAG" + bytes(125)), ("OGG", b"TAG" + bytes(125)), ("WAV", b"LIST\4\0\0\0abcd")):
        assert SOUNDS.examine(saved(noise(), form) + end)["seconds"] == 1
    with_cover = b"ID3\x04\x00\x00\x00\x00\x40\x00" + bytes(8192) + saved(noise(), "MP3")
    assert SOUNDS.examine(with_cover)["seconds"] == 1


def cut(form: str, share: float = 0.5, **options: Any) -> Made:
    def make() -> bytes:
        content = saved(noise(3), form, **options)
        return content[: int(len(content) * share)]

    return make


def damaged(form: str, **options: Any) -> bytes:
    content = bytearray(saved(noise(3), form, **options))
    content[len(content) // 2 : len(content) // 2 + 400] = bytes(400)
    return bytes(content)


def with_rate(rate: int) -> bytes:
    content = bytearray(saved(tone()))
    content[24:28] = struct.pack("<I", rate)
    return bytes(content)


def endless() -> bytes:
    content = bytearray(saved(tone(), "FLAC"))
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    return bytes(content)


CUT_OFF = r"is cut off: it holds [\d,]+ of [\d,]+ bytes. Copy or download it again"
UNKNOWN = r"is not a sound that libsndfile can read \(wav, flac, ogg, opus, mp3\)"
BAD: dict[str, tuple[Made, str]] = {
    "a text": (lambda: b"this is no sound", UNKNOWN),
    "zeros": (lambda: bytes(1000), UNKNOWN),
    "a page": (lambda: b"<!doctype html><title>404</title>", "is a web page, not a sound: download it again"),
    "a pointer": (lambda: b"version https://git-lfs.github.com/spec/v1\n", "is a pointer of Git LFS.*git lfs pull"),
    "a PDF": (lambda: b"%PDF-1.7 ...", "is a PDF, not a sound"),
    "a zip": (lambda: b"PK\x03\x04" + bytes(40), "is a zip: unpack it"),
    "a PNG": (lambda: b"\x89PNG\r\n\x1a\n" + bytes(40), "is a picture, not a sound"),
    "a JPEG": (lambda: b"\xff\xd8\xff\xe0" + bytes(40), "is a picture, not a sound"),
    "a GIF": (lambda: b"GIF89a" + bytes(40), "is a picture, not a sound"),
    "a WebP": (lambda: b"RIFF\0\0\0\0WEBPVP8 " + bytes(40), "is a picture, not a sound"),
    "m4a": (lambda: b"\0\0\0\x18ftypM4A " + bytes(40), r"is MP4 or M4A \(AAC\), which.*ffmpeg -i in.m4a out.flac"),
    "mp4": (lambda: b"\0\0\0\x18ftypisom" + bytes(40), r"is MP4 or M4A \(AAC\), which libsndfile does not read"),
    "webm": (lambda: b"\x1a\x45\xdf\xa3" + bytes(40), "is WebM or Matroska, which.*ffmpeg -i in.webm out.flac"),
    "aac": (lambda: b"\xff\xf1\x50\x80" + bytes(40), "is AAC, which libsndfile does not read"),
    "AVI": (lambda: b"RIFF\0\0\0\0AVI LIST" + bytes(40), r"is a video \(AVI\)"),
    "FLV": (lambda: b"FLV\x01" + bytes(40), "is a video"),
    "WMA": (lambda: b"\x30\x26\xb2\x75\x8e\x66\xcf\x11" + bytes(40), "is WMA"),
    "AMR": (lambda: b"#!AMR\n" + bytes(40), "is AMR"),
    "MIDI": (lambda: b"MThd\0\0\0\x06" + bytes(40), "is MIDI, which holds notes"),
    "a lone wav head": (lambda: b"RIFF\0\0\0\0WAVE", "is broken: Error in WAV file. No 'data' chunk marker"),
    "a lone flac head": (lambda: b"fLaC" + bytes(60), "is broken"),
    "a lone ogg head": (lambda: b"OggS" + bytes(60), "is broken: the checksum of its page at byte 0 is wrong"),
    "an ogg head of a few bytes": (lambda: b"OggS\0\2", CUT_OFF),
    "a lone mp3 head": (lambda: b"\xff\xfb\x90\x00" + bytes(60), "is broken"),
    "a lone tag": (lambda: b"ID3" + bytes(60), "is broken"),
    "another thing in ogg": (
        lambda: b"OggS\0\2" + bytes(16) + b"\xa5\x4f\x1b\xe0\1\4abcd",
        "is broken",
    ),
    "a cut wav": (cut("WAV"), CUT_OFF),
    "a wav without its end": (cut("WAV", 0.99), CUT_OFF),
    "a cut wav of floats": (cut("WAV", subtype="FLOAT"), CUT_OFF),
    "a cut aiff": (cut("AIFF"), CUT_OFF),
    "a cut flac": (cut("FLAC"), "is broken: flac decoder lost sync"),
    "a cut vorbis": (cut("OGG"), CUT_OFF),
    "a vorbis without its end": (cut("OGG", 0.95), CUT_OFF),
    "a cut opus": (cut("OGG", subtype="OPUS"), CUT_OFF),
    "a cut mp3": (cut("MP3"), CUT_OFF),
    "an mp3 without its end": (cut("MP3", 0.95), CUT_OFF),
    "a damaged flac": (lambda: damaged("FLAC"), "is broken: flac decoder lost sync"),
    "a damaged vorbis": (lambda: damaged("OGG"), "is broken: the checksum of its page|is broken: no page begins"),
    "a damaged opus": (lambda: damaged("OGG", subtype="OPUS"), "is broken: the checksum|is broken: no page begins"),
    "a head alone": (lambda: saved(tone(0)), "is empty: it has a head, and no samples"),
    "silence": (lambda: saved(np.zeros(8000, np.float32)), "is silent: all its samples are zero"),
    "not a number": (
        lambda: saved(np.array([0, np.nan, 0.5], np.float32), subtype="FLOAT"),
        "is broken: it holds numbers that are infinite or not a number",
    ),
    "infinity": (
        lambda: saved(np.array([0, np.inf, 0.5], np.float32), subtype="FLOAT"),
        "is broken: it holds numbers that are infinite",
    ),
    "numbers of integers": (
        lambda: saved(20_000 * tone(), subtype="FLOAT"),
        "has samples up to 8,000, and floats are of -1 to 1: divide them, or save integers",
    ),
    "a rate of 10 Hz": (
        lambda: with_rate(10),
        "has a rate of 10 Hz, and sounds have 1,000 to 768,000 ",
    ),
    "a rate beyond all": (lambda: with_rate(10**9), "has a rate of 1000000000 Hz"),
    "a stream without its length": (endless, "does not say how long it is"),
    "an hour": (
        lambda: saved(np.ones(1000 * LONGEST, np.int16), rate=1000),
        "lasts an hour or longer, .* cut it into pieces, such as by ffmpeg",
    ),
}


@pytest.mark.parametrize(("make", "said"), BAD.values(), ids=BAD)
def test_a_bad_sound_has_one_message(make: Made, said: str):
    with pytest.raises(InputError, match=f"^({said})"):
        SOUNDS.examine(make())


def test_a_sound_that_is_gone_or_another_has_a_message(tmp_path: Path):
    with pytest.raises(InputError, match=r"^The sound .*gone.wav cannot be read: No such file or directory\.$"):
        open_sound({"bytes": None, "path": str(tmp_path / "gone.wav"), "seconds": 1.0}, RATE)
    with pytest.raises(InputError, match=r"^The sound without a name has changed since it was examined\.$"):
        open_sound(source(saved(tone()), seconds=2.0), RATE)
    with pytest.raises(InputError, match=r"^The sound a.wav is not a sound"):
        open_sound({"bytes": b"text", "path": "a.wav", "seconds": 1.0}, RATE)


@pytest.mark.parametrize("missing", ["soundfile", "soxr"])
def test_a_library_that_is_missing_has_one_message(missing: str, monkeypatch: pytest.MonkeyPatch):
    def import_module(name: str) -> Any:
        if name == missing:
            raise ModuleNotFoundError(f"No module named {name!r}")
        return __import__(name)

    monkeypatch.setattr(decoding, "import_module", import_module)
    said = rf"^Sounds cannot be opened without {missing} \(.*\): pip install 'blurr-transformers\[audio\]'\.$"
    with pytest.raises(InputError, match=said):
        _ = SOUNDS.version


RAMP = np.array([-0.5, 0.25, 0.75], np.float32)
PACKED: dict[str, Any] = {
    "floats": (RAMP, RATE),
    "doubles": (RAMP.astype(np.float64), RATE),
    "int16": ((RAMP * 2**15).astype(np.int16), RATE),
    "int32": ((RAMP * 2**31).astype(np.int32), RATE),
    "uint8": ((RAMP * 128 + 128).astype(np.uint8), RATE),
    "a list": (RAMP.tolist(), RATE),
    "a list of integers": ((RAMP * 2**15).astype(int).tolist(), RATE),
    "a channel behind": (RAMP[:, None], RATE),
    "a channel before": (RAMP[None], RATE),
    "datasets": {"path": None, "array": RAMP, "sampling_rate": RATE},
    "a rate of numpy": (RAMP, np.float64(RATE)),
}


@pytest.mark.parametrize("value", PACKED.values(), ids=PACKED)
def test_objects_in_memory_are_packed_into_the_same_file(value: Any):
    content, digest = SOUNDS.pack(value) or (b"", "")
    assert (content, digest) == SOUNDS.pack((RAMP, RATE))
    assert SOUNDS.examine(content) == {"seconds": 3 / RATE, "rate": RATE, "channels": 1}
    assert np.array_equal(open_sound(source(content), RATE), RAMP)


def test_two_channels_are_packed_whichever_axis_they_are():
    both = np.stack([tone(), noise(0.5)], axis=1)
    assert SOUNDS.pack((both, RATE)) == SOUNDS.pack((both.T, RATE))
    assert SOUNDS.examine((SOUNDS.pack((both, RATE)) or (b"", ""))[0])["channels"] == 2


UNPACKED: dict[str, tuple[Any, str]] = {
    "no rate": (RAMP, r"is an array without a rate: give \(array, rate\)"),
    "a list without a rate": (RAMP.tolist(), "is an array without a rate"),
    "large integers": ((np.array([70_000, 1]), RATE), "is an array .* of int64, and a sound is"),
    "a batch": ((np.zeros((2, 3, 4), np.float32), RATE), "is an array"),
    "a square": ((np.zeros((99, 99), np.float32), RATE), "is an array .* with at most 32 channels"),
    "nothing": ((np.zeros(0, np.float32), RATE), "is an array"),
    "a rate of zero": ((RAMP, 0), "has a rate of 0 Hz"),
    "a rate that is a text": ((RAMP, "16k"), "has a rate of '16k' Hz"),
    "a rate between": ((RAMP, 16_000.5), "has a rate of 16000.5 Hz"),
}


@pytest.mark.parametrize(("value", "said"), UNPACKED.values(), ids=UNPACKED)
def test_an_object_that_is_not_a_sound_has_a_message(value: Any, said: str):
    with pytest.raises(InputError, match=said):
        SOUNDS.pack(value)


@pytest.mark.parametrize("value", [object(), ("a", "b"), {"label": 1}, (1, 2), [], 3.0])
def test_what_is_of_another_kind_is_not_packed(value: Any):
    assert SOUNDS.pack(value) is None


def sketched(samples: np.ndarray, form: str = "WAV", **options: Any) -> tuple[np.ndarray, np.ndarray]:
    look = SOUNDS.look(source(saved(samples, form, **options)))
    sketch = look.sketch - look.sketch.mean()
    return look.bits, sketch / np.linalg.norm(sketch)


def babble(seed: int) -> np.ndarray:
    """Return two seconds of tones that change every 50 ms, over a little noise."""
    rng = np.random.default_rng(seed)
    parts = [tone(0.05, hertz=hertz) * rng.uniform(0.05, 1) for hertz in rng.uniform(100, 3500, 40)]
    return np.concatenate(parts) + rng.normal(0, 0.002, 32_000).astype(np.float32)


@pytest.mark.parametrize("form", ["FLAC", "OGG", "MP3"])
def test_a_copy_in_another_format_and_at_another_level_looks_the_same(form: str):
    bits, sketch = sketched(babble(0))
    other_bits, other = sketched(0.5 * babble(0), form)
    assert (bits != other_bits).sum() <= 8
    assert sketch @ other > 0.995


def test_different_sounds_look_different():
    (bits, sketch), (other_bits, other) = sketched(babble(0)), sketched(babble(1))
    assert (bits != other_bits).sum() > 16
    assert sketch @ other < 0.9


def test_a_look_measures_what_rows_are_compared_by():
    look = SOUNDS.look(source(saved(tone())))
    assert look.measures["seconds"] == 0.5
    assert look.measures["level in dBFS"] == pytest.approx(20 * np.log10(0.4 / np.sqrt(2)), abs=0.2)
    assert look.measures["rate in Hz"] == RATE


@pytest.mark.parametrize("samples", [1, 100, 40_000])
def test_a_preview_is_a_small_waveform(samples: int):
    url = SOUNDS.preview(source(saved(noise(3)[:samples])))
    assert url.startswith("data:image/png;base64,")
    assert len(url) < 2000


def test_many_sounds_are_summed_up_in_a_line():
    measures = {"seconds": [0.5, 2.0, 60.0], "rate": [8000, 16_000, 8000], "channels": [1, 2, 1]}
    said = SOUNDS.summary(measures)
    assert said == "0.5 to 60 seconds, median 2, 1.0 minutes together; 8 kHz (2), 16 kHz (1); mono (2), stereo (1)"
    assert SOUNDS.summary({"seconds": [1.0], "rate": [8000], "channels": [3]}).endswith("; 8 kHz; 3 channels")
