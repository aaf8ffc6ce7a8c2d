"""Draw objects as boxes on their pictures."""

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import get_data_path
from PIL import Image, ImageDraw, ImageFont

from blurr.loading.sheets import BLACK, FONT, WHITE, sheet
from blurr.vision.images import open_picture
from blurr.vision.looks import preview_of
from blurr.vision.overlays import Colour, by_id

LEAST = 192  # pixels of the shorter side of a picture with boxes: a smaller one is enlarged, so that words fit
LETTERS, LINE = 11, 2  # pixels: height of letters, width of lines
SMALL = 192  # pixels of the longer side in a page
HUES = 1000
DARK = 128  # shades of a colour on which letters are white


def colour_of(label: str) -> Colour:
    """Return the colour of a class, the same wherever it is drawn."""
    return by_id(1 + zlib.crc32(label.encode()) % HUES)


def outlined(picture: Image.Image, objects: Sequence[Mapping[str, Any]], *, is_of_shares: bool = False) -> Image.Image:
    """Return a picture with the box, the class and maybe the score of each object; a small one is enlarged.

    Args:
        picture: RGB, of any size.
        objects: Dicts of `label`, maybe `score`, and `box`: left, top, right and bottom in pixels of the picture.
        is_of_shares: Boxes are shares of width and height instead.
    """
    factor = max(1, -(-LEAST // min(picture.size)))
    size = (picture.width * factor, picture.height * factor)
    made = picture.convert("RGB").resize(size, Image.Resampling.NEAREST)
    wide, high = size if is_of_shares else (factor, factor)
    draw = ImageDraw.Draw(made)
    draw.font = ImageFont.truetype(f"{get_data_path()}/{FONT}", LETTERS)
    for each in reversed(objects):  # the highest score on top
        left, top, right, bottom = (x * by for x, by in zip(each["box"], (wide, high) * 2, strict=True))
        colour = colour_of(each["label"])
        draw.rectangle((left, top, max(left, right - 1), max(top, bottom - 1)), outline=colour, width=LINE)
        score = f" {each['score']:.2f}" if "score" in each else ""
        _write(draw, (left, top), f"{each['label']}{score}", colour)
    return made


def _write(draw: ImageDraw.ImageDraw, corner: tuple[float, float], text: str, colour: Colour) -> None:
    """Write a text on its colour above a corner, or below where there is no room."""
    high = LETTERS + 3
    x, y = corner[0], corner[1] - high if corner[1] >= high else corner[1]
    draw.rectangle((x, y, x + draw.textlength(text) + 4, y + high), fill=colour)
    is_dark = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] < DARK
    draw.text((x + 2, y + 1), text, fill=WHITE if is_dark else BLACK)


def preview_of_boxes(row: Mapping[str, Any], described: Mapping[str, Any]) -> str:
    """Return a picture with its true boxes, beside it with the predicted ones, as a `data:` URL.

    Args:
        row: Has the picture as `image`.
        described: Has `boxes`, `predicted_boxes`, the highest score first, and `prediction`, as many as are shown.
    """
    picture = open_picture(row["image"])
    scale = min(1.0, 2 * SMALL / max(picture.size))
    small = picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))))
    shown = []
    for objects in (described["boxes"], described["predicted_boxes"][: len(described["prediction"])]):
        scaled = [{**each, "box": [x * scale for x in each["box"]]} for each in objects]
        shown.append(outlined(small, scaled))
    return preview_of(sheet(shown, columns=len(shown)), side=len(shown) * SMALL)
