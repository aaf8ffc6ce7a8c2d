"""Calls of blurr 1.x, as its tutorials write them."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from checkpoints import make_tiny_bart
from datasets import Dataset
from every_task import SHORT, rows_of
from fastai.data.all import CategoryBlock, ColReader, ColSplitter, DataBlock, ItemGetter, noop
from fastai.learner import Learner
from fastai.losses import CrossEntropyLossFlat
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    BertForSequenceClassification,
)

from blurr.errors import InputError
from blurr.text.data.all import (
    NLP,
    BertMLMStrategy,
    BILabelingStrategy,
    CausalLMStrategy,
    LMBatchTokenizeTransform,
    LMType,
    OnlyFirstTokenLabelingStrategy,
    SameLabelLabelingStrategy,
    TextBlock,
    TokenCategoryBlock,
    TokenClassBatchTokenizeTransform,
)
from blurr.text.modeling.all import (
    BaseModelCallback,
    BaseModelWrapper,
    Blearner,
    BlearnerForLM,
    BlearnerForMaskedLM,
    BlearnerForQuestionAnswering,
    BlearnerForSequenceClassification,
    BlearnerForSummarization,
    BlearnerForTokenClassification,
    BlearnerForTranslation,
    PreCalculatedCrossEntropyLoss,
    PreCalculatedMSELoss,
    blurr_splitter,
)

DL: dict[str, Any] = {"dl_kwargs": {"bs": 4}}


def frame(name: str, **names: str) -> pd.DataFrame:
    return pd.DataFrame(rows_of(name)).rename(columns=names)


def quiet(learn: Learner) -> Learner:
    learn.remove_cbs([learn.progress])
    learn.logger = lambda *_: None
    return learn


# -- the high level


def test_token_labels_is_the_default_column_of_labels(tiny_bert: Path):
    rows = frame("token_classification", labels="token_labels")
    for data in (rows, Dataset.from_pandas(rows)):
        learn = BlearnerForTokenClassification.from_data(
            data, tiny_bert, tokens_attr="tokens", token_labels_attr="labels", labels=["O", "B-X"], **DL
        )
        assert set(learn.dls.vocab) == {"O", "B-X"}
    with pytest.raises(InputError, match=r"no column 'tags'.*token_labels_attr=<column>"):
        BlearnerForTokenClassification.from_data(rows, tiny_bert, token_labels_attr="tags")
    found = quiet(learn).blurr_predict_tokens(
        ["the film was good"], aggregation_strategy="max", slow_word_ids_func=None
    )
    assert len(found) == 1


@pytest.mark.parametrize("start", ["ans_start_char_idx", "answer_start_char_idx"])
def test_answers_are_found_in_the_columns_of_squad_sample(start: str, tiny_bert: Path, tmp_path: Path):
    rows = frame("question_answering")
    rows["answer_text"] = [answers["text"][0] for answers in rows.answers]
    rows[start] = [answers["answer_start"][0] for answers in rows.answers]
    rows = rows.drop(columns="answers").assign(id=range(len(rows)))
    rows.to_csv(tmp_path / "squad_sample.csv", index=False)
    options = {"max_seq_len": 16, "stride": 3, "id_attr": "id", "context_attr": "context", "question_attr": "question"}
    options |= {"tok_ans_start_attr": "ans_start_token_idx", "tok_ans_end_attr": "ans_end_token_idx"}
    for data in (rows, tmp_path / "squad_sample.csv"):
        learn = BlearnerForQuestionAnswering.from_data(data, tiny_bert, **options, **DL)
        shown = learn.dls.show_batch(dataloaders=learn.dls, max_n=4, trunc_at=500, show=False)
        assert any(row["answer"] in rows.answer_text.tolist() for row in shown)
    questions = [{"question": "it was", "context": "the film was good"}]
    assert len(quiet(learn).blurr_predict_answers(questions, slow_word_ids_func=None)) == 1
    assert learn.show_results(learner=learn, skip_special_tokens=True, max_n=2, show=False)


def test_languages_of_a_tokenizer_for_one_pair_are_left_out(tiny_bart: Path):
    rows = frame("translation", source="src_lang", target="trg_lang")
    learn = BlearnerForTranslation.from_data(
        rows,
        tiny_bart,
        src_lang_name="German",
        src_lang_attr="source",
        trg_lang_name="English",
        text_gen_kwargs=SHORT,
        hf_tok_kwargs={"model_max_length": 24},
        **DL,
    )
    assert learn.dls.tokenizer.model_max_length == 24
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(1, lr_max=1e-3, cbs=[BlearnerForTranslation.get_metrics_cb()])
    assert "bleu" in learn.recorder.metric_names
    assert "translation_texts" in quiet(learn).blurr_translate("the film was good", num_beams=2)[0]
    texts = BlearnerForSummarization.from_data(
        frame("summarization"), tiny_bart, hf_tok_kwargs={"model_max_length": 20}, text_gen_kwargs=SHORT, **DL
    )
    assert texts.dls.tokenizer.model_max_length == 20


def test_the_number_of_labels_is_compared(reviews: pd.DataFrame, tiny_bert: Path):
    learn = BlearnerForSequenceClassification.from_data(
        reviews, tiny_bert, text_attr="text", label_attr="label", n_labels=2, **DL
    )
    assert quiet(learn).blurr_predict(["good"], rm_type_tfms=None)[0]["label"] in {"good", "bad"}
    with pytest.raises(InputError, match=r"n_labels=5, but the rows have 2: \['bad', 'good'\]"):
        BlearnerForSequenceClassification.from_data(reviews, tiny_bert, n_labels=5)


@pytest.mark.parametrize(
    ("given", "learner_cls"),
    [
        ({"lm_strategy_cls": CausalLMStrategy}, BlearnerForLM),
        ({"lm_strategy_cls": BertMLMStrategy}, BlearnerForMaskedLM),
        ({"lm_type": LMType.MASKED}, BlearnerForMaskedLM),
    ],
    ids=["causal", "masked", "by its type"],
)
def test_strategies_of_language_models_choose_the_task(given: dict[str, Any], learner_cls: type, tiny_bert: Path):
    learn = BlearnerForLM.from_data(frame("causal_lm"), tiny_bert, text_attr="text", chunk=False, **given, **DL)
    assert type(learn) is learner_cls


# -- the middle level


def test_the_readme_of_1x_runs(reviews: pd.DataFrame, tiny_bert: Path, tmp_path: Path):
    objects = NLP.get_hf_objects(
        tiny_bert, BertForSequenceClassification, None, None, config_kwargs={"num_labels": 2}, tokenizer_kwargs={}
    )
    hf_arch, hf_config, hf_tokenizer, hf_model = objects
    blocks = (
        TextBlock(
            hf_arch,
            hf_config,
            hf_tokenizer,
            hf_model,
            max_length=24,
            padding=True,
            truncation=True,
            ignore_token_id=-100,
            batch_tokenize_kwargs={"labels": ["bad", "good"]},
            batch_decode_kwargs={},
            tok_kwargs={},
            text_gen_kwargs={},
        ),
        CategoryBlock,
    )
    dblock = DataBlock(blocks=blocks, get_x=ColReader("text"), get_y=ItemGetter("label"), splitter=ColSplitter())
    dls = dblock.dataloaders(reviews.assign(label=(reviews.label == "good").astype(int)), bs=4)
    assert {row["target"] for row in dls.show_batch(dataloaders=dls, max_n=4, trunc_at=500, show=False)} <= {
        "bad",
        "good",
    }
    learn = Learner(
        dls,
        BaseModelWrapper(hf_model, output_hidden_states=False, output_attentions=False, hf_model_kwargs={}),
        loss_func=CrossEntropyLossFlat(),
        cbs=[BaseModelCallback(base_model_wrapper_kwargs={})],
        splitter=blurr_splitter,
        path=tmp_path,
    )
    quiet(learn).freeze()
    learn.fit_one_cycle(1, lr_max=1e-3)
    learn.show_results(learner=learn, max_n=2, trunc_at=500)
    assert learn.blurr_predict("a film")[0]["label"] in {"bad", "good"}
    assert len(learn.blurr_predict(["a film", "the plot"])) == 2


def test_a_label_that_cannot_be_another_is_refused(tiny_bert: Path):
    objects = NLP.get_hf_objects(tiny_bert, AutoModelForSequenceClassification, config_kwargs={"num_labels": 2})
    with pytest.raises(InputError, match="ignore_token_id=0, an argument of blurr 1.x, is always -100"):
        TextBlock(*objects, ignore_token_id=0)
    with pytest.raises(InputError, match="no argument .'paddding'"):
        TextBlock(*objects, paddding=True)
    with pytest.raises(InputError, match="tok_kwargs has .'return_length'"):
        TokenClassBatchTokenizeTransform(*objects, tok_kwargs={"return_length": True})


@pytest.mark.parametrize(
    ("strategy", "labeling"),
    [(OnlyFirstTokenLabelingStrategy, "first"), (SameLabelLabelingStrategy, "same"), (BILabelingStrategy, "bi")],
    ids=["first", "same", "bi"],
)
def test_labeling_strategies_are_taken(strategy: type, labeling: str, tiny_bert: Path):
    names = ["O", "B-X"]
    objects = NLP.get_hf_objects(
        tiny_bert,
        AutoModelForTokenClassification,
        config_kwargs={"num_labels": 2, "id2label": dict(enumerate(names)), "label2id": {"O": 0, "B-X": 1}},
    )
    transform = TokenClassBatchTokenizeTransform(
        *objects,
        labeling_strategy_cls=strategy,
        target_label_names=names,
        non_entity_label="O",
        is_split_into_words=True,
        slow_word_ids_func=None,
        tok_kwargs={"max_length": 12},
    )
    assert (transform.task.labeling, transform.task.max_length) == (labeling, 12)
    blocks = (TextBlock(batch_tokenize_tfm=transform, input_return_type=None), TokenCategoryBlock(vocab=names))
    block = DataBlock(blocks=blocks, get_x=ColReader("tokens"), get_y=ColReader("labels"), splitter=ColSplitter())
    assert len(block.dataloaders(frame("token_classification"), bs=4).train.one_batch()[1]) == 4


def test_a_language_model_of_blocks_takes_a_strategy(tiny_bert: Path):
    objects = NLP.get_hf_objects(tiny_bert, AutoModelForCausalLM, config_kwargs={"is_decoder": True})
    transform = LMBatchTokenizeTransform(*objects, lm_strategy_cls=CausalLMStrategy, chunk=False, padding=True)
    block = DataBlock(
        blocks=(TextBlock(batch_tokenize_tfm=transform), noop), get_x=ColReader("text"), splitter=ColSplitter()
    )
    learn = quiet(Blearner(block.dataloaders(frame("causal_lm"), bs=4), objects.model))
    learn.fit(1, 1e-3)
    assert torch.isfinite(torch.tensor(float(learn.recorder.values[-1][0])))


def test_losses_take_their_arguments():
    for loss in (PreCalculatedCrossEntropyLoss(axis=-1), PreCalculatedMSELoss(axis=-1, floatify=True)):
        assert float(loss(torch.ones(2, 2), torch.ones(2, 2) if loss.__class__.__name__.endswith("MSELoss") else
                          torch.zeros(2, dtype=torch.long))) >= 0  # fmt: skip


def test_a_checkpoint_in_a_folder_named_like_a_family_is_taken(tmp_path: Path):
    make_tiny_bart(tmp_path / "my-bart")
    arch, *_ = NLP.get_hf_objects(tmp_path / "my-bart", AutoModelForSequenceClassification)
    assert arch == "bart"
