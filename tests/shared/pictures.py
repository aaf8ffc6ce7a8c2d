"""Small pictures and vision checkpoints, made in code, that the tests of several folders share."""

import random
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from transformers import AutoConfig, AutoModelForImageClassification, ViTImageProcessor

from blurr.vision.samples import shapes

SIDE = 16  # pixels that the tiny checkpoints read
RESNET = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic", "num_labels": 2}
VIT: dict[str, Any] = {
    **{"image_size": SIDE, "patch_size": 8, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2},
    **{"intermediate_size": 16, "num_labels": 2},
}


def make_vision_checkpoint(folder: Path, arch: str = "resnet", **config: Any) -> Path:
    """Save a vision model with random weights, and an image processor for 16 x 16 pixels."""
    torch.manual_seed(0)
    sizes = {"resnet": RESNET, "vit": VIT}[arch] | config
    AutoModelForImageClassification.from_config(AutoConfig.for_model(arch, **sizes)).save_pretrained(folder)
    ViTImageProcessor(size={"height": SIDE, "width": SIDE}, image_mean=[0.4, 0.5, 0.6]).save_pretrained(folder)
    return folder


def picture_rows(count: int, *, seed: int = 0) -> list[dict[str, Any]]:
    """Draw shapes, half of them circles and half squares, with their kinds as labels."""
    rng, rows = random.Random(seed), []
    while len(rows) < count:
        row = shapes(rng)
        if row["label"] == ("circle", "square")[len(rows) % 2]:
            rows.append(row)
    return rows


def photo(width: int = 60, height: int = 40, seed: int = 0) -> Image.Image:
    """Return a picture of random colours that change smoothly, as those of photos do."""
    rng = random.Random(seed)
    few = Image.frombytes("RGB", (6, 4), rng.randbytes(72))
    return few.resize((width, height), Image.Resampling.BICUBIC)
