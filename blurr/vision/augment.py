"""Change training pictures at random, a batch at a time on its device: the options of `conf/augment`."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional
from torchvision.transforms.v2 import functional as transforms

from blurr.config.annotations import Degrees, Fraction, Zoom
from blurr.errors import InputError
from blurr.loading.draws import Stream, inside_box, uniform
from blurr.loading.rows import IGNORED
from blurr.vision.box_batches import moved_boxes

Changed = tuple[torch.Tensor, torch.Tensor | None]
SMALLEST, LARGEST = 0.1, 0.4  # sides of an erased box, as shares of the picture's
MOST_SHEAR, FEWEST_BITS = 0.5, 2.0  # at full strength: shear of a picture, bits that posterizing leaves
FULL = 0.99  # share by which brightness and the like change at full strength, as in TrivialAugmentWide
LUMA = (0.299, 0.587, 0.114)  # of red, green and blue in grey, ITU-R BT.601


def light(
    max_rotate: Degrees = 5.0,
    max_zoom: Zoom = 1.05,
    max_shift: Fraction = 0.03,
    flip: bool = False,
    max_lighting: Fraction = 0.1,
    erase: Fraction = 0.0,
) -> "Jitter":
    """Return small changes of position and light, for small or uniform pictures; see `Jitter`."""
    return Jitter(max_rotate, max_zoom, max_shift, flip, max_lighting, erase)


def standard(
    max_rotate: Degrees = 10.0,
    max_zoom: Zoom = 1.1,
    max_shift: Fraction = 0.06,
    flip: bool = False,
    max_lighting: Fraction = 0.2,
    erase: Fraction = 0.1,
) -> "Jitter":
    """Return moderate changes of position and light, and now and then an erased box; see `Jitter`."""
    return Jitter(max_rotate, max_zoom, max_shift, flip, max_lighting, erase)


def trivial(
    strength: Fraction = 1.0, max_rotate: Degrees = 30.0, max_shift: Fraction = 0.15, flip: bool = False
) -> "OneOperation":
    """Return one random operation of random strength for each picture; see `OneOperation`."""
    return OneOperation(strength, max_rotate, max_shift, flip)


@dataclass(frozen=True)
class Jitter:
    """Rotate, zoom, shift and light each picture by amounts of its own, all at once.

    What comes in from outside a picture mirrors its border; masks are `IGNORED` there.

    Args:
        max_rotate: Degrees to either side.
        max_zoom: Largest factor, and one over it the smallest.
        max_shift: Share of height and width, in each direction.
        flip: Mirror every second picture, left to right. Leave it off where that changes the class: digits, text.
        max_lighting: Change of brightness as a share of the range, and of contrast as a share of it.
        erase: Share of the pictures of which a random box is erased, Zhong et al. 2017, arXiv:1708.04896.
    """

    max_rotate: float
    max_zoom: float
    max_shift: float
    flip: bool
    max_lighting: float
    erase: float

    @torch.no_grad()
    def __call__(self, pixels: torch.Tensor, seeds: torch.Tensor, masks: torch.Tensor | None = None) -> Changed:
        """Return changed pictures, and their masks changed with them.

        Args:
            pixels: float32 `(batch, channels, height, width)` in [0, 1].
            seeds: Of the rows, int64 `(batch,)`.
            masks: int64 `(batch, height, width)`; or boxes, float32 `(batch, objects, 5)`, see `check_boxes`.
        """
        drawn = uniform(seeds, 12, Stream.AUGMENT)
        either = 2 * drawn - 1  # from -1 to 1
        if self.max_rotate or self.max_zoom > 1 or self.max_shift or self.flip:
            places = Places(
                angle=either[:, 0] * math.radians(self.max_rotate),
                zoom=torch.exp(either[:, 1] * math.log(self.max_zoom)),
                shift=either[:, 2:4] * self.max_shift,
                mirror=_mirror(drawn[:, 4], self.flip),
                shear=torch.zeros_like(drawn[:, :2]),
            )
            pixels, masks = moved(pixels, masks, places)
        if self.max_lighting:
            pixels = lit(pixels, either[:, 5] * self.max_lighting, either[:, 6] * self.max_lighting)
        if self.erase:
            pixels = erased(pixels, drawn[:, 7] < self.erase, drawn[:, 8:12])
        return pixels, masks

    def __str__(self) -> str:
        turned = f"turned by up to {self.max_rotate:g}°, zoomed by up to {self.max_zoom:g}, shifted by up to "
        boxes = f"; a box is erased of {self.erase:.0%}" if self.erase else ""
        return f"{turned}{self.max_shift:.0%}, lit by up to {self.max_lighting:.0%}{boxes}; {_said(self.flip)}"


@dataclass(frozen=True)
class OneOperation:
    """Change each picture by one random operation of random strength.

    The operations are those of TrivialAugmentWide, Müller and Hutter 2021, arXiv:2103.10158, of which one leaves the
    picture as it is. Turns and shifts are limited, because a class may depend on them; the paper turns by 135 degrees.

    Args:
        strength: Scales the range of every operation; 0 changes nothing.
        max_rotate: Degrees to either side at full strength.
        max_shift: Share of height or width at full strength.
        flip: Mirror every second picture, left to right, before the operation.
    """

    strength: float
    max_rotate: float
    max_shift: float
    flip: bool

    @torch.no_grad()
    def __call__(self, pixels: torch.Tensor, seeds: torch.Tensor, masks: torch.Tensor | None = None) -> Changed:
        """Return changed pictures and masks; see `Jitter`."""
        drawn = uniform(seeds, 4, Stream.AUGMENT)
        count = (len(GEOMETRIC) + len(OF_VALUES)) if self.strength else 1
        operations = (drawn[:, 0] * count).long().clamp(max=count - 1)
        amounts = (2 * drawn[:, 1] - 1) * self.strength
        mirror = _mirror(drawn[:, 2], self.flip)
        chosen = operations.tolist()
        turned = [i for i, each in enumerate(chosen) if self.flip or 0 < each < len(GEOMETRIC)]
        pixels = pixels.clone()
        if turned:
            rows = torch.tensor(turned, device=pixels.device)
            places = self._places(operations[rows], amounts[rows], mirror[rows])
            pixels[rows], changed = moved(pixels[rows], None if masks is None else masks[rows], places)
            masks = masks if masks is None or changed is None else masks.index_copy(0, rows, changed)
        for number, operation in enumerate(OF_VALUES, len(GEOMETRIC)):
            rows = torch.tensor([i for i, each in enumerate(chosen) if each == number], device=pixels.device)
            if len(rows):
                pixels[rows] = operation(pixels[rows], amounts[rows].view(-1, 1, 1, 1)).clamp(0, 1)
        return pixels, masks

    def _places(self, operations: torch.Tensor, amounts: torch.Tensor, mirror: torch.Tensor) -> "Places":
        by = {name: amounts * (operations == number) for number, name in enumerate(GEOMETRIC)}
        return Places(
            angle=by["rotate"] * math.radians(self.max_rotate),
            zoom=torch.ones_like(amounts),
            shift=torch.stack([by["shift_x"], by["shift_y"]], 1) * self.max_shift,
            mirror=mirror,
            shear=torch.stack([by["shear_x"], by["shear_y"]], 1) * MOST_SHEAR,
        )

    def __str__(self) -> str:
        return f"one operation each of strength {self.strength:g}; {_said(self.flip)}"


def check_boxes(augment: object) -> None:
    """Refuse to turn or shear pictures whose boxes would no longer be around their objects.

    Raises:
        InputError: It does.
    """
    if isinstance(augment, OneOperation):
        raise InputError(
            "augment=trivial turns and shears pictures, and a box that is turned is no longer the box of its object. "
            "Choose augment=light or standard, with augment.max_rotate=0."
        )
    if isinstance(augment, Jitter) and augment.max_rotate:
        raise InputError(
            f"augment.max_rotate={augment.max_rotate:g} turns pictures, and a box that is turned is no longer the box "
            "of its object. Set augment.max_rotate=0: zooming, shifting, mirroring and light keep boxes exact."
        )


def _mirror(drawn: torch.Tensor, flip: bool) -> torch.Tensor:
    """Return -1 for pictures to mirror, else 1."""
    return 1 - 2 * ((drawn < 0.5) & flip).to(drawn.dtype)


def _said(flip: bool) -> str:
    if flip:
        return "half of the pictures are mirrored"
    return "pictures are not mirrored; augment.flip=true if mirroring keeps the class"


@dataclass(frozen=True)
class Places:
    """Where each picture's pixels come from.

    Attributes:
        angle: Radians, `(batch,)`.
        zoom: Factor, `(batch,)`.
        shift: Share of width and of height, `(batch, 2)`.
        mirror: -1 for left to right, else 1, `(batch,)`.
        shear: Along the width and along the height, `(batch, 2)`.
    """

    angle: torch.Tensor
    zoom: torch.Tensor
    shift: torch.Tensor
    mirror: torch.Tensor
    shear: torch.Tensor

    def grid(self, height: int, width: int) -> torch.Tensor:
        """Return the place of each pixel in its old picture, `(batch, height, width, 2)`, from -1 to 1 as torch has it.

        `affine_grid` multiplies matrices for each pixel, which takes ten times as long.
        """
        device, ratio = self.angle.device, width / height
        # in units of half the height, so that a turned picture is not squeezed
        x = ((torch.arange(width, device=device) + 0.5) * 2 / width - 1) * ratio
        y = (torch.arange(height, device=device) + 0.5) * 2 / height - 1
        cos, sin = self.angle.cos() / self.zoom, self.angle.sin() / self.zoom
        by_x = [(cos - sin * self.shear[:, 1]) * self.mirror, (sin + cos * self.shear[:, 1]) * self.mirror]
        by_y = [cos * self.shear[:, 0] - sin, cos + sin * self.shear[:, 0]]
        grid = torch.empty(len(cos), height, width, 2, device=device)
        for axis, unit in enumerate((ratio, 1.0)):
            of_rows = by_y[axis][:, None] * y / unit + 2 * self.shift[:, axis, None]
            of_columns = by_x[axis][:, None] * x / unit
            torch.add(of_rows[:, :, None], of_columns[:, None, :], out=grid[..., axis])
        return grid


def moved(pixels: torch.Tensor, masks: torch.Tensor | None, places: Places) -> Changed:
    """Return pictures and masks with each pixel taken from its place; floats are boxes, see `box_batches`."""
    grid = places.grid(*pixels.shape[-2:])
    taken = functional.grid_sample(
        pixels, grid, mode="bilinear", padding_mode="reflection", align_corners=False
    ).clamp_(0, 1)
    if masks is None:
        return taken, None
    if masks.is_floating_point():
        return taken, moved_boxes(masks, places.zoom, places.shift, places.mirror)
    # outside, `grid_sample` puts 0, which stands for `IGNORED` here
    raised = (masks - IGNORED)[:, None].to(pixels.dtype)
    found = functional.grid_sample(raised, grid, mode="nearest", padding_mode="zeros", align_corners=False)
    return taken, found[:, 0].round().long() + IGNORED


def lit(pixels: torch.Tensor, brightness: torch.Tensor, contrast: torch.Tensor) -> torch.Tensor:
    """Return pictures with other brightness, added, and contrast, a change of the distance from grey; `(batch,)`."""
    factor = (1 + contrast).view(-1, 1, 1, 1)
    return torch.addcmul((0.5 + brightness).view(-1, 1, 1, 1) - 0.5 * factor, pixels, factor).clamp_(0, 1)


def erased(pixels: torch.Tensor, chosen: torch.Tensor, drawn: torch.Tensor) -> torch.Tensor:
    """Return pictures with a box of their mean colour in those that are chosen.

    Args:
        pixels: `(batch, channels, height, width)`.
        chosen: Which of them, `(batch,)`.
        drawn: Numbers in [0, 1) for sides and place of the box, `(batch, 4)`.
    """
    sides = SMALLEST + (LARGEST - SMALLEST) * drawn[:, :2]
    low = drawn[:, 2:] * (1 - sides)
    box = inside_box(pixels.shape[-2:], low, low + sides) & chosen[:, None, None]
    return torch.where(box[:, None], pixels.mean((2, 3), keepdim=True), pixels)


def _grey(pixels: torch.Tensor) -> torch.Tensor:
    if pixels.shape[1] != len(LUMA):
        return pixels.mean(1, keepdim=True)
    return (pixels * pixels.new_tensor(LUMA).view(1, -1, 1, 1)).sum(1, keepdim=True)


def _smoothed(pixels: torch.Tensor) -> torch.Tensor:
    around = functional.pad(pixels, (1, 1, 1, 1), mode="replicate")
    around = around[..., :-2] + around[..., 1:-1] + around[..., 2:]  # four times as fast as pooling
    around = around[..., :-2, :] + around[..., 1:-1, :] + around[..., 2:, :]
    return (around + 4 * pixels) / 13  # the middle counts five times


def _brightness(pixels: torch.Tensor, amounts: torch.Tensor) -> torch.Tensor:
    return pixels * (1 + FULL * amounts)


def _colour(pixels: torch.Tensor, amounts: torch.Tensor) -> torch.Tensor:
    return torch.lerp(_grey(pixels).expand_as(pixels), pixels, 1 + FULL * amounts)


def _contrast(pixels: torch.Tensor, amounts: torch.Tensor) -> torch.Tensor:
    middle = _grey(pixels).mean((1, 2, 3), keepdim=True)
    return torch.lerp(middle.expand_as(pixels), pixels, 1 + FULL * amounts)


def _sharpness(pixels: torch.Tensor, amounts: torch.Tensor) -> torch.Tensor:
    return torch.lerp(_smoothed(pixels), pixels, 1 + FULL * amounts)


def _posterize(pixels: torch.Tensor, amounts: torch.Tensor) -> torch.Tensor:
    step = 2 ** ((8 - FEWEST_BITS) * amounts.abs()).round()
    return ((pixels * 255).round() / step).floor() * step / 255


def _solarize(pixels: torch.Tensor, amounts: torch.Tensor) -> torch.Tensor:
    return torch.where(pixels > 1 - amounts.abs(), 1 - pixels, pixels)


def _autocontrast(pixels: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
    return torch.as_tensor(transforms.autocontrast(pixels))


def _equalize(pixels: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
    return torch.as_tensor(transforms.equalize(pixels))


# The operations of `OneOperation`; the first of all leaves a picture as it is.
GEOMETRIC = ("none", "shear_x", "shear_y", "shift_x", "shift_y", "rotate")
OF_VALUES: tuple[Callable[[torch.Tensor, torch.Tensor], torch.Tensor], ...] = (
    *(_brightness, _colour, _contrast, _sharpness, _posterize, _solarize),
    *(_autocontrast, _equalize),
)
