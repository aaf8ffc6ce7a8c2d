"""Callbacks that are options: what they do to a small training."""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from every_task import loaded
from fastai.callback.core import Callback, CancelFitException, CancelTrainException
from fastai.callback.training import GradientClip
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.learner import Learner
from fastai.losses import BCEWithLogitsLossFlat, CrossEntropyLossFlat
from torch import nn
from torchmetrics.classification import BinaryHammingDistance, BinaryNegativePredictiveValue

from blurr.data.at_hand import from_data
from blurr.errors import InputError
from blurr.loading.loader import Loader
from blurr.loading.rows import IGNORED
from blurr.metrics.rows import WorstGroup
from blurr.text.modeling.all import (
    Accuracy,
    Blearner,
    CausalLM,
    SequenceClassification,
    Summarization,
    TokenClassification,
    as_opt_func,
)
from blurr.training.callbacks.class_balance import ClassBalance, chances
from blurr.training.callbacks.early_stopping import EarlyStopping
from blurr.training.callbacks.ema import EMA
from blurr.training.callbacks.gradient_accumulation import GradientAccumulation, count_targets
from blurr.training.callbacks.gradient_checkpointing import GradientCheckpointing
from blurr.training.callbacks.model_outputs import ModelOutputs
from blurr.training.callbacks.save_best import SaveBest
from blurr.training.precision import precision_callbacks, seed_everything
from blurr.training.schedules import one_cycle

PLAIN = {  # without chance
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "dropout": 0.0,
    "attention_dropout": 0.0,
    "activation_dropout": 0.0,
}


class Rates(Callback):
    """Notes the learning rate of each optimizer step."""

    def __init__(self) -> None:
        self.rates: list[float] = []

    def after_step(self) -> None:
        self.rates.append(self.opt.hypers[-1]["lr"])


def learner_of(task, data, checkpoint: Path, *, bs: int = 4, cbs=(), **options) -> Blearner:
    seed_everything(1)
    raw = from_data(task.schema, data)
    hf = loaded(task, raw, checkpoint, **PLAIN)
    dls = task.dataloaders(raw, hf, Loader(batch_size=bs, bucket=False))
    sgd = as_opt_func(partial(torch.optim.SGD, momentum=0.9))
    learn = task.learner(dls, hf, raw=raw, **{"metrics": {}, "optimizer": sgd, "cbs": cbs, **options})
    learn.remove_cbs([learn.progress])
    learn.logger = lambda *_: None
    return learn


def weights_of(learn: Blearner) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in learn.model.parameters()]).clone()


@pytest.fixture
def classifier(reviews: pd.DataFrame, tiny_bert: Path, tmp_path: Path):
    return partial(learner_of, SequenceClassification(), reviews, tiny_bert, path=tmp_path)


# -- accumulation


def tagged(reviews: pd.DataFrame) -> pd.DataFrame:
    words = [text.split() for text in reviews.text]
    labels = [["B-X" if word in ("film", "plot") else "O" for word in row] for row in words]
    return pd.DataFrame({"tokens": words, "labels": labels, "is_valid": reviews.is_valid})


