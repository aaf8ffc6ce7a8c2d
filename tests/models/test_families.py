"""Architectures that are unlike the others learn, predict, and survive export; all of them: `benchmarks.families`."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from benchmarks.families import Result, by_architecture, examine_all, heads, reasons, summary
from benchmarks.forks import in_a_process
from benchmarks.predictions import CheckError, check_alone, check_predictions
from benchmarks.trials import BY_LENGTH, YES, check_falling, try_out
from blurr.config import paths

UNLIKE = [
    ("blt", "causal_lm"),  # cannot say for how many layers to keep keys and values
    ("canine", "sequence_classification"),  # letters for tokens
    ("fnet", "sequence_classification"),  # mixes pads into a row
    ("fsmt", "summarization"),  # two vocabularies; shifts the source where it is given labels alone
    ("hrm_text", "causal_lm"),  # has a state that is never trained
    ("llama", "question_answering"),  # calls its body another name than in a language model
    ("longformer", "question_answering"),  # finds the question by its separators
    ("luke", "token_classification"),  # its tokenizer takes a list of words for two texts
    ("perceiver", "masked_lm"),  # answers for a whole window, however short the row
    ("reformer", "sequence_classification"),  # positions in a grid that a batch must fill
    ("xlm", "question_answering"),  # embeds the numbers of segments as if they were tokens
    ("xlnet", "token_classification"),  # pads on the left
]


@pytest.mark.filterwarnings("ignore:load_learner. uses Python's insecure pickle")
@pytest.mark.parametrize(
    ("arch", "task"),
    [pytest.param(*each, marks=[pytest.mark.slow] if each[0] in ("canine", "perceiver") else []) for each in UNLIKE],
    ids=[arch for arch, _ in UNLIKE],
)
def test_an_unusual_architecture_learns_predicts_and_survives_export(arch: str, task: str, tmp_path: Path):
    assert try_out(task, arch, tmp_path).answer == (BY_LENGTH if arch in ("blt", "fnet") else YES)


def test_every_task_of_texts_has_architectures_to_examine():
    for task, file in paths.options("task").items():
        if "blurr.text" in file.read_text("utf-8"):
            assert len(heads(task)) > 30


def test_a_stopped_benchmark_goes_on_and_tells_what_failed(tmp_path: Path):
    there = [Result("bert", "masked_lm", YES, groups=4, frozen="head"), Result("t5", "summarization", "**no**", "why")]
    results = tmp_path / "results.jsonl"
    results.write_text("".join(json.dumps(asdict(each)) + "\n" for each in there))
    pairs = [(each.arch, each.task) for each in there]
    assert list(examine_all(pairs, results, 1, again=False)) == there
    tasks = ["masked_lm", "summarization"]
    assert "| bert | yes | – | 4 | head |" in by_architecture(there, tasks)
    assert "| t5 | summarization | **no** | why |" in reasons(there)
    assert "| all | " in summary(there, tasks)
    assert "| 2 | 1 | 0 | 0 | 1 | 50.0% |" in summary(there, tasks)


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
