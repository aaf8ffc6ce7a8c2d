"""Texts are no longer than a model can read, and batches are padded to lengths that an architecture can take."""

import logging
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import transformers
from checkpoints import SIZES, word_tokenizer
from every_task import TASKS, objects_of, rows_of
from transformers import BertConfig, PretrainedConfig, ReformerConfig

from blurr.data.at_hand import from_data
from blurr.errors import InputError
from blurr.loading.loader import Loader, fitting
from blurr.models.inputs import Positions, positions_of
from blurr.text.blocks import BatchTokenizeTransform, TokenClassBatchTokenizeTransform
from blurr.text.lengths import advice_of, length_limit, set_advice
from blurr.text.modeling.all import CausalLM, QuestionAnswering, SequenceClassification, Summarization

GRID = {"axial_pos_shape": [16, 32], "axial_pos_embds_dim": [32, 32], "hidden_size": 64}
CHUNKS = {"axial_pos_embds": False, "local_attn_chunk_length": 16, "lsh_attn_chunk_length": 24}


@pytest.mark.parametrize(
    ("config", "wished", "multiple"),
    [
        (ReformerConfig(**GRID), None, 512),
        (ReformerConfig(attn_layers=["local", "lsh"], **CHUNKS), None, 48),
        (ReformerConfig(attn_layers=["local", "local"], **CHUNKS), 10, 80),
        (BertConfig(), None, None),
        (BertConfig(), 8, 8),
    ],
    ids=["a grid of positions", "two kinds of chunks", "one kind and a wish", "any length", "a wish"],
)
def test_a_batch_is_padded_to_what_the_architecture_takes(
    config: PretrainedConfig, wished: int | None, multiple: int | None
):
    assert fitting(Loader(pad_to_multiple_of=wished), config).pad_to_multiple_of == multiple


# -- the longest text

BODY = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "vocab_size": 50}
PAIR = {f"{part}_{what}": n for part in ("encoder", "decoder") for what, n in SIZES.items()}
PAIR |= {"d_model": 16, "vocab_size": 50, "pad_token_id": 1}
TEXTS, WRITES = "AutoModelForSequenceClassification", "AutoModelForSeq2SeqLM"
WITH_LIMIT = {
    "bert": (transformers.BertConfig(**BODY, max_position_embeddings=40), TEXTS, 40),
    "roberta": (transformers.RobertaConfig(**BODY, max_position_embeddings=42, pad_token_id=1), TEXTS, 40),
    "mpnet": (transformers.MPNetConfig(**BODY, max_position_embeddings=42, pad_token_id=1), TEXTS, 40),
    "nystromformer": (
        transformers.NystromformerConfig(
            **BODY, max_position_embeddings=64, num_landmarks=8, segment_means_seq_len=64, pad_token_id=1
        ),
        TEXTS,
        64,
    ),
    "gpt2": (transformers.GPT2Config(n_positions=40, n_embd=16, n_layer=1, n_head=2, vocab_size=50), TEXTS, 40),
    "opt": (
        transformers.OPTConfig(
            hidden_size=16,
            word_embed_proj_dim=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            ffn_dim=16,
            vocab_size=50,
            max_position_embeddings=40,
        ),
        TEXTS,
        40,
    ),
    "bart": (transformers.BartConfig(**PAIR, max_position_embeddings=40), WRITES, 40),
    "pegasus": (transformers.PegasusConfig(**PAIR, max_position_embeddings=40), WRITES, 40),
}
WITHOUT_LIMIT = {
    "t5": (
        transformers.T5Config(
            d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2, vocab_size=50, decoder_start_token_id=0
        ),
        WRITES,
    ),
    "m2m_100": (transformers.M2M100Config(**PAIR, max_position_embeddings=40), WRITES),
    "deberta-v2": (
        transformers.DebertaV2Config(
            **BODY, max_position_embeddings=40, relative_attention=True, position_biased_input=False
        ),
        TEXTS,
    ),
    "xlnet": (transformers.XLNetConfig(d_model=16, n_layer=1, n_head=2, d_inner=16, vocab_size=50), TEXTS),
    "llama": (transformers.LlamaConfig(**BODY, max_position_embeddings=40), TEXTS),
    "bloom": (transformers.BloomConfig(hidden_size=16, n_layer=1, n_head=2, vocab_size=50), TEXTS),
}


def reads(model: transformers.PreTrainedModel, length: int) -> None:
    ids = torch.full((1, length), 7)
    written = {"decoder_input_ids": ids[:, :3]} if model.config.is_encoder_decoder else {}
    with torch.no_grad():
        model(input_ids=ids, attention_mask=torch.ones_like(ids), **written)


