"""Mixed rows and their losses: what the model reads, what it learns from, and what is refused."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from every_task import loaded
from fastai.callback.core import Callback, CancelFitException
from fastai.data.core import DataLoaders
from fastai.losses import BCEWithLogitsLossFlat, CrossEntropyLossFlat
from torch.nn import functional
from torch.utils.data import default_collate
from transformers import ResNetConfig, ResNetForImageClassification

from blurr.config import composing
from blurr.config.checks import check
from blurr.data.at_hand import from_data
from blurr.errors import InputError
from blurr.loading.dataloader import RowsDL
from blurr.loading.loader import Loader
from blurr.loading.rows import EncodedRows, InputNames
from blurr.models.losses import CustomLoss, MixedLoss, PreCalculatedCrossEntropyLoss, RowWeightedLoss, WeighRows
from blurr.text.modeling.all import SequenceClassification
from blurr.training.callbacks.cutmix import Cutmix
from blurr.training.callbacks.gradient_accumulation import GradientAccumulation
from blurr.training.callbacks.mixup import Mixing, Mixup
from blurr.training.learner import Blearner
from blurr.training.precision import seed_everything

ROWS, CLASSES, SIDE = 24, 3, 8
BY_KIND = {
    "one class": (np.arange(ROWS) % CLASSES, "single_label_classification"),
    "several labels": (
        np.float32(np.arange(ROWS * CLASSES).reshape(ROWS, CLASSES) % 5 < 2),
        "multi_label_classification",
    ),
    "a number": (np.float32(np.linspace(-1, 1, ROWS)), "regression"),
}


class Pictures(EncodedRows):
    names = InputNames(main="pixel_values")


def collate(rows: list[dict[str, Any]]) -> Any:
    batch = default_collate(rows)
    return batch, batch["labels"]


def learner_of(kind: str = "one class", *, cbs: Any = (), loss: Any = None, **columns: Any) -> Blearner:
    seed_everything(1)
    labels, problem = BY_KIND[kind]
    pixels = torch.rand(ROWS, 3, SIDE, SIDE).numpy()
    rows = Pictures({"pixel_values": pixels, "labels": labels, "seeds": np.arange(ROWS) * 977, **columns})
    config = ResNetConfig(
        embedding_size=4,
        hidden_sizes=[4, 8],
        depths=[1, 1],
        layer_type="basic",
        num_labels=1 if kind == "a number" else CLASSES,
        problem_type=problem,
    )
    options = {"tokenizer": None, "show_rows": None, "create_batch": collate, "bs": 8, "bucket": False}
    dls = DataLoaders(RowsDL(rows, shuffle=True, **options), RowsDL(rows, **options))
    learn = Blearner(dls, ResNetForImageClassification(config), loss_func=loss, cbs=cbs, freeze=False)
    learn.remove_cbs([learn.progress])
    learn.logger = lambda *_: None
    return learn


class Seen(Callback):
    """Keeps each training batch: as the model reads it, its targets, its loss, and how it was mixed."""

    order = 5
    run_valid = False

    def __init__(self) -> None:
        self.batches: list[dict[str, Any]] = []

    def after_loss(self) -> None:
        learn, loss = self.learn, self.learn.loss_func
        self.batches.append(
            {
                **{name: learn.xb[0][name] for name in ("pixel_values", "seeds")},
                **{"pred": learn.pred.detach(), "y": learn.y, "loss": learn.loss.detach()},
                **{"partners": loss.partners, "share": loss.share},
            }
        )


def original(learn: Blearner, seeds: torch.Tensor) -> torch.Tensor:
    pixels = torch.as_tensor(learn.dls.train_ds.columns["pixel_values"])
    return pixels[seeds // 977]


def weighted(pred: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(pred, y, weight=torch.tensor([0.2, 1.0, 3.0]))


LOSSES = {
    "the model's own of one class": ("one class", None, functional.cross_entropy),
    "the model's own of several labels": ("several labels", None, functional.binary_cross_entropy_with_logits),
    "the model's own of a number": ("a number", None, lambda pred, y: functional.mse_loss(pred[:, 0], y)),
    "class weights": ("one class", CrossEntropyLossFlat(weight=torch.tensor([0.2, 1.0, 3.0])), weighted),
    "label smoothing": (
        "one class",
        CrossEntropyLossFlat(label_smoothing=0.2),
        lambda pred, y: functional.cross_entropy(pred, y, label_smoothing=0.2),
    ),
    "fastai's of several labels": (
        "several labels",
        BCEWithLogitsLossFlat(),
        functional.binary_cross_entropy_with_logits,
    ),
    "a loss of one's own": ("one class", CustomLoss(weighted, CrossEntropyLossFlat()), weighted),
}


@pytest.mark.parametrize("mixing", [Mixup, Cutmix])
@pytest.mark.parametrize("case", LOSSES.values(), ids=LOSSES)
def test_the_loss_is_the_mean_of_those_of_both_targets_by_their_shares(case, mixing: type[Mixing]):
    kind, loss, expected = case
    seen = Seen()
    learn = learner_of(kind, cbs=[mixing(1.0), seen], loss=loss)
    learn.fit(2)
    assert len(seen.batches) == 6
    assert len({float(batch["share"]) for batch in seen.batches}) > 2
    for batch in seen.batches:
        own, other = (expected(batch["pred"], y) for y in (batch["y"], batch["y"][batch["partners"]]))
        torch.testing.assert_close(batch["loss"], batch["share"] * own + (1 - batch["share"]) * other)
    assert not isinstance(learn.loss_func, MixedLoss)
    assert learn.validate()[0] == pytest.approx(learn.recorder.values[-1][1], rel=1e-5)  # without mixing


def test_a_weight_of_a_row_goes_with_its_target():
    seen, weights = Seen(), np.float32(np.arange(ROWS) % 4)
    loss = RowWeightedLoss(PreCalculatedCrossEntropyLoss())
    learn = learner_of(cbs=[Mixup(1.0), WeighRows(), seen], loss=loss, row_weight=weights)
    learn.fit(1)
    for batch in seen.batches:
        values, share = torch.from_numpy(weights)[batch["seeds"] // 977], batch["share"]
        own = functional.cross_entropy(batch["pred"], batch["y"], reduction="none") * values
        partners = batch["partners"]
        other = functional.cross_entropy(batch["pred"], batch["y"][partners], reduction="none") * values[partners]
        expected = (share * own.sum() + (1 - share) * other.sum()) / values.sum()
        torch.testing.assert_close(batch["loss"], expected)
    assert loss.weights is None


def test_mixup_takes_means_of_pictures():
    seen = Seen()
    learn = learner_of(cbs=[Mixup(1.0), seen])
    learn.fit(1)
    for batch in seen.batches:
        x = original(learn, batch["seeds"])
        mixed = batch["share"] * x + (1 - batch["share"]) * x[batch["partners"]]
        torch.testing.assert_close(batch["pixel_values"], mixed)


def test_cutmix_puts_a_box_of_one_picture_into_another():
    seen = Seen()
    learn = learner_of(cbs=[Cutmix(1.0), seen])
    learn.fit(3)
    for batch in seen.batches:
        x, made = original(learn, batch["seeds"]), batch["pixel_values"]
        own, other = (made == x).all(1), (made == x[batch["partners"]]).all(1)
        assert (own | other).all()
        moved = batch["partners"] != torch.arange(8)
        shares = own[moved].float().mean((1, 2))
        torch.testing.assert_close(shares, batch["share"].expand_as(shares))


def test_cutmix_cuts_a_piece_of_a_wave():
    x = torch.rand(4, 100)
    mixed, share = Cutmix().mix(x, x.flip(0), torch.tensor([0.3, 0.4, 0.5, 0.6]))
    own = (mixed == x).float().mean(1)
    torch.testing.assert_close(own, share.expand(4))
    assert 0.3 < share < 0.5


@pytest.mark.parametrize("alpha", [0.2, 1.0, 3.0])
def test_shares_have_the_beta_distribution(alpha: float):
    drawn = torch.rand(20_000, generator=torch.Generator().manual_seed(0))
    shares = Mixup(alpha).share(drawn)
    assert float(shares.mean()) == pytest.approx(0.5, abs=0.01)
    assert float(shares.var()) == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.03)
    assert shares.min() >= 0
    assert shares.max() <= 1


@pytest.mark.parametrize("mixing", [Mixup, Cutmix])
def test_mixing_is_drawn_from_the_rows_alone(mixing: type[Mixing]):
    weights = []
    for other in (0, 1):
        learn = learner_of(cbs=[mixing()])
        torch.manual_seed(other)
        np.random.seed(other)  # noqa: NPY002  the global generator must not count
        learn.fit(2)
        weights.append(torch.cat([p.detach().flatten() for p in learn.model.parameters()]))
    assert torch.equal(*weights)


def test_the_learning_rate_finder_sees_rows_as_they_are():
    class Plain(Callback):
        def before_batch(self) -> None:
            assert not isinstance(self.learn.loss_func, MixedLoss)

    learn = learner_of(cbs=[Mixup(), Plain()])
    learn.lr_find(num_it=3, show_plot=False)


def test_a_fit_that_was_broken_off_leaves_no_mixed_loss_to_a_validation():
    class Stop(Callback):
        stops = True

        def after_batch(self) -> None:
            if self.stops and self.learn.training:
                raise RuntimeError("the power is gone")

    stop = Stop()
    learn = learner_of(cbs=[Mixup(), stop])
    with pytest.raises(RuntimeError, match="the power is gone"):
        learn.fit(1)
    learn.validate()
    assert isinstance(learn.loss_func, PreCalculatedCrossEntropyLoss)
    stop.stops = False
    learn.fit(1)


def test_a_cancelled_fit_restores_the_loss():
    class Stop(Callback):
        def after_batch(self) -> None:
            raise CancelFitException

    learn = learner_of(cbs=[Mixup(), Stop()])
    learn.fit(1)
    assert isinstance(learn.loss_func, PreCalculatedCrossEntropyLoss)


def test_mixing_goes_with_accumulated_gradients():
    seen = Seen()
    weights = torch.tensor([0.2, 1.0, 3.0])
    learn = learner_of(cbs=[Mixup(1.0), GradientAccumulation(2), seen], loss=CrossEntropyLossFlat(weight=weights))
    learn.fit(1)
    assert len(seen.batches) == 3


# -- what is refused


def test_texts_are_refused(reviews: pd.DataFrame, tiny_bert):
    raw = from_data(SequenceClassification().schema, reviews)
    task = SequenceClassification()
    hf = loaded(task, raw, tiny_bert)
    learn = task.learner(task.dataloaders(raw, hf, Loader()), hf, raw=raw, metrics={}, cbs=[Mixup()])
    with pytest.raises(InputError, match=r"callbacks=\[mixup\] takes means of inputs.*input_ids.*Leave mixup out"):
        learn.fit(1)


def test_rows_of_several_classes_each_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(BY_KIND, "one class", (np.zeros((ROWS, 4), dtype=int), "single_label_classification"))
    with pytest.raises(InputError, match=r"callbacks=\[cutmix\] needs one class.*targets of the shape \[8, 4\]"):
        learner_of(cbs=[Cutmix()], loss=CrossEntropyLossFlat()).fit(1)


def test_rows_without_seeds_are_refused():
    learn = learner_of(cbs=[Mixup()])
    del learn.dls.train_ds.columns["seeds"]
    with pytest.raises(InputError, match="draws from the seeds of training rows, and these have none"):
        learn.fit(1)


def test_two_callbacks_that_mix_are_refused_by_a_learner_and_by_a_config():
    with pytest.raises(InputError, match=r"callbacks=\[mixup,cutmix\] would mix rows twice"):
        learner_of(cbs=[Mixup(), Cutmix()]).fit(1)
    with pytest.raises(InputError, match=r"callbacks=\[mixup,cutmix\] would mix rows twice"):
        check(composing.compose(["callbacks=[mixup,cutmix]"]))
