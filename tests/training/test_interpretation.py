"""What a model does with each row: all predictions, the rows it is worst at, and exported learners; for every task."""

from pathlib import Path

import pandas as pd
import pytest
import torch
from every_task import ITEMS, TASKS, learner_of
from fastai.data.all import CategoryBlock, ColReader, ColSplitter, DataBlock
from fastai.learner import Learner, load_learner
from fastai.losses import CrossEntropyLossFlat
from transformers import AutoModelForSequenceClassification

from blurr.text.data.all import NLP, TextBlock
from blurr.text.modeling.all import BaseModelCallback, BaseModelWrapper, Blearner, Interpretation

pytestmark = pytest.mark.filterwarnings("ignore:load_learner. uses Python's insecure pickle")


@pytest.fixture(scope="session", params=sorted(TASKS))
def made(request, tiny_bert: Path, tiny_bart: Path, tmp_path_factory):
    torch.manual_seed(0)
    learn, raw = learner_of(request.param, tiny_bert, tiny_bart, path=tmp_path_factory.mktemp(request.param))
    return request.param, learn, raw


def test_get_preds_gives_all_rows_in_order_with_inputs_and_losses(made):
    name, learn, _ = made
    inputs, predictions, targets, losses = learn.get_preds(with_input=True, with_loss=True)
    rows = learn.dls.valid_ds
    assert len(predictions) == len(targets) == len(losses) == len(inputs["input_ids"]) == len(rows)
    assert torch.isfinite(losses).all()
    pad = learn.dls.tokenizer.pad_token_id
    if name != "masked_lm":  # which hides tokens
        found = [[i for i in ids if i != pad] for ids in inputs["input_ids"].tolist()]
        assert found == [rows[i]["input_ids"].tolist() for i in range(len(rows))]


def test_get_preds_of_a_test_dl_needs_no_targets(made):
    name, learn, _ = made
    item = ITEMS.get(name, "the film was good")
    predictions, targets = learn.get_preds(dl=learn.dls.test_dl([item, item]))
    assert len(predictions) == 2
    assert targets.numel() == 0 or name == "causal_lm"  # whose targets are its inputs


def test_top_losses_are_rows_with_their_fields_and_predictions(made):
    _, learn, raw = made
    rows = Interpretation.from_learner(learn).rows
    assert len(rows) == len(raw.valid) == 6
    assert all({"loss", "target", "prediction"} <= set(row) for row in rows)
    losses = sorted((row["loss"] for row in rows), reverse=True)
    assert [row["loss"] for row in learn.top_losses(2)] == losses[:2]
    assert [row["loss"] for row in learn.top_losses(2, largest=False)] == losses[::-1][:2]


def test_losses_of_rows_are_those_that_the_evaluation_writes(made):
    name, learn, raw = made
    written = TASKS[name].evaluate(learn, raw).rows
    assert [r["loss"] for r in Interpretation.from_learner(learn).rows] == pytest.approx([r["loss"] for r in written])


def test_top_losses_of_the_training_rows_are_in_the_order_of_the_rows(made):
    _, learn, raw = made
    rows = Interpretation.from_learner(learn, 0).rows
    assert len(rows) == len(raw.train)
    text = raw.train[1][raw.train.column_names[0]]
    text = text[-1]["content"] if isinstance(text[0], dict) else text
    shown = str(rows[1])
    assert all(f"{word}" in shown for word in (text if isinstance(text, list) else text.split()))


def test_an_exported_learner_predicts_the_same(made):
    name, learn, _ = made
    item = ITEMS.get(name, "the film was good")
    before = learn.predict(item)
    learn.export("learner.pkl")
    assert load_learner(learn.path / "learner.pkl").predict(item) == before


def test_a_notebooks_own_learner_has_top_losses_too(reviews: pd.DataFrame, tiny_bert: Path):
    hf = NLP.get_hf_objects(tiny_bert, AutoModelForSequenceClassification, config_kwargs={"num_labels": 2})
    blocks = (TextBlock(*hf), CategoryBlock)
    block = DataBlock(blocks=blocks, get_x=ColReader("text"), get_y=ColReader("label"), splitter=ColSplitter())
    dls = block.dataloaders(reviews, bs=4)
    plain = Learner(dls, BaseModelWrapper(hf.model), loss_func=CrossEntropyLossFlat(), cbs=[BaseModelCallback])
    for learn in (plain, Blearner(dls, hf.model)):
        found = Interpretation.from_learner(learn)
        assert [row["text"] for row in found.rows] == reviews.text[30:].tolist()
        assert [row["target"] for row in found.rows] == reviews.label[30:].tolist()
        losses = [row["loss"] for row in found.top_losses()]
        assert losses == sorted(losses, reverse=True)
        assert sum(n for *_, n in found.most_confused()) == sum(r["target"] != r["prediction"] for r in found.rows)


def test_get_preds_leaves_metrics_and_callbacks_in_place(made):
    _, learn, _ = made
    before = [type(cb) for cb in learn.cbs], list(learn.metrics)
    learn.get_preds()
    assert ([type(cb) for cb in learn.cbs], list(learn.metrics)) == before
