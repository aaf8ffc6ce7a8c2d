"""Token classification: words and labels in, entities out, whatever the tokenizer does to a word."""

import json
import random
from pathlib import Path

import datasets
import numpy as np
import pandas as pd
import pytest
import torch
from running import run
from seqeval import metrics as seqeval
from transformers import (
    BertConfig,
    BertForTokenClassification,
    ByT5Tokenizer,
    GPT2Tokenizer,
    RobertaTokenizer,
    TokenClassificationPipeline,
    XLMRobertaTokenizer,
    XLNetTokenizer,
)

from blurr.data.at_hand import from_data as rows_of
from blurr.data.core import RawData
from blurr.errors import InputError
from blurr.loading.loader import Loader
from blurr.loading.rows import IGNORED
from blurr.metrics.classification import Accuracy
from blurr.metrics.regression import RMSE
from blurr.models.objects import HFObjects, build_model
from blurr.runs.jsonlines import read_lines
from blurr.text.inputs import TEXT
from blurr.text.modeling.all import BlearnerForTokenClassification
from blurr.text.scratch import train_tokenizer
from blurr.text.token_classification.learner import ScoredToken, aggregate
from blurr.text.token_classification.metrics import (
    Seqeval,
    WordLabels,
    check_tags,
    documents,
    entities,
    entity_report,
    inside_of,
    iobes,
)
from blurr.text.token_classification.task import TokenClassification
from blurr.text.token_classification.words import align_labels, cut_words, read_words, tokenize_words, word_starts

NAMES = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
SENTENCE = ["EU", "rejects", "German", "call", "to", "boycott", "British", "lamb", "."]
TAGS = ["B-ORG", "O", "B-MISC", "O", "O", "O", "B-MISC", "O", "O"]
PEOPLE, PLACES = ("Terry Gilliam", "Maria", "Ivan Petrov"), ("Los Angeles", "Riga", "Porto")


