"""Tell sound files that are cut off or damaged, and other files that users take for sounds, by their bytes."""

import struct
import zlib
from typing import NamedTuple

from blurr.data.media import sign_of
from blurr.errors import InputError

REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
STREAMED = 0x7FFFF000  # sizes from here stand in files that were written before their length was known
SLACK = 64  # bytes by which writers mistake the size of a chunk
PAGE = 27  # bytes of the head of a page of Ogg
LAST = 0x04  # the flag of the last page of a stream
XING, HAS_FRAMES, HAS_BYTES = 200, 1, 2  # bytes in which the tag stands, and its flags
BY_FFMPEG = "which libsndfile does not read: convert it by ffmpeg -i"
SIGNS = (
    (b"\x1a\x45\xdf\xa3", f"is WebM or Matroska, {BY_FFMPEG} in.webm out.flac"),
    (b"#!AMR", f"is AMR, {BY_FFMPEG} in.amr out.flac"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", f"is WMA, {BY_FFMPEG} in.wma out.flac"),
    (b"FLV", f"is a video, {BY_FFMPEG} in.flv out.flac"),
    (b"MThd", "is MIDI, which holds notes, not a sound: play it into a wav"),
    (b"\x89PNG", "is a picture, not a sound"),
    (b"\xff\xd8\xff", "is a picture, not a sound"),
    (b"GIF8", "is a picture, not a sound"),
    (b"PK\x03\x04", "is a zip: unpack it"),
)


class Chunked(NamedTuple):
    """How a format lays out its chunks."""

    size: str  # of a chunk, for struct
    kind: tuple[bytes, ...]
    samples: bytes  # the name of the chunk that holds them


CHUNKED = {b"RIFF": Chunked("<I", (b"WAVE",), b"data"), b"FORM": Chunked(">I", (b"AIFF", b"AIFC"), b"SSND")}


def other_kind(start: bytes) -> str | None:
    """Say what a file is that libsndfile cannot open; None where it may be one that is broken.

    Args:
        start: Its first bytes.
    """
    if start[4:8] == b"ftyp":
        return f"is MP4 or M4A (AAC), {BY_FFMPEG} in.m4a out.flac"
    if start[:4] == b"RIFF" and start[8:12] in (b"AVI ", b"WEBP"):
        is_video = start[8:12] == b"AVI "
        return f"is a video (AVI), {BY_FFMPEG} in.avi out.flac" if is_video else "is a picture, not a sound"
    if len(start) > 1 and start[0] == 0xFF and start[1] & 0xF6 == 0xF0:
        return f"is AAC, {BY_FFMPEG} in.aac out.flac"
    said = sign_of(start, "sound", SIGNS)
    is_known = start.startswith((b"RIFF", b"RF64", b"FORM", b"OggS", b"fLaC", b"ID3", b"\xff\xfb", b"\xff\xf3"))
    return said or (None if is_known else "is not a sound that libsndfile can read (wav, flac, ogg, opus, mp3)")


def check_whole(content: bytes) -> None:
    """Refuse a file that ends too early, which decoders take for a shorter one, or that is damaged.

    Raises:
        InputError: It is; the message goes on after its name.
    """
    chunked = CHUNKED.get(content[:4])
    if chunked and content[8:12] in chunked.kind:
        _check_chunks(content, chunked)
    elif content.startswith(b"OggS"):
        _check_pages(content)
    else:
        _check_mp3(content)


def _check_chunks(content: bytes, chunked: Chunked) -> None:
    """Compare the size that the head of the samples says with what is there."""
    at = 12
    while at + 8 <= len(content):
        (size,) = struct.unpack_from(chunked.size, content, at + 4)
        if content[at : at + 4] == chunked.samples:
            there = len(content) - at - 8
            if there + SLACK < size < STREAMED:
                raise InputError(_cut_off(there, size))
            return
        at += 8 + size + size % 2


def _check_pages(content: bytes) -> None:
    """Follow the pages of Ogg, and compare the sum of each (RFC 3533, section 6)."""
    at, is_last = 0, False
    while content.startswith(b"OggS", at):
        lacing = content[at + PAGE : at + PAGE + content[at + PAGE - 1]] if at + PAGE <= len(content) else b""
        end = at + PAGE + len(lacing) + sum(lacing)
        if at + PAGE > len(content) or end > len(content):
            raise InputError(_cut_off(len(content), max(end, at + PAGE)))
        page = content[at : at + 22] + bytes(4) + content[at + 26 : end]
        if _sum_of_page(page) != struct.unpack_from("<I", content, at + 22)[0]:
            raise InputError(f"is broken: the checksum of its page at byte {at:,} is wrong")
        at, is_last = end, bool(content[at + 5] & LAST)
    if at < len(content) and not is_last:
        raise InputError(f"is broken: no page begins at byte {at:,}")


def _sum_of_page(page: bytes) -> int:
    """Return Ogg's CRC-32: that of zlib takes the bits of each byte in the other order."""
    found = zlib.crc32(page.translate(REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{found:032b}"[::-1], 2)


def _check_mp3(content: bytes) -> None:
    """Compare the size that the first frame of an MP3 may say, by its tag Xing, with what is there."""
    start = _size_of_tags(content)
    head = content[start : start + XING]
    at = max(head.find(b"Xing"), head.find(b"Info"))
    if not head.startswith(b"\xff") or at < 0 or at + 16 > len(head):
        return
    flags, *numbers = struct.unpack_from(">III", head, at + 4)
    size = numbers[flags & HAS_FRAMES] if flags & HAS_BYTES else 0
    if len(content) - start + SLACK < size:
        raise InputError(_cut_off(len(content) - start, size))


def _size_of_tags(content: bytes) -> int:
    """Return the bytes of the tags (ID3v2) before the first frame: seven bits in each byte of their size."""
    if not content.startswith(b"ID3") or len(content) < 10:
        return 0
    size = 0
    for byte in content[6:10]:
        size = size << 7 | byte & 0x7F
    return 10 + size


def _cut_off(there: int, size: int) -> str:
    return f"is cut off: it holds {there:,} of {size:,} bytes. Copy or download it again"
