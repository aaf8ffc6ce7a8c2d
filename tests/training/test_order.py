"""Callbacks have the places in an event that the table of their order gives them."""

import importlib
import pkgutil

import pytest
from fastai.callback.core import Callback, TrainEvalCallback
from fastai.callback.fp16 import MixedPrecision
from fastai.callback.progress import ProgressCallback
from fastai.callback.schedule import ParamScheduler
from fastai.callback.tracker import EarlyStoppingCallback, SaveModelCallback
from fastai.callback.training import GradientAccumulation, GradientClip
from fastai.learner import Recorder

import blurr.targets
import blurr.text
import blurr.training
from blurr.training.callbacks.base import ORDER


def callbacks() -> dict[str, type[Callback]]:
    """Return every callback class of blurr that has an order of its own."""
    for package in (blurr.training, blurr.targets, blurr.text):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    found, left = {}, [Callback]
    while left:
        kind = left.pop()
        left += kind.__subclasses__()
        if kind.__module__.startswith("blurr.") and "order" in vars(kind):
            found[kind.__name__] = kind
    return found


def test_each_callback_has_the_order_of_the_table_and_the_table_no_other():
    assert {name: kind.order for name, kind in callbacks().items()} == ORDER
    assert list(ORDER.values()) == sorted(ORDER.values())


@pytest.mark.parametrize(
    ("ours", "fastais"),
    [
        ("GradientAccumulation", GradientAccumulation),
        ("BFloat16", MixedPrecision),
        ("LazyRecorder", Recorder),
        ("TerminalProgress", ProgressCallback),
        ("SaveBest", SaveModelCallback),
        ("EarlyStopping", EarlyStoppingCallback),
    ],
)
def test_what_stands_for_a_callback_of_fastais_has_its_order(ours: str, fastais: type[Callback]):
    assert ORDER[ours] == fastais.order


def test_fastais_other_callbacks_stand_between_ours_where_the_table_says():
    assert ORDER["Guard"] < TrainEvalCallback.order < ORDER["BaseModelCallback"]
    assert ORDER["BFloat16"] < GradientClip.order < ORDER["EvaluationCallback"]
    assert ORDER["EMA"] < ParamScheduler.order < ORDER["SaveBest"]