def word_row(i: int) -> dict:
    """A sentence of one person and one place."""
    per, loc = PEOPLE[i % 3].split(), PLACES[i // 3 % 3].split()
    tags = [["B-PER", "I-PER"][: len(per)], ["O"] * 2, ["B-LOC", "I-LOC"][: len(loc)], ["O"] * (1 + i % 4)]
    return {"tokens": [*per, "visits", "lovely", *loc, *["today"] * (i % 4), "."], "labels": sum(tags, [])}


ROWS = [{**word_row(i), "is_valid": i >= 36} for i in range(48)]
TEXTS = [" ".join([*row["tokens"], *SENTENCE]) for row in ROWS]


@pytest.fixture(scope="module")
def tagger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of two layers with random weights, whose tokenizer cuts most words into pieces."""
    folder = tmp_path_factory.mktemp("tiny-tagger")
    torch.manual_seed(0)
    tokenizer = train_tokenizer("bert", TEXTS, vocab_size=60)
    tokenizer.model_max_length = 64
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = BertConfig(vocab_size=len(tokenizer), max_position_embeddings=64, **sizes)
    BertForTokenClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def tokenizer(tagger: Path):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tagger)


@pytest.fixture
def learner(tagger: Path, tmp_path: Path) -> BlearnerForTokenClassification:
    learner = BlearnerForTokenClassification.from_data(
        ROWS, tagger, dl_kwargs={"bs": 8}, learner_kwargs={"path": tmp_path}
    )
    learner.remove_cbs([learner.progress])
    return learner


@pytest.fixture(scope="module")
def trained(tagger: Path) -> BlearnerForTokenClassification:
    torch.manual_seed(0)
    learner = BlearnerForTokenClassification.from_data(ROWS, tagger, dl_kwargs={"bs": 8})
    learner.remove_cbs([learner.progress])
    learner.unfreeze()
    with learner.no_logging():
        learner.fit_one_cycle(15, 5e-3)
    return learner


@pytest.fixture(scope="module")
def tokenizers(tokenizer) -> dict:
    """One of each kind of vocabulary."""
    trained = {
        "roberta": RobertaTokenizer,
        "gpt2": GPT2Tokenizer,
        "xlm_roberta": XLMRobertaTokenizer,
        "xlnet": XLNetTokenizer,
    }
    known = {
        name: cls().train_new_from_iterator(TEXTS, vocab_size=400, show_progress=False) for name, cls in trained.items()
    }
    known["gpt2"].pad_token = "<|endoftext|>"
    return {"bert": tokenizer, **known}


def objects(tokenizer, names=NAMES) -> HFObjects:
    config = BertConfig(id2label=dict(enumerate(names)), num_labels=len(names))
    return HFObjects("bert", config, tokenizer, None)


# -- labels of tokens


@pytest.mark.parametrize("labels", [["B-PER", "O", "B-LOC"], [1, 0, 3]], ids=["names", "ids"])
@pytest.mark.parametrize(
    ("labeling", "expected"),
    [
        ("first", [-100, 1, -100, 0, 3, -100, -100, -100]),
        ("same", [-100, 1, 1, 0, 3, 3, 3, -100]),
        ("bi", [-100, 1, 2, 0, 3, 4, 4, -100]),
    ],
)
def test_tokens_are_labelled_by_their_word(labeling, expected, labels):
    assert align_labels([None, 0, 0, 1, 2, 2, 2, None], labels, NAMES, labeling) == expected


def test_later_tokens_are_outside_where_there_is_no_inside_label():
    assert align_labels([0, 0, 1, 1], ["B-X", "I-Y"], ["O", "B-X", "I-Y"], "bi") == [1, 0, 2, 2]


@pytest.mark.parametrize("label", ["B-PRE", 5, -1], ids=str)
def test_an_unknown_label_is_named(label):
    with pytest.raises(InputError, match=rf"The label {label!r} is unknown; the labels are \['O', 'B-PER'"):
        align_labels([0], [label], NAMES)


@pytest.mark.parametrize("kind", ["bert", "roberta", "gpt2", "xlm_roberta", "xlnet"])
def test_b41_words_come_back_whole_with_their_labels_from_any_tokenizer(kind, tokenizers):
    """Blurr 1.x merged words ("lamb.") and shifted their labels."""
    names = sorted(set(TAGS), reverse=True)
    task, hf = TokenClassification(), objects(tokenizers[kind], names)
    raw = rows_of(task.schema, [{"tokens": SENTENCE, "labels": TAGS}] * 2, valid=[{"tokens": SENTENCE, "labels": TAGS}])
    dls = task.dataloaders(raw, hf, Loader(batch_size=2))
    table = dls.show_batch(show=False)
    words, labels = zip(*table[0]["word / target label"], strict=True)
    expected = [w.lower() for w in SENTENCE] if kind == "bert" else SENTENCE
    assert (list(words), list(labels)) == (expected, TAGS)
    inputs, targets = dls.one_batch()
    assert torch.equal(inputs["labels"], targets)
    assert (targets[~word_starts(inputs["word_numbers"])] == IGNORED).all()


def test_byte_level_words_are_what_they_are_in_running_text(tokenizers):
    roberta = tokenizers["roberta"]
    text = [""] + SENTENCE
    ids = tokenize_words(roberta, [SENTENCE])[0].ids
    assert ids == roberta(" ".join(text))["input_ids"]


def test_show_batch_cuts_to_so_many_words(learner):
    rows = learner.dls.show_batch(max_n=2, trunc_at=3, show=False)
    assert [len(row["word / target label"]) for row in rows] == [3, 3]


def test_show_results_puts_the_prediction_beside_the_target(trained):
    row = trained.show_results(max_n=1, show=False)[0]["word / target label / predicted label"]
    assert all(target == predicted for _, target, predicted in row)


# -- windows


def decided(windows, row: int) -> list[int]:
    return [w for window in windows if window.row == row for w in dict.fromkeys(window.words) if w is not None]


@pytest.mark.parametrize("max_length", [8, 16, 32, 64])
@pytest.mark.parametrize("stride", [0, 2, 50])
def test_b3_nothing_is_lost_reordered_or_counted_twice(tokenizer, max_length, stride):
    """Blurr 1.x lost the last words, put words in another order, and made windows that were too long."""
    rng = random.Random(max_length)
    texts = [rng.choices(SENTENCE + ["visits", "Gilliam", "\u200d", "x" * 90], k=n) for n in (1, 5, 30, 700)]
    windows = tokenize_words(tokenizer, texts, max_length=max_length, stride=stride)
    assert max(len(window.ids) for window in windows) <= max_length
    for row, words in enumerate(texts):
        assert decided(windows, row) == list(range(len(words)))
    tags = [[NAMES[1 + i % 4] for i in range(len(words))] for words in texts]
    for labeling in ("first", "same", "bi"):
        columns = TokenClassification(labeling=labeling, max_length=max_length, stride=stride).encode(
            {"tokens": texts, "labels": tags}, objects(tokenizer)
        )
        found: list[list[str]] = [[] for _ in texts]
        for row, numbers, labels in zip(columns["row"], columns["word_numbers"], columns["labels"], strict=True):
            marks = word_starts(torch.tensor([numbers]))[0].tolist()
            found[row] += [NAMES[label] for label, mark in zip(labels, marks, strict=True) if mark]
            assert all(label == IGNORED for label, n in zip(labels, numbers, strict=True) if n == 0)
        assert found == tags


@pytest.mark.parametrize("seed", range(20))
def test_windows_advance_overlap_and_decide_each_word_once(seed):
    rng = random.Random(seed)
    sizes, room, stride = [rng.choice((1, 1, 2, 3, 9)) for _ in range(200)], rng.randint(1, 12), rng.randint(0, 9)
    cuts = cut_words(sizes, room, stride)
    assert [w for _, own in cuts for w in own] == list(range(200))
    for read, own in cuts:
        assert read.start <= own.start < own.stop <= read.stop
        assert sum(min(size, room) for size in sizes[read.start : read.stop]) <= room
    for (a, _), (b, _) in zip(cuts, cuts[1:], strict=False):
        assert a.start < b.start <= a.stop < b.stop
        assert a.stop - b.start <= stride


def test_neighbouring_windows_share_the_stride_in_words():
    assert [read for read, _ in cut_words([1] * 20, 10, 4)] == [range(10), range(6, 16), range(12, 20)]


def test_b2_windows_need_nothing_but_their_arguments(tagger):
    """Blurr 1.x read a global variable of the notebook."""
    learner = BlearnerForTokenClassification.from_data(ROWS, tagger, max_length=8, stride=1)
    assert len(learner.dls.train_ds) > 36


def test_a_word_without_tokens_becomes_the_unknown_token(tokenizer):
    window = tokenize_words(tokenizer, [["\u200d"], ["lamb", "\u200d"]])
    assert window[0].ids == [tokenizer.cls_token_id, tokenizer.unk_token_id, tokenizer.sep_token_id]
    assert window[1].ids[-2:] == [tokenizer.unk_token_id, tokenizer.sep_token_id]


def test_a_window_without_room_for_words_is_refused(tokenizer):
    with pytest.raises(InputError, match="no room for words beside its 2 special tokens; raise task.max_length"):
        tokenize_words(tokenizer, [SENTENCE], max_length=2)


def test_a_document_in_windows_is_scored_and_described_as_one(trained):
    words, labels = [sum((ROWS[i][key] for i in range(12)), []) for key in ("tokens", "labels")]
    rows = [{"tokens": words, "labels": labels}, ROWS[0]]
    task = TokenClassification(max_length=12, stride=2)
    raw = rows_of(task.schema, ROWS, valid=[{k: row[k] for k in ("tokens", "labels")} for row in rows])
    hf = HFObjects("bert", trained.model.hf_model.config, trained.dls.tokenizer, trained.model.hf_model)
    metrics = {"f1": Seqeval(), "recall": Seqeval("recall")}
    learner = task.learner(task.dataloaders(raw, hf, Loader(batch_size=2)), hf, raw=raw, metrics=metrics)
    assert len(learner.dls.valid_ds) > 5
    result = task.evaluate(learner, raw)
    assert [len(row["prediction"]) for row in result.rows] == [len(words), len(ROWS[0]["tokens"])]
    assert result.rows[0]["target"] == labels
    true, predicted = ([row[key] for row in result.rows] for key in ("target", "prediction"))
    assert result.metrics["f1"] == pytest.approx(seqeval.f1_score(true, predicted))
    assert len(entities(labels)) == 24
    found = trained.blurr_predict_tokens([words], aggregation_strategy="first")
    assert len(found[0]) > 12


# -- slow tokenizers


def byte_words(tokenizer, number, encoding) -> list[int | None]:
    """Tell the words of ByT5's bytes; the words of the test are known to be ab and cde."""
    return {6: [0, 0, 1, 1, 1, None], 2: [0, None]}[len(encoding["input_ids"][number])]


def test_a_slow_tokenizer_works_with_the_users_function():
    window = tokenize_words(ByT5Tokenizer(), [["ab", "cde"]], word_ids_func=byte_words)[0]
    assert window.words == [0, 0, 1, 1, 1, None]
    assert window.spans == [(0, 2), (0, 2), (0, 3), (0, 3), (0, 3), (0, 0)]


def test_a_slow_tokenizer_alone_is_refused_with_the_remedy():
    with pytest.raises(InputError, match=r"ByT5Tokenizer is a slow tokenizer.*task.slow_word_ids_func"):
        tokenize_words(ByT5Tokenizer(), [["ab"]])


def test_a_users_function_that_gives_nonsense_is_answered():
    with pytest.raises(InputError, match="a word number below 2, or None, for each of the 6 tokens"):
        tokenize_words(
            ByT5Tokenizer(),
            [["ab", "cde"]],
            word_ids_func=lambda t, i, e: [7] * 6 if i == 0 else byte_words(t, i, e),
        )


# -- metrics


TRUE, PREDICTED = ["B-PER", "O", "B-LOC", "O"], ["B-PER", "O", "O", "O"]


def test_b1_precision_and_recall_are_the_right_way_round():
    """One of two entities is found, and nothing else: blurr 1.x reported precision .5 and recall 1."""
    values = {}
    for score in ("precision", "recall", "f1", "accuracy"):
        metric = Seqeval(score)
        metric.update([WordLabels(0, 0, PREDICTED)], [WordLabels(0, 0, TRUE)])
        values[score] = metric.compute()
    assert values == pytest.approx({"precision": 1.0, "recall": 0.5, "f1": 2 / 3, "accuracy": 0.75})


def test_b1_the_report_counts_true_entities():
    lines = {line.split()[0]: line.split()[1:] for line in entity_report([TRUE], [PREDICTED]).splitlines() if line}
    assert lines["LOC"] == ["0.0000", "0.0000", "0.0000", "1"]
    assert lines["PER"] == ["1.0000", "1.0000", "1.0000", "1"]


def test_a_metric_sees_batches_and_forgets_on_reset():
    metric = Seqeval()
    for i in range(3):
        metric.update([WordLabels(i, 0, PREDICTED)], [WordLabels(i, 0, TRUE)])
    assert metric.compute() == pytest.approx(2 / 3)
    metric.reset()
    metric.update([WordLabels(0, 0, TRUE)], [WordLabels(0, 0, TRUE)])
    assert metric.compute() == 1


def test_an_entity_counts_once_however_its_document_was_cut():
    parts = [WordLabels(4, 2, ["I-PER", "O"]), WordLabels(1, 0, ["O"]), WordLabels(4, 0, ["O", "B-PER"])]
    assert documents(parts) == [["O"], ["O", "B-PER", "I-PER", "O"]]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["B-X", "I-X", "O", "B-X", "B-X"], [("X", 0, 1), ("X", 3, 3), ("X", 4, 4)]),
        (["S-X", "B-Y", "E-Y"], [("X", 0, 0), ("Y", 1, 2)]),
        (["U-X", "B-Y", "L-Y"], [("X", 0, 0), ("Y", 1, 2)]),
        (["PER", "PER", "O", "LOC"], [("PER", 0, 1), ("LOC", 3, 3)]),
        (["NOUN", "VERB", "VERB"], [("NOUN", 0, 0), ("VERB", 1, 2)]),
        (["O", "O"], []),
    ],
    ids=["IOB", "IOBES", "BILOU", "no prefix", "parts of speech", "none"],
)
def test_entities_are_found_in_every_scheme(labels, expected):
    assert entities(labels) == expected
    assert len(iobes(labels)) == len(labels)


