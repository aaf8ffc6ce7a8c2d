"""Pictures: examined, packed, and opened as RGB, upright, the first frame."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from blurr.errors import InputError
from blurr.vision.images import MOST_PIXELS, PICTURES, open_picture

Made = Callable[[], bytes]


def saved(picture: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    made = io.BytesIO()
    picture.save(made, form, **options)
    return made.getvalue()


def opened(content: bytes, **options: Any) -> Image.Image:
    PICTURES.examine(content)
    return open_picture({"bytes": content, "path": None}, **options)


def halves(mode: str = "RGB", first: Any = (200, 0, 0), second: Any = (0, 0, 200)) -> Image.Image:
    """Draw a picture 40 wide and 20 high, its left half of one colour and its right half of another."""
    picture = Image.new(mode, (40, 20), first)
    picture.paste(second, (20, 0, 40, 20))
    return picture


def with_exif(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(halves(), "JPEG", exif=exif, quality=95)


SIDES = {  # orientation to the sides of the red half when it is shown upright
    **{1: "left", 2: "right", 3: "right", 4: "left"},
    **{5: "top", 6: "top", 7: "bottom", 8: "bottom"},
}
POINTS = {"left": (0.25, 0.5), "right": (0.75, 0.5), "top": (0.5, 0.25), "bottom": (0.5, 0.75)}


@pytest.mark.parametrize(("orientation", "side"), SIDES.items())
def test_a_photo_is_turned_upright_as_exif_says(orientation: int, side: str):
    content = with_exif(orientation)
    picture = opened(content)
    across, down = POINTS[side]
    red, _, blue = picture.getpixel((int(across * picture.width), int(down * picture.height)))  # type: ignore[misc]
    assert red > 150 > 50 > blue
    assert PICTURES.examine(content) == {"width": picture.width, "height": picture.height}
    assert picture.size == ((40, 20) if orientation < 5 else (20, 40))


def palette_with_hole() -> bytes:
    picture = halves("P", 0, 1)
    picture.putpalette([200, 0, 0, 0, 0, 200])
    return saved(picture, transparency=1)


def png(width: int, height: int, depth: int, color: int, rows: bytes) -> bytes:
    """Write a PNG as the standard says, of what Pillow does not write."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    parts = (chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def deep(values: list[int]) -> bytes:
    """Write grey of 16 bits, a row of these values."""
    return png(len(values), 1, 16, 0, b"\0" + struct.pack(f">{len(values)}H", *values))


def animated(form: str) -> bytes:
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    return saved(
        frames[0], form, save_all=True, append_images=frames[1:], **({"lossless": True} if form == "WEBP" else {})
    )


COLOURS = {  # what is seen at the left and at the right
    "PNG": (lambda: saved(halves()), (200, 0, 0), (0, 0, 200)),
    "BMP": (lambda: saved(halves(), "BMP"), (200, 0, 0), (0, 0, 200)),
    "TIFF": (lambda: saved(halves(), "TIFF"), (200, 0, 0), (0, 0, 200)),
    "WebP": (lambda: saved(halves(), "WEBP", lossless=True), (200, 0, 0), (0, 0, 200)),
    "GIF": (lambda: saved(halves(), "GIF"), (200, 0, 0), (0, 0, 200)),
    "JPEG": (lambda: saved(halves(), "JPEG", quality=100, subsampling=0), (200, 0, 0), (0, 0, 200)),
    "CMYK": (
        lambda: saved(halves("CMYK", (0, 255, 255, 55), (255, 255, 0, 55)), "JPEG", quality=100),
        *((200, 0, 0), (0, 0, 200)),
    ),
    "CMYK in TIFF": (lambda: saved(halves("CMYK", (0, 0, 0, 0), (0, 0, 0, 255)), "TIFF"), (255,) * 3, (0,) * 3),
    "grey": (lambda: saved(halves("L", 10, 240)), (10,) * 3, (240,) * 3),
    "1 bit": (lambda: saved(halves("1", 0, 1)), (0,) * 3, (255,) * 3),
    "palette": (lambda: saved(halves().quantize(4)), (200, 0, 0), (0, 0, 200)),
    "palette with a hole": (palette_with_hole, (200, 0, 0), (255, 255, 255)),
    "alpha": (lambda: saved(halves("RGBA", (0, 0, 0, 0), (0, 0, 200, 255))), (255, 255, 255), (0, 0, 200)),
    "half alpha": (lambda: saved(halves("RGBA", (0, 0, 0, 128), (0, 0, 0, 255))), (127,) * 3, (0, 0, 0)),
    "grey and alpha": (lambda: saved(halves("LA", (0, 0), (60, 255))), (255,) * 3, (60,) * 3),
    "16 bits": (lambda: deep([0, 0, 65_535, 65_535]), (0,) * 3, (255,) * 3),
    "16 bits between": (lambda: deep([257, 257, 33_000, 33_000]), (1,) * 3, (128,) * 3),
    "16 bits of colour": (
        lambda: png(2, 1, 16, 2, b"\0" + struct.pack(">6H", 51_400, 0, 0, 0, 0, 51_400)),
        *((200, 0, 0), (0, 0, 200)),
    ),
    "an animated GIF": (lambda: animated("GIF"), (255, 0, 0), (255, 0, 0)),
    "an animated WebP": (lambda: animated("WEBP"), (255, 0, 0), (255, 0, 0)),
    "an animated PNG": (lambda: animated("PNG"), (255, 0, 0), (255, 0, 0)),
    "PPM": (lambda: saved(halves(), "PPM"), (200, 0, 0), (0, 0, 200)),
}


