"""Attention by name: what is asked for is what a model computes, or a message says why not."""

import pytest
import torch

from blurr.errors import InputError
from blurr.models.objects import build_model
from blurr.models.wrapper import set_attention
from blurr.text.inputs import TEXT

TEXTS = ["a good film", "a bad plot and a dull film"]
SIZES = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}


def model_of(arch: str, **options):
    torch.manual_seed(0)
    given = {"arch": arch, "weights": "scratch", "scratch": SIZES, "scratch_vocab": 100, "load_weights": True}
    cls = "AutoModelForSequenceClassification"
    return build_model(
        arch, model_cls=cls, config={}, corpus=lambda: TEXTS, **{**given, **options}, inputs=TEXT
    ).model.eval()


def test_eager_and_sdpa_attention_are_what_is_asked_for_and_agree():
    models = [model_of("bert", attention=name) for name in ("eager", "sdpa")]
    assert [model.config._attn_implementation for model in models] == ["eager", "sdpa"]
    ids = torch.tensor([[5, 6, 7]])
    one, other = (model(input_ids=ids) for model in models)
    torch.testing.assert_close(one.logits, other.logits)
    # only what is written out holds the attentions
    assert model_of("bert", attention="eager")(input_ids=ids, output_attentions=True).attentions[0] is not None


def test_a_plan_without_weights_has_the_attention_too():
    assert model_of("bert", attention="eager", load_weights=False).config._attn_implementation == "eager"


def test_an_attention_that_the_machine_lacks_says_what_is_missing():
    with pytest.raises(
        InputError, match="model.attention=flash_attention_2 is not available for Bert.* installed.*null, which is sdpa"
    ):
        model_of("bert", attention="flash_attention_2")


def test_an_attention_that_the_architecture_lacks_says_what_it_has():
    model = model_of("deberta-v2")
    with pytest.raises(InputError, match=r"sdpa is not available for Deberta.*null, which is eager here"):
        set_attention(model, "sdpa")
    assert model.config._attn_implementation == "eager"


def test_an_unknown_attention_is_refused_before_anything_loads(answer):
    assert "'eager' or 'sdpa' or 'flash_attention_2'" in answer("model.attention=sdpaa")
