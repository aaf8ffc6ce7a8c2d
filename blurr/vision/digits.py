"""Handwritten digits that scikit-learn brings along: real pictures without a network."""

from collections.abc import Sequence

import datasets
import numpy as np
from PIL import Image

from blurr.data.core import Columns, Limit, RawData, Schema, Step, raw_data
from blurr.data.splits import DEFAULT_SPLITS, Splits

SHADES = 16  # of a pixel, beside white


def load_digits(
    schema: Schema,
    *,
    columns: Columns | None = None,
    splits: Splits = DEFAULT_SPLITS,
    limit: Limit = None,
    preprocess: Step | Sequence[Step] | None = None,
) -> RawData:
    """Load 1,797 pictures of 8 x 8 pixels, ink on white, with the digit as `label`.

    Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, doi:10.24432/C50P49; the test part,
    as scikit-learn has it.

    Args:
        schema: What the task needs of its rows.
        columns: Role to column; there are `image` and `label`.
        splits: How to take validation rows.
        limit: Rows per split to keep, drawn at random: a number, or one for each split.
        preprocess: What to do first to the rows: a function from a Dataset to a Dataset, or several.

    Raises:
        InputError: The task reads no pictures.
    """
    from sklearn.datasets import load_digits as bundled

    found = bundled()
    shades = (255 - found.images * (255 / SHADES)).round().clip(0, 255).astype(np.uint8)
    pictures = [Image.fromarray(each) for each in shades]
    rows = datasets.Dataset.from_dict({"image": pictures, "label": [str(label) for label in found.target]})
    return raw_data(
        {"train": rows},
        schema,
        columns=columns,
        source="scikit-learn's digits",
        splits=splits,
        limit=limit,
        preprocess=preprocess,
    )
