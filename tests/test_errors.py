"""The near-miss hint of messages."""

import pytest

from blurr.errors import InputError, nearest


@pytest.mark.parametrize(
    ("word", "options", "hint"),
    [
        ("brt", ["bart", "t5"], " Did you mean 'bart'?"),
        ("BART", ["bart", "t5"], " Did you mean 'bart'?"),
        ("rougel", ["rougeL", "accuracy"], " Did you mean 'rougeL'?"),
        ("zzz", ["bart", "t5"], ""),
        ("bart", [], ""),
        (16, ["32", "160"], " Did you mean '160'?"),
    ],
    ids=["typo", "case", "case_of_option", "nothing_close", "no_options", "number"],
)
def test_the_nearest_option_is_named_when_one_is_near(word, options, hint):
    assert nearest(word, options) == hint


def test_an_input_error_is_a_value_error():
    assert issubclass(InputError, ValueError)
