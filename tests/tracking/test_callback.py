"""What a fastai training measures arrives in the run, at the optimizer step it belongs to."""

from types import SimpleNamespace

import pytest
import torch
from fastai.callback.core import CancelFitException, CancelStepException, CancelTrainException
from fastai.callback.schedule import fit_one_cycle, lr_find  # noqa: F401  (both patch Learner)
from fastai.callback.tracker import EarlyStoppingCallback
from fastai.callback.training import GradientAccumulation
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.learner import Callback, Learner, Recorder
from fastai.metrics import mse
from fastai.optimizer import OptimWrapper

from blurr.runs.jsonlines import read_lines
from blurr.tracking.trackers import NoTracker, tracked_run
from blurr.training.callbacks.base import epoch_scores
from blurr.training.tracking import TrackingCallback

ROWS, BATCH = 24, 4
STEPS = ROWS // BATCH


@pytest.fixture
def run(folder):
    with tracked_run(NoTracker(), folder=folder, config={}, overrides=[], tags={}) as run:
        yield run


@pytest.fixture
def seen():
    """A callback that keeps the loss of every training batch in `seen.losses`."""

    class Seen(Callback):
        losses: list[float] = []

        def after_batch(self):
            if self.training:
                self.losses.append(self.loss.item())

    return Seen()


def learner(run, *cbs, model=None, **options):
    torch.manual_seed(0)
    x = torch.randn(ROWS, 3)
    rows = [(row, row.sum(dim=0, keepdim=True)) for row in x]
    dls = DataLoaders(DataLoader(rows, bs=BATCH), DataLoader(rows, bs=BATCH), device="cpu")
    options = {"metrics": [mse], "path": run.folder, **options}
    model = model or torch.nn.Linear(3, 1)
    return Learner(dls, model, loss_func=torch.nn.MSELoss(), cbs=[TrackingCallback(run), *cbs], **options)


def logged(run, key):
    run.flush()
    lines = read_lines(run.folder / "metrics.jsonl")
    return [(line["step"], line[key]) for line in lines if key in line]


def steps(run, key):
    return [step for step, _ in logged(run, key)]


def test_every_optimizer_step_logs_loss_rate_and_momentum_once(run):
    learn = learner(run)
    with learn.no_logging():
        learn.fit_one_cycle(2, 0.1)
    expected = list(range(1, 2 * STEPS + 1))
    assert steps(run, "train/loss") == steps(run, "train/lr") == steps(run, "train/momentum") == expected
    rates = [rate for _, rate in logged(run, "train/lr")]
    assert max(rates) == pytest.approx(0.1, rel=0.2)
    assert rates[-1] < rates[0] < max(rates)


def test_the_training_loss_is_that_of_the_step_and_not_smoothed(run, seen):
    learn = learner(run, seen)
    with learn.no_logging():
        learn.fit(1)
    assert [loss for _, loss in logged(run, "train/loss")] == pytest.approx(seen.losses)


def test_the_step_counter_goes_on_over_several_fits(run):
    learn = learner(run)
    with learn.no_logging():
        learn.fit(1)
        learn.validate()
        learn.get_preds()
        learn.fit(2)
    assert steps(run, "train/loss") == list(range(1, 3 * STEPS + 1))
    assert steps(run, "valid/loss") == [STEPS, 2 * STEPS, 3 * STEPS]


def test_the_scores_of_each_validation_have_their_own_names(run):
    learn = learner(run)
    with learn.no_logging():
        learn.fit(1)
    assert logged(run, "valid/loss") == [(STEPS, pytest.approx(learn.final_record[1]))]
    assert logged(run, "valid/mse") == [(STEPS, pytest.approx(learn.final_record[2]))]
    assert logged(run, "time/epoch")[0][1] > 0
    assert not logged(run, "valid/train_loss")


def test_training_metrics_are_told_from_validation_metrics(run):
    learn = learner(run)
    learn.recorder.train_metrics = True
    with learn.no_logging():
        learn.fit(1)
    assert steps(run, "train/mse") == steps(run, "valid/mse") == [STEPS]
    assert steps(run, "valid/loss") == [STEPS]


