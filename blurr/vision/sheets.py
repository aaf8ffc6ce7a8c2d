"""Put training pictures on one sheet, each beside what augmentation makes of it."""

import io

import numpy as np
import torch
from fastai.data.core import DataLoaders
from PIL import Image

from blurr.loading.draws import SEEDS, row_seeds
from blurr.loading.sheets import sheet
from blurr.targets.labels import label_name
from blurr.vision.inputs import NAMES, Normalize, pictures_of


def augmented_sheet(dls: DataLoaders, *, rows: int = 4, copies: int = 5) -> Image.Image:
    """Show the first training pictures, each beside what the model sees of it in the first epochs.

    Args:
        dls: Loaders of pictures.
        rows: Pictures, each of which begins a row.
        copies: Epochs.
    """
    dl = dls.train
    numbers = np.arange(min(rows, dl.n))
    inputs, targets = dl.create_batch([dl.dataset[i] for i in numbers])
    seen = [inputs] + [
        {**inputs, SEEDS: torch.from_numpy(row_seeds(dl.seed, epoch, numbers))} for epoch in range(copies)
    ]
    shown = [pictures_of(dl.tokenizer, dl.after_batch((batch, targets))[0][NAMES.main]) for batch in seen]
    names = [label_name(target, dl.vocab) for target in targets]
    pictures = [pictures[i] for i in range(len(numbers)) for pictures in shown]
    later = [f"epoch {epoch}" for epoch in range(copies)]
    return sheet(pictures, [text for name in names for text in (str(name), *later)], columns=copies + 1)


def augmented_png(dls: DataLoaders) -> bytes | None:
    """Return `augmented_sheet` as a PNG; None where nothing is augmented."""
    if not any(isinstance(each, Normalize) and each.augment for each in dls.train.after_batch.fs):
        return None
    stream = io.BytesIO()
    augmented_sheet(dls).save(stream, "PNG")
    return stream.getvalue()
