"""Bootstrap intervals: each metric of a draw is that of the drawn rows, by another implementation; SciPy agrees."""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jiwer
import numpy as np
import oracles as right
import pytest
import torch
from omegaconf import OmegaConf
from scipy import stats
from sklearn import metrics as sk

from blurr.config import paths
from blurr.config.building import build
from blurr.metrics.base import Scored
from blurr.metrics.bootstrap import SAMPLES, Draws, drawn, intervals
from blurr.metrics.rows import WorstGroup
from blurr.metrics.streamed import streamed
from blurr.text.language_modeling.metrics import score_tokens
from blurr.text.token_classification.metrics import WordLabels

RNG = np.random.default_rng(5)
ROWS, DRAWS = 60, 12
VOCABULARY = ["a", "b", "c", "d", "e", "f", "g", "h", "cat", "mat", "sat", "the", "on", "runs"]
ORDER = RNG.permutation(ROWS)  # how the rows are batched
TRUE, PREDICTED = RNG.integers(0, 3, ROWS), RNG.integers(0, 3, ROWS)
PREDICTED[::2] = TRUE[::2]
LABELS, CHOSEN = RNG.integers(0, 2, (ROWS, 4)), RNG.integers(0, 2, (ROWS, 4))
NUMBERS = 1e4 + np.round(RNG.normal(size=ROWS), 1)  # with ties
GUESSED = NUMBERS + np.round(RNG.normal(size=ROWS), 1)
TEXTS = [" ".join(RNG.choice(VOCABULARY, RNG.integers(4, 12))) for _ in range(ROWS)]
WRITTEN = [" ".join(w for w in text.split() if RNG.random() < 0.8) or "a" for text in TEXTS]
ANSWERS = [([text.split()[0]] if RNG.random() < 0.8 else [], text.split()[RNG.integers(0, 2)]) for text in TEXTS]
TAGS = [[str(tag) for tag in RNG.choice(["O", "B-X", "I-X", "B-Y"], 6)] for _ in range(ROWS)]
TAGGED = [[tag if RNG.random() < 0.7 else "O" for tag in tags] for tags in TAGS]
LOGITS, TARGETS = RNG.normal(size=(ROWS, 5, 7)), RNG.integers(0, 7, (ROWS, 5))
TARGETS[RNG.random((ROWS, 5)) < 0.4] = -100
TARGETS[:, 0] = 3


def objects() -> tuple[Any, Any]:
    """Make objects, found and true, of a picture; no two have one score."""
    count = int(RNG.integers(1, 5))
    low, labels = RNG.uniform(0, 40, (count, 2)), RNG.integers(0, 3, count)
    boxes = np.concatenate([low, low + RNG.uniform(10, 30, (count, 2))], axis=1)
    found = {"labels": np.append(labels, 1), "boxes": np.concatenate([boxes + RNG.normal(size=boxes.shape), boxes[:1]])}
    return {**found, "scores": RNG.random(count + 1)}, {"labels": labels, "boxes": boxes}


FOUND, THERE = zip(*(objects() for _ in range(ROWS)), strict=True)


class Found(NamedTuple):
    """An answer as a window gives it."""

    row: int
    text: str
    score: float = 1.0
    margin: float = -np.inf


def metric_of(option: str, name: str, **settings: Any) -> Any:
    """Make a metric as the command line does, with other values for some of its keys."""
    node = OmegaConf.load(paths.options("metrics")[option])
    return build(OmegaConf.merge(node[name], settings))


def of_batches(metric: Any, predictions: Any, targets: Any) -> Any:
    """Feed a metric the rows in the order of the batches."""
    for part in np.array_split(ORDER, 7):
        one, two = ([side[i] for i in part] for side in (predictions, targets))
        metric.update(*(torch.stack(each) if isinstance(each[0], torch.Tensor) else each for each in (one, two)))
    return metric


def class_metric(option: str, *, labels: bool = False, **settings: Any) -> Any:
    metric = metric_of(option, option, **settings)
    (shown,) = streamed(
        {"m": metric}, Scored("labels" if labels else "classes", [f"c{i}" for i in range(4 if labels else 3)])
    )
    shown.reset()
    if labels:
        return of_batches(metric, torch.tensor(np.where(CHOSEN, 1.0, -1.0)), torch.tensor(LABELS, dtype=torch.float32))
    return of_batches(metric, torch.nn.functional.one_hot(torch.tensor(PREDICTED), 3).double(), torch.tensor(TRUE))


def number_metric(option: str) -> Any:
    metric = metric_of(option, option)
    return of_batches(metric, torch.tensor(GUESSED)[:, None], torch.tensor(NUMBERS))


def text_metric(option: str, **settings: Any) -> Any:
    return of_batches(metric_of(option, option, **settings), WRITTEN, TEXTS)


def answer_metric(option: str, name: str) -> Any:
    found = [Found(i, text) for i, (_, text) in enumerate(ANSWERS)]
    return of_batches(metric_of(option, name), found, [true for true, _ in ANSWERS])


