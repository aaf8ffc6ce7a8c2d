"""Masks: pictures that say of each pixel which class it is, by an id or by a colour."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, ClassVar, NamedTuple

import numpy as np
import PIL
import xxhash
from numpy.typing import NDArray
from PIL import Image

from blurr.data.media import Look, shown
from blurr.errors import InputError, nearest, shortened
from blurr.loading.decoded import Decoded
from blurr.loading.rows import IGNORED
from blurr.vision.images import PICTURES, decoded

Colour = tuple[int, int, int]
MOST_VALUES = 1024  # different ids or colours of one mask; a photo has more
MOST_IDS = 1000  # classes that need no names
IGNORE = "ignore"  # the name of a colour whose pixels are no class
FEW = 3  # files that are named
LOSSY = ("JPEG", "MPO")
OF_16_BITS = ("I", "I;16", "I;16B", "I;16L", "I;16N")
WRITTEN = re.compile(r"(\d+)?(?:#([0-9a-f]{6}))?")


class Value(NamedTuple):
    """What a pixel of a mask says.

    Attributes:
        id: Its number; None where it is a colour alone.
        colour: Red, green and blue; None where 16 bits have none.
    """

    id: int | None
    colour: Colour | None

    def __str__(self) -> str:
        """Return how a measure of a mask writes it, such as `3`, `3#804080` of a palette, or `#804080`."""
        grey = None if self.id is None else (self.id,) * 3
        colour = "" if self.colour in (None, grey) else "#" + "".join(f"{part:02x}" for part in self.colour or ())
        return f"{'' if self.id is None else self.id}{colour}"

    @classmethod
    def read(cls, text: str) -> "Value":
        """Read what `str` wrote."""
        number, colour = (WRITTEN.fullmatch(text) or WRITTEN.fullmatch("")).groups()  # type: ignore[union-attr]
        known = None if number is None else int(number)
        if colour is not None:
            return cls(known, (int(colour[:2], 16), int(colour[2:4], 16), int(colour[4:], 16)))
        return cls(known, None if known is None or known > 255 else (known, known, known))


def values_in(mask: Image.Image) -> tuple[list[Value], NDArray[np.int64]]:
    """Return the different values of a mask, and the place of each pixel's among them, `(height, width)`."""
    if mask.mode == "1":
        mask = Image.fromarray(np.asarray(mask).astype(np.uint8))
        mask.putpalette([0, 0, 0, 255, 255, 255])  # black and white are the ids 0 and 1
    if mask.mode in ("P", "PA"):
        colours = np.asarray(mask.getpalette("RGB")).reshape(-1, 3)
        ids, places = _different(np.asarray(mask.getchannel(0) if mask.mode == "PA" else mask))
        known: list[Colour | None] = [(*map(int, colours[i]),) if i < len(colours) else None for i in ids]  # type: ignore[misc]
        return [Value(i, colour) for i, colour in zip(ids, known, strict=True)], places
    if mask.mode in ("L", "LA", *OF_16_BITS):
        ids, places = _different(np.asarray(mask.getchannel(0) if mask.mode == "LA" else mask))
        return [Value.read(str(i)) for i in ids], places
    parts = np.asarray(mask.convert("RGB")).astype(np.int64)
    if (parts == parts[:, :, :1]).all():  # grey that was saved as colours
        ids, places = _different(parts[:, :, 0])
        return [Value.read(str(i)) for i in ids], places
    packed, places = _different(parts @ np.array([1 << 16, 1 << 8, 1]))
    return [Value(None, (each >> 16, each >> 8 & 255, each & 255)) for each in packed], places


def _different(values: NDArray[Any]) -> tuple[list[int], NDArray[np.int64]]:
    found, places = np.unique(values, return_inverse=True)
    return found.tolist(), places.reshape(values.shape)