CASES = {
    "model's own loss over rows": (SequenceClassification(), lambda r: r, "bert"),
    "class weights": (SequenceClassification(class_weights=[0.2, 3.0]), lambda r: r, "bert"),
    "label smoothing": (SequenceClassification(label_smoothing=0.2), lambda r: r, "bert"),
    "several labels": (SequenceClassification(), lambda r: r.assign(label=[[x, "film"] for x in r.label]), "bert"),
    "a number": (SequenceClassification(), lambda r: r.assign(label=[len(t) / 7 for t in r.text]), "bert"),
    "model's own loss over words": (TokenClassification(), tagged, "bert"),
    "fastai's loss over words": (TokenClassification(loss="cross_entropy"), tagged, "bert"),
    "model's own loss over next tokens": (CausalLM(chunk=False), lambda r: r, "bert"),
    "model's own loss over written tokens": (
        Summarization(generation={"max_new_tokens": 2}),
        lambda r: r.assign(summary=[t[: 9 + i % 5 * 6] for i, t in enumerate(r.text)]),
        "bart",
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_three_batches_of_4_move_the_weights_as_one_of_12(case, reviews: pd.DataFrame, tiny_bert, tiny_bart):
    task, rows, family = case
    checkpoint = {"bert": tiny_bert, "bart": tiny_bart}[family]
    found = {}
    for bs, extra in ((12, []), (4, [GradientAccumulation(3)])):  # 30 rows: the third step of an epoch has but 6
        rates = Rates()
        cbs = [GradientClip(0.5), rates, *extra]
        learn = learner_of(task, rows(reviews), checkpoint, bs=bs, cbs=cbs)
        before = weights_of(learn)
        one_cycle(learn, 0.1, epochs=2)
        found[bs] = weights_of(learn), rates.rates
        assert (found[bs][0] - before).abs().max() > 1e-3
    assert len(found[4][1]) == 6
    assert found[4][1] == pytest.approx(found[12][1])
    assert (found[4][0] - found[12][0]).abs().max() < 1e-5


def test_accumulation_counts_steps_and_leaves_the_reported_loss_alone(classifier):
    accumulation = GradientAccumulation(3)
    learn = classifier(bs=4, cbs=[accumulation])
    with learn.no_bar():
        learn.fit(2, 0.0)
        assert accumulation.taken == 6
        assert learn.recorder.values[-1][0] == pytest.approx(learn.validate(ds_idx=0)[0], rel=0.05)


def test_a_fit_that_is_broken_off_between_two_steps_leaves_no_gradients(classifier):
    class Stop(Callback):
        order = 90

        def after_batch(self) -> None:
            if self.training and self.iter == 3:
                raise CancelFitException

    learn = classifier(bs=4, cbs=[GradientAccumulation(3), Stop()])
    learn.fit(1, 0.1)
    assert not any(p.grad is not None and p.grad.any() for p in learn.model.parameters())


def test_accumulation_works_under_autocast(classifier):
    learn = classifier(bs=4, cbs=[GradientAccumulation(2), *precision_callbacks("bf16")])
    before = weights_of(learn)
    learn.fit(1, 0.1)
    assert not torch.equal(before, weights_of(learn))
    assert not torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize(
    ("loss", "targets", "expected"),
    [
        (CrossEntropyLossFlat(), torch.tensor([0, 1, IGNORED]), 2.0),
        (CrossEntropyLossFlat(weight=torch.tensor([0.5, 2.0])), torch.tensor([0, 1, IGNORED]), 2.5),
        (nn.CrossEntropyLoss(weight=torch.tensor([0.5, 2.0])), torch.tensor([1, 1]), 4.0),
        (BCEWithLogitsLossFlat(), torch.tensor([[0.0, 1.0], [1.0, 1.0]]), 4.0),
    ],
    ids=["tokens", "weighted", "torch", "labels"],
)
def test_a_batch_counts_by_what_its_loss_is_a_mean_over(loss, targets, expected: float):
    assert float(count_targets(loss, targets)) == expected


# -- averaged weights


def test_the_average_of_the_weights_is_validated_kept_as_best_and_left_at_the_end(classifier, tmp_path: Path):
    class Trace(Callback):
        order = 90

        def before_fit(self) -> None:
            self.raw, self.validated = [weights_of(self.learn)], []

        def after_step(self) -> None:
            self.raw.append(weights_of(self.learn))

        def before_validate(self) -> None:
            self.validated.append(weights_of(self.learn))

    trace = Trace()
    learn = classifier(bs=10, cbs=[EMA(0.9), trace, SaveBest()])
    learn.compact_embeddings = False  # the trace reads all weights between two steps
    learn.fit(2, 0.05)
    average, averages = trace.raw[0], []
    for t, weights in enumerate(trace.raw[1:], start=1):
        keep = min(0.9, (1 + t) / (10 + t))
        average = keep * average + (1 - keep) * weights
        averages.append(average)
    assert torch.allclose(trace.validated[0], averages[2], atol=1e-6)
    assert torch.allclose(trace.validated[1], averages[5], atol=1e-6)
    assert not torch.allclose(trace.validated[1], trace.raw[-1], atol=1e-4)
    last = torch.load(tmp_path / "models" / "last.pth")
    assert torch.allclose(torch.cat([v.flatten() for v in last.values()]), averages[5], atol=1e-6)
    assert any(torch.equal(weights_of(learn), kept) for kept in trace.validated)


def test_training_goes_on_from_the_weights_and_not_from_their_average(classifier):
    plain, averaged = classifier(bs=10), classifier(bs=10, cbs=[EMA(0.9), Rates()])
    seen = []

    class Last(Callback):
        def after_train(self) -> None:
            seen.append(weights_of(self.learn))

    averaged.add_cb(Last())
    plain.fit(2, 0.05)
    averaged.fit(2, 0.05)
    assert torch.allclose(seen[1], weights_of(plain), atol=1e-6)
    before = weights_of(averaged)
    averaged.validate()
    assert torch.equal(before, weights_of(averaged))


def test_the_learning_rate_finder_leaves_the_weights_under_averaging(classifier):
    learn = classifier(bs=10, cbs=[EMA(0.9)])
    before = weights_of(learn)
    learn.lr_find(show_plot=False, num_it=5)
    assert torch.equal(before, weights_of(learn))


# -- gradient checkpointing


def test_gradient_checkpointing_is_on_in_every_step_off_after_and_changes_no_gradient(classifier):
    seen = []

    class Look(Callback):
        def before_step(self) -> None:
            seen.append(is_on(self.model))

    learn, plain = classifier(cbs=[GradientCheckpointing(), Look()]), classifier()
    learn.fit(1, 0.05)
    plain.fit(1, 0.05)
    assert seen == [True] * 8
    assert not is_on(learn.model)
    assert torch.allclose(weights_of(learn), weights_of(plain), atol=1e-6)


def is_on(model: nn.Module) -> bool:
    return any(m.gradient_checkpointing for m in model.modules() if hasattr(m, "gradient_checkpointing"))


def test_gradient_checkpointing_trains_a_head_on_a_frozen_body_and_a_decoder(classifier, notes, tiny_bart: Path):
    learn = classifier(cbs=[GradientCheckpointing()])
    learn.freeze()
    before = weights_of(learn)
    learn.fit(1, 0.05)
    assert not torch.equal(before, weights_of(learn))
    writer = learner_of(
        Summarization(generation={"max_new_tokens": 3}), notes, tiny_bart, cbs=[GradientCheckpointing()]
    )
    writer.fit(1, 0.05)
    assert writer.model.hf_model.config.use_cache


def test_a_model_without_gradient_checkpointing_is_refused_before_training(classifier, monkeypatch):
    learn = classifier(cbs=[GradientCheckpointing()])
    monkeypatch.setattr(type(learn.model.hf_model), "supports_gradient_checkpointing", False)
    with pytest.raises(InputError, match="BertForSequenceClassification does not support gradient checkpointing"):
        learn.fit(1)


# -- hidden states and attentions


def test_a_callback_reads_hidden_states_and_attentions(classifier):
    shapes = []

    class Read(Callback):
        def after_pred(self) -> None:
            outputs = self.learn.blurr_model_outputs
            shapes.append(
                (len(outputs["hidden_states"]), len(outputs["attentions"]), outputs["attentions"][0].shape[1])
            )

    learn = classifier(cbs=[Read(), ModelOutputs(hidden_states=True, attentions=True)])
    learn.fit(1, 0.0)
    assert set(shapes) == {(3, 2, 2)}


# -- balance


def test_balanced_training_draws_all_classes_equally_often(reviews: pd.DataFrame, tiny_bert: Path):
    rare = reviews[(reviews.label == "bad") | (reviews.index % 8 == 1) | reviews.is_valid]
    seen: list[int] = []

    class Watch(Callback):
        def after_pred(self) -> None:
            if self.training:
                seen.extend(self.y.tolist())

    learn = learner_of(SequenceClassification(), rare, tiny_bert, cbs=[ClassBalance(), Watch()])
    learn.fit(20, 0.0)
    assert np.mean(seen) == pytest.approx(0.5, abs=0.08)
    assert len(seen) == 20 * len(learn.dls.train_ds)
    assert learn.dls.train.chances is None


@pytest.mark.parametrize(("strength", "share"), [(1.0, 0.5), (0.5, 1 / 3), (0.0, 0.2)])
def test_the_strength_of_balance_goes_from_nothing_to_all(strength: float, share: float):
    classes = np.array([0] * 8 + [1] * 2)
    assert chances(classes, strength)[classes == 1].sum() == pytest.approx(share)


def test_balance_keeps_rows_of_similar_length_together(classifier):
    learn = classifier(cbs=[ClassBalance()])
    learn.dls.train.bucket = True
    learn.fit(1, 0.0)


def test_balance_of_rows_with_several_targets_is_refused(reviews: pd.DataFrame, tiny_bert: Path):
    learn = learner_of(TokenClassification(), tagged(reviews), tiny_bert, cbs=[ClassBalance()])
    with pytest.raises(InputError, match="one class per training row"):
        learn.fit(1)


def test_balance_of_loaders_from_elsewhere_is_refused():
    rows = [(torch.zeros(1), torch.tensor(0))] * 4
    dls = DataLoaders(DataLoader(rows, bs=2), DataLoader(rows, bs=2))
    learn = Learner(dls, nn.Linear(1, 2), CrossEntropyLossFlat(), cbs=[ClassBalance()])
    with pytest.raises(InputError, match="needs loaders made by blurr, not a DataLoader"), learn.no_bar():
        learn.fit(1)


# -- best weights, early stopping


class Scores(Callback):
    """Sets the weights' first bias, and so the loss, to what an epoch shall score."""

    def __init__(self, values: list[float]) -> None:
        self.values = values

    def after_train(self) -> None:
        self.model.hf_model.classifier.bias.data.copy_(torch.tensor([self.values.pop(0), 0.0]))


def test_the_best_epoch_of_all_fits_is_kept_beside_the_last(classifier, tmp_path: Path):
    learn = classifier(cbs=[Scores([5.0, 0.0, 9.0, 7.0]), SaveBest()])
    learn.fit(3, 0.0)
    assert learn.model.hf_model.classifier.bias[0] == 0.0
    learn.fit(1, 0.0)
    saved = {name: torch.load(tmp_path / "models" / f"{name}.pth") for name in ("best", "last")}
    biases = {name: float(state["hf_model.classifier.bias"][0]) for name, state in saved.items()}
    assert biases == {"best": 0.0, "last": 7.0}
    assert learn.model.hf_model.classifier.bias[0] == 0.0
    learn.model.hf_model.classifier.bias.data.fill_(3.0)
    learn.validate()
    assert learn.model.hf_model.classifier.bias[0] == 3.0


def test_best_weights_that_have_changed_on_the_disk_are_not_gone_on_with(classifier, tmp_path: Path):
    class Flip(Callback):
        order = SaveBest.order + 1

        def after_epoch(self):
            best = tmp_path / "models" / "best.pth"
            content = bytearray(best.read_bytes())
            content[len(content) // 2] ^= 1
            best.write_bytes(content)

    learn = classifier(cbs=[SaveBest(), Flip()])
    with pytest.raises(InputError, match=r"best\.pth is not as it was written: its checksum is another"):
        learn.fit(1, 0.0)


def test_training_stops_when_the_loss_has_not_fallen(classifier):
    learn = classifier(cbs=[Scores([5.0, 1.0, 2.0, 3.0, 0.0]), EarlyStopping(patience=2)])
    learn.fit(5, 0.0)
    assert len(learn.recorder.values) == 4


@pytest.mark.parametrize(
    ("monitor", "mode", "best"),
    [
        ("valid/loss", "auto", -5.0),
        ("valid/accuracy", "auto", 0.0),
        ("valid/accuracy", "min", 5.0),
        ("valid/distance", "auto", -5.0),
    ],
    ids=["loss", "accuracy", "as the mode says", "a distance of torchmetrics"],
)
def test_the_metric_says_which_epoch_is_the_best(classifier, monitor: str, mode, best: float):
    """`Scores` makes a class likelier and likelier: of the ten rows to validate on, the loss and the errors differ."""
    metrics = {"accuracy": Accuracy(), "distance": BinaryHammingDistance()}
    watch = SaveBest(monitor, mode)
    learn = classifier(cbs=[Scores([-50.0, 0.0, 50.0]), watch], metrics=metrics)
    learn.fit(3, 0.0)
    values = [
        epoch[learn.recorder.metric_names[1:-1].index(monitor.partition("/")[2].replace("loss", "valid_loss"))]
        for epoch in learn.recorder.values
    ]
    less = mode == "min" or monitor in ("valid/loss", "valid/distance")
    assert watch.sign * watch.best == (min(values) if less else max(values))


def test_a_metric_that_does_not_say_which_way_is_better_is_asked_for_before_training(classifier):
    learn = classifier(cbs=[SaveBest("valid/npv")], metrics={"npv": BinaryNegativePredictiveValue()})
    with pytest.raises(InputError, match=r"Whether valid/npv is better high or low is not known.*save_best\.mode=min"):
        learn.fit(1, 0.0)


def test_an_unknown_score_to_watch_is_named_before_training(classifier):
    learn = classifier(cbs=[SaveBest("valid/los")])
    with pytest.raises(InputError, match="^monitor=valid/los names no score .* Did you mean 'valid/loss'"):
        learn.fit(1)


def test_a_metric_of_the_final_rows_cannot_be_watched(classifier):
    learn = classifier(cbs=[EarlyStopping("valid/worst")], metrics={"worst": WorstGroup("text")})
    with pytest.raises(InputError, match=r"^monitor=valid/worst names no score .* are \['train/loss', 'valid/loss'\]"):
        learn.fit(1)


def test_after_a_cancelled_training_the_same_score_is_watched(classifier):
    class Cancel(Callback):
        def after_batch(self) -> None:
            if self.training and self.epoch == 1:
                raise CancelTrainException

    best = SaveBest("valid/loss")
    learn = classifier(cbs=[best, Cancel()])
    learn.fit(2, 0.0)
    losses = [learn.recorder.values[0][1], learn.recorder.values[1][0]]  # Recorder leaves no gap for the training loss
    assert best.sign * best.best == pytest.approx(min(losses))
