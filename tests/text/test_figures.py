"""Small figures by which blurr 1.x could be told right from wrong, and which stand in no other test."""

from pathlib import Path

import pandas as pd
import pytest
import torch
from every_task import TASKS, objects_of
from fastai.data.all import CategoryBlock, ColReader, ColSplitter, DataBlock
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
)

from blurr.loading.loader import Loader
from blurr.loading.rows import IGNORED
from blurr.targets.classes import classification_results
from blurr.text.data.all import NLP, TextBlock
from blurr.text.inputs import tokenize_texts


def test_figure_a_batch_of_two_padded_to_128_has_the_shape_2_by_128_and_two_targets(reviews: pd.DataFrame, tiny_bert):
    long = {"model_max_length": 512}
    hf = NLP.get_hf_objects(tiny_bert, AutoModelForSequenceClassification, tokenizer_kwargs=long)
    blocks = (TextBlock(*hf, max_length=128, padding="max_length"), CategoryBlock)
    block = DataBlock(blocks=blocks, get_x=ColReader("text"), get_y=ColReader("label"), splitter=ColSplitter())
    inputs, targets = block.dataloaders(reviews, bs=2).one_batch()
    assert inputs["input_ids"].shape == inputs["attention_mask"].shape == (2, 128)
    assert targets.shape == (2,)


@pytest.mark.parametrize(("threshold", "labels"), [(0.5, ["b"]), (0.2, ["a", "b", "c"])])
def test_figure_a_threshold_of_a_fifth_turns_one_label_into_three(threshold: float, labels: list[str]):
    probabilities = torch.tensor([[0.470, 0.528, 0.469]])
    kind = "multi_label_classification"
    result = classification_results(probabilities.logit(), ["a", "b", "c"], kind=kind, threshold=threshold)[0]
    assert result["labels"] == labels
    assert result["class_indices"] == [result["class_labels"].index(name) for name in labels]
    assert result["probs"] == pytest.approx([0.470, 0.528, 0.469], abs=1e-6)


@pytest.mark.parametrize("name", sorted(TASKS))
def test_figure_no_row_is_longer_than_the_limit_of_the_tokenizer(name: str, tiny_bert: Path, tiny_bart: Path):
    raw, hf = objects_of(name, tiny_bert, tiny_bart)
    hf.tokenizer.model_max_length = 9
    task = TASKS[name]
    if name == "question_answering":
        task = type(task)(max_length=None, stride=2)
    rows = task.encoded({key: raw.train[key][:] for key in raw.train.column_names}, hf)
    lengths = [len(rows[i]["input_ids"]) for i in range(len(rows))]
    assert max(lengths) <= 9
    assert max(lengths) > 5


def test_figure_no_pair_is_longer_than_its_limit(tiny_bert: Path):
    tokenizer = NLP.get_hf_objects(tiny_bert, AutoModelForSequenceClassification).tokenizer
    columns = tokenize_texts(tokenizer, ["the film was good"] * 2, ["and a plot it is .", "a"], max_length=8)
    assert [len(ids) for ids in columns["input_ids"]] == [8, 8]


def test_figure_labels_of_special_and_pad_tokens_are_left_out_and_stand_in_the_inputs(tiny_bert, tiny_bart):
    raw, hf = objects_of("token_classification", tiny_bert, tiny_bart)
    inputs, targets = TASKS["token_classification"].dataloaders(raw, hf, Loader(batch_size=4)).train.one_batch()
    assert torch.equal(inputs["labels"], targets)
    special = torch.tensor(hf.tokenizer.all_special_ids)
    assert (targets[torch.isin(inputs["input_ids"], special)] == IGNORED).all()
    assert (targets[inputs["word_numbers"] > 0] != IGNORED).all()


def test_figure_a_tokenizer_without_a_pad_token_gets_one_and_the_model_an_embedding_for_it(
    tiny_bert: Path, tmp_path: Path
):
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    tokenizer.pad_token = None
    GPT2LMHeadModel(GPT2Config(vocab_size=24, n_embd=16, n_layer=1, n_head=2)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    hf = NLP.get_hf_objects(tmp_path, AutoModelForCausalLM)
    assert hf.tokenizer.pad_token_id == hf.model.config.pad_token_id is not None
    assert hf.model.get_input_embeddings().num_embeddings >= len(hf.tokenizer)