def test_scores_without_any_entity_are_zero_and_the_report_says_so():
    metric = Seqeval()
    metric.update([WordLabels(0, 0, ["O"])], [WordLabels(0, 0, ["O"])])
    assert metric.compute() == 0
    assert "no entities" in metric.report()


@pytest.mark.parametrize("metric", [Accuracy(), RMSE()], ids=["classes", "numbers"])
def test_a_metric_of_another_task_is_refused_with_the_right_one(metric):
    with pytest.raises(InputError, match=r"predicts texts or labelled words. Choose metrics=\[seqeval\] for words"):
        metric.update([WordLabels(0, 0, ["O"])], [WordLabels(0, 0, ["O"])])


@pytest.mark.parametrize("predictions", [torch.zeros(2, 3), ["a text"]], ids=["logits", "texts"])
def test_seqeval_is_refused_for_another_task(predictions):
    with pytest.raises(InputError, match="seqeval scores labelled words, which this task does not predict"):
        Seqeval().update(predictions, predictions)


# -- prediction


@pytest.mark.parametrize("strategy", ["simple", "first", "max", "average"])
@pytest.mark.parametrize(
    "item",
    ["Terry Gilliam visits lovely Los Angeles.", ("Terry", "Gilliam", "visits", "lovely", "Los", "Angeles", ".")],
    ids=["text", "words"],
)
def test_entities_are_predicted_with_their_place_in_the_text(trained, strategy, item):
    text = item if isinstance(item, str) else " ".join(item)
    person, place = trained.predict(item, aggregation_strategy=strategy)[0]
    assert (person["entity_group"], person["word"]) == ("PER", "Terry Gilliam")
    assert (place["entity_group"], place["word"]) == ("LOC", "Los Angeles")
    for entity in (person, place):
        assert list(entity) == ["entity_group", "score", "word", "start", "end"]
        assert text[entity["start"] : entity["end"]] == entity["word"]
        assert 0 < entity["score"] <= 1


