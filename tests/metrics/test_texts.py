"""Words are told by the script of a text, and what was chosen is said."""

import logging

import pytest
from rouge_score.rouge_scorer import RougeScorer

from blurr.metrics import texts as metrics_texts
from blurr.metrics.bleu import Bleu, tokenizer_for
from blurr.metrics.meaning import Meteor
from blurr.metrics.rouge import Rouge
from blurr.metrics.texts import way_of, words_and_signs_of, words_of

ENGLISH = [
    ("The quick brown foxes' jumping isn't over.", "A quick fox jumped over the isn't."),
    ("Naïve café owners paid 3.5% (or 1,000 US$).", "The naive cafe owner pays 1000 US$."),
    ("It's 2026-11-28: well_known e-mail@example.org!", "e-mail example org, well known, 2026"),
]


@pytest.mark.parametrize("kind", ["rouge1", "rouge2", "rougeL"])
@pytest.mark.parametrize("stemmer", [True, False])
def test_english_is_scored_as_rouge_score_does(kind: str, stemmer: bool):
    scorer = RougeScorer([kind], use_stemmer=stemmer)
    for true, text in ENGLISH:
        assert list(Rouge(kind, stemmer).scores([text], [true])) == [scorer.score(true, text)[kind].fmeasure]


@pytest.mark.parametrize(
    ("text", "way"),
    [
        ("the cat", "latin"),
        ("a naïve café owner", "latin"),
        ("", "latin"),
        ("12 34", "latin"),
        ("кот", "whitespace"),
        ("żółć ąę", "whitespace"),
        ("١٢٣", "whitespace"),
        ("बिल्ली", "whitespace"),
        ("안녕 세계", "whitespace"),
        ("猫", "characters"),
        ("Python を使う", "characters"),
        ("แมว", "characters"),
        ("a long English sentence with one name (北京) in it", "latin"),
    ],
)
def test_the_script_of_a_text_says_how_its_words_are_told(text: str, way: str):
    assert way_of(text) == way


@pytest.mark.parametrize(
    ("text", "way", "words"),
    [
        ("Кот, пёс!", "whitespace", ("кот", "пёс")),
        ("बिल्ली बैठी है।", "whitespace", ("बिल्ली", "बैठी", "है")),
        ("我用GPT-4写。", "characters", ("我", "用", "gpt", "4", "写")),
        ("แมวนี้", "characters", ("แ", "ม", "ว", "นี้")),
        ("コーヒー", "characters", ("コ", "ー", "ヒ", "ー")),
        ("ＡＢＣ１", "whitespace", ("abc1",)),
    ],
)
def test_words_keep_their_letters_and_marks(text: str, way, words: tuple[str, ...]):
    assert words_of(text, way) == words


def test_signs_are_words_of_their_own_for_meteor():
    assert words_and_signs_of("猫，狗。", "characters") == ("猫", ",", "狗", "。")


@pytest.mark.parametrize(
    "pair",
    [("猫坐在垫子上", "猫坐在垫子上"), ("кот сидит", "кот сидит"), ("القط نائم", "القط نائم"), ("बिल्ली", "बिल्ली")],
    ids=["Chinese", "Russian", "Arabic", "Hindi"],
)
def test_equal_texts_have_a_rouge_of_1_and_other_texts_less(pair: tuple[str, str]):
    metric = Rouge("rouge1")
    metric.update([pair[1]], [pair[0]])
    assert metric.compute() == 1
    assert metric.note() in ("words by characters", "words by whitespace")
    metric.reset()
    metric.update(["x"], [pair[0]])
    assert metric.compute() == 0


def test_a_way_that_is_asked_for_is_taken():
    assert list(Rouge("rouge1", tokenizer="latin").scores(["кот"], ["кот"])) == [0]
    assert list(Rouge("rouge1", tokenizer="whitespace").scores(["猫 狗"], ["猫 牛"])) == [0.5]
    assert list(Rouge("rouge1", tokenizer="characters").scores(["猫狗"], ["猫牛"])) == [0.5]
    alone = list(Meteor(synonyms=False, tokenizer="latin").scores(["猫狗牛"], ["猫狗羊"]))
    apart = list(Meteor(synonyms=False).scores(["猫狗牛"], ["猫狗羊"]))
    assert alone == [0] < apart


def test_what_was_chosen_is_said_once(caplog: pytest.LogCaptureFixture):
    metrics_texts._say.cache_clear()
    metric = Rouge("rouge1")
    with caplog.at_level(logging.INFO):
        metric.update(["кот"] * 3, ["кот"] * 3)
        metric.update(["the cat"], ["the cat"])
    (line,) = [record.getMessage() for record in caplog.records]
    assert "by tokenizer=whitespace" in line
    assert "set tokenizer to latin, whitespace or characters" in line


@pytest.mark.parametrize(
    ("references", "tokenizer"),
    [
        (["a cat", "une été"], "13a"),
        (["кот сидит"], "13a"),
        (["猫坐在垫子上", "我用GPT写"], "zh"),
        (["แมวนอน"], "char"),
        (["안녕 세계"], "13a"),
        ([""], "13a"),
    ],
    ids=["Latin", "Russian", "Chinese", "Thai", "Korean", "empty"],
)
def test_bleu_takes_the_tokenizer_that_the_references_ask_for(references: list[str], tokenizer: str):
    assert tokenizer_for(references) == tokenizer
    metric = Bleu()
    metric.update(references, references)
    assert metric.note() == (None if tokenizer == "13a" else f"tokenizer {tokenizer}")


def test_bleu_of_japanese_needs_mecab_or_goes_by_characters(monkeypatch: pytest.MonkeyPatch):
    for found, tokenizer in ((None, "char"), (object(), "ja-mecab")):
        monkeypatch.setattr("blurr.metrics.bleu.find_spec", lambda name, found=found: found)
        assert tokenizer_for(["猫がマットの上に座った"]) == tokenizer


def test_a_tokenizer_that_is_asked_for_stands_beside_bleu():
    metric = Bleu(tokenize="char")
    metric.update(["a cat sat"], ["a cat sat"])
    assert (metric.note(), metric.compute()) == ("tokenizer char", pytest.approx(100))
