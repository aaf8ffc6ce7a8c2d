"""The names of blurr 1.x, as a notebook uses them."""

import pickle
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import torch
from datasets import Dataset
from fastai.callback.core import Callback
from fastai.data.all import CategoryBlock, ColReader, ColSplitter, DataBlock, MultiCategoryBlock
from fastai.learner import Learner, load_learner
from fastai.losses import CrossEntropyLossFlat
from fastai.metrics import accuracy
from fastai.optimizer import OptimWrapper
from torch import nn
from transformers import AutoModelForSequenceClassification

from blurr.errors import InputError
from blurr.text.data.all import NLP, TextBlock, first_blurr_tfm
from blurr.text.modeling.all import (
    BaseModelCallback,
    BaseModelWrapper,
    Blearner,
    BlearnerForSequenceClassification,
    BlearnerForSummarization,
    PreCalculatedCrossEntropyLoss,
    blurr_splitter,
)

# load_learner unpickles, and says so: the file is our own.
pytestmark = pytest.mark.filterwarnings("ignore:load_learner. uses Python's insecure pickle")


@pytest.fixture
def objects(tiny_bert: Path):
    return NLP.get_hf_objects(tiny_bert, AutoModelForSequenceClassification, config_kwargs={"num_labels": 2})


@pytest.fixture
def dls(objects, reviews: pd.DataFrame):
    blocks = (TextBlock(*objects), CategoryBlock)
    block = DataBlock(blocks=blocks, get_x=ColReader("text"), get_y=ColReader("label"), splitter=ColSplitter())
    return block.dataloaders(reviews, bs=4)


@pytest.fixture
def classifier(reviews: pd.DataFrame, tiny_bert: Path, tmp_path: Path) -> Blearner:
    learner = BlearnerForSequenceClassification.from_data(
        reviews, tiny_bert, dl_kwargs={"bs": 4}, learner_kwargs={"path": tmp_path}
    )
    learner.remove_cbs([learner.progress])
    return learner


@pytest.fixture
def summarizer(notes: pd.DataFrame, tiny_bart: Path, tmp_path: Path) -> Blearner:
    learner = BlearnerForSummarization.from_data(
        notes,
        tiny_bart,
        text_gen_kwargs={"max_new_tokens": 5},
        dl_kwargs={"bs": 4},
        learner_kwargs={"path": tmp_path},
    )
    learner.remove_cbs([learner.progress])
    return learner


# -- mid level


def test_hf_objects_unpack_into_four(objects):
    arch, config, tokenizer, model = objects
    assert (arch, config.num_labels, tokenizer.pad_token, model.config.num_labels) == ("bert", 2, "<pad>", 2)


def test_a_batch_holds_ids_mask_and_labels_equal_to_the_targets(dls):
    inputs, targets = dls.one_batch()
    assert inputs["input_ids"].shape == inputs["attention_mask"].shape
    assert torch.equal(inputs["labels"], targets)
    assert (inputs["attention_mask"] == (inputs["input_ids"] != 0)).all()


@pytest.mark.parametrize("given", [True, False], ids=["with dataloaders=", "without"])
def test_show_batch_needs_no_argument(dls, given: bool):
    table = dls.show_batch(max_n=2, show=False, **({"dataloaders": dls} if given else {}))
    assert len(table) == 2
    assert set(table[0]) == {"text", "target"}
    assert table[0]["target"] in {"good", "bad"}
    assert "<s>" not in table[0]["text"]


def test_show_batch_cuts_texts(dls):
    assert dls.show_batch(max_n=1, trunc_at=3, show=False)[0]["text"] == "the …"


def test_a_plain_learner_trains_shows_and_predicts(dls, objects, tmp_path: Path):
    learner = Learner(
        dls,
        BaseModelWrapper(objects.model),
        opt_func=partial(OptimWrapper, opt=torch.optim.Adam),
        loss_func=CrossEntropyLossFlat(),
        metrics=[accuracy],
        cbs=[BaseModelCallback],
        splitter=blurr_splitter,
        path=tmp_path,
    )
    with learner.no_bar(), learner.no_logging():
        learner.fit_one_cycle(15, lr_max=4e-3)
        assert learner.final_record[-1] > 0.9
        learner.show_results(learner=learner, max_n=2)
        result = learner.blurr_predict("the film was superb")[0]
    assert result["label"] == "good"
    assert result["class_labels"] == ["bad", "good"]
    assert result["probs"][result["class_index"]] == result["score"]


