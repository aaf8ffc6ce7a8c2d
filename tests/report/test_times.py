"""Dates and durations stand in words."""

import pytest

from blurr.report.overview import address, run_facts
from blurr.report.times import date, duration
from blurr.runs.journal import Journal
from blurr.runs.record import Record


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.6, "1 min"), (192, "3 min 12 s"), (3600, "1 h")]
    + [(7500, "2 h 5 min"), (90_000, "1 d 1 h")],
)
def test_a_duration_has_two_units(seconds: float, said: str):
    assert duration(seconds) == said


def test_a_date_is_in_words():
    assert date(1795874580) == "28 November 2026, 14:03 UTC"


def test_a_run_says_when_and_how_long_it_was_trained(make_run):
    facts = run_facts(Record(make_run()))
    assert (facts["trained on"], facts["training took"]) == ("1 January 1970, 00:00 UTC", "2.0 s")


@pytest.mark.parametrize(
    ("uri", "said"),
    [("http://tracking:5000/", "http://tracking:5000/#/runs/abc"), ("sqlite:///mlflow.db", None), (None, None)],
)
def test_a_run_in_a_store_with_an_address_has_a_link(uri: str | None, said: str | None, make_run):
    folder = make_run()
    Journal(run_id="abc", uri=uri).write(folder)
    assert address(Record(folder)) == said
