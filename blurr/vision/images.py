"""Examine pictures, pack those in memory into files, and open them: RGB, upright, the first frame."""

import struct
import zlib
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

import numpy as np
import PIL
import xxhash
from PIL import Image, UnidentifiedImageError

from blurr.data.media import Look, sign_of
from blurr.errors import InputError
from blurr.vision.looks import SKETCH, SMALL, look_of, preview_of

MOST_PIXELS = 89_478_485  # beyond, Pillow warns of a file that is made to fill a memory: 268 MB as RGB
ORIENTATION = 0x0112  # the tag of EXIF
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
LYING = (5, 6, 7, 8)  # orientations that swap width and height
SMALLEST_DRAFT = 8  # the smallest part of width and height that a JPEG decodes to
CHANNELS = (1, 3, 4)
SHADES_16 = 65_535 / 255  # of 16 bits to a shade of 8
RANGELESS = {
    "F": "floating-point numbers, which have no range of shades",
    "I": "numbers of 32 bits, which have no range of shades",
    "LAB": "colours as CIELAB",
}
OF_16_BITS = ("PNG", "PPM")  # whose 16 bits Pillow may hold as 32
WITH_ALPHA = ("RGBA", "LA", "La", "RGBa", "PA")
SIXTEEN_BITS = ("I;16", "I;16B", "I;16L", "I;16N")
# what Pillow raises for files that are broken, beside its own error for what is not a picture
BROKEN = (
    *(OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, struct.error, zlib.error),
    *(ArithmeticError, MemoryError, RuntimeError, AttributeError),
)
BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)
OTHERS = (  # how files begin that users take for pictures, and what to do with them
    (b"<svg", "is a drawing (SVG), not a picture: export it as PNG"),
    (b"<?xml", "is a drawing (SVG), not a picture: export it as PNG"),
    (b"%PDF", "is a PDF, not a picture: export its pages as PNG"),
)
HEIC = (b"heic", b"heix", b"mif1", b"msf1", b"hevc")


