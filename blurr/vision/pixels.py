"""Pixels of pictures: decoded and resized once, by the processor of the checkpoint, and kept for the next epoch."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from blurr.errors import InputError
from blurr.loading.decoded import Decoded
from blurr.vision.images import open_picture

FINER = 2  # a JPEG is decoded at no less than so many times the size that is wanted


@dataclass(frozen=True)
class Sizing:
    """What an image processor makes of any picture: pixels of one size.

    Args:
        processor: An image processor of transformers.
    """

    processor: Any

    @cached_property
    def raw(self) -> dict[str, bool]:
        """The options with which the processor resizes, and does not normalize."""
        second = {"include_top": False} if "include_top" in self.processor.to_dict() else {}  # normalizes again
        return {"do_rescale": False, "do_normalize": False, **second}

    def __call__(self, picture: Image.Image) -> NDArray[np.uint8]:
        """Return the pixels of a picture `(channels, height, width)`, resized and cropped, as bytes."""
        made = self.processor(images=[picture], return_tensors="np", **self.raw)
        pixels: NDArray[np.uint8] = np.asarray(made["pixel_values"][0]).round().clip(0, 255).astype(np.uint8)
        return pixels

    @cached_property
    def shape(self) -> tuple[int, int, int]:
        """`(channels, height, width)` of the pixels.

        Raises:
            InputError: pictures of other proportions become pixels of another size.
        """
        wide, high = (self(Image.new("RGB", size)).shape for size in ((96, 64), (64, 96)))
        if wide != high:
            raise InputError(
                f"The image processor makes {wide[1]} x {wide[2]} pixels of one picture and {high[1]} x {high[2]} of "
                "another, which no batch can hold. Set one size for all: task.size=224"
            )
        channels, height, width = wide
        return channels, height, width


@dataclass(frozen=True)
class Pixels(Decoded):
    """The pixels of pictures, each made when it is read; row `i` is `(channels, height, width)`, uint8.

    Args:
        sizing: Makes pixels of a picture.
    """

    dtype: ClassVar[type[np.generic]] = np.uint8

    sizing: Sizing

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.sizing.shape

    @property
    def ingredients(self) -> dict[str, Any]:
        return {"processor": described(self.sizing.processor), "finer": FINER}

    def made(self, file: Mapping[str, Any]) -> NDArray[Any]:
        _, height, width = self.shape
        return self.sizing(open_picture(file, at_least=(FINER * height, FINER * width)))


def described(processor: Any) -> dict[str, Any]:
    """Return all that decides what an image processor makes of a picture, as plain values."""
    return {"class": type(processor).__name__, **processor.to_dict()}
