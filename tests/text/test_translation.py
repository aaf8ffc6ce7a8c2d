"""Translation: languages, prefixes, scores, and the high-level door."""

import json
import random
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer
from transformers import (
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    GenerationConfig,
    M2M100Tokenizer,
    PreTrainedTokenizerBase,
)

from blurr.data.at_hand import from_data
from blurr.data.core import RawData
from blurr.errors import InputError
from blurr.loading.loader import Loader
from blurr.metrics.bleu import Bleu, ChrF
from blurr.models.objects import HFObjects, build_model
from blurr.tasks.base import Task
from blurr.text.inputs import TEXT
from blurr.text.modeling.all import BlearnerForTranslation
from blurr.text.scratch import train_tokenizer
from blurr.text.seq2seq.languages import check_language, language_codes, language_settings, set_languages
from blurr.text.seq2seq.samples import PEOPLE, sentences
from blurr.text.seq2seq.summarization import Summarization
from blurr.text.seq2seq.translation import Translation

TEXTS = ["das Haus ist alt .", "the house is old ."] * 20


@pytest.fixture
def pairs(notes: pd.DataFrame) -> list[dict]:
    """Rows as data sets of translations have them: one dict of both languages."""
    return [
        {"translation": {"de": text, "en": summary}, "is_valid": valid}
        for text, summary, valid in zip(notes.text, notes.summary, notes.is_valid, strict=True)
    ]


@pytest.fixture(scope="module")
def mbart() -> PreTrainedTokenizerBase:
    return train_tokenizer("mbart", TEXTS, vocab_size=400)


@pytest.fixture(scope="module")
def m2m100(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerBase:
    """The tokenizer of M2M100, which is made of the files of SentencePiece."""
    folder = tmp_path_factory.mktemp("m2m100")
    options = {"vocab_size": 60, "model_type": "bpe", "hard_vocab_limit": False, "minloglevel": 2}
    SentencePieceTrainer.train(sentence_iterator=iter(TEXTS), model_prefix=str(folder / "spm"), **options)
    pieces = SentencePieceProcessor(model_file=str(folder / "spm.model"))
    names = ["<s>", "<pad>", "</s>", "<unk>"] + [pieces.id_to_piece(i) for i in range(3, len(pieces))]
    (folder / "vocab.json").write_text(json.dumps({name: i for i, name in enumerate(names)}))
    return M2M100Tokenizer(str(folder / "vocab.json"), str(folder / "spm.model"))


# -- languages


def test_languages_of_m2m100_go_without_the_marks_around_them(m2m100: PreTrainedTokenizerBase):
    assert {"de", "en"} <= set(language_codes(m2m100))
    set_languages(m2m100, "de", "en")
    assert m2m100("das Haus")["input_ids"][0] == m2m100.get_lang_id("de")
    assert m2m100(text_target="the house")["input_ids"][0] == m2m100.get_lang_id("en")
    assert language_settings(m2m100) == {"forced_bos_token_id": m2m100.get_lang_id("en")}
    with pytest.raises(InputError, match="is not a language of M2M100Tokenizer"):
        set_languages(m2m100, "deu", None)


@pytest.mark.parametrize(
    ("arch", "tokenizer", "languages", "setting"),
    [
        ("m2m_100", "NllbTokenizer", ("deu_Latn", "eng_Latn"), "forced_bos_token_id"),
        ("mbart", "MBart50Tokenizer", ("de_DE", "en_XX"), "forced_bos_token_id"),
        ("mbart", None, ("de_DE", "en_XX"), "decoder_start_token_id"),
    ],
    ids=["NLLB", "mBART-50", "mBART"],
)
def test_a_model_of_many_languages_is_saved_with_the_one_it_shall_write(
    arch, tokenizer, languages, setting, pairs, tmp_path: Path
):
    task = Translation(src_lang=languages[0], tgt_lang=languages[1], generation={"max_new_tokens": 6, "num_beams": 1})
    raw = from_data(task.schema, pairs, columns={"source": "translation.de", "target": "translation.en"})
    hf = scratch_of(task, raw, arch, tokenizer)
    learn = task.learner(task.dataloaders(raw, hf, Loader()), hf, raw=raw, metrics={}, path=tmp_path)
    hf.model.save_pretrained(tmp_path)
    hf.tokenizer.save_pretrained(tmp_path)
    model, loaded = AutoModelForSeq2SeqLM.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    expected = loaded.convert_tokens_to_ids(languages[1])
    assert getattr(model.generation_config, setting) == expected
    ids = model.generate(**loaded("the film was good", return_tensors="pt"))[0]
    assert ids[0 if setting == "decoder_start_token_id" else 1] == expected
    assert learn.predict("the film was good") == [
        {"translation_texts": loaded.decode(ids, skip_special_tokens=True).strip()}
    ]


SIZES = {
    "d_model": 16,
    "max_position_embeddings": 64,
    **{f"{part}_{what}": n for part in ("encoder", "decoder") for what, n in (("layers", 1), ("attention_heads", 2))},
    "encoder_ffn_dim": 16,
    "decoder_ffn_dim": 16,
}


def scratch_of(task: Task, raw: RawData, arch: str, tokenizer: str | None) -> HFObjects:
    return build_model(
        arch,
        model_cls=task.model_cls,
        config={},
        corpus=partial(task.corpus, raw),
        load_weights=True,
        arch=arch,
        weights="scratch",
        scratch=SIZES,
        scratch_tokenizer=tokenizer,
        inputs=TEXT,
    )


def test_languages_are_those_of_the_tokenizer(mbart: PreTrainedTokenizerBase):
    assert {"de_DE", "en_XX"} <= set(language_codes(mbart))


def test_the_decoder_of_mbart_starts_from_the_target_language(mbart: PreTrainedTokenizerBase):
    set_languages(mbart, "de_DE", "fr_XX")
    assert mbart("das Haus")["input_ids"][-1] == mbart.convert_tokens_to_ids("de_DE")
    assert mbart(text_target="the house")["input_ids"][-1] == mbart.convert_tokens_to_ids("fr_XX")
    assert language_settings(mbart) == {"decoder_start_token_id": mbart.convert_tokens_to_ids("fr_XX")}


def test_b30_the_start_of_the_decoder_is_an_id_of_the_language_asked_for(mbart: PreTrainedTokenizerBase):
    for code in ("de_DE", "en_XX"):
        set_languages(mbart, None, code)
        (value,) = language_settings(mbart).values()
        assert value == mbart.convert_tokens_to_ids(code)


def test_an_unknown_language_is_refused_with_the_nearest(mbart: PreTrainedTokenizerBase):
    with pytest.raises(InputError, match=r"task\.src_lang=de_DD is not a language .* Did you mean 'de_DE'\?"):
        set_languages(mbart, "de_DD", None)


def test_a_tokenizer_of_one_pair_wants_no_language(tiny_bart: Path):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_bart)
    assert language_settings(tokenizer) == {}
    with pytest.raises(InputError, match=r"task\.tgt_lang=en.* Leave task\.tgt_lang out"):
        set_languages(tokenizer, None, "en")