@pytest.mark.parametrize(("make", "left", "right"), COLOURS.values(), ids=COLOURS)
def test_every_kind_of_file_is_opened_with_its_colours(make: Made, left: tuple[int, ...], right: tuple[int, ...]):
    picture = opened(make())
    assert picture.mode == "RGB"
    middle = picture.height // 2
    seen = [picture.getpixel((int(share * picture.width), middle)) for share in (0.25, 0.75)]
    assert np.abs(np.array(seen) - np.array([left, right])).max() <= 3


@pytest.mark.parametrize("size", [(1, 1), (3000, 1), (1, 3000), (37, 2)])
@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_tiny_and_thin_pictures_keep_their_size(size: tuple[int, int], form: str):
    content = saved(Image.new("RGB", size, "red"), form)
    assert PICTURES.examine(content) == {"width": size[0], "height": size[1]}
    assert opened(content).size == size
    assert opened(content, at_least=(2, 2)).size == size


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_large_photo_is_decoded_smaller_but_never_below_what_is_asked_for(orientation: int):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = saved(Image.new("RGB", (1600, 800), "red"), "JPEG", exif=exif)
    asked = (200, 400) if orientation == 1 else (400, 200)  # height and width
    picture = open_picture({"bytes": content, "path": None}, at_least=asked)
    assert (picture.height, picture.width) == asked
    odd = open_picture({"bytes": content, "path": None}, at_least=(asked[0] + 1, asked[1] + 1))
    assert (odd.height, odd.width) == (2 * asked[0], 2 * asked[1])


def bomb() -> bytes:
    """Write the head of a picture of 40,000 x 40,000 pixels."""
    return png(40_000, 40_000, 8, 0, b"")