def test_the_strategy_token_gives_each_labelled_token(trained):
    found = trained.predict("Terry Gilliam visits Riga", aggregation_strategy="token")[0]
    assert [(e["entity"], e["word"]) for e in found] == [("B-PER", "Terry"), ("I-PER", "Gilliam"), ("B-LOC", "Riga")]


def test_an_unknown_strategy_is_refused_with_the_nearest(trained):
    with pytest.raises(InputError, match=r"'averag' is unknown.*Did you mean 'average'\?"):
        trained.predict("x", aggregation_strategy="averag")


@pytest.mark.parametrize(
    ("items", "n"),
    [
        ("Maria visits Riga", 1),
        (["Maria visits Riga", "Maria"], 2),
        ([["Maria", "visits"], ["Riga"]], 2),
        (("Maria", "visits"), 1),
        ({"tokens": ["Maria"]}, 1),
        (pd.DataFrame({"tokens": [["Maria"], ["Riga", "."]]}), 2),
        (pd.Series(["Maria", "Riga"]), 2),
        (["", "Maria", "  "], 3),
        ([[]], 1),
        ([], 0),
    ],
    ids=["text", "texts", "lists", "tuple", "dict", "DataFrame", "Series", "empty texts", "no words", "nothing"],
)
def test_predict_takes_one_item_or_many(trained, items, n):
    assert len(trained.predict(items)) == n