def test_without_a_language_targets_are_marked_as_sources_are(m2m100: PreTrainedTokenizerBase):
    """M2M100's tokenizer ended in a KeyError on its first target."""
    m2m100.tgt_lang = None
    m2m100.src_lang = "de"
    set_languages(m2m100, None, None)
    assert m2m100(text_target="the house")["input_ids"][0] == m2m100.get_lang_id("de")


def test_another_language_than_the_checkpoint_writes_is_not_guessed(mbart: PreTrainedTokenizerBase):
    mbart.tgt_lang = "en_XX"
    romanian = mbart.convert_tokens_to_ids("ro_RO")
    own = GenerationConfig(decoder_start_token_id=romanian)
    with pytest.raises(InputError, match=r"writes ro_RO \(its decoder_start_token_id\).* task\.tgt_lang=ro_RO"):
        check_language(mbart, own, language_settings(mbart))
    check_language(mbart, GenerationConfig(decoder_start_token_id=mbart.eos_token_id), language_settings(mbart))


@pytest.mark.parametrize("language", [None, "de_DE"])
def test_summaries_of_a_model_of_many_languages_have_one(language: str | None, notes: pd.DataFrame, tmp_path: Path):
    """Without a language, mBART began to generate with another token than to train, and wrote the same text for all."""
    task = Summarization(language=language, generation={"max_new_tokens": 6})
    raw = from_data(task.schema, notes)
    hf = scratch_of(task, raw, "mbart", None)
    task.learner(task.dataloaders(raw, hf, Loader()), hf, raw=raw, metrics={}, path=tmp_path)
    assert hf.model.generation_config.decoder_start_token_id == hf.tokenizer.convert_tokens_to_ids(language or "en_XX")
    labels = task.encode({"text": ["the film"], "summary": ["a film"]}, hf)["labels"][0]
    assert hf.tokenizer.convert_ids_to_tokens(labels[-1]) == (language or "en_XX")


