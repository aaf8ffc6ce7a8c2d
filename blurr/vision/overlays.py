"""Show masks: as colours over their pictures, and as PNG files of class ids."""

import base64
import colorsys
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from blurr.loading.sheets import sheet
from blurr.vision.images import open_picture
from blurr.vision.looks import preview_of

Colour = tuple[int, int, int]
GOLDEN = 0.618034  # of a turn of the hue: colours of neighbouring ids are far from each other
SHARE = 0.5  # of the colour of a class in a pixel
MOST_8_BIT = 256  # classes
SMALL = 96  # pixels of the longer side of a mask in a page
NONE: Colour = (255, 255, 255)  # of pixels without a class
NO_COLOURS: Mapping[str, Colour] = {}


def palette(names: Sequence[str], colours: Mapping[str, Colour] = NO_COLOURS) -> NDArray[np.uint8]:
    """Return a colour for each class, `(classes, 3)`: its own, else one by its id; that of 0 is black."""
    return np.array([colours.get(name, by_id(i)) for i, name in enumerate(names)], dtype=np.uint8)


def by_id(number: int) -> Colour:
    """Return a colour for a class id."""
    if not number:
        return (0, 0, 0)
    hue = number * GOLDEN % 1
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.85, 0.95 if number % 2 else 0.7)
    return round(255 * red), round(255 * green), round(255 * blue)


def overlay(picture: Image.Image, classes: NDArray[Any], colours: NDArray[np.uint8]) -> Image.Image:
    """Return a picture with the colours of classes over it; pixels without a class stay as they are.

    Args:
        picture: RGB, of any size.
        classes: Of its pixels, negative for none, `(height, width)`; resized to the picture.
        colours: Of the classes, `(classes, 3)`.
    """
    if classes.shape != picture.size[::-1]:
        size = picture.size
        classes = np.asarray(Image.fromarray(classes.astype(np.int32)).resize(size, Image.Resampling.NEAREST))
    pixels, known = np.asarray(picture, dtype=np.float32), (classes >= 0)[:, :, None]
    over = (1 - SHARE) * pixels + SHARE * colours[classes.clip(min=0)]
    return Image.fromarray(np.where(known, over, pixels).round().astype(np.uint8))


def mask_picture(classes: NDArray[Any], colours: NDArray[np.uint8]) -> Image.Image:
    """Return class ids `(height, width)` as a picture: with a palette of their colours up to 256, of 16 bits beyond."""
    if len(colours) > MOST_8_BIT:
        return Image.fromarray(classes.astype(np.uint16))
    made = Image.fromarray(classes.astype(np.uint8), "P")
    made.putpalette(colours.tobytes(), "RGB")
    return made


def as_png(picture: Image.Image) -> str:
    """Return a picture as the content of a PNG file, as base64 text."""
    made = BytesIO()
    picture.save(made, "PNG")
    return base64.b64encode(made.getvalue()).decode()


def small_mask(classes: NDArray[Any], colours: NDArray[np.uint8]) -> str:
    """Return class ids as a small PNG for a page, as base64 text; pixels without a class have the highest id.

    Args:
        classes: Negative for none, `(height, width)`.
        colours: Of the classes, `(classes, 3)`.
    """
    known = np.concatenate([colours, np.array([NONE], dtype=np.uint8)])[: MOST_8_BIT - 1]
    ids = np.where(classes < 0, len(colours), classes).clip(max=len(known) - 1)
    made = mask_picture(ids, known)
    factor = SMALL / max(made.size)
    if factor < 1:
        size = (max(1, round(made.width * factor)), max(1, round(made.height * factor)))
        made = made.resize(size, Image.Resampling.NEAREST)
    return as_png(made)


def preview_of_masks(row: Mapping[str, Any], described: Mapping[str, Any]) -> str:
    """Return a picture beside its true and its predicted mask, each over the picture, as a `data:` URL.

    Args:
        row: Has the picture as `image`.
        described: Has `small_true_mask` and `small_predicted_mask`, see `small_mask`.
    """
    picture = open_picture(row["image"], at_least=(SMALL, SMALL))
    shown = [picture]
    for name in ("small_true_mask", "small_predicted_mask"):
        mask = Image.open(BytesIO(base64.b64decode(described[name])))
        colours = np.asarray(mask.getpalette(), dtype=np.uint8).reshape(-1, 3)
        shown.append(overlay(picture, np.asarray(mask).astype(np.int32), colours))
    return preview_of(sheet(shown, columns=len(shown)), side=len(shown) * SMALL)


def mask_of(prediction: Mapping[str, Any]) -> Image.Image:
    """Return the mask of a prediction as a picture whose pixels are class ids, with a palette of their colours."""
    return Image.open(BytesIO(base64.b64decode(prediction["mask"])))