def test_predictions_come_in_the_order_of_the_items_and_long_ones_in_one_piece(trained):
    texts = [" . ".join(["Terry Gilliam visits Riga"] * n) for n in (1, 9, 30, 2)]
    together = trained.predict(texts, bs=3)
    assert [[e["word"] for e in found[:2]] for found in together] == [["Terry Gilliam", "Riga"]] * 4
    assert [len(found) for found in together] == pytest.approx([2, 18, 60, 4], abs=4)
    for text, found in zip(texts, together, strict=True):
        assert all(text[e["start"] : e["end"]] == e["word"] for e in found)
        assert [e["start"] for e in found] == sorted(e["start"] for e in found)


def test_an_item_that_holds_no_words_is_refused(trained):
    with pytest.raises(InputError, match="An item to predict on is a text, a list of words"):
        trained.predict([{"tokens": 3}])


def test_a_text_is_cut_into_the_words_that_corpora_have():
    text = "@anna's pick: Jean-Luc's #film, see https://x.org/a?b (3.14 stars)."
    words = ["@anna's", "pick", ":", "Jean-Luc's", "#film", ",", "see", "https://x.org/a?b", "(", "3.14", "stars"]
    assert read_words(text).words == [*words, ")", "."]
    assert read_words(["a b", "c"]).words == ["a b", "c"]


SCORES = {  # of two pieces of one word, over O, B-PER, I-PER, B-LOC, I-LOC
    "first": [[0.1, 0.5, 0.1, 0.2, 0.1], [0.0, 0.0, 0.1, 0.9, 0.0]],
}


@pytest.mark.parametrize(
    ("strategy", "label", "score"),
    [("first", "B-PER", 0.5), ("max", "B-LOC", 0.9), ("average", "B-LOC", 0.55)],
)
def test_a_word_is_labelled_by_the_strategy(strategy, label, score):
    pieces = [
        ScoredToken(0, (0, 2), np.array(SCORES["first"][0])),
        ScoredToken(0, (2, 4), np.array(SCORES["first"][1])),
    ]
    unit = aggregate(pieces, read_words("Riga"), NAMES, strategy=strategy, labeling="same")[0]
    assert (unit.label, unit.score, unit.span) == (label, pytest.approx(score), (0, 4))


@pytest.mark.parametrize("strategy", ["token", "simple", "first", "max", "average"])
def test_b21_tokens_that_training_left_out_are_not_asked(strategy):
    """Blurr 1.x cut `Way|de Gilliam`: it read the labels of word pieces that had learnt nothing."""
    pieces = [
        ScoredToken(0, (0, 2), np.array(SCORES["first"][0])),
        ScoredToken(0, (2, 4), np.array(SCORES["first"][1])),
    ]
    units = aggregate(pieces, read_words("Riga"), NAMES, strategy=strategy, labeling="first")
    assert [(unit.label, unit.span) for unit in units] == [("B-PER", (0, 4))]


def test_b21_words_of_a_prediction_are_those_of_training(trained):
    row = ROWS[0]
    raw, listed = trained.predict(" ".join(row["tokens"])), trained.predict([row["tokens"]])
    assert [{**e, "score": pytest.approx(e["score"], abs=1e-6)} for e in raw[0]] == listed[0]
    assert {e["word"] for e in raw[0]} == {"Terry Gilliam", "Los Angeles"}


@pytest.mark.parametrize("strategy", ["first", "max", "average"])
def test_aggregation_equals_that_of_the_transformers_pipeline(tagger, strategy):
    torch.manual_seed(1)
    learner = BlearnerForTokenClassification.from_data(ROWS, tagger, labeling="same")
    model, tokenizer = learner.model.eval().hf_model, learner.dls.tokenizer
    with torch.no_grad():
        model.classifier.weight.mul_(200)  # far from ties, and varied
    pipeline = TokenClassificationPipeline(model=model, tokenizer=tokenizer, aggregation_strategy=strategy, device=-1)
    for row in ROWS[:12]:
        text = " ".join(row["tokens"])
        theirs, ours = pipeline(text), learner.predict([row["tokens"]], aggregation_strategy=strategy)[0]
        assert theirs
        assert [(e["entity_group"], e["start"], e["end"]) for e in ours] == [
            (e["entity_group"], e["start"], e["end"]) for e in theirs
        ]
        assert [e["score"] for e in ours] == pytest.approx([float(e["score"]) for e in theirs], abs=1e-4)


