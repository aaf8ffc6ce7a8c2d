"""Train, predict, export and load a tiny model of every class that transformers has for image classification.

`python -m benchmarks.vision_families` prints which checks of `media_families` each class passes, and why not.
"""

import random
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoConfig
from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING_NAMES
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES

from benchmarks.media_families import OF_CLASSES, Kind, classes_of, print_table
from benchmarks.vision_architectures import PROCESSORS, SIDE, SIDES, SIZES
from blurr.training.learner import Blearner
from blurr.vision import samples
from blurr.vision.image_classification import BlearnerForImageClassification

ROWS = 24


def make_checkpoint(arch: str, name: str, folder: Path) -> Path:
    """Save a tiny model with random weights, with the image processor of its architecture."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(arch, **{**SIZES[arch], "num_labels": 3})
    getattr(transformers, name)(config).save_pretrained(folder)
    kinds = IMAGE_PROCESSOR_MAPPING_NAMES.get(arch) or {"torchvision": "BitImageProcessor"}
    if arch != "timm_wrapper":  # its processor is in its config
        kind = getattr(transformers, kinds["torchvision"])
        kind(**PROCESSORS.get(arch, {})).save_pretrained(folder)
    return folder


def shapes() -> list[dict[str, Any]]:
    """Draw the rows; every fourth is for validation."""
    rng = random.Random(0)
    return [{**samples.shapes(rng), "is_valid": i % 4 == 0} for i in range(ROWS)]


def learner_of(arch: str, folder: Path, rows: list[dict[str, Any]]) -> Blearner:
    """Make a learner of a checkpoint."""
    size = SIDES.get(arch, SIDE)
    return BlearnerForImageClassification.from_data(rows, folder, size=size, dl_kwargs={"bs": 17})


def main() -> None:
    """Print the table."""
    rows = shapes()
    kind = Kind(
        task="image_classification",
        classes=classes_of(MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES),
        checkpoint=make_checkpoint,
        learner=partial(learner_of, rows=rows),
        items=[row["image"] for row in rows if row["is_valid"]],
        fields=OF_CLASSES,
    )
    print_table(kind, __doc__)


if __name__ == "__main__":
    main()
