"""Generation begins with the token that training begins with, for every family that writes a text for a text."""

import logging

import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModelForSeq2SeqLM,
    BertConfig,
    EncoderDecoderConfig,
    EncoderDecoderModel,
    GenerationConfig,
    PreTrainedModel,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES

from blurr.errors import InputError
from blurr.models.decoder import begin_as_in_training, decoder_inputs, end_as_in_training
from blurr.text.scratch import train_tokenizer

TEXTS = ["das Haus ist alt .", "the house is old ."] * 20
BART = {
    "d_model": 16,
    **{f"{part}_{what}": n for part in ("encoder", "decoder") for what, n in (("layers", 1), ("attention_heads", 2))},
    "encoder_ffn_dim": 16,
    "decoder_ffn_dim": 16,
    "max_position_embeddings": 64,
}
T5 = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_decoder_layers": 1, "num_heads": 2}
MOE = {"num_experts": 2, "expert_capacity": 8}
PROPHETNET = {
    "hidden_size": 16,
    **{f"{part}_ffn_dim": 16 for part in ("encoder", "decoder")},
    **{
        f"num_{part}_{what}": n
        for part in ("encoder", "decoder")
        for what, n in (("layers", 1), ("attention_heads", 2))
    },
    "max_position_embeddings": 64,
}
LED = {**BART, "max_encoder_position_embeddings": 64, "max_decoder_position_embeddings": 64, "attention_window": 8}
GEMMA = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
}
SIZES = {
    "bart": BART,
    "bigbird_pegasus": {**BART, "attention_type": "original_full"},
    "blenderbot": BART,
    "blenderbot-small": BART,
    "fsmt": {**BART, "langs": ["de", "en"], "src_vocab_size": 300, "tgt_vocab_size": 300},
    "led": LED,
    "longt5": T5,
    "m2m_100": BART,
    "marian": BART,
    "mbart": BART,
    "mt5": T5,
    "mvp": BART,
    "nllb-moe": {**BART, **MOE},
    "pegasus": BART,
    "pegasus_x": BART,
    "plbart": BART,
    "prophetnet": PROPHETNET,
    "switch_transformers": {**T5, **MOE, "num_sparse_encoder_layers": 1, "num_sparse_decoder_layers": 1},
    "t5": T5,
    "t5gemma": {"encoder": GEMMA, "decoder": GEMMA},
    "umt5": T5,
}
# they read or write speech or pictures, or are put together of two models, which is tried apart
OTHERS = {"encoder-decoder", "seamless_m4t", "seamless_m4t_v2", "t5gemma2"}


@pytest.fixture(scope="module")
def bart_tokenizer():
    return train_tokenizer("bart", TEXTS, vocab_size=300)


@pytest.fixture(scope="module")
def mbart_tokenizer():
    return train_tokenizer("mbart", TEXTS, vocab_size=300)


@pytest.fixture(scope="module")
def bert_tokenizer():
    return train_tokenizer("bert", TEXTS, vocab_size=300)


def made(arch: str, vocab_size: int = 300, **ids: int | None) -> PreTrainedModel:
    config = AutoConfig.for_model(arch, **{"vocab_size": vocab_size, **SIZES[arch], **ids})
    torch.manual_seed(0)
    return AutoModelForSeq2SeqLM.from_config(config).eval()


def read_first(model: PreTrainedModel, work) -> int:
    """Let something be done, and return the token that the decoder read first."""
    read = []
    hook = model.get_decoder().register_forward_pre_hook(
        lambda _, args, given: read.append(given["input_ids"] if "input_ids" in given else args[0]), with_kwargs=True
    )
    work()
    hook.remove()
    return int(read[0][0, 0])


def agree(model: PreTrainedModel, tokenizer) -> tuple[int, int]:
    labels = torch.tensor([[int(i) for i in tokenizer(text_target="the house").input_ids]])
    source = {"input_ids": torch.tensor([[5, 6, 7, 2]]), "attention_mask": torch.ones(1, 4, dtype=torch.long)}
    with torch.no_grad():
        given = decoder_inputs({**source, "labels": labels}, model, own_loss=True)
        trained = read_first(model, lambda: model(**given))
        generated = read_first(model, lambda: model.generate(**source, max_new_tokens=2))
    return trained, generated


