"""Parameter groups: each weight once, from input to output, the head last."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
import transformers
from torch import nn
from transformers import AutoConfig, AutoModelForSeq2SeqLM, MarianConfig, PreTrainedTokenizerBase

from benchmarks.families import heads, of_no_text, settings_of
from benchmarks.tiny import MASKED, tiny_config
from blurr.config.building import build
from blurr.models.groups import SPLITTERS, groups_of, layer_splitter, note_of_freezing
from blurr.models.wrapper import BaseModelWrapper
from blurr.text.scratch import train_tokenizer

BERT = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 16}
BART = {
    "d_model": 16,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
}
T5 = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 2}
GPT = {"n_embd": 16, "n_layer": 3, "n_head": 2}
CLASSES, WRITES, LM = "SequenceClassification", "Seq2SeqLM", "CausalLM"
# architecture, head, sizes, layers, name of the last group
CASES = [
    ("bert", CLASSES, BERT, 3, "head"),
    ("bert", "MaskedLM", BERT, 3, "head"),  # the output layer is the embedding, but not what is before it
    ("albert", CLASSES, BERT, 1, "head"),  # one layer, three times
    ("xlm", CLASSES, {"emb_dim": 16, "n_layers": 3, "n_heads": 2}, 3, "head"),  # a list for each part of a layer
    ("funnel", CLASSES, {"d_model": 16, "block_sizes": [1, 2], "num_decoder_layers": 1, "n_head": 2}, 3, "head"),
    ("canine", CLASSES, {**BERT, "num_hidden_layers": 1}, 3, "head"),  # layers before and behind those of the config
    ("gpt2", CLASSES, GPT, 3, "head"),
    ("gpt2", LM, GPT, 3, "transformer.ln_f"),
    ("openai-gpt", LM, GPT, 3, "layer 3"),  # nothing is behind the last layer but the embedding
    ("opt", LM, {**BERT, "ffn_dim": 16}, 3, "model.decoder.final_layer_norm"),
    ("lfm2", LM, {**BERT, "layer_types": ["conv"] * 3, "num_key_value_heads": 2}, 3, "model.embedding_norm"),
    ("llama4_text", LM, {**BERT, "num_key_value_heads": 2}, 3, "head"),  # its class does not tell where its body is
    ("bart", WRITES, BART, 5, "layer 5"),
    ("t5", WRITES, T5, 4, "decoder.final_layer_norm"),
    ("vit", "ImageClassification", BERT, 3, "head"),
    ("resnet", "ImageClassification", {"depths": [1, 2], "hidden_sizes": [8, 8]}, 2, "head"),
    ("wav2vec2", "CTC", BERT, 3, "head"),  # convolutions make its input
]
IDS = [f"{arch} {head}" for arch, head, *_ in CASES]


def made(arch: str, head: str, sizes: dict[str, Any]) -> Any:
    config = AutoConfig.for_model(arch, **sizes, **({"vocab_size": 50} if arch != "canine" else {}))
    with torch.device("meta"):
        return getattr(transformers, f"AutoModelFor{head}").from_config(config)


@pytest.mark.parametrize(("arch", "head", "sizes", "layers", "last"), CASES, ids=IDS)
def test_layers_are_groups_from_the_embeddings_to_the_head(arch, head, sizes, layers, last):
    model = made(arch, head, sizes)
    groups = groups_of(model, "layers")
    names = [group.name for group in groups]
    assert names[: layers + 1] == ["embeddings", *(f"layer {number}" for number in range(1, layers + 1))]
    assert names[-1] == last
    together = [id(parameter) for group in groups for parameter in group.parameters]
    assert len(together) == len(set(together))
    assert set(together) == {id(parameter) for parameter in model.parameters()}


@pytest.mark.parametrize("groups", SPLITTERS, ids=str)
def test_every_way_of_splitting_holds_each_weight_once_and_ends_alike(groups):
    model = made("bert", CLASSES, BERT)
    split = SPLITTERS[groups](model)
    assert sum(len(group) for group in split) == len(list(model.parameters()))
    assert [id(parameter) for parameter in split[-1]] == [id(parameter) for parameter in model.classifier.parameters()]
    assert len(split) == {"layers": 5, "parts": 4, None: 2}[groups]


def test_the_layers_of_encoder_and_decoder_follow_each_other():
    model = made("bart", WRITES, BART)
    third, last = layer_splitter(model)[3], layer_splitter(model)[-1]
    assert third[0] is next(model.model.decoder.layers[0].parameters())
    assert last[0] is next(model.model.decoder.layers[-1].parameters())


def test_what_is_fixed_is_in_no_group():
    wrapper = BaseModelWrapper(made("bert", CLASSES, BERT))
    wrapper.fixed = frozenset(name for name, _ in wrapper.hf_model.named_parameters() if "layer.1." in name)
    assert [group.name for group in groups_of(wrapper, "layers")] == ["embeddings", "layer 1", "layer 3", "head"]


def test_positions_that_marian_computes_are_never_trained():
    model = AutoModelForSeq2SeqLM.from_config(
        MarianConfig(**BART, vocab_size=50, pad_token_id=0, max_position_embeddings=8)
    )
    positions = model.model.encoder.embed_positions.weight
    assert not positions.requires_grad
    assert not any(parameter is positions for group in layer_splitter(model) for parameter in group)


def test_a_model_of_torch_has_its_last_child_for_head():
    model = nn.Sequential(nn.Embedding(9, 4), nn.TransformerEncoderLayer(4, 2), nn.Linear(4, 2))
    assert [len(group) for group in SPLITTERS[None](model)] == [13, 2]


@pytest.mark.parametrize(
    ("arch", "head", "sizes", "said"),
    [
        ("gpt2", LM, GPT, "freezing leaves 32 before it to train: transformer.ln_f.bias, transformer.ln_f.weight"),
        ("gpt2", CLASSES, GPT, ""),
    ],
    ids=["tied", "a head of its own"],
)
def test_what_is_trained_in_place_of_a_head_without_weights_is_said(arch, head, sizes, said):
    model = made(arch, head, sizes)
    note = note_of_freezing(model, layer_splitter(model)[-1])
    assert said in note if said else not note


# -- every architecture that transformers has a head for

TASKS = (
    "causal_lm",
    "masked_lm",
    "question_answering",
    "sequence_classification",
    "summarization",
    "token_classification",
)
FEWER = {"albert": 1, "blt": 0, "hrm_text": 4, "longcat_flash": 2, "perceiver": 2}  # shared, or not counted by a config


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    made = train_tokenizer("bert", ["a film"], vocab_size=200)
    made.add_special_tokens({"bos_token": "<s>", "eos_token": "</s>"})
    return made


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")  # MobileBERT, as wide as its embedding
@pytest.mark.parametrize("task", TASKS)
def test_every_architecture_has_its_layers_in_groups(task: str, tokenizer: PreTrainedTokenizerBase):
    wrong = {}
    for arch in sorted(heads(task) - of_no_text(task)):
        writes = {"is_decoder": True} if task == "causal_lm" and arch in MASKED else {}
        config = tiny_config(arch, tokenizer, **writes)
        with torch.device("meta"):
            model = getattr(transformers, build(settings_of(task)).model_cls).from_config(config)
        wrong[arch] = [*problems(model, arch)]
    assert not {arch: found for arch, found in wrong.items() if found}


def problems(model: Any, arch: str) -> Iterator[str]:
    """Yield what is wrong with the groups of a model."""
    groups = groups_of(model, "layers")
    together = [id(parameter) for group in groups for parameter in group.parameters]
    if len(together) != len(set(together)) or set(together) != {id(p) for p in model.parameters() if p.requires_grad}:
        yield "not each weight once"
    names = [group.name for group in groups]
    text = model.config.get_text_config(decoder=True)
    layers = FEWER.get(arch, getattr(text, "num_hidden_layers", None))
    numbered = [group for group in groups if group.is_layer]
    if names[0] != "embeddings" or groups[1 : len(numbered) + 1] != numbered:
        yield f"another order: {names}"
    if len(numbered) < layers:
        yield f"{len(numbered)} groups of {layers} layers"
    is_head = names[-1] == "head"
    if is_head == bool(note_of_freezing(model, groups[-1].parameters)):
        yield f"frozen, {names[-1]} is trained, and that is not said"
    if len(groups) < layers + 2 and is_head:
        yield f"{len(groups)} groups"