def just_too_large() -> bytes:
    return png(MOST_PIXELS // 1000 + 1, 1000, 1, 0, b"")


def damaged(form: str) -> bytes:
    content = bytearray(saved(Image.effect_noise((64, 64), 50).convert("RGB"), form))
    content[len(content) // 2 : len(content) // 2 + 40] = bytes(40)
    return bytes(content)


def cut(form: str, share: float = 0.5, **options: Any) -> bytes:
    content = saved(Image.effect_noise((64, 64), 50).convert("RGB"), form, **options)
    return content[: int(len(content) * share)]


BAD: dict[str, tuple[Made, str]] = {
    "a text": (lambda: b"this is no picture", "is not a picture that Pillow can read"),
    "zeros": (lambda: bytes(1000), "is not a picture that Pillow can read"),
    "a page": (lambda: b"<!doctype html><title>404</title>", "is a web page, not a picture"),
    "another page": (lambda: b"  <html>not found", "is a web page, not a picture"),
    "a drawing": (lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>", r"is a drawing \(SVG\)"),
    "a drawing with a head": (lambda: b"<?xml version='1.0'?><svg/>", r"is a drawing \(SVG\)"),
    "a pointer": (lambda: b"version https://git-lfs.github.com/spec/v1\n", "is a pointer of Git LFS.*git lfs pull"),
    "a PDF": (lambda: b"%PDF-1.7 ...", "is a PDF"),
    "HEIC": (lambda: b"\0\0\0\x18ftypheic" + bytes(40), "is HEIC, which Pillow does not read"),
    "a zip": (lambda: b"PK\x03\x04" + bytes(40), "is not a picture that Pillow can read"),
    "a lone JPEG head": (lambda: b"\xff\xd8\xff\xe0", "is not a picture|is broken"),
    "a lone PNG head": (lambda: b"\x89PNG\r\n\x1a\n", "is not a picture|is broken"),
    "a cut JPEG": (lambda: cut("JPEG"), "is broken"),
    "a cut progressive JPEG": (lambda: cut("JPEG", progressive=True), "is broken"),
    "a JPEG without its end": (lambda: cut("JPEG", 0.9), "is broken"),
    "a cut PNG": (lambda: cut("PNG"), "is broken"),
    "a cut GIF": (lambda: cut("GIF"), "is broken"),
    "a cut WebP": (lambda: cut("WEBP"), "is broken|is not a picture"),
    "a cut BMP": (lambda: cut("BMP"), "is broken"),
    "a cut TIFF": (lambda: cut("TIFF"), "is broken"),
    "a cut AVIF": (lambda: cut("AVIF", 0.7), "is broken|is not a picture"),
    "a cut PPM": (lambda: cut("PPM"), "is broken"),
    "a damaged PNG": (lambda: damaged("PNG"), "is broken"),
    "a PNG without pixels": (lambda: png(0, 0, 8, 2, b""), "is broken|is not a picture|has no pixels"),
    "a PNG without data": (lambda: png(8, 8, 8, 2, b""), "is broken"),
    "a bomb": (bomb, "has more than 89 million pixels: make it smaller"),
    "a small bomb": (just_too_large, "has .*more than 89 million.*: make it smaller"),
    "numbers of 32 bits": (
        lambda: saved(Image.fromarray(np.full((4, 4), 70_000, np.int32)), "TIFF"),
        "holds numbers of 32 bits, which have no range of shades",
    ),
    "floating point": (
        lambda: saved(Image.fromarray(np.zeros((4, 4), np.float32)), "TIFF"),
        "holds floating-point numbers, which have no range of shades",
    ),
    "CIELAB": (lambda: saved(Image.new("LAB", (4, 4)), "TIFF"), "holds colours as CIELAB"),
}


@pytest.mark.parametrize(("make", "said"), BAD.values(), ids=BAD)
def test_a_bad_picture_has_one_message(make: Made, said: str):
    content = make()
    with pytest.raises(InputError, match=f"^({said})"):
        PICTURES.examine(content)
    with pytest.raises(InputError, match=f"^The picture photo.jpg ({said}).*\\.$"):
        open_picture({"bytes": content, "path": "photo.jpg"})


def test_a_picture_that_is_gone_has_a_message(tmp_path: Path):
    with pytest.raises(InputError, match=r"The picture .*gone.png cannot be read: No such file or directory\."):
        open_picture({"bytes": None, "path": str(tmp_path / "gone.png")})


PACKED: dict[str, Any] = {
    "grey": np.full((2, 3), 7, np.uint8),
    "a channel": np.full((2, 3, 1), 7, np.uint8),
    "RGB": np.full((2, 3, 3), 7, np.uint8),
    "lists": np.full((2, 3, 3), 7).tolist(),
    "Pillow's grey": Image.new("L", (3, 2), 7),
    "Pillow's alpha": Image.new("RGBA", (3, 2), (7, 7, 7, 255)),
}


@pytest.mark.parametrize("value", PACKED.values(), ids=PACKED)
def test_objects_in_memory_are_packed_into_the_same_file(value: Any):
    content, digest = PICTURES.pack(value) or (b"", "")
    assert (content, digest) == PICTURES.pack(np.full((2, 3, 3), 7, np.uint8))
    assert opened(content).getpixel((1, 1)) == (7, 7, 7)


UNPACKED: dict[str, tuple[Any, str]] = {
    "floats": (np.zeros((2, 3, 3)), "is an array .* of float64, and a picture is .* of uint8"),
    "channels first": (np.zeros((3, 20, 30), np.uint8), "move its channels to the end"),
    "a batch": (np.zeros((2, 4, 4, 3), np.uint8), "is an array"),
    "nothing": (np.zeros((0, 3), np.uint8), "is an array"),
    "a row": (np.zeros(3, np.uint8), "is an array"),
    "large numbers": ([[300, 2], [1, 2]], "is an array .* of int64"),
    "no pixels": (Image.new("RGB", (0, 5)), "has no pixels"),
}


@pytest.mark.parametrize(("value", "said"), UNPACKED.values(), ids=UNPACKED)
def test_an_object_that_is_no_picture_has_a_message(value: Any, said: str):
    with pytest.raises(InputError, match=said):
        PICTURES.pack(value)


def test_what_is_of_another_kind_is_not_packed():
    assert PICTURES.pack(object()) is None
