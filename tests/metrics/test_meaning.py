"""METEOR, BERTScore and BLEU, against the figures of nltk, bert-score and sacrebleu."""

import pickle
from pathlib import Path

import nltk
import pytest
from nltk.tokenize import wordpunct_tokenize
from nltk.translate.bleu_score import corpus_bleu
from sacrebleu.metrics.bleu import BLEU

from blurr.errors import InputError
from blurr.metrics.bleu import Bleu
from blurr.metrics.meaning import BertScore, Meteor, has_wordnet

TRUE = ["the film was great .", "a plot", "it is a film and a plot .", "the plot was dull and the film was poor ."]
PREDICTED = ["the films was fine and it is great .", "a plot", "it was", "plot the . dull was"]


@pytest.fixture(scope="module")
def encoder(tiny_bert: Path) -> str:
    return str(tiny_bert)


def streamed(metric, predictions: list[str], targets: list[str]) -> float:
    metric.reset()
    for i in range(0, len(targets), 3):
        metric.update(predictions[i : i + 3], targets[i : i + 3])
    return float(metric.compute())


# -- METEOR


def test_meteor_of_a_hand_counted_pair():
    # five of six words match, in one piece of two and one of three
    mean = 5 / 6
    expected = mean * (1 - 0.5 * (2 / 5) ** 3)
    pair = (["the cat sat on the mat"], ["the cat lay on the mat"])
    assert streamed(Meteor(synonyms=False), *pair) == pytest.approx(expected)


def test_meteor_matches_stems_and_is_the_mean_over_rows():
    alone = [streamed(Meteor(synonyms=False), [p], [t]) for p, t in zip(PREDICTED, TRUE, strict=True)]
    assert streamed(Meteor(synonyms=False), PREDICTED, TRUE) == pytest.approx(sum(alone) / 4)
    assert streamed(Meteor(synonyms=False), ["films"], ["film"]) == streamed(Meteor(synonyms=False), ["film"], ["film"])
    assert streamed(Meteor(synonyms=False), [""], ["film"]) == 0


class Synonyms:
    """A WordNet of one word."""

    @staticmethod
    def synsets(word: str) -> list:
        return [Synonyms] if word == "flick" else []

    @staticmethod
    def lemmas() -> list:
        return [Synonyms]

    @staticmethod
    def name() -> str:
        return "film"


def test_meteor_is_that_of_nltk_where_wordnet_is_at_hand():
    metric = Meteor(synonyms=False)
    plain = streamed(metric, ["a flick"], ["a film"])
    metric.wordnet = Synonyms
    words = (wordpunct_tokenize("a film"), wordpunct_tokenize("a flick"))
    expected = nltk.translate.meteor_score.single_meteor_score(*words, wordnet=Synonyms)
    assert streamed(metric, ["a flick"], ["a film"]) == pytest.approx(expected) != plain


def test_wordnet_that_is_demanded_and_not_there_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("blurr.metrics.meaning.has_wordnet", lambda: False)
    with pytest.raises(InputError, match=r"needs the WordNet data of nltk.*nltk\.downloader wordnet"):
        Meteor(synonyms=True)


def test_wordnet_is_looked_for_where_nltk_keeps_its_data():
    found = any((Path(folder) / "corpora" / name).exists() for folder in nltk.data.path for name in NAMES)
    assert has_wordnet() == found


NAMES = ("wordnet", "wordnet.zip")


# -- BERTScore


@pytest.mark.filterwarnings("ignore")  # of bert-score's own
@pytest.mark.parametrize(("score", "place"), [("precision", 0), ("recall", 1), ("f1", 2)])
@pytest.mark.parametrize("layer", [None, 1])
def test_bertscore_is_that_of_bert_score(score: str, place: int, layer: int | None, encoder: str):
    from bert_score import BERTScorer

    expected = BERTScorer(model_type=encoder, num_layers=layer or 2).score(PREDICTED, TRUE)[place]
    metric = BertScore(encoder, score, layer)
    assert list(metric.scores(PREDICTED, TRUE)) == pytest.approx(expected.tolist(), abs=1e-5)
    assert streamed(metric, PREDICTED, TRUE) == pytest.approx(float(expected.mean()), abs=1e-5)


def test_an_empty_text_scores_nothing(encoder: str):
    assert list(BertScore(encoder).scores(["", "film", ""], ["film", "film", ""])) == pytest.approx([0, 1, 0])


def test_a_long_text_is_cut_off(encoder: str):
    assert 0 < streamed(BertScore(encoder), ["film plot " * 50], ["film"]) < 1


def test_a_copy_of_the_metric_does_not_hold_the_model(encoder: str):
    assert len(pickle.dumps(BertScore(encoder))) < 1000


def test_a_folder_without_an_encoder_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match=r"bertscore\.model=.*no encoder can be loaded"):
        BertScore(str(tmp_path))


def test_a_layer_that_there_is_not_is_refused(encoder: str):
    with pytest.raises(InputError, match=r"bertscore\.layer=3, but .* has 2 layers"):
        BertScore(encoder, layer=3)


# -- BLEU


@pytest.mark.filterwarnings("ignore:\\nThe hypothesis contains 0 counts")
def test_plain_bleu_is_that_of_nltk():
    expected = corpus_bleu([[t.split()] for t in TRUE], [p.split() for p in PREDICTED])
    assert streamed(Bleu(), PREDICTED, TRUE) == pytest.approx(100 * expected, abs=1e-6)


def test_smoothed_bleu_is_that_of_sacrebleu():
    expected = BLEU().corpus_score(PREDICTED, [TRUE]).score
    assert streamed(Bleu(smooth="exp"), PREDICTED, TRUE) == pytest.approx(expected) != streamed(Bleu(), PREDICTED, TRUE)