class Masks:
    """The Media of masks. Measures are width and height in pixels, and the different values, see `Value`."""

    kind = "mask"
    suffixes = frozenset({".bmp", ".gif", ".png", ".tif", ".tiff", ".webp"})
    measures: Mapping[str, str] = {"width": "int32", "height": "int32", "values": "string"}
    version = f"Pillow {PIL.__version__}"

    def examine(self, content: bytes) -> dict[str, Any]:
        """Decode a mask and return its measures.

        Raises:
            InputError: It cannot be opened, or is a photo; the message goes on after its name.
        """
        mask = decoded(content)
        if mask.format in LOSSY:
            raise InputError("is a JPEG, which blurs the ids of classes: save masks as PNG")
        values, _ = values_in(mask)
        if len(values) > MOST_VALUES:
            raise InputError(
                f"has {len(values)} different colours, more than a mask has classes: is it the picture itself, or was "
                "it resized with smooth edges?"
            )
        return {"width": mask.width, "height": mask.height, "values": " ".join(map(str, values))}

    def summary(self, measures: Mapping[str, Sequence[Any]]) -> str:
        """Describe widths, heights and aspect ratios in a line."""
        return PICTURES.summary(measures)

    def pack(self, value: Any) -> tuple[bytes, str] | None:
        """Return a mask in memory as the content of a PNG file, and a hash of its pixels.

        Args:
            value: A picture of Pillow, or an array `(height, width)` of class ids from 0 to 65535, or `(height, width,
                3)` of colours.

        Raises:
            InputError: An array is of another type or shape.
        """
        if isinstance(value, list | np.ndarray):
            value = _of_array(np.asarray(value))
        if not isinstance(value, Image.Image):
            return None
        made = BytesIO()
        value.save(made, "PNG", compress_level=1)
        palette = bytes(value.getpalette() or []) if value.mode == "P" else b""
        told = f"{value.size} {value.mode}".encode() + palette + value.tobytes()
        return made.getvalue(), xxhash.xxh3_128_hexdigest(told)

    def look(self, source: Mapping[str, Any]) -> Look:
        return PICTURES.look(source)

    def preview(self, source: Mapping[str, Any]) -> str:
        return PICTURES.preview(source)

    def player(self, source: Mapping[str, Any]) -> None:
        return


MASKS = Masks()


def _of_array(values: NDArray[Any]) -> Image.Image:
    if values.dtype == np.bool_:
        values = values.astype(np.uint8)
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[:, :, 0]
    is_whole = values.dtype.kind in "iu" and values.size > 0 and values.min() >= 0 and values.max() <= 65_535
    if values.ndim == 2 and is_whole:
        return Image.fromarray(values.astype(np.uint8 if values.max() < 256 else np.uint16))
    if values.ndim == 3 and values.shape[2] == 3 and values.dtype == np.uint8 and values.size:
        return Image.fromarray(values)
    raise InputError(
        f"is an array {values.shape} of {values.dtype}, and a mask is (height, width) of class ids from 0 to 65535, or "
        "(height, width, 3) of colours as uint8"
    )


@dataclass(frozen=True)
class Legend:
    """What the values of masks mean.

    Args:
        names: Of the classes, in the order in which the model has them.
        colours: Of the classes by their names; empty if masks hold ids.
        ignore_index: An id that is no class; None if all are.
        listed: Names of the classes in the order of their ids in masks, where that is another.
    """

    names: tuple[str, ...]
    colours: Mapping[str, Colour] = field(default_factory=dict)
    ignore_index: int | None = None
    listed: tuple[str, ...] = ()

    def class_of(self, value: Value) -> int | None:
        """Return the number of the class, `IGNORED` for none, and None for a value that the legend does not have."""
        name = next((name for name, colour in self.colours.items() if colour == value.colour), None)
        if name is not None and name != IGNORE:
            return self.names.index(name)
        if name == IGNORE or (value.id is not None and value.id == self.ignore_index):
            return IGNORED
        if self.colours or value.id is None or value.id >= len(self.names):
            return None
        return self.names.index(self.listed[value.id]) if self.listed else value.id

    def classes(self, mask: Image.Image) -> NDArray[np.int16]:
        """Return the class of each pixel, `(height, width)`; `IGNORED` for none.

        Raises:
            InputError: A value is not in the legend; the message goes on after the name of the mask.
        """
        values, places = values_in(mask)
        table = np.array([self._known(value) for value in values], dtype=np.int16)
        return table[places]

    def check(self, values: str) -> None:
        """Refuse a mask that has values without a meaning.

        Args:
            values: As `Masks.examine` measures them.

        Raises:
            InputError: The message goes on after the name of the mask.
        """
        for value in map(Value.read, values.split()):
            self._known(value)

    def _known(self, value: Value) -> int:
        found = self.class_of(value)
        if found is None:
            raise InputError(self._unknown(value))
        return found

    def _unknown(self, value: Value) -> str:
        if self.colours:
            said = "a class without a colour" if value.colour is None else f"the colour {list(value.colour)}"
            near = min(self.colours.items(), key=lambda each: _distance(each[1], value.colour or (0, 0, 0)))
            return f"holds {said}, which task.colours does not have; the nearest is {near[0]}: {list(near[1])}"
        if value.id is None:
            return (
                f"holds colours, such as {list(value.colour or ())}, and not ids of classes: say what they mean by "
                "task.colours, such as task.colours={road: [128,64,128], sky: [70,130,180]}"
            )
        known = f"{len(self.names)} classes have the ids 0 to {len(self.names) - 1}"
        return f"holds the id {value.id}, and the {known}; an id that is no class is task.ignore_index"


