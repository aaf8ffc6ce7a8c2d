"""The two tasks of the spine: labels, losses, predictions, and one pipeline behind every door."""

from pathlib import Path

import pandas as pd
import pytest
import torch
from datasets import Dataset
from every_task import loaded
from fastai.data.all import CategoryBlock, ColReader, ColSplitter, DataBlock
from fastai.losses import CrossEntropyLossFlat

from blurr.data.at_hand import from_data
from blurr.data.core import RawData
from blurr.errors import InputError
from blurr.loading.loader import Loader
from blurr.metrics.classification import Accuracy
from blurr.metrics.outcome import Evaluation
from blurr.models.objects import HFObjects
from blurr.tasks.base import Task
from blurr.text.data.all import TextBlock
from blurr.text.seq2seq.summarization import BlearnerForSummarization, Summarization
from blurr.text.sequence_classification.task import SequenceClassification


def built(task: Task, data, checkpoint: Path) -> tuple[RawData, HFObjects]:
    raw = from_data(task.schema, data)
    return raw, loaded(task, raw, checkpoint)


def learner_of(task: Task, data, checkpoint: Path, **options):
    raw, hf = built(task, data, checkpoint)
    dls = task.dataloaders(raw, hf, Loader(batch_size=4))
    learn = task.learner(dls, hf, raw=raw, metrics={"accuracy": Accuracy()}, **options)
    learn.remove_cbs([learn.progress])
    learn.logger = lambda *_: None
    return learn, raw


def test_texts_are_not_augmented(reviews: pd.DataFrame, tiny_bert: Path):
    task = SequenceClassification()
    raw, hf = built(task, reviews, tiny_bert)
    with pytest.raises(InputError, match="Rows of text are not augmented, and augment='twice' was given"):
        task.dataloaders(raw, hf, Loader(), augment="twice")


# -- labels


@pytest.mark.parametrize(
    ("labels", "kind", "names"),
    [
        (["b", "a"] * 20, "single_label_classification", ["a", "b"]),
        ([3, 1] * 20, "single_label_classification", ["1", "3"]),
        ([1.0, 3.0] * 20, "single_label_classification", ["1", "3"]),
        ([True, False] * 20, "single_label_classification", ["false", "true"]),
        ([["x"], ["x", "y"]] * 20, "multi_label_classification", ["x", "y"]),
        ([0.5, 2.0] * 20, "regression", None),
    ],
    ids=["names", "numbers", "whole floats", "booleans", "lists", "fractions"],
)
def test_the_kind_of_problem_follows_from_the_labels(labels, kind, names, reviews: pd.DataFrame, tiny_bert: Path):
    task = SequenceClassification()
    _, hf = built(task, reviews.assign(label=labels).to_dict("records"), tiny_bert)
    assert hf.config.problem_type == kind
    assert task.target.vocab(hf) == names


def test_several_columns_of_zeros_and_ones_are_several_labels(reviews: pd.DataFrame, tiny_bert: Path):
    rows = reviews.drop(columns="label").assign(rude=[0, 1] * 20, long=[1, 1] * 20)
    task = SequenceClassification()
    raw = from_data(task.schema, rows, columns={"label": ["rude", "long"]})
    config = task.target.model_config(raw)
    assert config["id2label"] == {0: "rude", 1: "long"}
    assert config["problem_type"] == "multi_label_classification"


def test_names_of_a_class_label_keep_their_order(reviews: pd.DataFrame, tiny_bert: Path):
    from datasets import ClassLabel

    rows = Dataset.from_pandas(reviews.assign(label=[0, 1] * 20)).cast_column("label", ClassLabel(names=["1", "0"]))
    task = SequenceClassification()
    raw, hf = built(task, rows, tiny_bert)
    assert task.target.vocab(hf) == ["1", "0"]
    encoded = task.encoded({"text": raw.train["text"][:], "label": raw.train["label"][:]}, hf)
    first = rows[int([i for i, t in enumerate(rows["text"]) if t == raw.train["text"][0]][0])]["label"]
    assert int(encoded.columns["labels"][0]) == first


def test_b44_one_class_is_refused(reviews: pd.DataFrame):
    raw = from_data(SequenceClassification.schema, reviews.assign(label="good"))
    with pytest.raises(InputError, match=r"have one class, \['good'\]: there is nothing to tell apart"):
        SequenceClassification().target.model_config(raw)


