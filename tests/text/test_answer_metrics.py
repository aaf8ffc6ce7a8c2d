"""Exact match and F1 have the figures of SQuAD's official scripts."""

from dataclasses import dataclass

import pytest

from blurr.text.question_answering.metrics import AnswerF1, ExactMatch, normalized


@dataclass
class Found:
    row: int
    text: str
    score: float = 1.0
    margin: float = -float("inf")


def score(metric, predicted: list[str], true: list[list[str]]) -> float:
    metric.update([Found(i, text) for i, text in enumerate(predicted)], true)
    return metric.compute()


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        ("The  Eiffel-Tower!", "eiffeltower"),
        ("an apple, a day", "apple day"),
        ("Theatre", "theatre"),
        ("a.", ""),
        ("“Mr.” São\tPaulo", "“mr” são paulo"),
    ],
)
def test_case_punctuation_and_articles_do_not_count(text: str, bare: str) -> None:
    assert normalized(text) == bare


# The last two columns are what the arithmetic of evaluate-v1.1 and evaluate-v2.0 gives: exact match, F1.
CASES = {
    "equal": ("Denver Broncos", ["Denver Broncos"], (1, 1), (1, 1)),
    "article and case": ("the denver broncos.", ["Denver Broncos"], (1, 1), (1, 1)),
    "half": ("Denver", ["Denver Broncos"], (0, 2 / 3), (0, 2 / 3)),
    "a word twice": ("a b b", ["b b c"], (0, 0.8), (0, 0.8)),
    "best of several": ("in Paris", ["Lyon", "Paris"], (0, 2 / 3), (0, 2 / 3)),
    "nothing in common": ("x", ["y"], (0, 0), (0, 0)),
    "nothing found": ("", ["y"], (0, 0), (0, 0)),
    "articles alone": ("the", ["a"], (1, 0), (1, 1)),
    "an article beside a word": ("the", ["a", "cat"], (1, 0), (0, 0)),
    "rightly none": ("", [], (1, 0), (1, 1)),
    "wrongly some": ("x", [], (0, 0), (0, 0)),
}


@pytest.mark.parametrize("version", ["1.1", "2.0"])
@pytest.mark.parametrize(("predicted", "true", "v1", "v2"), CASES.values(), ids=CASES.keys())
def test_a_question_scores_as_in_the_official_script(predicted, true, v1, v2, version) -> None:
    exact, f1 = v1 if version == "1.1" else v2
    assert score(ExactMatch(version), [predicted], [true]) == pytest.approx(100 * exact)
    assert score(AnswerF1(version), [predicted], [true]) == pytest.approx(100 * f1)


def test_the_version_is_2_where_a_question_has_no_answer() -> None:
    assert score(AnswerF1(), ["the"], [["a"]]) == 0
    assert score(AnswerF1(), ["the", ""], [["a"], []]) == 100


@pytest.mark.parametrize(("of", "expected"), [("all", 50), ("answerable", 100), ("unanswerable", 0)])
def test_questions_with_and_without_answer_can_be_scored_apart(of, expected) -> None:
    assert score(ExactMatch(of=of), ["x", "y"], [["x"], []]) == expected


def test_b4_a_question_counts_once_however_many_windows_it_has() -> None:
    windows = [Found(0, "wrong", 1.0), Found(1, "right", 5.0), Found(0, "right", 3.0), Found(0, "wrong", 2.0)]
    metric = ExactMatch()
    metric.update(windows[:2], [["right"], ["right"]])
    metric.update(windows[2:], [["right"], ["right"]])
    assert metric.compute() == 100
    metric.reset()
    metric.update([Found(0, "wrong"), Found(0, "wrong"), Found(1, "right")], [["right"]] * 3)
    assert metric.compute() == 50


def test_no_answer_is_taken_when_every_window_prefers_it() -> None:
    """Windows that do not hold the answer all say that there is none: the one that is least sure decides."""
    sure, unsure = Found(0, "Paris", 4.0, margin=3.0), Found(0, "Lyon", 1.0, margin=9.0)
    assert score(ExactMatch(), [], []) == 0
    metric = ExactMatch()
    metric.update([unsure, sure], [["Paris"], ["Paris"]])
    assert metric.compute() == 100
    metric.reset()
    metric.update([unsure, Found(0, "Paris", 4.0, margin=4.5)], [[], []])
    assert metric.compute() == 100
