"""A report on transcripts says which words were heard wrong, where, and lets the worst sounds be listened to."""

import pandas as pd
import pytest

from blurr.metrics.alignment import align
from blurr.report.compare import measures
from blurr.report.page import parts_of
from blurr.report.previews import by_measure
from blurr.report.rows import predicted
from blurr.report.transcripts import heard, worst_part

SAID = ["the cat sat", "a dog ran home", "the cat sat", "birds fly", "a dog ran", "the cat", "fish swim", "the cat sat"]
HEARD = ["the cat sat", "a dog run home", "cat sat", "birds do fly", "a dog ran", "the bat", "fish swim", "the bat sat"]


def rows() -> list[dict]:
    made = []
    for number, (said, was_heard) in enumerate(zip(SAID * 2, HEARD * 2, strict=True)):
        pairs = [list(pair) for pair in align(said.split(), was_heard.split())]
        speaker = "anna" if number % 2 else "ben"
        made.append(
            {"target": said, "prediction": was_heard, "loss": 0.1 * number, "alignment": pairs, "speaker": speaker}
        )
    return made


def test_rows_of_words_side_by_side_are_transcripts():
    assert predicted(rows()[0], "texts") == "transcripts"
    assert predicted({**rows()[0], "alignment": None}, "texts") == "texts"


def test_errors_are_counted_by_words_and_by_speaker():
    parts = {part.name: part for part in parts_of(rows(), "texts")}
    edits = parts["edits"].frame
    assert edits.iloc[0].to_dict() == {"error": "substituted", "said": "cat", "heard": "bat", "times": 4}
    assert {"error": "deleted", "said": "the", "heard": "", "times": 2} in edits.to_dict("records")
    assert {"error": "inserted", "said": "", "heard": "do", "times": 2} in edits.to_dict("records")
    assert "Of 44 words, 6 substituted, 2 inserted, 2 deleted: a word error rate of 0.227" in parts["edits"].note
    rates = parts["error_rates"].frame.set_index("slice")["word error rate"]
    assert rates["speaker = anna"] == pytest.approx(8 / 22)
    assert rates["speaker = ben"] == pytest.approx(2 / 22)


def test_the_worst_sounds_come_first_with_a_player_and_marked_words():
    previews = {
        number: {"row": number, "split": "valid", "name": f"{number}.wav", "url": "data:audio/wav;base64,AA=="}
        for number in range(16)
    }
    frame = worst_part(rows(), previews).frame
    assert list(frame["word error rate"][:4]) == pytest.approx([0.5] * 4)
    assert "<audio controls" in frame["files"][0].__html__()
    assert heard([["the", "the"], ["cat", "bat"], ["sat", None], [None, "on"]]).__html__() == (
        'the <mark class="bad">bat <small>cat</small></mark> <mark class="true">sat <small>missing</small></mark> '
        '<mark class="bad">on <small>not said</small></mark>'
    )


def test_rates_go_by_what_is_measured_of_the_files():
    previews = {number: {"measures": {"seconds": number % 8}} for number in range(16)}
    frame = by_measure(rows() * 2, {**previews, **{n + 16: line for n, line in previews.items()}})
    assert isinstance(frame, pd.DataFrame)
    assert frame["word error rate"].between(0, 1).all()
    assert (frame["rows"] * 1).sum() == 32


def test_two_runs_are_compared_by_the_words_that_are_right():
    assert measures(rows()[:2], "transcripts")["word_accuracy"] == [1.0, 0.75]