def test_exported_learners_predict_the_same(classifier: Blearner, summarizer: Blearner, tmp_path: Path):
    for learner, text in ((classifier, "a fine film"), (summarizer, "the film was good")):
        before = learner.predict(text)
        learner.export("learner.pkl")
        assert load_learner(tmp_path / "learner.pkl").predict(text) == before


def test_extra_keys_of_a_row_reach_the_batch_and_not_the_model(objects, reviews: pd.DataFrame):
    rows = [
        {"text": {"text": t, "row": i}, "label": y}
        for i, (t, y) in enumerate(zip(reviews.text, reviews.label, strict=True))
    ]
    block = DataBlock(
        blocks=(TextBlock(*objects), CategoryBlock), get_x=lambda r: r["text"], get_y=lambda r: r["label"]
    )
    inputs, _ = block.dataloaders(rows, bs=4).one_batch()
    assert inputs["row"].shape == (4,)
    assert BaseModelWrapper(objects.model)(inputs).logits.shape == (4, 2)
    assert "row" in inputs


def test_padding_to_a_fixed_length_is_honoured(objects, reviews: pd.DataFrame):
    blocks = (TextBlock(*objects, max_length=24, padding="max_length"), CategoryBlock)
    block = DataBlock(blocks=blocks, get_x=ColReader("text"), get_y=ColReader("label"))
    assert block.dataloaders(reviews, bs=2).one_batch()[0]["input_ids"].shape == (2, 24)


def test_a_text_block_without_objects_says_what_it_needs():
    with pytest.raises(InputError, match="NLP.get_hf_objects"):
        TextBlock()


def test_first_blurr_tfm_finds_the_tokenizer(dls, objects):
    assert first_blurr_tfm(dls).hf_tokenizer is objects.tokenizer


def test_hidden_states_and_attentions_are_kept_for_callbacks(dls, objects):
    model = BaseModelWrapper(objects.model, output_hidden_states=True, hf_model_kwargs={"output_attentions": False})
    learner = Blearner(dls, model)
    with learner.no_bar():
        learner.validate()
    assert len(learner.blurr_model_outputs["hidden_states"]) == 3


# -- high level


def test_from_data_trains_and_shows_in_one_line_each(classifier: Blearner):
    with classifier.no_logging():
        classifier.fit_one_cycle(1, lr_max=1e-3)
    table = classifier.show_results(learner=classifier, max_n=3, show=False)
    assert len(table) == 3
    assert {row["prediction"] for row in table} <= {"good", "bad"}
    assert [m.name for m in classifier.metrics] == ["accuracy", "f1"]


def test_a_new_learner_trains_its_head_alone(classifier: Blearner):
    trained = {name for name, p in classifier.model.named_parameters() if p.requires_grad}
    assert trained == {"hf_model.classifier.weight", "hf_model.classifier.bias"}
    classifier.unfreeze()
    assert all(p.requires_grad for p in classifier.model.parameters())


@pytest.mark.parametrize("source", ["DataFrame", "Dataset", "list", "csv", "jsonl"])
def test_from_data_takes_every_kind_of_rows(source: str, reviews: pd.DataFrame, tiny_bert: Path, tmp_path: Path):
    reviews.to_csv(tmp_path / "r.csv", index=False)
    reviews.to_json(tmp_path / "r.jsonl", orient="records", lines=True)
    data = {
        "DataFrame": reviews,
        "Dataset": Dataset.from_pandas(reviews),
        "list": reviews.to_dict("records"),
        "csv": tmp_path / "r.csv",
        "jsonl": str(tmp_path / "r.jsonl"),
    }[source]
    learner = BlearnerForSequenceClassification.from_data(data, tiny_bert, dl_kwargs={"bs": 4})
    assert len(learner.dls.valid_ds) == int(reviews.is_valid.sum())
    assert list(learner.dls.vocab) == ["bad", "good"]


