"""One function says which way a metric is better."""

import pytest
import torchmetrics
from torchmetrics.classification import BinaryNegativePredictiveValue, MulticlassHammingDistance
from torchmetrics.text import WordErrorRate

from blurr.errors import InputError
from blurr.metrics.base import direction_of, known_direction
from blurr.metrics.classification import F1
from blurr.metrics.regression import RMSE
from blurr.text.language_modeling.metrics import Perplexity


class Own:
    """A metric of the user's that says which way it is better."""

    direction = "minimize"


class Silent:
    """A metric of the user's that does not."""


@pytest.mark.parametrize(
    ("key", "metric", "direction"),
    [
        ("valid/loss", None, "minimize"),
        ("train/loss", None, "minimize"),
        ("time/epoch", None, "minimize"),
        ("valid/f1", F1, "maximize"),
        ("valid/rmse", RMSE(), "minimize"),
        ("valid/error_free", "blurr.metrics.classification.Accuracy", "maximize"),
        ("valid/ppl", Perplexity(), "minimize"),
        ("valid/wer", WordErrorRate(), "minimize"),
        ("valid/wer", "torchmetrics.text.WordErrorRate", "minimize"),
        ("valid/distance", MulticlassHammingDistance(num_classes=3), "minimize"),
        ("valid/f", torchmetrics.F1Score(task="multiclass", num_classes=3), "maximize"),
        ("valid/own", Own, "minimize"),
        ("valid/own", Own(), "minimize"),
    ],
)
def test_a_metric_says_which_way_it_is_better(key: str, metric, direction: str):
    assert direction_of(key, metric, remedy="") == known_direction(key, metric) == direction


@pytest.mark.parametrize(
    "metric", [Silent, Silent(), BinaryNegativePredictiveValue(), None], ids=lambda metric: type(metric).__name__
)
def test_what_does_not_say_it_is_refused_with_the_remedy(metric):
    with pytest.raises(InputError, match=r"Whether valid/m is better high or low is not known: .* Set m\.mode=min\."):
        direction_of("valid/m", metric, remedy="Set m.mode=min.")
    assert known_direction("valid/m", metric) is None
