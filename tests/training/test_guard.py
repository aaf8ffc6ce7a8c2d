"""A training that goes wrong says so, and what to do."""

import logging
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from fastai.callback.core import Callback
from transformers import BertConfig, BertForSequenceClassification

from blurr.errors import InputError, ResourceError
from blurr.text.inputs import TextRows
from blurr.text.modeling.all import BlearnerForSequenceClassification
from blurr.training.guard import MAX_SKIPPED, Guard, check_ids, memory_watched


class Spoil(Callback):
    """Makes the losses of some batches infinite."""

    order = -200

    def __init__(self, batches):
        self.batches, self.taken = batches, 0

    def after_loss(self):
        if self.training and self.iter in self.batches:
            self.learn.loss = self.learn.loss * float("inf")

    def after_step(self):
        self.taken += 1


def tiny(**sizes):
    values = {
        "vocab_size": 10,
        "hidden_size": 4,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "intermediate_size": 4,
    }
    return BertForSequenceClassification(BertConfig(**{**values, **sizes}))


@pytest.fixture
def learner(reviews: pd.DataFrame, tiny_bert, tmp_path):
    def make(*callbacks):
        made = BlearnerForSequenceClassification.from_data(
            reviews, str(tiny_bert), dl_kwargs={"bs": 4}, learner_kwargs={"cbs": list(callbacks), "path": tmp_path}
        )
        made.remove_cbs([made.progress])
        made.logger = lambda *_: None
        return made

    return make


def test_a_loss_that_is_not_finite_stops_the_training_and_names_the_rows(learner):
    learn = learner(Guard(), Spoil({1}))
    rows = ", ".join(str(int(row)) for row in learn.dls.train.batches()[1])
    said = rf"loss of batch 1 of epoch 0 is inf; its training rows are {rows}\..*lower optimizer\.lr.*on_nan=skip"
    with pytest.raises(InputError, match=said):
        learn.fit(1)


class OnAccelerator(Guard):
    """Looks at the losses as it does where reading one waits for a device."""

    def before_fit(self):
        super().before_fit()
        self.look_every = 3


@pytest.mark.parametrize("batch", [1, -1], ids=["among others", "the last of the epoch"])
def test_on_an_accelerator_it_stops_some_steps_late_and_names_the_rows_all_the_same(learner, batch):
    learn = learner()
    batch %= len(learn.dls.train)
    rows = ", ".join(str(int(row)) for row in learn.dls.train.batches()[batch])
    learn.add_cbs([OnAccelerator(), Spoil({batch})])
    with pytest.raises(InputError, match=rf"loss of batch {batch} of epoch 0 is inf; its training rows are {rows}\."):
        learn.fit(1)


def test_such_batches_can_be_left_out(learner, caplog):
    caplog.set_level(logging.WARNING)
    spoil = Spoil({0, 2})
    learn = learner(Guard("skip"), spoil)
    learn.fit(1)
    assert spoil.taken == len(learn.dls.train) - 2
    assert caplog.text.count("The batch is skipped") == 2
    assert all(torch.isfinite(p).all() for p in learn.model.parameters())
    assert np.isfinite([float(loss) for loss in learn.recorder.losses]).all()


def test_leaving_out_ends_where_nothing_else_is_left(learner):
    learn = learner(Guard("skip"), Spoil(range(10_000)))
    with pytest.raises(InputError, match="is inf"):
        learn.fit(MAX_SKIPPED)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"input_ids": [[1, 10]]}, r"token ids from 1 to 10, and the model has 0 to 9: the tokenizer does not fit"),
        ({"input_ids": [[-1, 2]]}, r"token ids from -1 to 2"),
        ({"input_ids": [[1]], "labels": [2]}, r"label ids from 2 to 2, and the model has 0 to 1: give the model"),
        ({"input_ids": [[1]], "labels": [[0, -3]]}, r"label ids from -3 to 0"),
    ],
    ids=["token too large", "token negative", "label too large", "label negative"],
)
def test_ids_that_the_model_does_not_know_are_found_before_the_first_batch(columns, said):
    with pytest.raises(InputError, match=said):
        check_ids(TextRows(columns, ["a", "b"]), tiny())


def test_ignored_labels_and_fitting_ids_pass():
    check_ids(TextRows({"input_ids": [[0, 9]], "labels": [[-100, 1]]}, ["a", "b"]), tiny())


class Full:
    def __init__(self) -> None:
        self.xb = ({"input_ids": torch.zeros(16, 512)},)
        self.dls = SimpleNamespace(train_ds=TextRows({"input_ids": [[1]]}))


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory: ...")],
    ids=["cuda", "cpu"],
)
def test_too_little_memory_names_the_batch_and_what_to_lower(error):
    said = r"Out of memory: that of cpu does not hold a batch of 16 rows of 512 tokens\. Lower loader\.batch_size"
    with pytest.raises(ResourceError, match=said), memory_watched(Full()):
        raise error


def test_too_little_memory_before_the_first_batch_is_said_too():
    with (
        pytest.raises(ResourceError, match="Out of memory: it ran out before the first batch"),
        memory_watched(Callback()),
    ):
        raise MemoryError


def test_another_error_stays_what_it_is():
    with pytest.raises(RuntimeError, match="shapes"), memory_watched(Full()):
        raise RuntimeError("shapes do not match")