def test_a_fastai_splitter_splits(reviews: pd.DataFrame, tiny_bert: Path):
    learner = BlearnerForSequenceClassification.from_data(
        reviews.drop(columns="is_valid"), tiny_bert, dblock_splitter=lambda rows: (range(30), range(30, 40))
    )
    assert (len(learner.dls.train_ds), len(learner.dls.valid_ds)) == (30, 10)


@pytest.mark.parametrize(
    ("items", "n"),
    [
        ("a fine film", 1),
        (["a fine film", "dull"], 2),
        (("the film was good", "it is"), 1),
        ([("good", "bad"), ("a", "b")], 2),
        ({"text": "good"}, 1),
        (pd.Series(["good", "bad", "fine"]), 3),
        (pd.DataFrame({"text": ["good", "bad"], "other": [1, 2]}), 2),
        ([], 0),
    ],
    ids=["text", "list", "pair", "pairs", "dict", "Series", "DataFrame", "nothing"],
)
def test_predict_takes_one_item_or_many(classifier: Blearner, items, n: int):
    assert len(classifier.predict(items)) == n


def test_predictions_come_in_the_order_of_the_items(classifier: Blearner):
    texts = ["good " * n for n in (1, 9, 3, 20, 2)]
    together = [r["probs"] for r in classifier.predict(texts)]
    alone = [classifier.predict(text)[0]["probs"] for text in texts]
    assert torch.allclose(torch.tensor(together), torch.tensor(alone), atol=1e-5)


def test_a_null_item_is_named(classifier: Blearner):
    with pytest.raises(InputError, match="Item 1 is None"):
        classifier.predict(["good", None])
    for number in (123, True, ["good", 4]):
        with pytest.raises(InputError, match="an item is a text"):
            classifier.predict(number)


def test_regression_predicts_numbers(reviews: pd.DataFrame, tiny_bert: Path):
    rows = reviews.assign(label=[i / 7 for i in range(len(reviews))])
    learner = BlearnerForSequenceClassification.from_data(rows, tiny_bert, dl_kwargs={"bs": 8})
    with learner.no_bar(), learner.no_logging():
        learner.fit(1, 1e-3)
        assert isinstance(learner.predict("good")[0]["value"], float)
        assert [m.name for m in learner.metrics] == ["pearson", "spearman"]
        assert all(isinstance(row["prediction"], float) for row in learner.show_results(show=False))


def test_summaries_are_generated_and_shown(summarizer: Blearner):
    with summarizer.no_logging():
        summarizer.fit_one_cycle(1, lr_max=1e-3)
    assert [m.name for m in summarizer.metrics] == ["rouge1", "rouge2", "rougeL", "rougeLsum"]
    assert list(summarizer.blurr_summarize("the film was good")[0]) == ["summary_texts"]
    assert list(summarizer.blurr_generate("the film was good", key="texts")[0]) == ["texts"]
    assert summarizer.predict("the film was good") == summarizer.blurr_summarize(["the film was good"])


def test_several_sequences_give_a_list_per_item(summarizer: Blearner):
    results = summarizer.blurr_generate(["a film", "the plot"], num_beams=3, num_return_sequences=3)
    assert [len(r["generated_texts"]) for r in results] == [3, 3]


def test_an_unknown_generation_setting_is_refused_with_the_nearest(notes: pd.DataFrame, tiny_bart: Path):
    with pytest.raises(InputError, match="num_beam'.*Did you mean 'num_beams'"):
        BlearnerForSummarization.from_data(notes, tiny_bart, text_gen_kwargs={"num_beam": 2})


def test_a_learner_needs_one_model(dls, objects):
    with pytest.raises(InputError, match="one model"):
        Blearner(dls)


# -- defects of blurr 1.x


def test_b9_arguments_of_one_call_do_not_reach_the_next(reviews: pd.DataFrame, tiny_bert: Path):
    options = {"metrics": []}
    first = BlearnerForSequenceClassification.from_data(reviews, tiny_bert, learner_kwargs=options)
    second = BlearnerForSequenceClassification.from_data(reviews, tiny_bert)
    assert options == {"metrics": []}
    assert len(first.metrics) == 0
    assert len(second.metrics) == 2


