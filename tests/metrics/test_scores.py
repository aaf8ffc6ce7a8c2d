"""The streaming metrics, against scikit-learn, SciPy and hand-counted values."""

import pickle

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn import metrics as sk

from blurr.errors import InputError
from blurr.metrics.classification import F1, Accuracy, Matthews, Precision, Recall
from blurr.metrics.regression import RMSE, Pearson, Spearman
from blurr.metrics.rouge import Rouge


def batches(n_classes: int, rows: int = 90) -> list[tuple[torch.Tensor, torch.Tensor]]:
    rng = torch.Generator().manual_seed(1)
    logits = torch.randn(rows, n_classes, generator=rng)
    targets = torch.randint(0, n_classes, (rows,), generator=rng)
    logits[torch.arange(rows), targets] += 0.7
    return list(zip(logits.split(32), targets.split(32), strict=True))


def streamed(metric, parts) -> float:
    metric.reset()
    for part in parts:
        metric.update(*part)
    return float(metric.compute())


def classes(parts) -> tuple[np.ndarray, np.ndarray]:
    return torch.cat([t for _, t in parts]).numpy(), torch.cat([p for p, _ in parts]).argmax(1).numpy()


@pytest.mark.parametrize("n", [2, 3, 7])
def test_b6_metrics_of_classes_are_right_for_two_and_for_more(n: int):
    parts = batches(n)
    true, predicted = classes(parts)
    expected = sk.f1_score(true, predicted, average="binary" if n == 2 else "macro")
    assert streamed(F1(), parts) == pytest.approx(expected, abs=1e-6)
    assert streamed(Accuracy(), parts) == pytest.approx(sk.accuracy_score(true, predicted), abs=1e-6)
    assert streamed(Matthews(), parts) == pytest.approx(sk.matthews_corrcoef(true, predicted), abs=1e-6)


@pytest.mark.parametrize("average", ["macro", "micro", "weighted"])
def test_f1_averages_as_asked(average: str):
    parts = batches(4)
    assert streamed(F1(average), parts) == pytest.approx(sk.f1_score(*classes(parts), average=average), abs=1e-6)


@pytest.mark.parametrize(("metric", "reference"), [(Precision, sk.precision_score), (Recall, sk.recall_score)])
@pytest.mark.parametrize("n", [2, 4])
def test_precision_and_recall_are_those_of_scikit_learn(metric, reference, n: int):
    parts = batches(n)
    expected = reference(*classes(parts), average="binary" if n == 2 else "macro")
    assert streamed(metric(), parts) == pytest.approx(expected, abs=1e-6)


def test_binary_f1_of_three_classes_is_refused():
    with pytest.raises(InputError, match="needs two classes, not 3"):
        streamed(F1("binary"), batches(3))


def test_several_labels_are_counted_by_the_sign_of_the_logits():
    logits = torch.tensor([[1.0, -1.0, 1.0], [-1.0, 1.0, -1.0]])
    targets = torch.tensor([[1.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
    assert streamed(Accuracy(), [(logits, targets)]) == 0.5
    assert streamed(F1(), [(logits, targets)]) == pytest.approx(2 * 3 / (3 + 4))


def test_a_metric_begins_anew_after_reset():
    metric = Accuracy()
    assert streamed(metric, [(torch.eye(2), torch.tensor([1, 0]))]) == 0
    assert streamed(metric, [(torch.eye(2), torch.tensor([0, 1]))]) == 1


def test_metrics_of_numbers_agree_with_scipy():
    rng = np.random.default_rng(0)
    true = rng.normal(size=50).astype("float32")
    predicted = true + rng.normal(size=50).astype("float32")
    parts = [(torch.tensor(predicted[i : i + 20])[:, None], torch.tensor(true[i : i + 20])) for i in (0, 20, 40)]
    assert streamed(Pearson(), parts) == pytest.approx(stats.pearsonr(true, predicted)[0], abs=1e-5)
    assert streamed(Spearman(), parts) == pytest.approx(stats.spearmanr(true, predicted)[0], abs=1e-5)
    assert streamed(RMSE(), parts) == pytest.approx(float(np.sqrt(np.mean((true - predicted) ** 2))), abs=1e-5)


@pytest.mark.parametrize(
    ("metric", "part", "advice"),
    [
        (Accuracy(), (torch.zeros(2, 1), torch.zeros(2)), "metrics=.pearson"),
        (Pearson(), (torch.zeros(2, 3), torch.zeros(2, dtype=torch.long)), "task.kind=regression"),
    ],
    ids=["classes", "numbers"],
)
def test_a_metric_of_the_wrong_kind_says_which_to_take(metric, part, advice: str):
    with pytest.raises(InputError, match=advice):
        metric.update(*part)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("rouge1", 2 * 5 / 6 * 5 / 6 / (10 / 6)), ("rouge2", 3 / 5), ("rougeL", 5 / 6), ("rougeLsum", 5 / 6)],
)
def test_rouge_of_a_hand_counted_pair(kind: str, expected: float):
    pair = (["the cat sat on the mat"], ["the cat lay on the mat"])
    assert streamed(Rouge(kind), [pair]) == pytest.approx(expected)
    assert streamed(Rouge(kind), [pair, (["the cat"], ["the cat"])]) == pytest.approx((expected + 1) / 2)


def test_rouge_lsum_compares_sentence_by_sentence():
    pair = (["One two. Three four."], ["Three four. One two."])
    assert streamed(Rouge("rougeLsum"), [pair]) == 1
    assert streamed(Rouge("rougeL"), [pair]) == 0.5


def test_rouge_goes_through_a_pickle():
    assert streamed(pickle.loads(pickle.dumps(Rouge())), [(["a cat"], ["a cat"])]) == 1
