"""Draw training rows of rare classes more often."""

from typing import Any

import numpy as np
from fastai.callback.core import Callback
from numpy.typing import NDArray

from blurr.config.annotations import Fraction
from blurr.errors import InputError
from blurr.loading.dataloader import RowsDL
from blurr.loading.rows import EncodedRows


class ClassBalance(Callback):  # type: ignore[misc]  # fastai is not typed
    """Draw training rows with replacement, by the frequency of their classes.

    An epoch keeps its number of rows. `task.class_weights=balanced` does the same in expectation, by the loss; this
    callback works with every loss, and repeats rare rows instead of weighting them.

    Args:
        strength: 1 makes all classes equally frequent, 0 changes nothing; in between, the frequency of a class is
            raised to the power of `1 - strength`.

    Raises:
        InputError: a training row has no class, or several.
    """

    def __init__(self, strength: Fraction = 1.0) -> None:
        self.strength = strength

    def before_fit(self) -> None:
        dl = self.dls.train
        if not isinstance(dl, RowsDL):
            raise InputError(f"class_balance needs loaders made by blurr, not a {type(dl).__name__}.")
        dl.chances = chances(classes_of(dl), self.strength)

    def after_fit(self) -> None:
        self.dls.train.chances = None


def classes_of(dl: RowsDL) -> NDArray[np.int64]:
    """Return the class id of each row.

    Raises:
        InputError: a row has several classes, or a number that is not a class.
    """
    rows = dl.dataset
    labels = rows.columns.get("labels") if isinstance(rows, EncodedRows) else [row[-1].tolist() for row in rows]
    found: NDArray[Any] = np.asarray(labels) if isinstance(labels, list | np.ndarray) else np.empty(0)
    if found.ndim != 1 or found.dtype.kind not in "iu":
        raise InputError(
            "The callback class_balance needs one class per training row, as in task=sequence_classification with "
            "kind=multiclass; these rows have other targets. Leave it out."
        )
    return found


def chances(classes: NDArray[np.int64], strength: float) -> NDArray[np.float64]:
    """Return the probability of each row to be drawn; they sum to 1."""
    counts = np.bincount(classes)
    weights = counts[classes].astype(float) ** -strength
    return np.asarray(weights / weights.sum())
