"""Sample data for vision: generated pictures of shapes, with their classes, masks and boxes."""

import math
import random
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageDraw, ImageFilter

KINDS = ("circle", "cross", "square", "star", "triangle")
SIDE = 32  # pixels
SCENE = 64  # pixels of a picture of several shapes
MOST_SHAPES, TRIES = 4, 12  # in such a picture; how often a place for one is drawn
TURN = math.radians(20)
FINER = 4  # drawn so many times as large, and scaled down for smooth edges
Point = tuple[float, float]


@dataclass(frozen=True)
class Shape:
    """A shape in a picture.

    Attributes:
        kind: One of `KINDS`.
        centre: `(x, y)`, as shares of the picture's side.
        radius: Share of the picture's side.
        turn: Angle in radians.
        colour: Red, green and blue, 0 to 255.
    """

    kind: str
    centre: Point
    radius: float
    turn: float
    colour: tuple[int, ...]

    def outline(self) -> list[Point]:
        """Return the corners of the shape, as shares of the picture's side."""
        x, y = self.centre
        corners = CORNERS[self.kind]
        steps = 2 * math.pi / len(corners)
        turns = [self.turn + number * steps for number in range(len(corners))]
        return [
            (x + self.radius * r * math.cos(t), y + self.radius * r * math.sin(t))
            for r, t in zip(corners, turns, strict=True)
        ]

    def box(self, side: int) -> list[float]:
        """Return the least and the largest x and y in a picture of that side in pixels: left, top, right, bottom."""
        across, down = zip(*self.outline(), strict=True)
        return [side * end for end in (min(across), min(down), max(across), max(down))]


# Distances of the corners from the centre, at equal angles.
CORNERS: dict[str, tuple[float, ...]] = {
    "circle": (0.9,) * 48,
    "cross": (0.32, 1.0, 1.0) * 4,
    "square": (1.0,) * 4,
    "star": (1.0, 0.4) * 5,
    "triangle": (1.0,) * 3,
}
# Angles of their first corners.
UPRIGHT = {
    "circle": 0.0,
    "cross": math.pi / 4,
    "square": math.pi / 4,
    "star": -math.pi / 2,
    "triangle": -math.pi / 2,
}


def any_shape(rng: random.Random, *, least: float = 0.26, most: float = 0.4) -> Shape:
    """Return a shape of random kind, place, size, colour and slight turn that lies within the picture."""
    radius = rng.uniform(least, most)
    x, y = (rng.uniform(radius, 1 - radius) for _ in range(2))
    colour = tuple(rng.randrange(256) for _ in range(3))
    kind = rng.choice(KINDS)
    return Shape(kind, (x, y), radius, UPRIGHT[kind] + rng.uniform(-TURN, TURN), colour)


def draw(rng: random.Random, shapes: list[Shape], *, side: int = SIDE) -> Image.Image:
    """Return a picture of shapes on a background that changes slowly, blurred a little and with noise."""
    hue = [rng.randrange(40, 200) for _ in range(3)]
    ground = [tuple(part + rng.randrange(-30, 31) for part in hue) for _ in range(4)]
    corners = Image.new("RGB", (2, 2))
    corners.putdata(ground)
    picture = corners.resize((side * FINER, side * FINER), Image.Resampling.BILINEAR)
    pen = ImageDraw.Draw(picture)
    for shape in shapes:
        points = [(x * side * FINER, y * side * FINER) for x, y in shape.outline()]
        pen.polygon(points, fill=_apart(shape.colour, ground))
    picture = picture.resize((side, side), Image.Resampling.BOX).filter(ImageFilter.GaussianBlur(rng.uniform(0, 0.6)))
    noise = Image.frombytes("L", (side, side), rng.randbytes(side * side)).convert("RGB")
    return Image.blend(picture, noise, 0.05)


def _apart(colour: tuple[int, ...], ground: list[tuple[int, ...]]) -> tuple[int, ...]:
    """Return a colour that can be told from the background: the nearest one that differs enough, or its opposite."""
    mean = [sum(each) / len(ground) for each in zip(*ground, strict=True)]
    distance = math.dist(colour, mean)
    return colour if distance > 110 else tuple(255 if part < 128 else 0 for part in mean)


def shapes(rng: random.Random) -> dict[str, Any]:
    """Return a picture of one shape as `image`, and its kind as `label`."""
    shape = any_shape(rng)
    return {"image": draw(rng, [shape]), "label": shape.kind}


def scenes(rng: random.Random) -> dict[str, Any]:
    """Return a picture of several shapes as `image`, and the class of each pixel as `mask`: 0 is the background.

    The ids of the kinds are their places in `KINDS`, counted from 1.
    """
    shapes = _several(rng)
    return {"image": draw(rng, shapes, side=SCENE), "mask": mask(shapes, side=SCENE)}


def boxed_scenes(rng: random.Random) -> dict[str, Any]:
    """Return a picture of several shapes as `image`, and their kinds and boxes as `boxes`, see `vision.boxes`."""
    shapes = _several(rng)
    boxes = [{"label": shape.kind, "box": shape.box(SCENE)} for shape in shapes]
    return {"image": draw(rng, shapes, side=SCENE), "boxes": boxes}


def _several(rng: random.Random) -> list[Shape]:
    """Return shapes that do not touch each other."""
    shapes: list[Shape] = []
    for _ in range(TRIES):
        shape = any_shape(rng, least=0.2, most=0.3)
        if all(math.dist(shape.centre, other.centre) > shape.radius + other.radius for other in shapes):
            shapes.append(shape)
        if len(shapes) == MOST_SHAPES:
            break
    return shapes


def mask(shapes: list[Shape], *, side: int) -> Image.Image:
    """Return the class of each pixel of a picture that `draw` makes of shapes."""
    made = Image.new("L", (side * FINER, side * FINER))
    pen = ImageDraw.Draw(made)
    for shape in shapes:
        points = [(x * side * FINER, y * side * FINER) for x, y in shape.outline()]
        pen.polygon(points, fill=1 + KINDS.index(shape.kind))
    return made.resize((side, side), Image.Resampling.NEAREST)