def test_b20_prediction_is_in_eval_mode_and_repeats(trained):
    trained.model.train()
    assert trained.predict("Terry visits Riga") == trained.predict("Terry visits Riga")
    assert trained.model.training


# -- the notebook's door


def test_from_data_learns(trained):
    with trained.no_logging():
        scores = dict(zip(["loss", *(m.name for m in trained.metrics)], trained.validate(), strict=True))
    assert scores["f1"] == 1
    assert list(scores) == ["loss", "precision", "recall", "f1", "accuracy"]
    assert "PER" in trained.token_classification_report


def test_there_is_no_report_before_validation(learner):
    with pytest.raises(InputError, match="no report yet"):
        _ = learner.token_classification_report


@pytest.mark.parametrize("given", ["names", "ids"])
def test_b25_from_data_takes_a_dataset_without_a_list_of_labels(tagger, given):
    """Blurr 1.x: unhashable type: 'list'."""
    feature = datasets.List(datasets.ClassLabel(names=NAMES) if given == "ids" else datasets.Value("string"))
    rows = datasets.Dataset.from_list([{k: row[k] for k in ("tokens", "labels", "is_valid")} for row in ROWS])
    if given == "ids":
        rows = rows.map(lambda row: {"labels": [NAMES.index(label) for label in row["labels"]]})
        rows = rows.cast_column("labels", feature)
    learner = BlearnerForTokenClassification.from_data(rows, tagger)
    assert sorted(learner.dls.vocab) == sorted(NAMES)
    if given == "ids":
        assert list(learner.dls.vocab) == NAMES
    assert learner.dls.show_batch(show=False, max_n=1)[0]["word / target label"][0][1] in {"B-PER"}


def test_plain_ids_take_their_names_from_the_user(tagger):
    rows = [{**row, "tags": [NAMES.index(label) for label in row["labels"]]} for row in ROWS]
    learner = BlearnerForTokenClassification.from_data(rows, tagger, token_labels_attr="tags", labels=NAMES)
    assert list(learner.dls.vocab) == NAMES


def test_labels_that_only_validation_has_are_refused_or_their_rows_left_out(tagger, caplog):
    rows = [*ROWS, {"tokens": ["Nasa"], "labels": ["B-ORG"], "is_valid": True}]
    with pytest.raises(InputError, match="the label 'B-ORG', which no training row has: in 1 of the"):
        BlearnerForTokenClassification.from_data(rows, tagger)
    with caplog.at_level("WARNING", logger="blurr"):
        learner = BlearnerForTokenClassification.from_data(rows, tagger, unknown_labels="drop")
    assert "B-ORG" not in learner.dls.vocab
    assert "'B-ORG', which no training row has" in caplog.text


def test_a_label_that_only_validation_has_is_known_where_the_user_names_it(tagger):
    rows = [*ROWS, {"tokens": ["Nasa"], "labels": ["B-ORG"], "is_valid": True}]
    learner = BlearnerForTokenClassification.from_data(rows, tagger, labels=[*NAMES, "B-ORG"])
    assert learner.dls.vocab[-1] == "B-ORG"


WRONG = {
    "text": ({"tokens": "a b", "labels": "O O"}, "The data: row 1 has no lists of words and labels"),
    "lengths": ({"tokens": ["a", "b"], "labels": ["O"]}, "The data: row 1 has 2 words and 1 labels"),
    "no words": ({"tokens": [], "labels": []}, "The data: row 1 has 0 words"),
    "null": ({"tokens": ["a", "b"], "labels": ["O", None]}, "The data: row 1 has a word or a label that is null"),
}


@pytest.mark.parametrize(("row", "message"), WRONG.values(), ids=WRONG)
def test_rows_that_are_no_labelled_words_are_answered(row, message, tokenizer):
    with pytest.raises(InputError, match=message):
        TokenClassification().encode({"tokens": [row["tokens"]], "labels": [row["labels"]]}, objects(tokenizer))


def test_an_exported_learner_predicts_the_same(trained, tmp_path):
    from fastai.learner import load_learner

    before = trained.predict("Terry Gilliam visits Riga")
    trained.export(tmp_path / "learner.pkl")
    with pytest.warns(UserWarning, match="pickle"):
        again = load_learner(tmp_path / "learner.pkl")
    assert again.predict("Terry Gilliam visits Riga") == before


def test_predictions_of_a_loader_come_row_by_row(trained):
    logits, targets = trained.get_preds()
    assert len(logits) == len(targets) == 12
    assert all(a.shape == (len(b), 5) for a, b in zip(logits, targets, strict=True))


# -- sample data, and the whole line