def test_a_label_of_validation_alone_is_named(reviews: pd.DataFrame):
    labels = ["good" if i < 30 and i % 2 else "bad" if i < 30 else "gud" for i in range(40)]
    with pytest.raises(InputError, match=r"\(valid\) has the label 'gud', which no training row has"):
        from_data(SequenceClassification.schema, reviews.assign(label=labels))


def test_a_text_where_regression_wants_a_number_is_named(reviews: pd.DataFrame, tiny_bert: Path):
    with pytest.raises(InputError, match="'bad' is not a finite number"):
        learner_of(SequenceClassification(kind="regression"), reviews, tiny_bert)


# -- losses


def test_class_weights_and_smoothing_are_honoured(reviews: pd.DataFrame, tiny_bert: Path):
    task = SequenceClassification(class_weights=[1.0, 5.0], label_smoothing=0.1)
    learn, _ = learner_of(task, reviews, tiny_bert)
    assert isinstance(learn.loss_func, CrossEntropyLossFlat)
    logits, targets = torch.randn(6, 2), torch.tensor([0, 1, 1, 0, 1, 0])
    weight = torch.tensor([1.0, 5.0])
    expected = torch.nn.functional.cross_entropy(logits, targets, weight=weight, label_smoothing=0.1)
    assert learn.loss_func(logits, targets) == pytest.approx(expected)


def test_balanced_weights_go_against_frequency(reviews: pd.DataFrame, tiny_bert: Path):
    rows = reviews.assign(label=["good" if i % 5 == 0 else "bad" for i in range(40)])
    learn, _ = learner_of(SequenceClassification(class_weights="balanced"), rows, tiny_bert)
    bad, good = learn.loss_func.func.weight.tolist()
    assert good / bad == pytest.approx(24 / 6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": "model", "label_smoothing": 0.1}, "no class weights and no label smoothing"),
        ({"class_weights": [1.0]}, r"has 1 numbers for 2 classes: \['bad', 'good'\]"),
    ],
    ids=["own loss", "count"],
)
def test_a_loss_that_cannot_be_is_refused(options, message: str, reviews: pd.DataFrame, tiny_bert: Path):
    with pytest.raises(InputError, match=message):
        learner_of(SequenceClassification(**options), reviews, tiny_bert)


def test_weights_for_several_labels_are_refused(reviews: pd.DataFrame, tiny_bert: Path):
    rows = reviews.assign(label=[["x"], ["y"]] * 20).to_dict("records")
    with pytest.raises(InputError, match="are for kind=multiclass"):
        learner_of(SequenceClassification(class_weights="balanced"), rows, tiny_bert)


@pytest.mark.parametrize("loss", ["model", "cross_entropy"])
def test_the_models_own_loss_equals_fastais(loss: str, reviews: pd.DataFrame, tiny_bert: Path):
    values = []
    for name in (loss, "auto"):
        learn, _ = learner_of(SequenceClassification(loss=name), reviews, tiny_bert)
        learn.model.hf_model.classifier.weight.data.fill_(0.1)
        learn.model.hf_model.classifier.bias.data.copy_(torch.tensor([0.3, -0.2]))
        values.append(float(learn.validate()[0]))
    assert values[0] == pytest.approx(values[1], rel=1e-5)


def test_summaries_train_alike_with_either_loss(notes: pd.DataFrame, tiny_bart: Path):
    values = []
    for loss in ("model", "cross_entropy"):
        task = Summarization(loss=loss, generation={"max_new_tokens": 3})
        raw, hf = built(task, notes, tiny_bart)
        dls = task.dataloaders(raw, hf, Loader(batch_size=4))
        learn = task.learner(dls, hf, raw=raw, metrics={})
        with learn.no_bar():
            values.append(float(learn.validate()[0]))
    assert values[0] == pytest.approx(values[1], rel=1e-5)


# -- evaluation


def test_every_row_of_a_split_is_described_in_its_order(reviews: pd.DataFrame, tiny_bert: Path):
    task = SequenceClassification()
    learn, raw = learner_of(task, reviews.assign(id=range(40)), tiny_bert)
    result = task.evaluate(learn, raw)
    assert isinstance(result, Evaluation)
    assert [row["id"] for row in result.rows] == list(range(30, 40))
    assert all(row["label"] == row["target"] for row in result.rows)
    right = sum(row["prediction"] == row["target"] for row in result.rows)
    assert result.metrics["accuracy"] == pytest.approx(right / 10)
    assert sum(row["loss"] for row in result.rows) / 10 == pytest.approx(result.metrics["loss"], rel=1e-5)


