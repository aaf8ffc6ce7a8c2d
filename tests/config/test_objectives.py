"""Metrics and objective fit what the labels are, and what the user names herself is never replaced."""

from typing import Any

import pytest
from omegaconf import DictConfig

from blurr.config import composing
from blurr.config.objectives import fitted, fitted_as_said
from blurr.errors import InputError
from blurr.sweep.objectives import objectives_of


def fit(reads: str, *words: str) -> DictConfig:
    return fitted(composing.compose(words), reads, words, reason="the reason")


def chosen(cfg: DictConfig) -> tuple[list[str], Any]:
    return list(cfg.metrics), cfg.objective


def test_metrics_that_fit_stay() -> None:
    assert chosen(fit("classes")) == (["accuracy", "f1"], "valid/accuracy")
    assert chosen(fit("numbers", "metrics=[rmse]", "objective=valid/rmse")) == (["rmse"], "valid/rmse")
    cfg = composing.compose(["task=token_classification"])
    assert fitted(cfg, "words", [], reason="") is cfg


def test_numbers_bring_their_metrics_and_objective() -> None:
    assert chosen(fit("numbers")) == (["pearson", "spearman"], "valid/pearson")


def test_they_do_so_for_every_data_set() -> None:
    assert chosen(fit("numbers", "data=glue_sst2")) == (["pearson", "spearman"], "valid/pearson")
    assert chosen(fit("classes", "data=glue_stsb")) == (["accuracy", "f1"], "valid/accuracy")


def test_what_fits_is_kept_beside_them_and_an_objective_that_fits_stays() -> None:
    assert chosen(fit("numbers", "objective=valid/loss")) == (["pearson", "spearman"], "valid/loss")
    cfg = composing.compose([])
    cfg.metrics = {**cfg.metrics, "mae": {"_target_": "torchmetrics.MeanAbsoluteError"}}
    assert list(fitted(cfg, "numbers", [], reason="").metrics) == ["mae", "pearson", "spearman"]
    assert list(cfg.metrics) == ["accuracy", "f1", "mae"]


@pytest.mark.parametrize("word", ["metrics=[accuracy]", "metrics.f1.average=macro"])
def test_metrics_that_the_user_names_are_refused(word: str) -> None:
    with pytest.raises(InputError, match=r"cannot score numbers, which .*\(the reason\).*These fit: pearson, rmse"):
        fit("numbers", word)


def test_an_objective_that_the_user_names_is_refused() -> None:
    with pytest.raises(InputError, match="objective=valid/f1 cannot score numbers"):
        fit("numbers", "objective=valid/f1")


def test_a_sweep_knows_the_objective_of_a_kind_that_is_said() -> None:
    words = ["task.kind=regression"]
    cfg = fitted_as_said(composing.compose(words), words)
    assert [(each.name, each.direction) for each in objectives_of(cfg, "auto")] == [("valid/pearson", "maximize")]
    same = composing.compose([])
    assert fitted_as_said(same, []) is same
