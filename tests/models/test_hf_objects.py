"""Where weights come from, and what a model from scratch is made of."""

import logging
from pathlib import Path

import pytest
import torch
import yaml

from blurr.config import paths
from blurr.errors import InputError, ResourceError
from blurr.models import objects as hf_objects
from blurr.models import weights
from blurr.models.failures import readable
from blurr.models.groups import blurr_splitter
from blurr.models.objects import build_model
from blurr.models.weights import choose_weights, is_at_hand
from blurr.text.inputs import TEXT
from blurr.text.objects import NLP
from blurr.text.scratch import train_tokenizer

TEXTS = [f"a film number {i} was good, and number {i + 1} was bad." for i in range(60)]
FAMILIES = [
    name
    for name, file in paths.options("model").items()
    if name != "auto" and "blurr.models.objects" in file.read_text("utf-8")
]  # of texts


def corpus() -> list[str]:
    return TEXTS


def scratch(name: str, model_cls: str, **options) -> hf_objects.HFObjects:
    """Build a family as its YAML says, from scratch."""
    values = yaml.safe_load(paths.options("model")[name].read_text())
    values = {k: v for k, v in values.items() if k not in {"_target_", "weights"}}
    made = {"model_cls": model_cls, "config": {}, "corpus": corpus, "load_weights": True, "weights": "scratch"}
    return build_model(**{**values, **made, **options}, inputs=TEXT)


# -- which weights


def test_auto_falls_back_to_scratch_aloud(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING):
        assert choose_weights("nobody/no-model", "auto", "bert") == "scratch"
    assert "RANDOM weights" in caplog.text
    assert "model.weights=pretrained" in caplog.text


def test_auto_takes_a_local_checkpoint(tiny_bert: Path):
    assert choose_weights(str(tiny_bert), "auto", "bert") == "pretrained"


def test_scratch_is_taken_even_where_a_checkpoint_is_at_hand(tiny_bert: Path):
    assert choose_weights(str(tiny_bert), "scratch", "bert") == "scratch"


@pytest.mark.parametrize(("weights", "arch"), [("pretrained", "bert"), ("auto", None)], ids=["pretrained", "no family"])
def test_weights_that_cannot_be_had_stop_with_what_to_do(weights: str, arch: str | None):
    with pytest.raises(InputError, match=r"nobody/no-model.*HF_HUB_OFFLINE is set\. Set model\.name to a local folder"):
        choose_weights("nobody/no-model", weights, arch)


def test_a_hub_that_does_not_answer_is_no_mistake_of_the_users(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setattr(weights, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ResourceError, match=r"nobody/model.*127\.0\.0\.1:9\) does not answer\. Try again later"):
        choose_weights("nobody/model", "pretrained", "bert")


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), ResourceError, "Out of memory"),
        (OSError(28, "No space left on device"), ResourceError, "cannot be written or read: No space left"),
        (ConnectionError("no route"), ResourceError, r"does not give the model 'a/b': no route.*Try again later"),
        (OSError("a/b has no file model.safetensors"), InputError, "Cannot load a model from 'a/b' as bert"),
    ],
    ids=["memory", "disk", "network", "a wrong folder"],
)
def test_what_a_checkpoint_that_is_not_loaded_is_answered_with_tells_whose_fault_it_is(error, kind, says, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    with pytest.raises(kind, match=says), readable("a/b", "bert"):
        raise error


def test_a_folder_without_a_model_is_named_with_what_it_has(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(InputError, match=r"holds no config\.json; it has \['notes\.txt'\]"):
        is_at_hand(str(tmp_path))


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "~/nowhere", "a/b/c"])
def test_a_path_that_is_no_folder_is_no_hub_id(name: str):
    with pytest.raises(InputError, match="There is no folder"):
        is_at_hand(name)