def word_metric(name: str, **settings: Any) -> Any:
    predicted, true = ([WordLabels(i, 0, tags) for i, tags in enumerate(side)] for side in (TAGGED, TAGS))
    return of_batches(metric_of("seqeval", name, **settings), predicted, true)


def token_metric(option: str) -> Any:
    metric = metric_of(option, option)
    for part in np.array_split(ORDER, 7):
        metric.update(*score_tokens(torch.tensor(LOGITS[part]), torch.tensor(TARGETS[part])))
    return metric


def box_metric(option: str) -> Any:
    return of_batches(metric_of(option, option), FOUND, THERE)


def of_boxes(name: str) -> Callable[[Any], float]:
    return lambda rows: right.detection([FOUND[i] for i in rows], [THERE[i] for i in rows])[name]


def nll(rows: Any) -> np.ndarray:
    real = TARGETS[rows] != -100
    logits, ids = LOGITS[rows][real], TARGETS[rows][real]
    return np.log(np.exp(logits).sum(1)) - logits[range(len(ids)), ids]


def described(i: int) -> dict[str, Any]:
    real = TARGETS[i] != -100
    counts = {"target_count": int(real.sum()), "right_count": int((LOGITS[i].argmax(1) == TARGETS[i])[real].sum())}
    row = {"target": int(TRUE[i]), "prediction": int(PREDICTED[i]), "group": "ab"[i % 2], "nll": nll([i]).sum()}
    return {**row, **counts, "loss": float(i % 5)}


def classes(function: Callable[..., float], **options: Any) -> Callable[[Any], float]:
    return lambda rows: function(TRUE[rows], PREDICTED[rows], **options)


def labels(function: Callable[..., float], **options: Any) -> Callable[[Any], float]:
    return lambda rows: function(LABELS[rows], CHOSEN[rows], **options)


def texts(function: Callable[..., float]) -> Callable[[Any], float]:
    return lambda rows: function([TEXTS[i] for i in rows], [WRITTEN[i] for i in rows])


def entities(score: str) -> Callable[[Any], float]:
    return lambda rows: right.entities(score, [TAGS[i] for i in rows], [TAGGED[i] for i in rows])


def answers(score: str) -> Callable[[Any], float]:
    return lambda rows: right.answers(score, *zip(*(ANSWERS[i] for i in rows), strict=True))


def worst(rows: Any) -> float:
    return min(np.mean([TRUE[i] == PREDICTED[i] for i in rows if i % 2 == k]) for k in range(2))


MEANS = {"macro": {"average": "macro"}, "micro": {"average": "micro"}, "weighted": {"average": "weighted"}}
CHECKS: dict[str, tuple[Callable[[], Any], Callable[[Any], float]]] = {
    "accuracy": (lambda: class_metric("accuracy"), classes(sk.accuracy_score)),
    "accuracy of labels": (lambda: class_metric("accuracy", labels=True), labels(sk.accuracy_score)),
    **{f"f1 {n}": (lambda o=o: class_metric("f1", **o), classes(sk.f1_score, **o)) for n, o in MEANS.items()},
    **{
        f"f1 of labels {n}": (lambda o=o: class_metric("f1", labels=True, **o), labels(sk.f1_score, **o))
        for n, o in MEANS.items()
    },
    "f1 of one class": (
        lambda: class_metric("f1", positive="c1"),
        lambda rows: sk.f1_score(TRUE[rows] == 1, PREDICTED[rows] == 1),
    ),
    "precision": (lambda: class_metric("precision"), classes(sk.precision_score, average="macro")),
    "recall": (lambda: class_metric("recall"), classes(sk.recall_score, average="macro")),
    "matthews": (lambda: class_metric("matthews"), classes(sk.matthews_corrcoef)),
    "matthews of labels": (
        lambda: class_metric("matthews", labels=True),
        lambda rows: sk.matthews_corrcoef(LABELS[rows].ravel(), CHOSEN[rows].ravel()),
    ),
    "pearson": (lambda: number_metric("pearson"), lambda rows: stats.pearsonr(GUESSED[rows], NUMBERS[rows])[0]),
    "spearman": (lambda: number_metric("spearman"), lambda rows: stats.spearmanr(GUESSED[rows], NUMBERS[rows])[0]),
    "rmse": (lambda: number_metric("rmse"), lambda rows: float(np.sqrt(np.mean((GUESSED - NUMBERS)[rows] ** 2)))),
    "rouge1": (lambda: text_metric("rouge1"), texts(lambda t, w: right.rouge("rouge1", t, w, right.english))),
    "rougeL": (lambda: text_metric("rougeL"), texts(lambda t, w: right.rouge("rougeL", t, w, right.english))),
    "bleu": (
        lambda: text_metric("bleu"),
        texts(lambda t, w: right.bleu([x.split() for x in t], [x.split() for x in w], smooth=False)),
    ),
    "exact text": (
        lambda: of_batches(metric_of("exact_text", "exact_match"), WRITTEN, TEXTS),
        texts(lambda t, w: float(np.mean([a == b for a, b in zip(t, w, strict=True)]))),
    ),
    "chrf": (lambda: text_metric("chrf"), texts(right.chrf)),
    "wer": (lambda: text_metric("wer"), texts(jiwer.wer)),
    "cer": (lambda: text_metric("cer"), texts(jiwer.cer)),
    "exact match": (lambda: answer_metric("exact_match", "exact_match"), answers("exact_match")),
    "answers' f1": (lambda: answer_metric("squad_f1", "f1"), answers("f1")),
    **{s: (lambda s=s: word_metric(s), entities(s)) for s in ("f1", "recall", "precision")},
    "words' accuracy": (lambda: word_metric("accuracy"), entities("accuracy")),
    "perplexity": (lambda: token_metric("perplexity"), lambda rows: float(np.exp(nll(rows).mean()))),
    "worst group": (lambda: WorstGroup("group"), worst),
    **{name: (lambda name=name: box_metric(name), of_boxes(name)) for name in ("map", "map50", "mar")},
}
SHOWN = ("accuracy", "f1 macro", "pearson", "rouge1", "bleu", "exact match", "perplexity")  # also compared with SciPy


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    return [described(i) for i in range(ROWS)]


