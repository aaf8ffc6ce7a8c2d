"""What a cell of a table shows that is no text: a picture, or a sound that can be played."""

import base64
import io
from dataclasses import dataclass
from typing import Any

from PIL import Image

LEAST = 96  # pixels of the longer side of a picture in a page: smaller ones are shown larger


@dataclass(frozen=True)
class TableCell:
    """A cell of a table.

    Attributes:
        html: In a page or a notebook.
        text: In a terminal.
        value: The thing itself, such as a picture of Pillow.
    """

    html: str
    text: str
    value: Any = None

    def __str__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return self.html


def shown_picture(picture: Image.Image, *, least: int = LEAST) -> TableCell:
    """Return a picture as a cell of a table; a small one is shown enlarged, with its pixels as squares."""
    width, height = picture.size
    factor = max(1, round(least / max(width, height)))
    style = f"width:{width * factor}px;image-rendering:pixelated" if factor > 1 else "max-width:224px"
    return TableCell(f'<img alt="" style="{style}" src="{data_url(picture)}">', f"{width} x {height} pixels", picture)


def data_url(picture: Image.Image, kind: str = "PNG", **options: Any) -> str:
    """Return a picture as a file in the text of a `data:` URL.

    Args:
        picture: Of a mode that files of the kind can have.
        kind: `PNG` or `JPEG`.
        options: Of the encoder, such as `quality`.
    """
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"