def test_a_hub_that_says_no_is_not_taken_for_silence(monkeypatch: pytest.MonkeyPatch):
    import http.server
    import threading

    class Refuses(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(404 if "missing" in self.path else 503)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refuses)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(weights, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.delenv("HF_HUB_OFFLINE")
    with pytest.raises(InputError, match=r"has no model 'missing-model', or you may not read it \(404"):
        weights.hub_has("missing-model")
    assert not weights.hub_has("busy-model")
    server.shutdown()
    server.server_close()


def test_a_broken_checkpoint_is_one_message(tiny_bert: Path, tmp_path: Path):
    (tmp_path / "config.json").write_text("{}")
    from transformers import AutoModelForSequenceClassification

    with pytest.raises(InputError, match="Cannot load a model from .* as AutoModelForSequenceClassification"):
        NLP.get_hf_objects(tmp_path, AutoModelForSequenceClassification)


def test_architectures_are_listed_without_loading_them():
    assert {"bert", "bart", "t5"} <= set(NLP.get_architectures())


# -- from scratch


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_built_from_its_yaml(family: str):
    seq2seq = family in {"bart", "t5", "mbart", "marian", "pegasus", "m2m100", "nllb"}
    hf = scratch(family, "AutoModelForSeq2SeqLM" if seq2seq else "AutoModelForSequenceClassification")
    assert hf.weights == "scratch"
    assert hf.model.config.pad_token_id == hf.tokenizer.pad_token_id
    assert hf.model.get_input_embeddings().num_embeddings >= len(hf.tokenizer)
    ids = hf.tokenizer(TEXTS[0])["input_ids"]
    assert hf.tokenizer.decode(ids, skip_special_tokens=True).lower().split()[:3] == ["a", "film", "number"]
    labels = {"labels": torch.tensor([ids])} if seq2seq else {}
    assert hf.model(input_ids=torch.tensor([ids]), **labels).logits.isfinite().all()


@pytest.mark.parametrize("family", FAMILIES)
def test_parameter_groups_begin_with_the_embeddings_and_hold_each_weight_once(family: str):
    seq2seq = family in {"marian", "pegasus", "bart", "m2m100", "nllb"}
    hf = scratch(family, "AutoModelForSeq2SeqLM" if seq2seq else "AutoModelForSequenceClassification")
    groups = blurr_splitter(hf.model)
    together = [p for group in groups for p in group]
    assert len(groups) >= 3
    assert any(p is hf.model.get_input_embeddings().weight for p in groups[0])
    assert len(together) == len({id(p) for p in together}) == len(list(hf.model.parameters()))
    if not seq2seq:
        names = {id(p): name for name, p in hf.model.named_parameters()}
        assert not any(names[id(p)].startswith(f"{hf.model.base_model_prefix}.") for p in groups[-1])


@pytest.mark.parametrize("arch", ["bert", "t5", "bart", "deberta-v2"])
def test_a_trained_tokenizer_is_the_same_each_time(arch: str):
    first, second = (train_tokenizer(arch, TEXTS, vocab_size=300) for _ in range(2))
    assert first.get_vocab() == second.get_vocab()
    assert first(TEXTS[3])["input_ids"] == second(TEXTS[3])["input_ids"]
    assert len(first) <= 300


def test_words_that_were_not_in_the_corpus_fall_into_pieces():
    tokenizer = train_tokenizer("bert", TEXTS, vocab_size=300)
    assert tokenizer.unk_token_id not in tokenizer("a good film, but a mild one")["input_ids"][:3]
    assert len(tokenizer.tokenize("filmmood")) > 1


@pytest.mark.parametrize(
    ("arch", "tokenizer", "near"),
    [("brt", None, "'brt'"), ("bert", "BertTokenzer", "Did you mean 'BertTokenizer'")],
    ids=["architecture", "class"],
)
def test_an_unknown_tokenizer_is_refused(arch: str, tokenizer: str | None, near: str):
    with pytest.raises(InputError, match=near):
        train_tokenizer(arch, TEXTS, vocab_size=300, tokenizer=tokenizer)


def test_a_tokenizer_that_cannot_be_made_without_its_files_is_named_with_what_to_do():
    with pytest.raises(InputError, match=r"CTRLTokenizer of 'ctrl' cannot be made.*Set model\.scratch_tokenizer"):
        train_tokenizer("ctrl", TEXTS, vocab_size=300)


def test_a_tokenizer_of_letters_needs_no_training():
    tokenizer = train_tokenizer("canine", TEXTS, vocab_size=300)
    assert tokenizer("ab", add_special_tokens=False)["input_ids"] == [ord("a"), ord("b")]


def test_a_model_from_scratch_finds_the_end_of_the_question():
    """Longformer looks for the separator of its config, which was another one than the trained tokenizer's."""
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    made: dict = {"model_cls": "AutoModelForQuestionAnswering", "config": {}, "corpus": corpus, "weights": "scratch"}
    hf = build_model("none", arch="longformer", load_weights=True, scratch=sizes, **made, inputs=TEXT)
    assert hf.config.sep_token_id == hf.tokenizer.sep_token_id


def test_scratch_of_a_local_checkpoint_keeps_its_size_and_tokenizer(tiny_bert: Path):
    given: dict = {"model_cls": "AutoModelForSequenceClassification", "corpus": corpus, "load_weights": True}
    fresh = build_model(str(tiny_bert), config={"num_labels": 3}, weights="scratch", **given, inputs=TEXT)
    loaded = build_model(str(tiny_bert), config={"num_labels": 3}, weights="pretrained", **given, inputs=TEXT)
    assert fresh.weights == "scratch"
    assert fresh.tokenizer.get_vocab() == loaded.tokenizer.get_vocab()
    weight = "bert.embeddings.word_embeddings.weight"
    assert fresh.model.state_dict()[weight].shape == loaded.model.state_dict()[weight].shape
    assert not torch.equal(fresh.model.state_dict()[weight], loaded.model.state_dict()[weight])


def test_a_plan_needs_no_memory_for_weights(tiny_bert: Path):
    hf = build_model(
        str(tiny_bert),
        model_cls="AutoModelForSequenceClassification",
        inputs=TEXT,
        config={},
        corpus=corpus,
        load_weights=False,
    )
    assert {p.device.type for p in hf.model.parameters()} == {"meta"}
