"""Pictures as input: image processors made, loaded and fitted to models, pixels batched, augmented and shown again."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from fasttransform import ItemTransform
from numpy.typing import NDArray
from PIL import Image
from transformers import AutoConfig, AutoImageProcessor, PretrainedConfig, PreTrainedModel, ViTImageProcessor

from blurr.loading.dataloader import RowsDL
from blurr.loading.draws import SEEDS
from blurr.loading.rows import Batch, EncodedRows, InputNames, Inputs, Row, Table
from blurr.loading.shown import shown_picture
from blurr.models.inputs import Positions
from blurr.models.objects import HFObjects
from blurr.targets.labels import with_labels
from blurr.vision.pixels import Pixels, Sizing, described

log = logging.getLogger(__name__)
NAMES = InputNames(main="pixel_values")
MOMENTS = ("mean", "standard deviation")
SIDE = 224  # pixels, of a checkpoint that does not say
Augment = Callable[..., tuple[torch.Tensor, torch.Tensor | None]]
"""Changes pixels `(batch, channels, height, width)` in [0, 1] by seeds `(batch,)`, and masks or boxes with them."""


class PixelRows(EncodedRows):
    """Pictures with their targets."""

    names: InputNames = NAMES
    is_drawn: ClassVar[bool] = True


def pixel_rows(
    pictures: Sequence[Mapping[str, Any]], columns: Mapping[str, Any], hf: HFObjects, vocab: list[str] | None
) -> PixelRows:
    """Put the pixels of pictures beside the columns of their targets."""
    return PixelRows({NAMES.main: Pixels(pictures, Sizing(hf.processor)), **columns}, vocab)


class PixelCollator:
    """Stack the pixels of rows; works in any `torch.utils.data.DataLoader`.

    A call returns `(inputs, targets)`: `inputs` holds `pixel_values`, uint8 `(batch, channels, height, width)`, the
    other columns of the rows, and `labels`, equal to the targets.
    """

    def __call__(self, rows: Sequence[Row]) -> Batch:
        inputs = {name: torch.from_numpy(np.stack([np.asarray(row[name]) for row in rows])) for name in rows[0]}
        return inputs, inputs.get("labels", torch.empty(len(rows), 0))


class Normalize(ItemTransform):  # type: ignore[misc]  # fasttransform is not typed
    """Make the model's input of the pixels of a batch, on its device: numbers in [0, 1], augmented, normalized.

    Args:
        processor: Has mean and standard deviation of the channels.
        augment: Changes the pictures of training batches, which have `seeds`.
    """

    def __init__(self, processor: Any, augment: Augment | None = None) -> None:
        super().__init__()
        self.augment = augment
        self.mean, self.std = (each.view(-1, 1, 1) for each in moments(processor))

    # without annotations, to which fasttransform would convert a batch
    def encodes(self, batch):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        inputs, targets = batch
        if inputs[NAMES.main].dtype != torch.uint8:
            return inputs, targets
        masks = None
        if targets.ndim == 3:  # masks, or boxes, which are floats
            masks = targets if targets.is_floating_point() else targets.long()
        values = inputs[NAMES.main].float().div_(255)
        if self.augment is not None and SEEDS in inputs:
            values, masks = self.augment(values, inputs[SEEDS], masks)
        mean, std = (each.to(values.device) for each in (self.mean, self.std))
        others = {} if masks is None else {"labels": masks}
        return {**inputs, **others, NAMES.main: (values - mean) / std}, targets if masks is None else masks


@dataclass(frozen=True)
class PixelInputs:
    """Image processors, by the contract of `models.inputs.ModalityInputs`."""

    rows_cls: ClassVar[type[EncodedRows]] = PixelRows

    def load(self, name: str, **options: Any) -> Any:
        try:
            return AutoImageProcessor.from_pretrained(name, **options)  # type: ignore[no-untyped-call]
        except OSError:
            return self._of_config(name, **options)

    def _of_config(self, name: str, **options: Any) -> Any:
        """Make the processor of a checkpoint that has none of its own, from what its config says."""
        where = {key: value for key, value in options.items() if key in ("cache_dir", "revision", "trust_remote_code")}
        own = {key: value for key, value in options.items() if key not in where}
        values = AutoConfig.from_pretrained(name, **where).to_dict()
        trained = values.get("pretrained_cfg") or {}
        side = values.get("image_size") or trained.get("input_size", (3, SIDE, SIDE))[1]
        height, width = side if isinstance(side, list | tuple) else (side, side)
        known = {"size": {"height": height, "width": width}}
        known |= {f"image_{key}": trained[key] for key in ("mean", "std") if key in trained}
        processor = ViTImageProcessor(**{**known, **own})
        log.warning(
            "%s has no image processor (preprocessor_config.json). Pictures are resized to %s x %s, with the mean %s "
            "and the deviation %s; to change that: model.tokenizer_kwargs={image_mean: […], image_std: […]}",
            *(name, height, width, tuple(processor.image_mean), tuple(processor.image_std)),
        )
        return processor

    def train(self, arch: str, corpus: Iterable[str], *, vocab_size: int, kind: str | None) -> Any:
        return ViTImageProcessor()

    def scratch_config(self, processor: Any, sizes: Mapping[str, Any]) -> dict[str, Any]:
        given = sizes.get("image_size", SIDE)
        side = int(given[0] if isinstance(given, Sequence) else given)  # YOLOS has height and width
        processor.size = {"height": side, "width": side}
        return {"image_size": side}

    def fit(self, processor: Any, model: PreTrainedModel) -> None:
        return

    def limit(self, processor: Any, config: PretrainedConfig, positions: Positions) -> None:
        return

    def describe(self, processor: Any) -> dict[str, Any]:
        return described(processor)

    def collator(self, processor: Any, pad_to_multiple_of: int | None) -> Callable[..., Batch]:
        return PixelCollator()

    def before_batch(self, processor: Any, augment: Augment | None) -> list[Callable[..., Any]]:
        return []

    def after_batch(self, processor: Any, augment: Augment | None) -> list[Callable[..., Any]]:
        return [Normalize(processor, augment)]

    def summary(self, processor: Any) -> dict[str, str]:
        _, height, width = Sizing(processor).shape
        values = [", ".join(f"{x:.4g}" for x in each.tolist()) for each in moments(processor)]
        return {"size": f"{width} x {height} pixels", **dict(zip(MOMENTS, values, strict=True))}


PIXELS = PixelInputs()


def moments(processor: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean and standard deviation of the channels by which pixels in [0, 1] are normalized.

    They are what the processor makes of black and of white, since some normalize twice (EfficientNet's), or shift.
    """
    black, white = (
        _middle(np.asarray(processor(images=[Image.new("RGB", (64, 64), shade)])[NAMES.main][0]))
        for shade in ("black", "white")
    )
    std = 1 / (white.double() - black.double())
    return (-black.double() * std).float(), std.float()


def _middle(pixels: NDArray[Any]) -> torch.Tensor:
    """Return the pixel in the middle; a processor that crops more than there is puts black around it."""
    return torch.as_tensor(pixels[:, pixels.shape[1] // 2, pixels.shape[2] // 2])


def pictures_of(processor: Any, pixels: torch.Tensor) -> list[Image.Image]:
    """Turn a model's input `(batch, channels, height, width)` back into pictures."""
    mean, std = (each.view(-1, 1, 1) for each in moments(processor))
    values = (pixels.float().cpu() * std + mean).clamp(0, 1).mul(255).round().byte()
    return [Image.fromarray(each.permute(1, 2, 0).numpy()) for each in values]


def show_pictures(dl: RowsDL, inputs: Inputs, targets: torch.Tensor, predictions: Any = None, **options: Any) -> Table:
    """Return rows of `image`, `target` and, where there are any, `prediction`, by the names of the labels."""
    table: Table = [{"image": shown_picture(each)} for each in pictures_of(dl.tokenizer, inputs[NAMES.main])]
    return with_labels(table, dl.vocab, targets, predictions)
