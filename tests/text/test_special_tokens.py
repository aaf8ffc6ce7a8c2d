"""A special token that is written in a text is text, for every kind of tokenizer; what should be special still is."""

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer, ByT5Tokenizer, PreTrainedTokenizerBase

from blurr.models.objects import HFObjects
from blurr.text.blocks import BatchTokenizeTransform
from blurr.text.inputs import tokenize_texts
from blurr.text.language_modeling.causal_lm import CausalLM
from blurr.text.language_modeling.chunking import plain_tokens, separator_ids
from blurr.text.language_modeling.masked_lm import MaskedLM
from blurr.text.question_answering.rows import tokenize_questions
from blurr.text.scratch import train_tokenizer
from blurr.text.seq2seq.rows import tokenize_pairs
from blurr.text.special_tokens import note_own, reader_of, special_tokens
from blurr.text.token_classification.words import tokenize_words

# the signs of special tokens are known, so that none of them becomes the unknown token
TEXTS = [f"a film {i} was good and it is bad < s > / [ S E P ] C L K M A m a k p d u n e | _ X" for i in range(40)]
KINDS = ["bert", "roberta", "t5", "xlm-roberta", "gpt2", "mbart", "deberta-v2", "xlnet", "bart", "camembert"]


@pytest.fixture(scope="module")
def tokenizers() -> dict[str, PreTrainedTokenizerBase]:
    made = {kind: train_tokenizer(kind, TEXTS, vocab_size=300) for kind in KINDS}
    for tokenizer in made.values():
        note_own(tokenizer)
    return {**made, "byt5": ByT5Tokenizer()}