@pytest.mark.parametrize("arch", SIZES)
def test_training_and_generation_begin_with_the_same_token(arch: str, bart_tokenizer, mbart_tokenizer, bert_tokenizer):
    own = {"mbart": mbart_tokenizer, "prophetnet": bert_tokenizer}  # ProphetNet counts positions from the pad's id
    tokenizer = own.get(arch, bart_tokenizer)
    start, end = tokenizer.cls_token_id, tokenizer.sep_token_id
    ids = {"pad_token_id": tokenizer.pad_token_id, "bos_token_id": start, "eos_token_id": end}
    model = made(arch, len(tokenizer), **ids, decoder_start_token_id=start)
    begin_as_in_training(model, tokenizer, model.generation_config, frozenset())
    trained, generated = agree(model, tokenizer)
    assert trained == generated


def test_every_family_that_writes_a_text_for_a_text_is_tried():
    speech = {
        arch
        for arch, name in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES.items()
        if "audio" in arch or "asr" in arch or "speech" in arch or "voxtral" in arch or not isinstance(name, str)
    }
    left = set(MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES) - set(SIZES) - OTHERS - speech
    assert left <= {"audioflamingo3", "glmasr", "moss_transcribe_diarize", "musicflamingo", "omniasr"}


def test_the_first_mbart_begins_with_the_mark_of_its_language(mbart_tokenizer, caplog):
    model = made("mbart", len(mbart_tokenizer), decoder_start_token_id=0, bos_token_id=0)
    begin_as_in_training(model, mbart_tokenizer, model.generation_config, frozenset())
    english = mbart_tokenizer.convert_tokens_to_ids("en_XX")
    assert model.generation_config.decoder_start_token_id == english
    assert "MBartForConditionalGeneration begins a text with 'en_XX' in training" in caplog.text


def test_a_start_that_training_does_not_have_is_refused(mbart_tokenizer):
    model = made("mbart", len(mbart_tokenizer))
    settings = GenerationConfig(decoder_start_token_id=0)
    with pytest.raises(InputError, match=r"decoder_start_token_id=0 is '<s>', but in training .* begins with 'en_XX'"):
        begin_as_in_training(model, mbart_tokenizer, settings, frozenset({"decoder_start_token_id"}))


def test_a_start_of_the_users_is_that_of_training_too(bart_tokenizer):
    model = made("bart", len(bart_tokenizer), decoder_start_token_id=2)
    settings = GenerationConfig(decoder_start_token_id=4)
    begin_as_in_training(model, bart_tokenizer, settings, frozenset({"decoder_start_token_id"}))
    model.generation_config = settings
    assert agree(model, bart_tokenizer) == (4, 4)


def bert_to_bert(vocab_size: int) -> PreTrainedModel:
    size = {"vocab_size": vocab_size, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    encoder = BertConfig(**size, intermediate_size=16)
    decoder = BertConfig(**size, intermediate_size=16, is_decoder=True, add_cross_attention=True)
    return EncoderDecoderModel(EncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder)).eval()


@pytest.mark.filterwarnings("ignore:Version v4.12.0 introduces")
def test_two_models_in_one_begin_with_cls_and_end_with_sep(bert_tokenizer, caplog):
    """They name neither, which ended the first step of training in a ValueError."""
    tokenizer = bert_tokenizer
    model = bert_to_bert(len(tokenizer))
    model.config.pad_token_id = tokenizer.pad_token_id
    begin_as_in_training(model, tokenizer, model.generation_config, frozenset())
    end_as_in_training(tokenizer, model.generation_config)
    assert agree(model, tokenizer) == (tokenizer.cls_token_id, tokenizer.cls_token_id)
    assert model.generation_config.eos_token_id == tokenizer.sep_token_id
    assert "does not say with which token it begins to write: it is '[CLS]'" in caplog.text


def test_without_any_token_to_begin_with_there_is_one_message():
    tokenizer = train_tokenizer("t5", TEXTS, vocab_size=300)
    model = bert_to_bert(len(tokenizer))
    with pytest.raises(InputError, match=r"with which token its decoder begins.*decoder_start_token_id=0"):
        begin_as_in_training(model, tokenizer, GenerationConfig(), frozenset())


def test_a_token_that_no_target_begins_with_is_not_forced(bart_tokenizer, caplog):
    model = made("bart", len(bart_tokenizer), decoder_start_token_id=2)
    first = bart_tokenizer(text_target="a").input_ids[0]
    for forced, kept in ((first, first), (7, None)):
        settings = GenerationConfig(decoder_start_token_id=2, forced_bos_token_id=forced)
        with caplog.at_level(logging.WARNING):
            begin_as_in_training(model, bart_tokenizer, settings, frozenset())
        assert settings.forced_bos_token_id == kept
    assert "which no target begins with" in caplog.text
    settings = GenerationConfig(decoder_start_token_id=2, forced_bos_token_id=7)
    begin_as_in_training(model, bart_tokenizer, settings, frozenset({"forced_bos_token_id"}))
    assert settings.forced_bos_token_id == 7, "the user's own wish"
