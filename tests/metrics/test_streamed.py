"""Metrics of torchmetrics, of fastai and of the user's own are fed by what the task predicts, or refused at once."""

import numpy as np
import pytest
import torch
import torchmetrics
from fastai.metrics import accuracy, skm_to_fastai
from scipy import stats
from sklearn import metrics as sk
from torchmetrics import aggregation, classification, regression, text

from blurr.errors import InputError
from blurr.metrics.base import Scored
from blurr.metrics.classification import F1, Accuracy, Matthews
from blurr.metrics.regression import RMSE, Pearson, Spearman
from blurr.metrics.rouge import Rouge
from blurr.metrics.streamed import NamedMetric, directed, notes_of, streamed
from blurr.text.token_classification.metrics import Seqeval

RNG = torch.Generator().manual_seed(3)
THREE, TWO = Scored("classes", ["a", "b", "c"]), Scored("classes", ["down", "up"])
LABELS, NUMBERS, TEXTS = Scored("labels", ["a", "b", "c", "d"]), Scored("numbers"), Scored("texts")
N = 40


def probabilities(logits: torch.Tensor) -> np.ndarray:
    return logits.double().softmax(1).numpy()


def fed(metric, scored: Scored, predictions, targets) -> float:
    (shown,) = streamed({"m": metric}, scored)
    shown.reset()
    for i in range(0, N, 16):
        shown.metric.update(predictions[i : i + 16], targets[i : i + 16])
    return shown.value


OF_THREE = (torch.randn(N, 3, generator=RNG), torch.randint(0, 3, (N,), generator=RNG))
OF_TWO = (torch.randn(N, 2, generator=RNG), torch.randint(0, 2, (N,), generator=RNG))
OF_LABELS = (torch.randn(N, 4, generator=RNG), torch.randint(0, 2, (N, 4), generator=RNG).float())
OF_NUMBERS = (torch.rand(N, 1, generator=RNG) + 1, torch.rand(N, generator=RNG) + 1)
P2, T2 = probabilities(OF_TWO[0])[:, 1], OF_TWO[1].numpy()
P3, T3 = probabilities(OF_THREE[0]), OF_THREE[1].numpy()
PN, TN = OF_NUMBERS[0][:, 0].double().numpy(), OF_NUMBERS[1].double().numpy()
PL, TL = OF_LABELS[0].double().sigmoid().numpy(), OF_LABELS[1].int().numpy()


@pytest.mark.parametrize(
    ("metric", "scored", "given", "expected"),
    [
        (classification.BinaryAUROC(), TWO, OF_TWO, sk.roc_auc_score(T2, P2)),
        (classification.BinaryAveragePrecision(), TWO, OF_TWO, sk.average_precision_score(T2, P2)),
        (classification.BinaryF1Score(), TWO, OF_TWO, sk.f1_score(T2, P2 > 0.5)),
        (classification.MulticlassAUROC(3), THREE, OF_THREE, sk.roc_auc_score(T3, P3, multi_class="ovr")),
        (
            classification.MulticlassHammingDistance(3, average="micro"),
            THREE,
            OF_THREE,
            sk.hamming_loss(T3, P3.argmax(1)),
        ),
        (torchmetrics.CohenKappa("multiclass", num_classes=3), THREE, OF_THREE, sk.cohen_kappa_score(T3, P3.argmax(1))),
        (
            classification.MulticlassAccuracy(3, top_k=2, average="micro"),
            THREE,
            OF_THREE,
            sk.top_k_accuracy_score(T3, P3),
        ),
        (classification.MultilabelF1Score(4), LABELS, OF_LABELS, sk.f1_score(TL, PL > 0.5, average="macro")),
        (classification.MultilabelAUROC(4), LABELS, OF_LABELS, sk.roc_auc_score(TL, PL)),
        (classification.MultilabelRankingLoss(4), LABELS, OF_LABELS, sk.label_ranking_loss(TL, PL)),
        (regression.MeanAbsolutePercentageError(), NUMBERS, OF_NUMBERS, sk.mean_absolute_percentage_error(TN, PN)),
        (regression.R2Score(), NUMBERS, OF_NUMBERS, sk.r2_score(TN, PN)),
        (regression.MeanAbsoluteError(), NUMBERS, OF_NUMBERS, sk.mean_absolute_error(TN, PN)),
        (regression.KendallRankCorrCoef(), NUMBERS, OF_NUMBERS, stats.kendalltau(TN, PN)[0]),
        (regression.ExplainedVariance(), NUMBERS, OF_NUMBERS, sk.explained_variance_score(TN, PN)),
        (skm_to_fastai(sk.balanced_accuracy_score), THREE, None, None),
    ],
    ids=lambda part: type(part).__name__,
)
@pytest.mark.filterwarnings("ignore:Metric `.*` will save all")
def test_a_metric_of_a_library_gives_what_scikit_learn_gives(metric, scored: Scored, given, expected):
    if given is None:
        (shown,) = streamed({"balanced": metric}, scored)
        assert isinstance(shown, NamedMetric)
        assert shown.name == "balanced"
        return
    assert fed(metric, scored, *given) == pytest.approx(expected, abs=1e-6)


WRITTEN = (
    ["a cat sat", "", "the dog", "one two three four five"] * 10,
    ["a cat sat", "x", "a dog", "one two three four"] * 10,
)