def _distance(one: Colour, other: Colour) -> int:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))


def ids_in(measured: Sequence[str]) -> set[int]:
    """Return the ids that occur in masks, by their measures; those of colours alone have none."""
    texts = {text for values in measured for text in values.split()}
    return {value.id for value in map(Value.read, texts) if value.id is not None}


def check_masks(pictures: Sequence[Mapping[str, Any]], masks: Sequence[Mapping[str, Any]], legend: Legend) -> None:
    """Refuse masks of another size than their pictures, or with values that mean nothing.

    Raises:
        InputError: Names some of them.
    """
    wrong = list(_mistakes(pictures, masks, legend))
    if wrong:
        more = "; …" if len(wrong) > FEW else ""
        raise InputError(f"{len(wrong)} of {len(masks)} masks cannot be used: {'; '.join(wrong[:FEW])}{more}.")


def _mistakes(
    pictures: Sequence[Mapping[str, Any]], masks: Sequence[Mapping[str, Any]], legend: Legend
) -> Iterator[str]:
    for picture, mask in zip(pictures, masks, strict=True):
        name, sizes = shortened(shown(mask)), [(each["width"], each["height"]) for each in (mask, picture)]
        if sizes[0] != sizes[1]:
            (width, height), (wide, high) = sizes
            yield f"{name} has {width} x {height} pixels, and its picture {shortened(shown(picture))} {wide} x {high}"
            continue
        try:
            legend.check(mask["values"])
        except InputError as error:
            yield f"{name} {error}"


def check_colours(colours: Mapping[str, Sequence[int]], names: Sequence[str] | None) -> dict[str, Colour]:
    """Return the colours of classes as triples.

    Raises:
        InputError: One is not a colour, two are the same, or they do not fit the names of the labels.
    """
    for name, parts in colours.items():
        if len(parts) != 3 or not all(0 <= part <= 255 for part in parts):
            raise InputError(f"task.colours.{name}={list(parts)} is not a colour: red, green and blue from 0 to 255.")
    made: dict[str, Colour] = {name: (int(r), int(g), int(b)) for name, (r, g, b) in colours.items()}
    twice = [name for name, colour in made.items() if list(made.values()).count(colour) > 1]
    if twice:
        raise InputError(f"task.colours gives {twice} the same colour. Give each class its own.")
    missing = [name for name in names or () if name not in made] if made else []
    if missing:
        raise InputError(
            f"task.label_names has {missing}, which task.colours does not have.{nearest(missing[0], made)} Leave "
            "task.label_names out: the colours name the classes."
        )
    return made


@dataclass(frozen=True)
class MaskClasses(Decoded):
    """The classes of the pixels of masks, each made when it is read; row `i` is `(height, width)`, int16.

    Args:
        legend: What the values of the masks mean.
        size: Height and width of the pixels of their pictures.
    """

    dtype: ClassVar[type[np.generic]] = np.int16

    legend: Legend
    size: tuple[int, int]

    @property
    def shape(self) -> tuple[int, int]:
        return self.size

    @property
    def ingredients(self) -> dict[str, Any]:
        colours = {name: list(colour) for name, colour in self.legend.colours.items()}
        return {
            "masks": self.size,
            "names": self.legend.names,
            "colours": colours,
            "none": self.legend.ignore_index,
            "listed": self.legend.listed,
        }

    def made(self, file: Mapping[str, Any]) -> NDArray[Any]:
        """Return the classes of a mask, resized as its picture is, each pixel that of the nearest one."""
        mask = decoded(file["bytes"], file["path"])
        return self.legend.classes(mask.resize(self.size[::-1], Image.Resampling.NEAREST))