@pytest.mark.parametrize("arch", list(WITH_LIMIT))
def test_the_positions_of_a_model_are_those_that_it_can_read(arch: str):
    config, model_cls, limit = WITH_LIMIT[arch]
    model = getattr(transformers, model_cls).from_config(config).eval()
    assert positions_of(model).source == limit
    assert positions_of(model).target == (limit if config.is_encoder_decoder else None)
    reads(model, limit)
    with pytest.raises((RuntimeError, IndexError)):
        reads(model, limit + 1)


@pytest.mark.parametrize("arch", list(WITHOUT_LIMIT))
def test_positions_that_are_relative_or_computed_have_no_limit(arch: str):
    config, model_cls = WITHOUT_LIMIT[arch]
    model = getattr(transformers, model_cls).from_config(config).eval()
    assert positions_of(model) == Positions()
    reads(model, 100)


def test_tables_that_are_no_embeddings_and_those_that_grow_are_known():
    gptj = transformers.GPTJConfig(n_embd=16, n_layer=1, n_head=2, rotary_dim=4, vocab_size=50, n_positions=40)
    assert positions_of(transformers.AutoModelForCausalLM.from_config(gptj)) == Positions(40)
    fsmt = transformers.FSMTConfig(
        langs=["a", "b"], src_vocab_size=50, tgt_vocab_size=50, **{k: v for k, v in PAIR.items() if k != "vocab_size"}
    )
    assert positions_of(transformers.AutoModelForSeq2SeqLM.from_config(fsmt)) == Positions()


@pytest.mark.parametrize(
    ("advised", "config", "positions", "expected"),
    [
        (512, {}, Positions(), 512),
        (512, {}, Positions(128), 128),
        (64, {}, Positions(128), 64),
        (int(1e30), {}, Positions(128), 128),
        (int(1e30), {"max_position_embeddings": 4096}, Positions(), 4096),
        (int(1e30), {}, Positions(), None),
    ],
    ids=["advice alone", "less than advised", "advised less", "no advice", "advice of the config", "neither"],
)
def test_a_tokenizer_advises_what_the_model_can_read(advised: int, config: dict, positions: Positions, expected):
    tokenizer = word_tokenizer()
    tokenizer.model_max_length = advised
    set_advice(tokenizer, PretrainedConfig(**config), positions)
    assert advice_of(tokenizer) == expected
    assert length_limit(tokenizer, None) == expected
    assert length_limit(tokenizer, 2000) == 2000
    assert length_limit(tokenizer, 384, usual=384) == (384 if expected is None else min(384, expected))


def test_a_length_over_the_positions_is_refused_and_over_the_advice_it_wins(tiny_bert: Path, caplog):
    texts = from_data(TASKS["sequence_classification"].schema, rows_of("sequence_classification"))
    _, hf = objects_of("sequence_classification", tiny_bert, tiny_bert)
    assert (hf.positions.source, advice_of(hf.tokenizer)) == (128, 32)
    long = {"text": ["good " * 300]}
    assert len(SequenceClassification().encode(long, hf)["input_ids"][0]) == 32
    with caplog.at_level(logging.WARNING):
        SequenceClassification(max_length=100).dataloaders(texts, hf, Loader(cache=False))
    assert caplog.text.count("task.max_length=100 is used, although the tokenizer advises at most 32 tokens") == 1
    assert len(SequenceClassification(max_length=100).encode(long, hf)["input_ids"][0]) == 100
    with pytest.raises(InputError, match=r"task\.max_length=129 is more than the model can read: .* 128 tokens"):
        SequenceClassification(max_length=129).dataloaders(texts, hf, Loader(cache=False))
    with pytest.raises(InputError, match=r"task\.block_size=200 is more than"):
        CausalLM(block_size=200).check(hf)
    QuestionAnswering().check(hf)  # 384 is what nobody has chosen
    with pytest.raises(InputError, match=r"task\.max_length=256 is more than"):
        QuestionAnswering(max_length=256).check(hf)
    with pytest.raises(InputError, match="max_length=129 is more than"):
        BatchTokenizeTransform(*hf, max_length=129)
    with pytest.raises(InputError, match="max_length=129 is more than"):
        TokenClassBatchTokenizeTransform(*hf, max_length=129)


def test_what_is_written_has_positions_too(tiny_bart: Path):
    _, hf = objects_of("summarization", tiny_bart, tiny_bart)
    assert hf.positions == Positions(64, 64)
    narrow = replace(hf, positions=Positions(64, 16))
    with pytest.raises(InputError, match=r"task\.max_target_length=17 is more than"):
        Summarization(max_target_length=17).check(narrow)
    with pytest.raises(InputError, match=r"task\.generation\.max_new_tokens=40 is more than"):
        Summarization(generation={"max_new_tokens": 40}).check(narrow)
    columns = Summarization().encode({"text": ["good"], "summary": ["good " * 50]}, narrow)
    assert len(columns["labels"][0]) == 16