def special_inside(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> list[str]:
    """The special tokens that no template has written, leaving unknown letters out."""
    plain = list(tokenizer("a")["input_ids"])
    inner = [i for i in ids if i not in plain or tokenizer.convert_ids_to_tokens(i) not in special_tokens(tokenizer)]
    named = special_tokens(tokenizer) - {str(tokenizer.unk_token)}
    return [token for token in tokenizer.convert_ids_to_tokens(inner) if token in named]


@pytest.mark.parametrize("kind", [*KINDS, "byt5"])
def test_special_tokens_in_a_text_are_text(kind: str, tokenizers):
    tokenizer = tokenizers[kind]
    plain = len(tokenize_texts(tokenizer, ["a film"])["input_ids"][0])
    for token in sorted(special_tokens(tokenizer)):
        text = f"a film {token} was good"
        ids = tokenize_texts(tokenizer, [text])["input_ids"][0]
        assert special_inside(tokenizer, ids) == []
        assert len(ids) > plain
        assert len(tokenize_texts(tokenizer, [text], special_tokens="parse")["input_ids"][0]) < len(ids)
        assert special_inside(tokenizer, tokenize_texts(tokenizer, [text, text], [token, "a"])["input_ids"][0]) == []
        words = tokenize_texts(tokenizer, [text.split()], is_split_into_words=True)["input_ids"][0]
        assert special_inside(tokenizer, words) == []


@pytest.mark.parametrize("kind", ["bert", "roberta", "t5", "xlm-roberta"])
def test_a_text_without_special_tokens_is_read_as_it_always_was(kind: str, tokenizers):
    tokenizer = tokenizers[kind]
    assert reader_of(tokenizer, ["a film was good"]) is tokenizer
    reader = reader_of(tokenizer, [f"a film {tokenizer.eos_token or tokenizer.sep_token}"])
    assert reader is not tokenizer
    assert reader("a film was good", "it is bad").input_ids == tokenizer("a film was good", "it is bad").input_ids


@pytest.mark.parametrize("kind", ["bert", "xlm-roberta", "roberta"])
def test_words_and_answers_keep_their_places(kind: str, tokenizers):
    tokenizer = tokenizers[kind]
    tokenizer.model_max_length = 64
    mark = str(tokenizer.sep_token)
    words = ["a", mark, "film"]
    window = tokenize_words(tokenizer, [words])[0]
    assert {number for number in window.words if number is not None} == {0, 1, 2}
    context = f"it is {mark} good"
    columns = tokenize_questions(tokenizer, [f"was {mark} bad"], [context])
    ends = zip(columns["char_start"][0], columns["char_end"][0], strict=True)
    pieces = [context[a:b].strip() for a, b in ends if b > a]
    assert "".join(pieces) == context.replace(" ", "")
    assert special_inside(tokenizer, columns["input_ids"][0].tolist()) == []


def test_a_mask_hides_a_word_and_other_marks_do_not(tokenizers):
    tokenizer = tokenizers["bert"]
    hf = HFObjects("bert", None, tokenizer, None)  # type: ignore[arg-type]
    rows = {"text": ["a [MASK] was [SEP] good"]}
    task = MaskedLM(chunk=False)
    for ids in (task.encode(rows, hf)["input_ids"][0], task.encode_items(rows, hf)["input_ids"][0]):
        assert list(ids).count(tokenizer.mask_token_id) == 1
        assert list(ids).count(tokenizer.sep_token_id) == 1
    parsed = MaskedLM(chunk=False, special_tokens="parse").encode_items(rows, hf)["input_ids"][0]
    assert list(parsed).count(tokenizer.sep_token_id) == 2


def test_a_causal_language_model_ends_where_its_separator_says(tokenizers):
    tokenizer = tokenizers["gpt2"]
    end = str(tokenizer.eos_token)
    hf = HFObjects("gpt2", None, tokenizer, None)  # type: ignore[arg-type]
    task = CausalLM(chunk=False, block_size=64)
    ids = task.encode({"text": [f"a film {end} was good"]}, hf)["input_ids"][0]
    assert [i for i, token in enumerate(ids) if token == tokenizer.eos_token_id] == [len(ids) - 1]
    assert tokenizer.eos_token_id not in task.encode_items({"text": [f"a {end}"]}, hf)["input_ids"][0]
    assert separator_ids(tokenizer, end, ()) == [tokenizer.eos_token_id]
    assert plain_tokens(tokenizer, [end])["input_ids"][0] != [tokenizer.eos_token_id]


def test_tokens_of_a_prefix_and_of_the_user_are_special(tokenizers, tmp_path: Path):
    tokenizer = train_tokenizer("xlm-roberta", TEXTS, vocab_size=300)
    note_own(tokenizer)
    tokenizer.add_special_tokens({"additional_special_tokens": ["[ENT]"]})
    tokenizer.save_pretrained(tmp_path)
    for each in (tokenizer, AutoTokenizer.from_pretrained(tmp_path)):
        note_own(each)  # as loading does: what was known stays
        columns = tokenize_pairs(each, ["a film [ENT] </s>"], ["good </s> [ENT]"], prefix="<mask> ")
        for ids in (columns["input_ids"][0], columns["labels"][0]):
            assert each.convert_tokens_to_ids("[ENT]") in ids
            assert ids.count(each.eos_token_id) == 1
        assert each.mask_token_id in columns["input_ids"][0]


def test_tokens_that_the_user_names_when_loading_are_special():
    tokenizer = train_tokenizer("bert", TEXTS, vocab_size=300)
    tokenizer.add_special_tokens({"additional_special_tokens": ["[ENT]"]})
    note_own(tokenizer, [["[ENT]"]])
    ids = tokenize_texts(tokenizer, ["[ENT] [SEP]"])["input_ids"][0]
    assert ids[1] == tokenizer.convert_tokens_to_ids("[ENT]")
    assert ids.count(tokenizer.sep_token_id) == 1


def test_a_language_is_still_found_by_its_mark(tokenizers):
    tokenizer: Any = train_tokenizer("mbart", TEXTS, vocab_size=300)
    note_own(tokenizer)
    texts = ["a film </s> was good de_DE"]
    for code in ("de_DE", "fr_XX"):
        tokenizer.src_lang = tokenizer.tgt_lang = code
        reader = reader_of(tokenizer, texts)
        mark = tokenizer.convert_tokens_to_ids(code)
        assert list(reader(texts)["input_ids"][0]).count(mark) == 1
        assert list(reader(text_target=texts)["input_ids"][0]).count(mark) == 1


def test_a_notebooks_block_reads_text_as_text(tokenizers):
    tokenizer = tokenizers["bert"]
    tokenizer.model_max_length = 64
    for options, expected in (({}, 1), ({"tok_kwargs": {"special_tokens": "parse"}}, 2)):
        transform = BatchTokenizeTransform("bert", None, tokenizer, _NoPositions(), **options)  # type: ignore[arg-type]
        inputs, _ = transform.encodes([("a [SEP] film",)])
        assert (inputs["input_ids"] == tokenizer.sep_token_id).sum() == expected


class _NoPositions:
    """A model that any length fits."""

    class config:  # noqa: N801  as transformers calls it
        model_type, is_encoder_decoder = "none", False

    @staticmethod
    def named_modules() -> list[Any]:
        return []