class Pictures:
    """The Media of pictures: what Pillow reads. Measures are width and height in pixels, upright."""

    kind = "picture"
    suffixes = frozenset(
        {
            *(".apng", ".avif", ".bmp", ".dib", ".gif", ".heic", ".heif", ".jfif", ".jpe", ".jpeg", ".jpg"),
            *(".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"),
        }
    )
    measures: Mapping[str, str] = {"width": "int32", "height": "int32"}
    version = f"Pillow {PIL.__version__}"

    def examine(self, content: bytes) -> dict[str, int]:
        """Decode a picture, a JPEG at an eighth of its size, and return its width and height, upright.

        Raises:
            InputError: It cannot be opened; the message goes on after its name.
        """
        with _opened(BytesIO(content), content[:64]) as picture:
            size = picture.size
            smallest = (max(1, size[0] // SMALLEST_DRAFT), max(1, size[1] // SMALLEST_DRAFT))
            is_smaller = picture.draft(picture.mode, smallest) is not None
            _load(picture)
            width, height = size if is_smaller else picture.size  # TIFF is turned while it is decoded
            if _orientation(picture) in LYING:
                width, height = height, width
        return {"width": width, "height": height}

    def summary(self, measures: Mapping[str, Sequence[float]]) -> str:
        """Describe widths, heights and aspect ratios in a line."""
        sizes = sorted(zip(measures["width"], measures["height"], strict=True), key=lambda size: size[0] * size[1])
        named = [f"{width} x {height}" for width, height in (sizes[0], sizes[len(sizes) // 2], sizes[-1])]
        ratios = np.array([width / height for width, height in sizes])
        shape = f"{ratios.min():.2g} to {ratios.max():.2g}, median {np.median(ratios):.2g}"
        return f"{named[0]} to {named[2]} pixels, median {named[1]}; width / height {shape}"

    def pack(self, value: Any) -> tuple[bytes, str] | None:
        """Return a picture of Pillow or an array as the content of a PNG file, and a hash of its pixels.

        The hash does not depend on how well a version of zlib compresses.

        Args:
            value: An array is `(height, width)` or `(height, width, channels)` of uint8, with 1, 3 or 4 channels.

        Raises:
            InputError: An array is of another type or shape, or the picture cannot be decoded.
        """
        if isinstance(value, list | np.ndarray):
            value = _of_array(np.asarray(value), is_list=isinstance(value, list))
        if not isinstance(value, Image.Image):
            return None
        if not all(value.size):
            raise InputError("has no pixels")
        _check_size(value.size)
        _load(value)
        picture, made = _upright(_rgb(value), _orientation(value)), BytesIO()
        picture.save(made, "PNG", compress_level=1)
        return made.getvalue(), xxhash.xxh3_128_hexdigest(f"{picture.size}".encode() + picture.tobytes())

    def look(self, source: Mapping[str, Any]) -> Look:
        """Return hash, sketch, size, aspect ratio and brightness of a picture."""
        picture = open_picture(source, at_least=(2 * SKETCH, 2 * SKETCH))
        return look_of(picture, width=source["width"], height=source["height"])

    def preview(self, source: Mapping[str, Any]) -> str:
        """Return a small picture, as PNG or JPEG."""
        return preview_of(open_picture(source, at_least=(SMALL, SMALL)))

    def player(self, source: Mapping[str, Any]) -> None:
        return


PICTURES = Pictures()


def open_picture(source: Mapping[str, Any], *, at_least: tuple[int, int] | None = None) -> Image.Image:
    """Open a picture: RGB, upright, its first frame; what is transparent becomes white.

    Args:
        source: Its `bytes`, or None and its `path`.
        at_least: Height and width, in pixels, down to which a JPEG may be decoded smaller, which is faster.

    Raises:
        InputError: It cannot be opened.
    """
    content, path = source["bytes"], source["path"]
    try:
        stream = BytesIO(content) if content is not None else BytesIO(_read(path))
        with _opened(stream, stream.getvalue()[:64]) as picture:
            if at_least is not None:
                lies = _orientation(picture) in LYING
                picture.draft(picture.mode, at_least if lies else at_least[::-1])
            _load(picture)
            return _upright(_rgb(picture), _orientation(picture))
    except InputError as error:
        raise InputError(f"The picture {path or 'without a name'} {error}.") from error


def decoded(content: bytes | None, path: str | None = None) -> Image.Image:
    """Decode a picture as it is, whatever its mode.

    Args:
        content: Of the file; None reads it.
        path: Of the file.

    Raises:
        InputError: It cannot be opened; the message goes on after its name.
    """
    known = _read(str(path)) if content is None else content
    picture = _opened(BytesIO(known), known[:64])
    _load(picture)
    return picture


def size_of(source: Mapping[str, Any]) -> tuple[int, int]:
    """Return height and width of a picture, upright, without decoding it.

    Args:
        source: Its `bytes`, or None and its `path`.
    """
    content = _read(source["path"]) if source["bytes"] is None else source["bytes"]
    with _opened(BytesIO(content), content[:64]) as picture:
        width, height = picture.size
        return (width, height) if _orientation(picture) in LYING else (height, width)


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}") from error


def _opened(stream: BytesIO, start: bytes) -> Image.Image:
    """Read the head of a picture.

    Raises:
        InputError: It is not one, or too large.
    """
    try:
        picture = Image.open(stream)
    except BOMBS as error:
        raise InputError(f"has more than {MOST_PIXELS // 10**6} million pixels: make it smaller") from error
    except UnidentifiedImageError as error:
        raise InputError(_other(start)) from error
    except BROKEN as error:
        raise InputError(f"is broken: {_said(error)}") from error
    _check_size(picture.size)
    return picture


def _other(start: bytes) -> str:
    """Say what a file is that is not a picture."""
    if start[4:8] == b"ftyp" and start[8:12] in HEIC:
        return "is HEIC, which Pillow does not read: save it as JPEG"
    return sign_of(start, "picture", OTHERS) or "is not a picture that Pillow can read"


def _check_size(size: tuple[int, int]) -> None:
    if size[0] * size[1] > MOST_PIXELS:
        raise InputError(f"has {size[0]} x {size[1]} pixels, more than {MOST_PIXELS // 10**6} million: make it smaller")


def _load(picture: Image.Image) -> None:
    """Decode a picture.

    Raises:
        InputError: It is broken, or its values have no range.
    """
    try:
        picture.load()
    except BOMBS as error:
        raise InputError(f"has more than {MOST_PIXELS // 10**6} million pixels: make it smaller") from error
    except BROKEN as error:
        raise InputError(f"is broken: {_said(error)}") from error
    if picture.mode in RANGELESS and picture.format not in OF_16_BITS:
        raise InputError(f"holds {RANGELESS[picture.mode]}: save it as RGB or grey, with 8 or 16 bits")


def _said(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__


def _orientation(picture: Image.Image) -> int:
    """Return the orientation that EXIF says, 1 for upright; a broken EXIF says nothing."""
    try:
        return int(picture.getexif().get(ORIENTATION, 1))
    except BROKEN:
        return 1


def _upright(picture: Image.Image, orientation: int) -> Image.Image:
    turn = TURNS.get(orientation)
    return picture if turn is None else picture.transpose(turn)


def _rgb(picture: Image.Image) -> Image.Image:
    """Return a decoded picture as RGB.

    16 bits of grey are scaled to 8. What is transparent becomes white, as browsers show it: the colours that lie below
    it, often black, are nothing that anybody has seen.
    """
    if picture.mode in (*SIXTEEN_BITS, "I"):
        shades = np.rint(np.asarray(picture, dtype=np.float32) / SHADES_16)
        return Image.fromarray(shades.clip(0, 255).astype(np.uint8)).convert("RGB")
    if picture.mode in WITH_ALPHA or "transparency" in picture.info:
        seen = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), seen).convert("RGB")
    return picture.convert("RGB")


def _of_array(values: np.ndarray[Any, Any], *, is_list: bool) -> Image.Image:
    """Make a picture of an array; numbers in lists have no type, and count as uint8 if they fit."""
    if is_list and values.dtype.kind in "iu" and values.size and values.min() >= 0 and values.max() <= 255:
        values = values.astype(np.uint8)
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[:, :, 0]
    fits = values.ndim == 2 or (values.ndim == 3 and values.shape[2] in CHANNELS)
    if values.dtype != np.uint8 or not fits or not values.size:
        hint = ": move its channels to the end" if values.ndim == 3 and values.shape[0] in CHANNELS else ""
        raise InputError(
            f"is an array {values.shape} of {values.dtype}, and a picture is (height, width) or (height, width, "
            f"channels) of uint8, with {', '.join(map(str, CHANNELS))} channels{hint}"
        )
    return Image.fromarray(values)