def test_a_language_of_summaries_is_one_of_the_tokenizers(notes: pd.DataFrame):
    task = Summarization(language="de")
    hf = scratch_of(task, from_data(task.schema, notes), "mbart", None)
    with pytest.raises(InputError, match=r"task\.language=de is not a language of MBartTokenizer"):
        task.encode({"text": ["the film"]}, hf)


# -- tokens


@pytest.mark.parametrize(
    ("arch", "languages", "prefix", "expected"),
    [
        ("t5", ("German", "English"), "auto", "translate German to English: "),
        ("t5", (None, None), "auto", ""),
        ("bart", (None, None), "auto", ""),
        ("bart", (None, None), "de: ", "de: "),
    ],
    ids=["T5", "T5 without languages", "BART", "own"],
)
def test_prefixes_stand_where_the_family_needs_them(arch, languages, prefix, expected, tiny_bart: Path, notes):
    task = Translation(src_lang=languages[0], tgt_lang=languages[1], prefix=prefix)
    hf = build_model(
        str(tiny_bart),
        model_cls=task.model_cls,
        config={},
        corpus=tuple,
        load_weights=True,
        weights="pretrained",
        inputs=TEXT,
    )
    ids = task.encode({"source": ["film"]}, HFObjects(arch, hf.config, hf.tokenizer, hf.model))["input_ids"][0]
    assert ids == hf.tokenizer(expected + "film")["input_ids"]


def test_a_tokenizer_from_scratch_is_trained_on_both_languages(pairs: list[dict]):
    raw = from_data(Translation.schema, pairs, columns={"source": "translation.de", "target": "translation.en"})
    texts = list(Translation().corpus(raw))
    assert set(texts) == {*raw.train["source"], *raw.train["target"]}


def test_rows_of_dicts_are_reached_by_a_dot(pairs: list[dict]):
    raw = from_data(Translation.schema, pairs, columns={"source": "translation.de", "target": "translation.en"})
    assert raw.train[0]["target"] == pairs[1]["translation"]["en"]


# -- scores


def test_scores_are_those_of_sacrebleu_over_all_batches():
    true = ["the cat sat on the mat .", "there is a small dog in the garden .", "we read an old book ."]
    predicted = ["the cat sat on a mat .", "there is a dog in the garden .", "they read a book ."]
    for ours, theirs in ((Bleu(), BLEU()), (ChrF(), CHRF()), (ChrF(word_order=2), CHRF(word_order=2))):
        ours.update(predicted[:1], true[:1])
        ours.update(predicted[1:], true[1:])
        assert ours.compute() == pytest.approx(theirs.corpus_score(predicted, [true]).score)
        ours.reset()
        ours.update(true, true)
        assert ours.compute() == pytest.approx(100)


# -- the high-level door


def test_translations_are_generated_in_one_line(pairs: list[dict], tiny_bart: Path, tmp_path: Path):
    learn = BlearnerForTranslation.from_data(
        pairs,
        tiny_bart,
        src_lang_attr="translation.de",
        trg_lang_attr="translation.en",
        text_gen_kwargs={"max_new_tokens": 4},
        dl_kwargs={"bs": 4},
        learner_kwargs={"path": tmp_path},
    )
    learn.remove_cbs([learn.progress])
    with learn.no_logging():
        learn.fit_one_cycle(1, 1e-3)
    assert [m.name for m in learn.metrics] == ["bleu", "chrf"]
    assert list(learn.blurr_translate("the film")[0]) == ["translation_texts"]
    assert learn.predict(["a film", "the plot"]) == learn.blurr_translate(["a film", "the plot"])
    assert len(learn.show_results(max_n=2, show=False)) == 2


# -- sample data


def test_a_sample_says_the_same_in_both_languages():
    rng = random.Random(0)
    english = dict(PEOPLE)
    for row in (sentences(rng) for _ in range(200)):
        (who,) = [de for de in english if de.lower() in str(row["source"]).lower()]
        assert str(row["target"]).lower().startswith(english[who].lower())
        assert "Montag" not in str(row["source"]) or "on Monday" in str(row["target"])


def test_samples_differ():
    rng = random.Random(0)
    assert len({str(sentences(rng)) for _ in range(3000)}) > 2500
