"""Architectures that are unlike the others learn, predict, and survive export; all of them: `benchmarks.families`."""

from pathlib import Path

import pytest

from benchmarks.architectures import FAMILIES
from benchmarks.families import BY_LENGTH, YES, check_falling, examine, heads, in_a_process, try_out
from benchmarks.predictions import CheckError, check_alone, check_predictions
from blurr.config import paths

UNLIKE = [
    ("canine", "sequence_classification"),  # letters for tokens
    ("fnet", "sequence_classification"),  # mixes pads into a row
    ("fsmt", "summarization"),  # two vocabularies; shifts the source where it is given labels alone
    ("longformer", "question_answering"),  # finds the question by its separators
    ("reformer", "sequence_classification"),  # positions in a grid that a batch must fill
    ("xlnet", "token_classification"),  # pads on the left
]


@pytest.mark.filterwarnings("ignore:load_learner. uses Python's insecure pickle")
@pytest.mark.parametrize(("arch", "task"), UNLIKE, ids=[arch for arch, _ in UNLIKE])
def test_an_unusual_architecture_learns_predicts_and_survives_export(arch: str, task: str, tmp_path: Path):
    assert try_out(task, arch, FAMILIES[arch], tmp_path) == (BY_LENGTH if arch == "fnet" else YES)


def test_every_task_is_examined_on_the_architectures_that_have_a_head_for_it():
    for task, file in paths.options("task").items():
        if "blurr.text" in file.read_text("utf-8"):
            assert heads(task) & set(FAMILIES)
    assert examine("summarization", "bert") == "–"


@pytest.mark.parametrize(
    ("losses", "message"),
    [([2.0, float("nan")], "not finite: 2, nan"), ([1.0, 0.5, 1.0], "does not fall: 1, 0.5, 1")],
    ids=["nan", "no fall"],
)
def test_a_loss_that_is_no_number_or_does_not_fall_is_a_failure(losses: list[float], message: str):
    with pytest.raises(CheckError, match=message):
        check_falling(losses)


class Predictor:
    """Predicts what it is told to."""

    def __init__(self, *answers) -> None:
        self.answers = answers

    def predict(self, items):
        return [answer for answer in self.answers if answer is not KeyError] or {}["missing"]


@pytest.mark.parametrize(
    ("predictor", "message"),
    [
        (Predictor({"label": "good"}, {"label": "bad"}), "2 predictions for 1 items"),
        (Predictor({"score": 1.0}), r"a prediction has \['score'\], not \['label'\]"),
        (Predictor(KeyError), "predict: KeyError: 'missing'"),
    ],
    ids=["too many", "no field", "an exception"],
)
def test_predictions_that_are_wrong_are_named(predictor, message: str):
    with pytest.raises(CheckError, match=message):
        check_predictions(predictor, [{"text": "a film"}], {"label"})


@pytest.mark.parametrize(
    ("alone", "batched", "same"),
    [
        ({"label": "good", "score": 0.5}, {"label": "good", "score": 0.50001}, True),
        ({"label": "good", "score": 0.5}, {"label": "good", "score": 0.51}, False),
        ([{"word": "a"}], [{"word": "a"}, {"word": "b"}], False),
        ({"label": "good"}, {"label": "bad"}, False),
    ],
    ids=["rounding", "another score", "another length", "another label"],
)
def test_an_answer_that_an_item_does_not_have_alone_is_named(alone, batched, same: bool):
    predictor = Predictor(alone)
    if same:
        check_alone(predictor, [{"text": "a film"}], [batched])
    else:
        with pytest.raises(CheckError, match="alone: .*, but in a batch "):
            check_alone(predictor, [{"text": "a film"}], [batched])


def test_a_process_that_dies_is_a_result():
    import os

    assert in_a_process(lambda: os._exit(3)) == "the process died with exit code 3"
