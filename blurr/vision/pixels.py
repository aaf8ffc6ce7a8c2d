"""Pixels of pictures: decoded and resized once, by the processor of the checkpoint, and kept for the next epoch."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from blurr.errors import InputError
from blurr.loading.cache import key_of
from blurr.loading.columns import Made
from blurr.loading.kept import Kept
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
class Pixels(Made):
    """The pixels of pictures, each made when it is read; row `i` is `(channels, height, width)`, uint8.

    Args:
        pictures: Structs of `path`, `bytes` and `hash`, as `blurr.data.media` has them.
        sizing: Makes pixels of a picture.
        numbers: Of the pictures that are meant, in their order; `None` for all.
    """

    pictures: Sequence[Mapping[str, Any]]
    sizing: Sizing
    numbers: Sequence[int] | None = None
    kept: Kept | None = field(default=None, compare=False)

    def __len__(self) -> int:
        return len(self.pictures if self.numbers is None else self.numbers)

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        number = index if self.numbers is None else self.numbers[index]
        found = None if self.kept is None else self.kept.get(number)
        if found is not None:
            return found
        made = self._made(number)
        if self.kept is not None:
            self.kept.put(number, made)
        return made

    def _made(self, number: int) -> NDArray[np.uint8]:
        _, height, width = self.sizing.shape
        return self.sizing(open_picture(self.pictures[number], at_least=(FINER * height, FINER * width)))

    def take(self, numbers: Sequence[int]) -> Self:
        chosen = list(numbers) if self.numbers is None else [self.numbers[i] for i in numbers]
        return replace(self, numbers=chosen)

    @property
    def gigabytes(self) -> float:
        """What all pixels take."""
        return len(self) * float(np.prod(self.sizing.shape)) / 1e9

    def keeping(self, described: Mapping[str, Any]) -> "Pixels":
        """Return the pixels, kept on disk from now on.

        Args:
            described: All that decides what the processor makes of a picture.
        """
        hashes = [picture["hash"] for picture in self.pictures]
        key = key_of({"pixels": hashes, "processor": described, "finer": FINER})
        height, width = self.sizing.shape[1:]
        about = f"Pixels {height} x {width}"
        kept = Kept.open(key, about, (len(hashes), *self.sizing.shape), np.uint8)
        return replace(self, kept=kept)

    @property
    def seconds_to_make(self) -> float:
        """Seconds of one processor for those that are not kept, by the time that one of them takes."""
        missing = len(self) if self.kept is None else self.kept.missing
        if not missing or not len(self):
            return 0.0
        self._made(0)
        begun = time.perf_counter()
        self._made(0)
        return missing * (time.perf_counter() - begun)