def test_sample_names_are_not_given_away_by_themselves():
    from blurr.data.samples import load_samples

    raw: RawData = load_samples(TokenClassification.schema)
    kinds: dict[str, set[str]] = {}
    for row in raw.train:
        for word, label in zip(row["tokens"], row["labels"], strict=True):
            if label != "O":
                kinds.setdefault(word, set()).add(label[2:])
    assert sum(len(kind) > 1 for kind in kinds.values()) / len(kinds) > 0.5


@pytest.mark.slow
def test_a_run_learns_and_leaves_the_report_of_entities(work):
    run(work, "task=token_classification", "data.rows=1500", "tracking=none")
    scores = json.loads((work / "metrics.json").read_text())
    assert scores["valid/f1"] > 0.5
    assert scores["valid/recall"] > 0
    report = (work / "valid_entities.txt").read_text()
    assert all(kind in report for kind in ("PER", "LOC", "ORG", "micro avg"))
    rows = read_lines(work / "predictions.jsonl")
    assert all(len(row["tokens"]) == len(row["prediction"]) == len(row["target"]) for row in rows)


def test_tokens_and_labels_work_in_a_plain_torch_loader(tokenizer):
    task, hf = TokenClassification(max_length=16, stride=2), objects(tokenizer)
    rows = task.encoded({key: [row[key] for row in ROWS] for key in ("tokens", "labels")}, hf)
    loader = torch.utils.data.DataLoader(rows, batch_size=8, collate_fn=task.collator(hf, Loader(), train=True))
    model = BertForTokenClassification(BertConfig(vocab_size=len(tokenizer), num_labels=5, hidden_size=24))
    inputs, targets = next(iter(loader))
    assert inputs["input_ids"].shape == inputs["word_numbers"].shape == targets.shape
    known = {key: inputs[key] for key in ("input_ids", "attention_mask", "labels")}
    assert model(**known).loss > 0


# -- the scores are seqeval's

THEIRS = {"precision": seqeval.precision_score, "recall": seqeval.recall_score, "f1": seqeval.f1_score}
VOCABULARY = ["heart", "lung", "severe", "Anna", "Oslo", "with", "the"]


def random_tags(rng: random.Random, names: list[str], rows: int = 200) -> list[list[str]]:
    return [[rng.choice(names) for _ in range(rng.randrange(1, 9))] for _ in range(rows)]


SCHEMES = {
    "IOB2": ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"],
    "one type": ["O", "O", "B-PER", "I-PER"],
    "no types": ["O", "B", "I"],
    "IO": ["O", "I-PER", "I-LOC"],
    "IO without types": ["O", "I"],
    "B alone": ["O", "B-PER", "B-LOC"],
    "IOBES": ["O", "B-X", "I-X", "E-X", "S-X", "S-Y"],
    "underscores": ["O", "B_PER", "I_PER", "B_LOC"],
    "no outside": ["B-NP", "I-NP", "B-VP"],
    "a type in a type": ["O", "B-PER-NAME", "I-PER-NAME", "B-PER", "I-PER"],
    "no prefix": ["O", "PER", "LOC"],
}


@pytest.mark.filterwarnings("ignore:.*seems not to be NE tag")
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("average", ["micro", "macro", "weighted"])
def test_scores_are_those_that_seqeval_finds_in_the_tags_as_they_are(scheme: str, average: str):
    rng, names = random.Random(3), SCHEMES[scheme]
    true = random_tags(rng, names)
    absent = [name for name in names if not name.endswith("LOC")]  # a type that no true row has
    for known in (true, [[tag if tag in absent else names[0] for tag in row] for row in true]):
        predicted = [[tag if rng.random() < 0.7 else rng.choice(names) for tag in row] for row in known]
        for score, function in THEIRS.items():
            metric = Seqeval(score, average)
            metric.update(*([WordLabels(i, 0, row) for i, row in enumerate(side)] for side in (predicted, known)))
            assert metric.compute() == pytest.approx(function(known, predicted, average=average, zero_division=0))


@pytest.mark.parametrize(
    ("names", "as_iobes"),
    [
        (["O", "B-X", "I-X", "L-X", "U-X"], {"L": "E", "U": "S"}),
        (["O", "B-X", "M-X", "E-X", "W-X"], {"M": "I", "W": "S"}),
        (["O", "B", "M", "E", "S"], {"M": "I"}),
    ],
    ids=["BILOU", "BMEWO", "BMES without types"],
)
def test_schemes_with_other_letters_score_as_in_iobes(names: list[str], as_iobes: dict[str, str]):
    rng = random.Random(4)
    true, predicted = random_tags(rng, names), random_tags(rng, names)
    predicted = [row[: len(t)] + t[len(row) :] for row, t in zip(predicted, true, strict=True)]
    metric = Seqeval("f1")
    metric.update(*([WordLabels(i, 0, row) for i, row in enumerate(side)] for side in (predicted, true)))
    t, p = ([[as_iobes.get(tag[0], tag[0]) + tag[1:] for tag in row] for row in side] for side in (true, predicted))
    assert metric.compute() == pytest.approx(seqeval.f1_score(t, p))


