"""What a sweep's command line spans, and the mistakes in it that are answered before anything is run."""

import re

import hydra
import pytest
from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.types import HydraContext, RunMode

from blurr.config import composing, explain, paths
from blurr.sweep.run import run_sweep
from blurr.sweep.trial import Context


@pytest.fixture
def sweep(work):
    """Begin a sweep in this process, as Hydra does; it must end before it forks anything."""

    def call(*words):
        composing.register()
        with hydra.initialize_config_dir(str(paths.config_root()), version_base="1.3", job_name="blurr"):
            made = GlobalHydra.instance().hydra
            config = made.compose_config("config", list(words), run_mode=RunMode.MULTIRUN)
            context = HydraContext(config_loader=made.config_loader, callbacks=Callbacks(config))
            run_sweep(words, Context(config, context, task=pytest.fail))

    return call


MISTAKES = {
    "a value": (["seed=1,x"], r"^seed=x: must be a whole number"),
    "an option": (["model=bert,brt"], r"model=brt.*Did you mean 'bert'\?"),
    "an interval in a grid": (["optimizer.lr=interval(1,2)"], r"infinitely many values.*sweep=tpe"),
    "different objectives": (
        ["task=sequence_classification,summarization"],
        r"different objectives, valid/accuracy and",
    ),
    "on_failure": (["seed=1,2", "sweep.on_failure=pause"], r"must be continue, stop, or retry\(n\)"),
    "a name": (["seed=1,2", "sweep.name=a/b"], r"sweep\.name=a/b: names a folder"),
    "different processes": (["processes=1,2"], r"The trials have processes=1, 2, and workers are counted by them"),
    "workers": (["seed=1,2", "sweep.workers=0"], r"sweep\.workers=0: must be a whole number of at least 1"),
    "directions": (["seed=1,2", "sweep.direction=[minimize,maximize]"], r"has 2 entries.*has 1\. Give one"),
    "a search without end": (["seed=1,2", "sweep=tpe", "sweep.trials=null"], r"a search needs a number of trials"),
}


@pytest.mark.parametrize(("words", "expected"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_answered_before_anything_is_run(sweep, work, words, expected):
    with pytest.raises(Exception) as caught:  # noqa: PT011  # any exception must have an answer
        sweep("tracking=none", *words)
    assert re.search(expected, str(explain.answer_to(caught.value)))
    assert not list(work.iterdir())
