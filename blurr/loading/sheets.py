"""Put pictures on one sheet, each above its caption."""

from collections.abc import Sequence

from matplotlib import get_data_path
from PIL import Image, ImageDraw, ImageFont

from blurr.errors import InputError

CELL, MARGIN, LINE = 96, 4, 14  # pixels: shorter side of a small picture at least, between pictures, of a caption
MOST = 320  # pixels: longer side of a large picture
FONT, LETTERS = "fonts/ttf/DejaVuSans.ttf", 10  # of matplotlib: Pillow's own has no arrows and few alphabets
WHITE, BLACK = (255, 255, 255), (0, 0, 0)


def sheet(pictures: Sequence[Image.Image], captions: Sequence[str] | None = None, *, columns: int = 4) -> Image.Image:
    """Put pictures side by side, in rows, each above its caption.

    Args:
        pictures: Of any sizes, scaled to cells of one size; small ones by whole factors, so that pixels stay sharp.
        captions: A line for each.
        columns: Pictures in a row.

    Raises:
        InputError: there are no pictures, or not as many captions.
    """
    if not pictures or (captions is not None and len(captions) != len(pictures)):
        raise InputError(
            f"A sheet of {len(pictures)} pictures with {len(captions or ())} captions: there must be as many."
        )
    scaled = [_scaled(picture.convert("RGB")) for picture in pictures]
    wide, high = (max(picture.size[side] for picture in scaled) + MARGIN for side in (0, 1))
    high += LINE if captions else 0
    columns = min(columns, len(scaled))
    rows = -(-len(scaled) // columns)
    made = Image.new("RGB", (columns * wide + MARGIN, rows * high + MARGIN), WHITE)
    draw = ImageDraw.Draw(made)
    draw.font = ImageFont.truetype(f"{get_data_path()}/{FONT}", LETTERS)
    for i, picture in enumerate(scaled):
        x, y = MARGIN + i % columns * wide, MARGIN + i // columns * high
        made.paste(picture, (x, y))
        if captions:
            draw.text((x, y + picture.height + 1), _cut(captions[i], wide - MARGIN, draw), fill=BLACK)
    return made


def _scaled(picture: Image.Image) -> Image.Image:
    factor = -(-CELL // min(picture.size))
    if factor > 1 and factor * max(picture.size) <= MOST:
        return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)
    share = min(1.0, MOST / max(picture.size))
    return picture.resize((max(1, round(picture.width * share)), max(1, round(picture.height * share))))


def _cut(text: str, wide: int, draw: ImageDraw.ImageDraw) -> str:
    while len(text) > 1 and draw.textlength(text) > wide:
        text = text[:-2] + "…"
    return text