def test_suffixes_score_as_seqeval_says_when_told_of_them():
    rng, names = random.Random(5), ["O", "PER-B", "PER-I", "LOC-B", "LOC-I"]
    true = random_tags(rng, names)
    predicted = [[tag if rng.random() < 0.7 else rng.choice(names) for tag in row] for row in true]
    metric = Seqeval("f1")
    metric.update(*([WordLabels(i, 0, row) for i, row in enumerate(side)] for side in (predicted, true)))
    assert metric.compute() == pytest.approx(seqeval.f1_score(true, predicted, suffix=True))


OTHERS = [["O"], ["NOUN", "VERB", "."], ["O", "PER-B", "PER-I"], ["O", "MISC", "B-PER"]]


@pytest.mark.parametrize("names", [*SCHEMES.values(), *OTHERS])
def test_tags_of_every_scheme_are_taken(names: list[str]):
    check_tags(names)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["B-PER", "I-PER", "o"], "The tag 'o' would count as an entity.*Write 'O' for it"),
        (["B-PER", "_"], "The tag '_' would count as an entity"),
        (["O", "B", "0"], "The tag '0' would count as an entity"),
        (["0", "1", "2"], r"The tags are numbers.*task.label_names=\[O,B-PER,I-PER\].*\['0', '1', '2'\]"),
        (
            ["O", "b-PER", "i-PER"],
            "The tag 'b-PER' has a small letter for a prefix; prefixes are capitals, as in B-PER",
        ),
        (["O", "b", "i"], "The tag 'b' has a small letter"),
        (["O", "B-PER", "PER-I"], "The tag 'PER-I' says where .* in another way than the tag 'B-PER'"),
        (["N", "V", "S"], "The tag 'S' says where a word stands .* in another way than the tag 'N'"),
    ],
)
def test_tags_that_nobody_can_score_are_refused(names: list[str], message: str):
    with pytest.raises(InputError, match=message):
        check_tags(names)
    rows = [{"tokens": ["a"] * len(names), "labels": names}] * 8
    with pytest.raises(InputError, match=message):
        TokenClassification().target.model_config(rows_of(TokenClassification.schema, rows, valid=rows))


def test_later_tokens_of_a_word_are_inside_of_its_entity_in_every_scheme():
    wanted = {"B-X": "I-X", "B": "I", "B_X": "I_X", "X-B": "X-I", "O": "O", "I-X": "I-X", "PER": "PER", "S-X": "S-X"}
    assert {label: inside_of(label) for label in wanted} == wanted
    assert align_labels([0, 0, 1, 1], ["B", "O"], ["O", "B", "I"], "bi") == [1, 2, 0, 0]


@pytest.mark.parametrize("names", [["O", "B", "I"], ["O", "B-PER", "I-PER", "B-LOC"]], ids=["no types", "types"])
@pytest.mark.parametrize("labeling", ["first", "same", "bi"])
def test_seqeval_finds_the_same_scores_in_the_described_rows(names: list[str], labeling: str, tagger: Path):
    """Rows of many windows, a type that no training row has, and predictions of an untrained model."""
    rng = random.Random(6)
    rows = [
        {"tokens": [rng.choice(VOCABULARY) for _ in tags], "labels": tags, "is_valid": i >= 12}
        for i, tags in enumerate([rng.choice(names) for _ in range(rng.choice([1, 3, 40]))] for i in range(36))
    ]
    task = TokenClassification(labeling=labeling, max_length=9, stride=2, label_names=names)
    raw = rows_of(task.schema, rows)
    options = {"config": task.target.model_config(raw), "corpus": tuple, "load_weights": True, "weights": "pretrained"}
    hf = build_model(str(tagger), model_cls=task.model_cls, **options, inputs=TEXT)
    metrics = {score: Seqeval(score) for score in ("precision", "recall", "f1", "accuracy")}
    learn = task.learner(task.dataloaders(raw, hf, Loader(batch_size=3)), hf, raw=raw, metrics=metrics)
    found = task.evaluate(learn, raw)
    true, predicted = ([row[key] for row in found.rows] for key in ("target", "prediction"))
    assert true == raw.valid["labels"][:]
    assert len({tag for row in predicted for tag in row}) > 1
    for score, function in {**THEIRS, "accuracy": seqeval.accuracy_score}.items():
        assert found.metrics[score] == pytest.approx(function(true, predicted), abs=1e-6)


def test_a_word_that_is_a_number_is_refused_with_its_row():
    rows = [{"tokens": [i, 2], "labels": ["O", "B-X"]} for i in range(8)]
    with pytest.raises(InputError, match=r"\(train\): row 1 has a word that is not a text: \[0, 2\]"):
        TokenClassification().target.model_config(rows_of(TokenClassification.schema, rows, valid=rows))
