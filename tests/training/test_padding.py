"""A row has the same answer alone and in a batch, for every task and for models that read pads."""

import pytest
import torch
from every_task import SHORT, TASKS, items_of, learner_of, loaded
from transformers import AutoModelForCausalLM, AutoTokenizer, BartConfig, FNetConfig, FNetForSequenceClassification

from blurr.data.at_hand import from_data
from blurr.loading.dataloader import RowsDL
from blurr.loading.loader import Loader
from blurr.text.inputs import TextRows
from blurr.text.language_modeling.causal_lm import CausalLM
from blurr.text.sequence_classification.task import SequenceClassification
from blurr.training.learner import Blearner


def close(one, other) -> bool:
    """Are two answers the same, but for rounding?"""
    if isinstance(one, float):
        return one == pytest.approx(other, abs=1e-5)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(close(one[name], other[name]) for name in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(close, one, other))
    return one == other


def same_alone(learn: Blearner, items: list) -> bool:
    return close([learn.predict([item])[0] for item in items], learn.predict(items))


@pytest.mark.parametrize("task", TASKS)
def test_an_item_has_the_same_prediction_alone_and_in_a_batch(task: str, tiny_bert, tiny_bart):
    learn, _ = learner_of(task, tiny_bert, tiny_bart)
    assert same_alone(learn, items_of(task, 8))
    assert learn.model.tried_length > 0, "it was tried"
    assert not learn.model.reads_pads


# -- models that read pads


@pytest.fixture
def fnet(tiny_bert, tmp_path) -> Blearner:
    """FNet mixes all tokens of a row, pads among them."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "intermediate_size": 16, "max_position_embeddings": 64}
    torch.manual_seed(0)
    FNetForSequenceClassification(FNetConfig(vocab_size=len(tokenizer), **sizes)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    return learner(SequenceClassification(), rows(), tmp_path)


@pytest.fixture
def bart_lm(tiny_bart, tmp_path) -> Blearner:
    """BART's decoder alone counts positions from the first column, a pad of a prompt that is padded on the left."""
    config = BartConfig.from_pretrained(tiny_bart, is_encoder_decoder=False, is_decoder=True)
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny_bart).save_pretrained(tmp_path)
    return learner(CausalLM(chunk=False, generation=SHORT), [{"text": row["text"]} for row in rows()], tmp_path)


def rows() -> list[dict]:
    texts = [item["text"] for item in items_of("sequence_classification", 16)]
    return [{"text": text, "label": "ab"[i % 2], "is_valid": i > 8} for i, text in enumerate(texts)]


def learner(task, given: list[dict], folder) -> Blearner:
    raw = from_data(task.schema, given)
    hf = loaded(task, raw, folder)
    learn = task.learner(task.dataloaders(raw, hf, Loader(batch_size=16)), hf, raw=raw, metrics={}, path=folder)
    learn.remove_cbs([learn.progress])
    learn.logger = lambda *_: None
    learn.raw = raw
    return learn


@pytest.mark.parametrize("name", ["fnet", "bart_lm"])
def test_a_model_that_reads_pads_gets_batches_of_one_length(name: str, request, caplog):
    learn = request.getfixturevalue(name)
    items = [item["text"] for item in items_of("sequence_classification", 8)]
    assert same_alone(learn, items)
    assert learn.model.reads_pads
    assert caplog.text.count("reads the pads of a batch") == 1


def test_an_evaluation_gives_each_row_what_it_has_alone(fnet: Blearner):
    task = SequenceClassification()
    evaluated = task.evaluate(fnet, fnet.raw).rows
    for row in evaluated:
        (alone,) = fnet.predict(row["text"])
        assert close(alone["label"], row["prediction"])
    assert fnet.dls.valid.by_length
    assert all(len({len(fnet.dls.valid.dataset[i]["input_ids"]) for i in b}) == 1 for b in fnet.dls.valid.batches())


def test_predictions_of_a_learner_come_in_the_order_of_its_rows(fnet: Blearner):
    logits = fnet.get_preds()[0]
    texts = fnet.raw.valid["text"][:]
    alone = [fnet.predict(text)[0]["probs"] for text in texts]
    assert torch.allclose(logits, torch.tensor(alone), atol=1e-5)


def test_training_rows_are_evaluated_in_their_order(fnet: Blearner):
    """Their loader shuffles, and begins another order after each pass."""
    rows = SequenceClassification().evaluate(fnet, fnet.raw, "train").rows
    alone = [fnet.predict(text)[0] for text in fnet.raw.train["text"]]
    assert [row["prediction"] for row in rows] == [answer["label"] for answer in alone]
    logits = fnet.get_preds(ds_idx=0, dl=fnet.dls.train)[0]
    assert torch.allclose(logits, torch.tensor([answer["probs"] for answer in alone]), atol=1e-5)


def test_training_batches_stay_as_they_are(fnet: Blearner):
    before = [list(batch) for batch in fnet.dls.train.batches()]
    fnet.validate()
    assert [list(batch) for batch in fnet.dls.train.batches()] == before


def test_rows_of_one_length_make_batches_of_the_size_asked_for():
    tokens = TextRows({"input_ids": [[1] * n for n in (3, 5, 3, 3, 5, 4)]})
    dl = RowsDL(tokens, tokenizer=None, show_rows=lambda *_: [], bs=2)
    dl.batch_by_length()
    assert [list(batch) for batch in dl.batches()] == [[1, 4], [5], [0, 2], [3]]


def test_it_is_tried_again_by_rows_that_are_much_longer(tiny_bert, tiny_bart):
    learn, _ = learner_of("sequence_classification", tiny_bert, tiny_bart)
    tried = []
    for n in (3, 5, 12):
        learn.predict(["the film", " ".join(["plot"] * n)])
        tried.append(learn.model.tried_length)
    assert tried == [5, 5, 14]