@pytest.mark.parametrize("key", CHECKS)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
def test_a_metric_of_a_draw_is_that_of_the_drawn_rows(key: str, rows: Sequence[Any]):
    make, oracle = CHECKS[key]
    counts = next(drawn(ROWS))[:DRAWS]
    found = make().resampled(Draws(counts, ORDER, rows))
    expected = [oracle(np.repeat(np.arange(ROWS), draw.astype(int))) for draw in counts]
    assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("key", SHOWN)
def test_an_interval_is_that_of_scipys_percentile_bootstrap(key: str, rows: Sequence[Any]):
    make, oracle = CHECKS[key]
    score = oracle(np.arange(ROWS))
    (low, high) = intervals({"m": make()}, {"m": score}, rows, ORDER, weights=np.ones(ROWS))["m"]
    other = stats.bootstrap(
        (np.arange(ROWS),), lambda rows: oracle(rows), method="percentile", n_resamples=300, vectorized=False, rng=1
    ).confidence_interval
    width = other.high - other.low
    assert low < score < high
    assert (low, high) == pytest.approx((other.low, other.high), abs=0.25 * width)


def test_the_loss_of_a_split_weighs_each_row_by_its_targets(rows: Sequence[Any]):
    weights = np.array([row["target_count"] for row in rows], dtype=float)
    losses = np.array([row["loss"] for row in rows])
    score = float(np.average(losses, weights=weights))
    (found,) = intervals({}, {"loss": score}, rows, ORDER, weights=weights).values()
    means = [np.average(losses, weights=weights * draw) for part in drawn(ROWS) for draw in part]
    assert found == pytest.approx(np.quantile(means, [0.025, 0.975]))


def test_a_score_that_its_rows_do_not_explain_has_no_interval(rows: Sequence[Any]):
    given = {"m": class_metric("accuracy"), "other": object()}
    assert intervals(given, {"m": 0.123, "other": 1.0, "loss": 77.0}, rows, ORDER, weights=np.ones(ROWS)) == {}
    assert intervals(given, {"m": 0.5}, rows[:1], ORDER[:1], weights=np.ones(1)) == {}


def test_it_is_the_same_each_time_whatever_the_order_of_the_batches(rows: Sequence[Any]):
    score = {"m": sk.f1_score(TRUE, PREDICTED, average="macro")}
    one = intervals({"m": class_metric("f1")}, score, rows, ORDER, weights=np.ones(ROWS))
    assert one == intervals({"m": class_metric("f1")}, score, rows, ORDER, weights=np.ones(ROWS))
    plain = metric_of("f1", "f1")
    plain.update(torch.nn.functional.one_hot(torch.tensor(PREDICTED), 3).double(), torch.tensor(TRUE))
    other = intervals({"m": plain}, score, rows, np.arange(ROWS), weights=np.ones(ROWS))
    assert other["m"] == pytest.approx(one["m"])


def test_ten_thousand_rows_take_a_second_or_so():
    n = 10_000
    metric, true = metric_of("f1", "f1"), torch.arange(n) % 5
    metric.update(torch.nn.functional.one_hot((true + torch.arange(n) % 7 // 6) % 5, 5).double(), true)
    rows = [{"loss": 1.0}] * n
    started = time.process_time()
    found = intervals(
        {"m": metric}, {"m": float(metric.compute()), "loss": 1.0}, rows, np.arange(n), weights=np.ones(n)
    )
    assert time.process_time() - started < 5  # 1 on a free machine
    assert found["m"][1] - found["m"][0] < 0.02
    assert sum(len(part) for part in drawn(n)) == SAMPLES
