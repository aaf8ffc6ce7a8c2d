"""A result that is worth nothing is called so."""

import math
import re

import pytest

from blurr.metrics.worthless import doubts


def rows(targets, predictions, **columns):
    made = [{"target": t, "prediction": p} for t, p in zip(targets, predictions, strict=True)]
    return [{**row, **{name: values[i] for name, values in columns.items()}} for i, row in enumerate(made)]


@pytest.mark.parametrize(
    ("predicts", "described", "scores", "said"),
    [
        ("classes", rows("aab", "aaa"), {}, "all 3 rows are predicted to be a, which 66.67 % are"),
        ("classes", rows("aabc", "abac"), {}, "50 % of the rows are right, and 50 % are of the class a anyway"),
        ("classes", rows("aaa", "aba"), {}, "all 3 rows are of the class a, so that no score tells"),
        ("classes or numbers", rows([["a"], ["b"]], [[], []]), {}, "all 2 rows are predicted to have no label"),
        ("classes or numbers", rows([["a"], ["b"]], [["a"], ["a"]]), {}, "all 2 rows are predicted to have a"),
        ("classes or numbers", rows([1.0, 2.0], [1.5, 1.5]), {}, "all 2 rows are predicted to be 1.5"),
        ("classes or numbers", rows([1.0, 2.0], [3.0, 1.0]), {}, r"no nearer \(RMSE 1.581\) than the mean .* \(0.5\)"),
        ("texts", rows("ab", ["x", " "]), {}, "1 of 2 written texts are empty"),
        ("texts", rows("ab", "xx"), {}, "all 2 written texts are the same"),
        ("words", rows([["B-X", "O"]], [["O", "O"]]), {"f1": 0.0}, "all 2 words are predicted to be O"),
        ("words", rows([["B-X", "O"]], [["O", "B-X"]]), {"f1": 0.0}, "no entity is right: f1 is 0"),
        ("answers", rows([["x"], []], ["", ""], f1=[0, 1]), {}, "all 2 questions are said to have no answer"),
        ("answers", rows([["x"], ["y"]], ["a", ""], f1=[0, 0]), {}, "no answer has a word in common with a true one"),
        ("tokens", rows("ab", "cd", right_count=[0, 0]), {}, "no token is predicted right"),
        ("classes", rows("ab", "ab"), {"m": math.nan}, "m is not a number"),
    ],
)
def test_it_is_said_why(predicts, described, scores, said: str):
    (line,) = doubts(predicts.split(" or "), described, scores)
    assert re.search(said, line)


@pytest.mark.parametrize(
    ("predicts", "described", "scores"),
    [
        ("classes", rows("aab", "aab"), {"accuracy": 1.0}),
        ("classes or numbers", rows([["a"], ["b"]], [["a"], []]), {}),
        ("classes or numbers", rows([1.0, 2.0], [1.1, 1.9]), {}),
        ("texts", rows("ab", "xy"), {}),
        ("words", rows([["B-X", "O"]], [["B-X", "O"]]), {"f1": 1.0}),
        ("answers", rows([["x"], []], ["x", ""], f1=[1, 1]), {}),
        ("tokens", rows("ab", "ad", right_count=[1, 0]), {}),
        ("classes", [], {}),
        ("masks", [{"loss": 1.0}], {}),
        ("masks", rows([{"a": 1}] * 2, [{"a": 1}] * 2), {}),
    ],
)
def test_a_result_that_tells_something_is_not_doubted(predicts, described, scores):
    assert doubts(predicts.split(" or "), described, scores) == []
