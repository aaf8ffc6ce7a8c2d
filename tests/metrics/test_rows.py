"""Columns that no model sees reach the metrics of rows."""

from pathlib import Path

import pandas as pd
import pytest
from every_task import loaded

from blurr.data.at_hand import from_data
from blurr.errors import InputError
from blurr.loading.loader import Loader
from blurr.metrics.classification import Accuracy
from blurr.metrics.rows import WorstGroup
from blurr.text.sequence_classification.task import SequenceClassification

ROWS = [
    {"domain": "news", "target": "a", "prediction": "a"},
    {"domain": "news", "target": "b", "prediction": "a"},
    {"domain": "films", "target": "b", "prediction": "b"},
]


def test_the_group_that_fares_worst_counts():
    assert WorstGroup("domain").score(ROWS) == 0.5


def test_a_column_that_no_row_has_is_named():
    with pytest.raises(
        InputError, match=r"worst_group.column=domian is not a column of the rows. Did you mean 'domain'\?"
    ):
        WorstGroup("domian").score(ROWS)


def test_an_extra_column_reaches_the_metric_and_not_the_model(reviews: pd.DataFrame, tiny_bert: Path):
    task = SequenceClassification()
    raw = from_data(task.schema, reviews.assign(domain=["films", "news"] * 20))
    hf = loaded(task, raw, tiny_bert)
    dls = task.dataloaders(raw, hf, Loader(batch_size=4))
    assert "domain" not in dls.one_batch()[0]
    metrics = {"accuracy": Accuracy(), "worst_group": WorstGroup("domain")}
    learn = task.learner(dls, hf, raw=raw, metrics=metrics)
    with learn.no_bar(), learn.no_logging():
        learn.fit(1, 1e-3)
    assert learn.recorder.values[-1][-1] is None, "it is known at the end alone"
    scores = task.evaluate(learn, raw).metrics
    # the domains are the labels: a model that gives all one label is all wrong in one domain
    rows = task.evaluate(learn, raw).rows
    shares = [
        [row["prediction"] == row["target"] for row in rows if row["domain"] == name] for name in ("films", "news")
    ]
    assert scores["worst_group"] == min(sum(share) / len(share) for share in shares)
    assert scores["worst_group"] <= scores["accuracy"]
