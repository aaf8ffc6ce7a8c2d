"""What the decoder of a sequence-to-sequence model reads in training."""

import pytest
import torch
from transformers import AutoConfig, AutoModelForSeq2SeqLM, BertConfig, BertForTokenClassification

from blurr.models.decoder import decoder_inputs

SIZES = {
    "d_model": 16,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 16,
    "decoder_ffn_dim": 16,
    "max_position_embeddings": 32,
}
IDS = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 2}
SOURCE = torch.tensor([[5, 6, 7, 2]])
LABELS = torch.tensor([[8, 9, 2, -100]])


def seq2seq(arch: str, **config):
    torch.manual_seed(0)
    return AutoModelForSeq2SeqLM.from_config(AutoConfig.for_model(arch, **{**SIZES, **IDS, **config})).eval()


def batch() -> dict[str, torch.Tensor]:
    return {"input_ids": SOURCE, "attention_mask": torch.ones_like(SOURCE), "labels": LABELS.clone()}


def test_the_decoder_reads_the_target_even_where_the_model_would_let_it_read_the_source():
    """FSMT shifts the source where it is given labels alone, which shows only where their lengths differ."""
    model = seq2seq("fsmt", src_vocab_size=20, tgt_vocab_size=20, langs=["de", "en"])
    given = decoder_inputs(batch(), model, own_loss=True)
    assert given["decoder_input_ids"].tolist() == [[2, 8, 9, 2]]
    assert torch.equal(given["labels"], LABELS), "what is padded stays out of the loss"


@pytest.mark.parametrize("own_loss", [True, False], ids=["the model's loss", "another loss"])
def test_shifted_labels_give_the_logits_that_the_model_gives_by_itself(own_loss: bool):
    model = seq2seq("bart", vocab_size=20)
    given = decoder_inputs(batch(), model, own_loss=own_loss)
    assert ("labels" in given) == own_loss
    assert torch.allclose(model(**given).logits, model(**batch()).logits)


def test_a_model_that_cannot_shift_labels_for_others_is_given_them():
    """M2M100 has no method for it, which ended label smoothing in an AttributeError."""
    model = seq2seq("m2m_100", vocab_size=20)
    given = decoder_inputs(batch(), model, own_loss=False)
    assert model(**given).logits.shape == (1, 4, 20)


def test_a_model_without_a_decoder_keeps_its_labels_for_its_own_loss_alone():
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    model = BertForTokenClassification(BertConfig(vocab_size=20, **sizes))
    assert set(decoder_inputs(batch(), model, own_loss=True)) == {"input_ids", "attention_mask", "labels"}
    assert set(decoder_inputs(batch(), model, own_loss=False)) == {"input_ids", "attention_mask"}