def test_b11_show_results_of_texts_has_a_row_per_text(summarizer: Blearner):
    table = summarizer.show_results(max_n=3, show=False)
    assert len(table) == 3
    assert all(isinstance(row["prediction"], str) for row in table)
    assert all({"text", "target", "prediction"} == set(row) for row in table)


def test_b12_the_users_generation_settings_win(summarizer: Blearner):
    summarizer.model.hf_model.generation_config.max_length = 20
    tokens = len(summarizer.blurr_generate("the film was good", min_new_tokens=3, max_new_tokens=3)[0])
    calls = []
    generate = summarizer.model.hf_model.generate
    summarizer.model.hf_model.generate = lambda **kw: calls.append(kw["generation_config"]) or generate(**kw)
    summarizer.blurr_generate("the film was good", max_new_tokens=3, num_beams=2)
    assert tokens == 1
    assert (calls[0].max_new_tokens, calls[0].num_beams) == (3, 2)


def test_b13_the_model_is_loaded_once(notes: pd.DataFrame, tiny_bart: Path, monkeypatch: pytest.MonkeyPatch):
    from transformers import BartForConditionalGeneration

    calls = []
    load = BartForConditionalGeneration.from_pretrained.__func__
    monkeypatch.setattr(
        BartForConditionalGeneration,
        "from_pretrained",
        classmethod(lambda cls, *a, **kw: calls.append(a) or load(cls, *a, **kw)),
    )
    BlearnerForSummarization.from_data(notes, tiny_bart)
    assert len(calls) == 1


@pytest.mark.parametrize(
    "loss",
    [CrossEntropyLossFlat(weight=torch.tensor([1.0, 9.0])), nn.CrossEntropyLoss(label_smoothing=0.2)],
    ids=["fastai, weighted", "torch, smoothed"],
)
def test_b14_the_users_loss_is_used_as_it_is(dls, objects, loss):
    learner = Blearner(dls, objects.model, loss_func=loss)
    learner.model.eval()
    inputs, targets = dls.valid.one_batch()
    expected = loss(objects.model(**{k: v for k, v in inputs.items() if k != "labels"}).logits, targets)
    with learner.no_bar():
        learner.validate(dl=[(inputs, targets)])
    assert learner.loss_func is loss
    assert float(learner.recorder.loss.value) == pytest.approx(expected.item(), rel=1e-5)


def test_b14_model_and_a_single_callback_are_taken(dls, objects):
    seen = []

    class Watch(Callback):
        def after_batch(self):
            seen.append(1)

    given = [Watch()]
    learner = Blearner(dls, model=objects.model, cbs=given[0])
    with learner.no_bar():
        learner.validate()
    assert seen
    again = Blearner(dls, objects.model, cbs=given)
    assert len(given) == 1
    assert len(again.cbs) > 1


@pytest.mark.parametrize("shuffle", [False, True], ids=["evaluation", "training"])
def test_b19_pairs_are_batched_by_length(objects, shuffle: bool):
    rows = [{"a": f"good {'plot ' * (i % 17)}", "b": "film " * (i % 5), "y": i % 2} for i in range(160)]
    block = DataBlock(
        blocks=(TextBlock(*objects), CategoryBlock), get_x=lambda r: (r["a"], r["b"]), get_y=lambda r: r["y"]
    )
    dl = block.dataloaders(rows, bs=8).train.new(shuffle=shuffle)
    widths = [x["attention_mask"].sum(1) for x, _ in dl]
    padding = 1 - sum(int(w.sum()) for w in widths) / sum(len(w) * int(w.max()) for w in widths)
    assert padding < 0.1


@pytest.mark.parametrize("kind", ["classifier", "summarizer"])
def test_b20_prediction_is_in_eval_mode_without_gradients(kind: str, request: pytest.FixtureRequest):
    learner = request.getfixturevalue(kind)
    learner.model.train()
    modes = []
    learner.model.hf_model.register_forward_pre_hook(
        lambda m, _: modes.append((m.training, torch.is_grad_enabled())), with_kwargs=False
    )
    texts = ["the film was good and it is a plot"]
    assert learner.predict(texts) == learner.predict(texts)
    assert learner.model.training
    assert all(mode == (False, False) for mode in modes)