def test_early_stopping_does_not_lose_the_last_epoch(run):
    learn = learner(run, EarlyStoppingCallback(monitor="valid_loss", min_delta=1e9, patience=1))
    with learn.no_logging():
        learn.fit(5, 0.01)
    epochs = len(learn.recorder.values)
    assert epochs < 5
    assert steps(run, "valid/loss") == [STEPS * (epoch + 1) for epoch in range(epochs)]


def test_accumulated_batches_are_one_step_with_their_mean_loss(run, seen):
    learn = learner(run, GradientAccumulation(n_acc=2 * BATCH), seen)
    with learn.no_logging():
        learn.fit(1)
    assert steps(run, "train/lr") == list(range(1, STEPS // 2 + 1))
    means = [(first + second) / 2 for first, second in zip(seen.losses[::2], seen.losses[1::2], strict=True)]
    assert [loss for _, loss in logged(run, "train/loss")] == pytest.approx(means)


def test_a_cancelled_step_is_not_counted(run):
    class Overflow(Callback):
        def before_step(self):
            if self.iter == 2:
                raise CancelStepException

    learn = learner(run, Overflow())
    with learn.no_logging():
        learn.fit(1)
    assert steps(run, "train/loss") == list(range(1, STEPS))


@pytest.mark.parametrize("error", [CancelTrainException, CancelFitException])
def test_a_cancelled_training_mixes_up_no_names(error, run):
    class Stop(Callback):
        def after_batch(self):
            if self.training and self.iter == 2:
                raise error

    learn = learner(run, Stop())
    with learn.no_logging():
        learn.fit(1)
    assert steps(run, "train/loss") == [1, 2, 3]
    if error is CancelTrainException:
        assert logged(run, "valid/loss") == [(3, pytest.approx(learn.final_record[0]))]
        assert logged(run, "valid/mse") == [(3, pytest.approx(learn.final_record[1]))]


def test_groups_with_different_rates_are_logged_one_by_one(run):
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Linear(2, 1))
    learn = learner(run, model=model, splitter=lambda m: [list(m[0].parameters()), list(m[1].parameters())])
    with learn.no_logging():
        learn.fit(1, slice(0.001, 0.1))
    assert logged(run, "train/lr_0")[0][1] == pytest.approx(0.001)
    assert logged(run, "train/lr_1")[0][1] == logged(run, "train/lr")[0][1] == pytest.approx(0.1)


def test_torch_optimizers_are_logged_alike(run):
    def adamw(params, lr):
        return OptimWrapper(params, torch.optim.AdamW, lr=lr)

    learn = learner(run, opt_func=adamw)
    with learn.no_logging():
        learn.fit_one_cycle(1, 0.1)
    assert steps(run, "train/lr") == steps(run, "train/momentum") == list(range(1, STEPS + 1))


# fastai 2.8 reads numpy.core when it loads the weights that the finder has put aside.
@pytest.mark.filterwarnings("ignore:numpy.core.*is deprecated:DeprecationWarning")
def test_the_learning_rate_finder_leaves_no_trace(run):
    learn = learner(run)
    with learn.no_logging(), learn.no_bar():
        learn.lr_find(num_it=5, show_plot=False)
        assert not logged(run, "train/loss")
        learn.fit(1)
    assert steps(run, "train/loss") == list(range(1, STEPS + 1))


def test_a_score_that_is_no_number_is_left_out():
    recorder = SimpleNamespace(
        metric_names=["epoch", "train_loss", "valid_loss", "per_class", "time"],
        cancel_train=False,
        train_metrics=False,
        valid_metrics=True,
        add_time=True,
        final_record=[0.5, 0.25, "0.1/0.2"],
    )
    assert epoch_scores(recorder) == {"train/loss": 0.5, "valid/loss": 0.25}


def test_it_runs_right_after_the_recorder():
    assert Recorder.order < TrackingCallback.order < EarlyStoppingCallback.order
