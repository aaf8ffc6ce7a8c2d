"""Tiny checkpoints, made in code, that the tests of several folders share."""

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    BertConfig,
    BertForSequenceClassification,
    PreTrainedTokenizerFast,
)

GOOD = ["good", "great", "fine", "superb"]
BAD = ["bad", "awful", "poor", "dull"]
WORDS = [*GOOD, *BAD, "the", "film", "was", "and", "a", "plot", "it", "is", ".", "summarize", ":"]
MARKS = ["<pad>", "<s>", "</s>", "<unk>", "<mask>"]


def word_tokenizer() -> PreTrainedTokenizerFast:
    """One id per word, `<s> a </s>` and `<s> a </s> b </s>`."""
    vocab = {word: i for i, word in enumerate([*MARKS, *WORDS])}
    inner = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B:1 </s>:1", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        mask_token="<mask>",
        cls_token="<s>",
        sep_token="</s>",
        model_max_length=32,
    )


def make_tiny_bert(folder: Path) -> Path:
    """Save a BERT of two layers with random weights."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(MARKS) + len(WORDS),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        pad_token_id=0,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    word_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of two layers with random weights, as a local checkpoint."""
    return make_tiny_bert(tmp_path_factory.mktemp("tiny-bert"))


@pytest.fixture(scope="session")
def tiny_bart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BART of one layer each with random weights, as a local checkpoint."""
    folder = tmp_path_factory.mktemp("tiny-bart")
    torch.manual_seed(0)
    sizes = {f"{part}_{what}": n for part in ("encoder", "decoder") for what, n in SIZES.items()}
    config = BartConfig(
        vocab_size=len(MARKS) + len(WORDS),
        d_model=32,
        max_position_embeddings=64,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=2,
        forced_eos_token_id=2,
        **sizes,
    )
    BartForConditionalGeneration(config).save_pretrained(folder)
    word_tokenizer().save_pretrained(folder)
    return folder


SIZES = {"layers": 1, "attention_heads": 2, "ffn_dim": 32}
