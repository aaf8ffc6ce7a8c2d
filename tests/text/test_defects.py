"""Defects of blurr 1.x that belong to no one module, each under its name."""

import json
from pathlib import Path

import pandas as pd
import pytest
import torch
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer
from transformers import MarianTokenizer

from blurr.errors import InputError
from blurr.metrics.rouge import Rouge
from blurr.models.objects import build_model
from blurr.text.inputs import TEXT, decode_ids
from blurr.text.modeling.all import (
    Blearner,
    BlearnerForSequenceClassification,
    BlearnerForSummarization,
    BlearnerForTranslation,
)
from blurr.text.seq2seq.summarization import Summarization


@pytest.fixture(scope="module")
def tiny_t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small T5 with random weights and a tokenizer of its own kind, as a local checkpoint."""
    folder = tmp_path_factory.mktemp("tiny-t5")
    hf = build_model(
        "google-t5/t5-small",
        model_cls="AutoModelForSeq2SeqLM",
        config={},
        corpus=lambda: ["the film was good and it is a plot . summarize : translate German to English"] * 5,
        load_weights=True,
        arch="t5",
        weights="scratch",
        scratch={"d_model": 32, "d_kv": 16, "d_ff": 32, "num_layers": 1, "num_decoder_layers": 1, "num_heads": 2},
        inputs=TEXT,
    )
    hf.model.save_pretrained(folder)
    hf.tokenizer.save_pretrained(folder)
    return folder


# Marian would like sacremoses, to make punctuation uniform; nothing here depends on that.
@pytest.mark.filterwarnings("ignore:Recommended. pip install sacremoses")
def test_b29_sources_are_shown_with_the_source_vocabulary(tmp_path: Path):
    texts = {"source": "Schließen die vorgeschlagenen Wege", "target": "close the proposed ways"}
    pieces = ["</s>", "<unk>"]
    for side, text in texts.items():
        SentencePieceTrainer.train(
            sentence_iterator=iter([text] * 20),
            model_prefix=str(tmp_path / side),
            vocab_size=100,
            hard_vocab_limit=False,
            minloglevel=2,
        )
        model = SentencePieceProcessor(str(tmp_path / f"{side}.model"))
        pieces += [model.id_to_piece(i) for i in range(3, model.vocab_size())]
    ids = {piece: i for i, piece in enumerate([*dict.fromkeys(pieces), "<pad>"])}
    (tmp_path / "vocab.json").write_text(json.dumps(ids))
    tokenizer = MarianTokenizer(*(str(tmp_path / n) for n in ("source.model", "target.model", "vocab.json")))
    read = torch.tensor([tokenizer(texts["source"])["input_ids"]])
    written = torch.tensor([tokenizer(text_target=texts["target"])["input_ids"]])
    assert decode_ids(tokenizer, read) == [texts["source"]]
    assert decode_ids(tokenizer, written, of_source=False) == [texts["target"]]


def test_b33_no_metric_needs_a_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NLTK_DATA", str(tmp_path))
    metric = Rouge("rougeLsum", stemmer=True)
    metric.update(["Cats sleeping. Dogs bark."], ["A cat sleeps. The dogs barked."])
    assert metric.compute() == pytest.approx(8 / 10)


@pytest.mark.parametrize("kind", [BlearnerForSummarization, BlearnerForTranslation], ids=["summaries", "translations"])
def test_b35_t5_trains_and_predicts_in_one_line(kind: type[Blearner], notes: pd.DataFrame, tiny_t5: Path):
    columns = {} if kind is BlearnerForSummarization else {"src_lang_attr": "text", "trg_lang_attr": "summary"}
    learn = kind.from_data(notes, tiny_t5, text_gen_kwargs={"max_new_tokens": 3}, dl_kwargs={"bs": 4}, **columns)
    learn.remove_cbs([learn.progress])
    with learn.no_logging():
        learn.fit(1, 1e-3)
    assert len(learn.predict(["the film", "a plot"])) == 2


@pytest.mark.parametrize(
    ("items", "n"),
    [(("a question", "a passage"), 1), ([], 0), (pd.Series(["good", "bad"]), 2)],
    ids=["a pair is one item", "nothing", "Series"],
)
def test_b36_items_are_taken_for_what_they_are(items, n: int, reviews: pd.DataFrame, tiny_bert: Path):
    learn = BlearnerForSequenceClassification.from_data(reviews, tiny_bert)
    assert len(learn.predict(items)) == n
    with pytest.raises(InputError, match="Item 0 is None"):
        learn.predict([None])


@pytest.mark.parametrize("limit", [5, 8, 12])
def test_b40_no_text_is_longer_than_its_limit(limit: int, notes: pd.DataFrame, tiny_bart: Path):
    learn = BlearnerForSummarization.from_data(notes, tiny_bart, max_length=limit, max_target_length=3)
    lengths = {x["input_ids"].shape[1] for dl in (learn.dls.train, learn.dls.valid) for x, _ in dl}
    assert max(lengths) == limit
    assert Summarization(max_length=limit).max_length == limit


def test_b43_lengths_can_be_set_and_a_frozen_learner_trains_its_head_alone(reviews: pd.DataFrame, tiny_bert: Path):
    learn = BlearnerForSequenceClassification.from_data(reviews, tiny_bert, max_length=6)
    assert max(x["input_ids"].shape[1] for x, _ in learn.dls.train) == 6
    trained = [name for name, p in learn.model.named_parameters() if p.requires_grad]
    assert trained == ["hf_model.classifier.weight", "hf_model.classifier.bias"]