def test_extra_columns_reach_the_rows_and_not_the_model(notes: pd.DataFrame, tiny_bart: Path):
    task = Summarization(generation={"max_new_tokens": 3})
    raw, hf = built(task, notes.assign(who="me"), tiny_bart)
    dls = task.dataloaders(raw, hf, Loader())
    assert set(dls.one_batch()[0]) == {"input_ids", "attention_mask", "labels"}
    learn = task.learner(dls, hf, raw=raw, metrics={})
    learn.remove_cbs([learn.progress])
    assert all(row["who"] == "me" for row in task.evaluate(learn, raw).rows)


def test_a_test_split_is_a_third_loader(reviews: pd.DataFrame, tiny_bert: Path):
    from datasets import DatasetDict

    parts = Dataset.from_pandas(reviews.drop(columns="is_valid"))
    data = DatasetDict(train=parts.select(range(20)), validation=parts.select(range(20, 30)), test=parts)
    learn, raw = learner_of(SequenceClassification(), data, tiny_bert)
    assert len(learn.dls.loaders) == 3
    assert len(SequenceClassification().evaluate(learn, raw, "test").rows) == 40


# -- one pipeline


def test_batches_are_the_same_ahead_of_time_and_at_batch_time(reviews: pd.DataFrame, tiny_bert: Path):
    task = SequenceClassification(max_length=7)
    raw, hf = built(task, reviews, tiny_bert)
    ahead = task.dataloaders(raw, hf, Loader(batch_size=4, eval_batch_size=4, bucket=False)).valid
    block = DataBlock(
        blocks=(TextBlock(*hf, max_length=7), CategoryBlock),
        get_x=ColReader("text"),
        get_y=ColReader("label"),
        splitter=ColSplitter(),
    )
    at_batch = block.dataloaders(reviews, bs=4, bucket=False).valid
    for (x, y), (other_x, other_y) in zip(ahead, at_batch, strict=True):
        assert set(x) - {"token_type_ids"} == set(other_x) - {"token_type_ids"}
        assert all(torch.equal(x[k].long(), other_x[k].long()) for k in x if k in other_x)
        assert torch.equal(y, other_y.long())


def test_targets_of_summaries_end_in_eos_and_pads_are_ignored(notes: pd.DataFrame, tiny_bart: Path):
    task = Summarization()
    raw, hf = built(task, notes.assign(summary=["good", "good film"] * 10), tiny_bart)
    _, targets = task.dataloaders(raw, hf, Loader(batch_size=4)).one_batch()
    for row in targets.tolist():
        real = [i for i in row if i != -100]
        assert real[-1] == hf.tokenizer.eos_token_id
        assert hf.tokenizer.pad_token_id not in real


@pytest.mark.parametrize(
    ("arch", "prefix", "expected"),
    [("t5", "auto", "summarize: "), ("bart", "auto", ""), ("bart", "tl;dr ", "tl;dr ")],
    ids=["T5", "BART", "own"],
)
def test_prefixes_are_put_where_the_family_needs_them(arch: str, prefix: str, expected: str, tiny_bart: Path, notes):
    task = Summarization(prefix=prefix)
    _, hf = built(task, notes, tiny_bart)
    ids = task.encode({"text": ["film"]}, HFObjects(arch, hf.config, hf.tokenizer, hf.model))["input_ids"][0]
    assert ids == hf.tokenizer(expected + "film")["input_ids"]


def test_b24_what_a_caller_passes_in_is_left_as_it_was(notes: pd.DataFrame, tiny_bart: Path):
    frame, settings, loader = notes.copy(), {"max_new_tokens": 4}, {"bs": 4}
    options = {"text_gen_kwargs": settings, "dl_kwargs": loader, "hf_kwargs": {"config_kwargs": {"dropout": 0.0}}}
    learn = BlearnerForSummarization.from_data(notes, tiny_bart, max_length=9, max_target_length=3, **options)
    assert len(learn.dls.valid_ds) == 5
    pd.testing.assert_frame_equal(notes, frame)
    assert (settings, loader) == ({"max_new_tokens": 4}, {"bs": 4})
    assert options["hf_kwargs"] == {"config_kwargs": {"dropout": 0.0}}
    assert max(int(x["input_ids"].shape[1]) for x, _ in learn.dls.train) == 9
    assert max(int(y.shape[1]) for _, y in learn.dls.train) == 3


def test_an_item_without_its_text_is_named(reviews: pd.DataFrame, tiny_bert: Path):
    learn, _ = learner_of(SequenceClassification(), reviews, tiny_bert)
    with pytest.raises(InputError, match=r"needs a text under 'text'; this one is \{'review': 'good'\}"):
        learn.predict({"review": "good"})