def test_b22_predictions_come_with_a_loss_per_row(classifier: Blearner):
    assert isinstance(classifier.loss_func, PreCalculatedCrossEntropyLoss)
    logits, targets, losses = classifier.get_preds(with_loss=True)
    assert logits.shape == (len(targets), 2)
    assert losses.shape == (len(targets),)
    assert losses.mean() == pytest.approx(classifier.validate()[0], rel=1e-4)


def test_b26_a_path_is_a_name_and_its_words_change_nothing(tiny_bert: Path, tmp_path: Path):
    import shutil

    folder = tmp_path / "my-bart-roberta"
    shutil.copytree(tiny_bert, folder)
    tokenizer = NLP.get_hf_objects(folder, AutoModelForSequenceClassification).tokenizer
    assert not tokenizer.init_kwargs.get("add_prefix_space", False)


def test_b28_class_indices_are_indices(objects, reviews: pd.DataFrame, tiny_bert: Path):
    rows = reviews.assign(label=[["good", "long"] if i % 2 else ["short"] for i in range(len(reviews))])
    learner = BlearnerForSequenceClassification.from_data(rows, tiny_bert)
    everything = learner.predict("the film", threshold=0.0)[0]
    assert everything["class_indices"] == [0, 1, 2]
    assert everything["labels"] == everything["class_labels"] == ["good", "long", "short"]
    nothing = learner.predict("the film", threshold=1.0)[0]
    assert (nothing["class_indices"], nothing["labels"], nothing["scores"]) == ([], [], [])


def test_b31_the_loss_is_computed_once(dls, objects):
    learner = Blearner(dls, objects.model, loss_func=CrossEntropyLossFlat())
    keys = []
    learner.model.register_forward_pre_hook(lambda _, args: keys.append(set(args[0])))
    with learner.no_bar():
        learner.validate()
        assert all("labels" not in k for k in keys)
        own = Blearner(dls, objects.model)
        calls = []
        own.loss_func.func.register_forward_hook(lambda *_: calls.append(1))
        own.validate()
    assert not calls


def test_b32_blurrs_names_suffice_and_an_unambiguous_one_survives_any_import_order():
    names: dict = {}
    exec("from blurr.text.data.all import *\nfrom fastai.text.all import *", names)  # noqa: S102
    assert names["TextBlock"] is not TextBlock
    assert names["BlurrTextBlock"] is TextBlock
    alone: dict = {}
    exec("from blurr.text.data.all import *", alone)  # noqa: S102
    assert {"DataBlock", "ColReader", "ColSplitter", "CategoryBlock", "RandomSplitter"} <= set(alone)
    assert alone["TextBlock"] is TextBlock


def test_b34_string_labels_are_predicted_whole(dls, objects):
    learner = Blearner(dls, objects.model)
    with learner.no_bar():
        assert learner.predict("good")[0]["label"] in {"good", "bad"}


def test_multi_category_targets_of_fastai_train_with_the_models_own_loss(tiny_bert: Path, reviews: pd.DataFrame):
    rows = reviews.assign(label=[["good"] if i % 2 else ["bad", "dull"] for i in range(len(reviews))])
    config = {"num_labels": 3, "problem_type": "multi_label_classification"}
    objects = NLP.get_hf_objects(tiny_bert, AutoModelForSequenceClassification, config_kwargs=config)
    block = DataBlock(
        blocks=(TextBlock(*objects), MultiCategoryBlock), get_x=ColReader("text"), get_y=ColReader("label")
    )
    learner = Blearner(block.dataloaders(rows, bs=4), objects.model)
    with learner.no_bar(), learner.no_logging():
        learner.fit(1, 1e-3)
        assert set(learner.predict("good")[0]) >= {"labels", "class_indices", "probs"}


def test_a_learner_can_be_pickled_by_workers(classifier: Blearner):
    assert pickle.loads(pickle.dumps(classifier.dls.train.encode)).func.__name__ == "encoded_items"
