"""Choose the probability from which a label is predicted, where a row may have several, and keep it with the model."""

import logging
from typing import Any, ClassVar

import torch
from fastai.callback.core import Callback
from fastai.losses import BCEWithLogitsLossFlat
from fastai.metrics import ValueMetric

from blurr.training.callbacks.base import ORDER

log = logging.getLogger(__name__)

KEY = "label_threshold"  # in the model's config, which save_pretrained writes and an export holds
DEFAULT = 0.5


def threshold_of(config: Any) -> float:
    """Give the threshold that a model's config holds; 0.5 where it holds none, as a checkpoint from elsewhere does."""
    value: float = vars(config).get(KEY, DEFAULT)
    return value


def around_threshold(logits: torch.Tensor, config: Any) -> torch.Tensor:
    """Move logits `(batch, labels)` so that those above 0 are the labels to predict, as metrics expect."""
    return logits - torch.logit(torch.tensor(threshold_of(config), dtype=torch.float64)).to(logits)


def best_threshold(probabilities: torch.Tensor, targets: torch.Tensor) -> float:
    """Find the one threshold for all labels with the highest micro-averaged F1, `2 TP / (predicted + true)`.

    Sorted by probability, the labels above any threshold are the first k; so one running sum gives the F1 of every
    threshold there can be. The first of several best ones is taken.

    Args:
        probabilities: `(rows, labels)`, from 0 to 1.
        targets: 0 or 1, `(rows, labels)`.

    Returns:
        The middle between the last probability to predict and the next; 0.5 where no row has a label.
    """
    scores, order = probabilities.double().flatten().sort(descending=True, stable=True)
    hits = targets.double().flatten()[order].cumsum(0)
    if not hits[-1]:
        return DEFAULT
    predicted = torch.arange(1, len(scores) + 1, device=scores.device)
    f1 = 2 * hits / (predicted + hits[-1])
    following = torch.cat([scores[1:], scores.new_zeros(1)])
    f1[scores == following] = -1  # no threshold can part equal probabilities
    best = int(f1.argmax())
    return float((scores[best] + following[best]) / 2)


class LabelThreshold(Callback):  # type: ignore[misc]  # fastai is not typed
    """Keep the threshold in the model's config and in the loss; search it after each epoch where none is given.

    The search runs the model on the rows of the last loader, which are no training and no validation rows. It runs
    once more at the end of a fit, for the weights that are kept may be those of an earlier epoch.

    Args:
        value: the threshold; `None` searches it, and shows it among the metrics as `threshold`.
    """

    order = ORDER["LabelThreshold"]
    start: ClassVar[float] = DEFAULT  # before the first search

    def __init__(self, value: float | None) -> None:
        self.value = value
        self._is_outdated = False

    def after_create(self) -> None:
        self._keep(self.start if self.value is None else self.value)
        if self.value is None:
            self.learn.metrics = [*self.learn.metrics, ValueMetric(self.current, "threshold")]

    def current(self) -> float:
        """Give the threshold in use."""
        return threshold_of(self.model.hf_model.config)

    def after_train(self) -> None:
        if self.value is None:
            self._keep(self._found())
            self._is_outdated = True

    def after_fit(self) -> None:
        """Search once more after a training; fastai calls this after `validate()`, too."""
        if self._is_outdated:
            self._keep(self._found())
            self._is_outdated = False
            log.info("Threshold: %.4f, by the F1 of rows held out of training.", self.current())

    def _found(self) -> float:
        rows = self.dls.loaders[-1]
        was_training = self.model.training
        self.model.eval()
        with torch.inference_mode():
            seen = [(self.model({k: v for k, v in x.items() if k != "labels"}).logits, y) for x, y in rows]
        self.model.train(was_training)
        logits, targets = (torch.cat(part).cpu() for part in zip(*seen, strict=True))
        return best_threshold(logits.double().sigmoid(), targets)

    def _keep(self, value: float) -> None:
        setattr(self.model.hf_model.config, KEY, value)
        if isinstance(self.loss_func, BCEWithLogitsLossFlat):  # fastai's show_results and get_preds decode by it
            self.loss_func.thresh = value
