"""Pictures for a `DataBlock`, beside fastai's own blocks and transforms: the mid-level door to a notebook."""

from typing import Any

import torch
from fastai.data.block import TransformBlock
from fastai.data.transforms import IntToFloatTensor, ToTensor
from fastai.vision.core import PILImage, TensorImage
from fasttransform import ItemTransform, Transform
from transformers import PretrainedConfig, PreTrainedModel

from blurr.vision.inputs import NAMES, moments
from blurr.vision.pixels import Sizing

LAST = 99  # fastai's own Normalize stands there, after all that changes pictures


class ProcessorResize(Transform):  # type: ignore[misc]  # fasttransform is not typed
    """Resize and crop a picture as the image processor of a model does.

    Args:
        processor: The image processor.
    """

    order = 1  # where fastai has Resize

    def __init__(self, processor: Any) -> None:
        super().__init__()
        self.sizing = Sizing(processor)

    def encodes(self, x: PILImage) -> PILImage:
        pixels = self.sizing(x.convert("RGB"))
        return PILImage.create(pixels.transpose(1, 2, 0))


class ToInputs(ItemTransform):  # type: ignore[misc]  # fasttransform is not typed
    """Turn a batch of pictures in [0, 1] into the inputs of a Hugging Face model, with its labels; the last transform.

    Args:
        processor: Has mean and standard deviation of the channels.
    """

    order = LAST

    def __init__(self, processor: Any) -> None:
        super().__init__()
        self.mean, self.std = (each.view(-1, 1, 1) for each in moments(processor))

    # without annotations, to which fasttransform would convert a batch
    def encodes(self, batch):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        pixels = batch[0].as_subclass(torch.Tensor)
        inputs = {NAMES.main: (pixels - self.mean.to(pixels.device)) / self.std.to(pixels.device)}
        labels = {"labels": batch[1].as_subclass(torch.Tensor)} if len(batch) > 1 else {}
        return ({**inputs, **labels}, *batch[1:])

    def decodes(self, batch):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        pixels = batch[0][NAMES.main].cpu()
        return (TensorImage((pixels * self.std + self.mean).clamp(0, 1)), *batch[1:])


class PixelBlock(TransformBlock):  # type: ignore[misc]  # fastai is not typed
    """A fastai block for pictures as inputs of Hugging Face models.

    `DataBlock(blocks=(PixelBlock(*hf), CategoryBlock), get_items=get_image_files, get_y=parent_label)` makes loaders
    whose batches are `(inputs, targets)`; fastai's item and batch transforms, such as `aug_transforms()`, go between.

    Args:
        hf_arch, hf_config, hf_processor, hf_model: The result of `get_vision_objects`; the processor alone is used.
    """

    def __init__(self, hf_arch: str, hf_config: PretrainedConfig, hf_processor: Any, hf_model: PreTrainedModel) -> None:
        super().__init__(
            type_tfms=PILImage.create,
            item_tfms=[ProcessorResize(hf_processor), ToTensor()],
            batch_tfms=[IntToFloatTensor, ToInputs(hf_processor)],
        )
