"""The size of the pixels that a model reads: of its image processor, or another that it can take."""

from collections.abc import Mapping
from inspect import signature
from typing import Any

import torch
from transformers import PreTrainedModel

from blurr.errors import InputError
from blurr.models.objects import HFObjects
from blurr.training.learner import BaseModelCallback
from blurr.vision.pixels import Sizing

STRETCH = "interpolate_pos_encoding"  # transformers' name for positions learned for pictures of another size


def fit_size(processor: Any, size: int | None) -> None:
    """Have an image processor make pixels of `size` x `size` of any picture.

    Args:
        processor: Changed in place; what it crops keeps its share of the picture.
        size: In pixels; `None` leaves its own.

    Raises:
        InputError: it makes pixels of several sizes, and none is set.
    """
    if size is not None:
        _set_size(processor, size)
    _ = Sizing(processor).shape


def fit_whole(processor: Any, size: int | None) -> None:
    """Have an image processor make the pixels of whole pictures, as predictions for all their pixels need them.

    Args:
        processor: Changed in place: it crops and pads nothing, and makes any picture as wide as high.
        size: In pixels; `None` takes what it crops or pads to, or else its own.

    Raises:
        InputError: it makes pixels of several sizes, and none is set.
    """
    values = processor.to_dict()
    cut = values.get("crop_size") if values.get("do_center_crop") else None
    cut = values.get("pad_size") if cut is None and values.get("do_pad") else cut
    for name in ("do_center_crop", "do_pad", "keep_aspect_ratio"):
        if values.get(name):
            setattr(processor, name, False)
    sides = {"height": size, "width": size} if size is not None else cut
    if sides is not None:
        processor.size = dict(sides)
    _ = Sizing(processor).shape


def _set_size(processor: Any, size: int) -> None:
    values = processor.to_dict()
    square = {"height": size, "width": size}
    if values.get("do_center_crop") and values.get("crop_size"):
        ratio = _side(values["size"]) / _side(values["crop_size"])
        if values["image_processor_type"].startswith("Perceiver"):  # it crops first
            processor.size, processor.crop_size = square, {side: round(size / ratio) for side in square}
        else:
            processor.size, processor.crop_size = {"shortest_edge": round(size * ratio)}, square
    elif "crop_pct" in values:  # ConvNext's processor resizes to a shortest edge, and crops by this share
        processor.size = {"shortest_edge": size}
    elif "size_divisor" in values and "shortest_edge" in values["size"]:  # TextNet's knows no other form
        processor.size, processor.crop_size, processor.do_center_crop = {"shortest_edge": size}, square, True
    else:
        processor.size = square


def _side(size: Mapping[str, int]) -> int:
    return size.get("shortest_edge") or size.get("height") or next(iter(size.values()))


def options_of_size(hf: HFObjects, callback: type[BaseModelCallback] = BaseModelCallback) -> dict[str, Any]:
    """Return the arguments of a learner whose model reads pictures of the processor's size.

    Args:
        hf: Processor and model.
        callback: That brings loop and model together.

    Raises:
        InputError: it cannot read them.
    """
    if hf.model is None or hf.model.device.type == "meta":
        return {"base_model_cb": callback()}
    options = {STRETCH: True} if must_stretch(hf) else {}
    problem = _problem(hf.model, Sizing(hf.processor).shape, options)
    if problem is not None:
        height, width = Sizing(hf.processor).shape[1:]
        raise InputError(
            f"{type(hf.model).__name__} cannot read pictures of {height} x {width} pixels: {problem}. Set task.size to "
            "what it was made for; a model from scratch has its own by model.scratch.image_size=…"
        )
    return {"base_model_cb": callback({"hf_model_kwargs": options})}


def must_stretch(hf: HFObjects) -> bool:
    """Is the processor's size another than the one that the model has learned positions for?"""
    side = hf.config.to_dict().get("image_size")
    sides = tuple(side) if isinstance(side, list | tuple) else (side, side)
    return (
        side is not None
        and sides != Sizing(hf.processor).shape[1:]
        and STRETCH in signature(hf.model.forward).parameters
    )


def _problem(model: PreTrainedModel, shape: tuple[int, int, int], options: Mapping[str, Any]) -> str | None:
    """Try a picture of that shape; return what is wrong, or `None`."""
    was_training = model.training
    model.train(False)
    try:
        with torch.inference_mode():
            model(pixel_values=torch.zeros(1, *shape, device=model.device, dtype=model.dtype), **options)
    except (ValueError, RuntimeError, AssertionError) as error:
        return str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
    finally:
        model.train(was_training)
    return None
