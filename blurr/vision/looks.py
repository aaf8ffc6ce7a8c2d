"""What a picture looks like: small, for pages; as a few numbers, to find pictures that are nearly the same."""

import numpy as np
from PIL import Image

from blurr.data.media import Look
from blurr.loading.shown import data_url

SMALL = 96  # pixels of the longer side of a preview
QUALITY = 80  # of a JPEG
SKETCH = 16  # pixels of each side
BITS = 8  # of each side of a difference hash


def look_of(picture: Image.Image, *, width: int, height: int) -> Look:
    """Return the hash, the sketch and the measures of a picture.

    The hash is a difference hash, one bit for each two neighbours of a row of 9 x 8 shades of grey: is the right one
    brighter? It is the same for copies that were scaled, compressed or made brighter. Source: Krawetz 2013, Kind of
    Like That (hackerfactor.com/blog/index.php?/archives/529-Kind-of-Like-That.html).

    Args:
        picture: RGB, maybe decoded smaller.
        width: Of the file, in pixels.
        height: Of the file, in pixels.
    """
    grey = picture.convert("L")
    shades = np.asarray(grey.resize((BITS + 1, BITS), Image.Resampling.BILINEAR), dtype=np.int16)
    sketch = np.asarray(grey.resize((SKETCH, SKETCH), Image.Resampling.BILINEAR), dtype=np.float32)
    measures = {"pixels": width * height, "aspect ratio": width / height, "brightness": float(sketch.mean()) / 255}
    return Look((shades[:, 1:] > shades[:, :-1]).ravel(), sketch.ravel(), measures)


def preview_of(picture: Image.Image, *, side: int = SMALL) -> str:
    """Return a small version of a picture as a `data:` URL; one of few pixels is enlarged by a whole factor."""
    factor = max(1, side // max(picture.size))
    if factor > 1:
        size = (picture.width * factor, picture.height * factor)
        return data_url(picture.resize(size, Image.Resampling.NEAREST), "PNG")
    small = picture.copy()
    small.thumbnail((side, side))
    return min(data_url(small, "PNG"), data_url(small, "JPEG", quality=QUALITY), key=len)