def test_metrics_of_texts_are_fed_texts():
    assert fed(text.WordErrorRate(), TEXTS, *WRITTEN) == pytest.approx(3 / 10)
    assert fed(text.CharErrorRate(), TEXTS, *WRITTEN) > 0
    assert fed(text.SacreBLEUScore(), TEXTS, ["one two three four"] * N, ["one two three four"] * N) == pytest.approx(1)
    assert fed(text.CHRFScore(), TEXTS, ["one two"] * N, ["one two"] * N) == pytest.approx(1)


@pytest.mark.parametrize(
    ("metric", "scored", "message"),
    [
        (classification.MulticlassF1Score(4), THREE, r"MulticlassF1Score cannot score what this task predicts \("),
        (classification.BinaryF1Score(), THREE, "is for two classes, but this task has 3"),
        (classification.MulticlassF1Score(3, average=None), THREE, "gives 3 numbers where a metric gives one"),
        (classification.MultilabelF1Score(4), TWO, "for several labels, but this task predicts classes"),
        (classification.MultilabelF1Score(5), LABELS, "MultilabelF1Score cannot score what this task predicts"),
        (regression.MeanAbsoluteError(), TWO, "is a metric for numbers, but this task predicts classes"),
        (regression.CosineSimilarity(), NUMBERS, "CosineSimilarity cannot score what this task predicts"),
        (regression.KLDivergence(), NUMBERS, "KLDivergence cannot score what this task predicts"),
        (classification.BinaryF1Score(), NUMBERS, "for two classes, but this task predicts numbers"),
        (aggregation.MeanMetric(), NUMBERS, "aggregates numbers, and does not compare predictions with targets"),
        (text.WordErrorRate(), TWO, "for texts, but this task predicts classes"),
        (text.ROUGEScore(rouge_keys="rouge1"), TEXTS, "gives a dict where a metric gives one number"),
        (classification.BinaryF1Score(), Scored("words", ["O"]), "but this task predicts words"),
        (Pearson(), TWO, r"pearson is a metric for numbers, but this task predicts classes.*accuracy"),
        (F1(), NUMBERS, "f1 is a metric for classes, but this task predicts numbers.*pearson"),
        (Rouge(), TWO, "rouge is a metric for texts, but this task predicts classes"),
        (Seqeval(), TEXTS, "seqeval is a metric for words, but this task predicts texts"),
        (F1(positive="upp"), TWO, r"positive=upp of F1 is not a label of the data. Did you mean 'up'"),
    ],
    ids=lambda part: type(part).__name__ if not isinstance(part, str) else None,
)
@pytest.mark.filterwarnings("ignore:Metric `.*` will save all")
def test_a_metric_that_does_not_fit_is_refused_before_any_training(metric, scored: Scored, message: str):
    with pytest.raises(InputError, match=message):
        streamed({"m": metric}, scored)


def test_what_the_rows_do_to_a_metric_is_said_in_one_message():
    (shown,) = streamed({"m": regression.MeanSquaredLogError()}, NUMBERS)
    shown.metric.metric.update = lambda *_: (_ for _ in ()).throw(ValueError("bad rows"))
    with pytest.raises(InputError, match=r"metrics\.m: torchmetrics' MeanSquaredLogError .*bad rows"):
        shown.metric.update(*OF_NUMBERS)


def test_numbers_are_scored_in_64_bits():
    true = torch.tensor([20000001.0, 20000003.0, 20000002.0], dtype=torch.float64)
    (shown,) = streamed({"m": regression.MeanAbsoluteError()}, NUMBERS)
    shown.metric.update(true[:, None] + 1e-3, true)
    assert shown.value == pytest.approx(1e-3, rel=1e-4)


def test_metrics_of_ones_own_get_what_the_task_decodes():
    class Rows(torchmetrics.Metric):
        full_state_update = False

        def __init__(self) -> None:
            super().__init__()
            self.add_state("n", torch.zeros(()))

        def update(self, predictions, targets) -> None:
            self.n += predictions.shape[1] * len(targets)

        def compute(self):
            return self.n

    assert fed(Rows(), THREE, *OF_THREE) == 3 * N


def test_notes_say_which_class_and_why_there_is_no_correlation():
    shown = streamed({"f1": F1(), "mine": F1(positive="down"), "mcc": Matthews(), "acc": Accuracy()}, TWO)
    for metric in shown:
        metric.metric.update(*OF_TWO)
    assert notes_of(shown) == {"f1": "of up", "mine": "of down"}
    assert float(shown[1].metric.compute()) == pytest.approx(sk.f1_score(T2, P2 > 0.5, pos_label=0))
    assert set(directed([*shown, NamedMetric("x", skm_to_fastai(accuracy))])) == {"f1", "mine", "mcc", "acc", "x"}
    flat = streamed({"p": Pearson(), "s": Spearman(), "r": RMSE()}, NUMBERS)
    for metric in flat:
        metric.metric.update(torch.ones(4, 1), torch.arange(4.0))
        assert metric.value == (0 if metric.name != "r" else pytest.approx(1.2247448713915890))
    assert notes_of(flat)["p"] == "0, because all predictions are equal and correlate with nothing"
    assert set(notes_of(flat)) == {"p", "s"}


def test_a_mean_over_classes_and_one_class_are_not_asked_for_together():
    with pytest.raises(InputError, match="average=macro is a mean over classes, and positive=up asks for the score of"):
        F1("macro", positive="up")


def test_a_class_cannot_be_named_where_nobody_knows_the_names():
    metric = F1(positive="up")
    metric.update(*OF_TWO)
    with pytest.raises(InputError, match="positive=up: this learner does not know the names of its classes"):
        metric.compute()
