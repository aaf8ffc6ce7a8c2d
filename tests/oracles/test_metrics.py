"""Every metric of conf/metrics gives what an independent implementation gives, on rows that are hard to score."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import jiwer
import numpy as np
import oracles as right
import pytest
import torch
from omegaconf import OmegaConf
from scipy.special import logsumexp
from sklearn import metrics as sk

from blurr.config import paths
from blurr.config.building import build
from blurr.metrics.base import Scored, declared_direction
from blurr.metrics.streamed import RowMetric, streamed
from blurr.text.language_modeling.metrics import score_tokens
from blurr.text.token_classification.metrics import WordLabels

RNG = np.random.default_rng(0)
BATCH = 3  # rows of a batch: several, the last of them smaller


def metric_of(option: str, name: str, **settings: Any) -> Any:
    """Make a metric as the command line does, with other values for some of its keys."""
    node = OmegaConf.load(paths.options("metrics")[option])
    return build(OmegaConf.merge(node[name], settings))


def value_of(metric: Any, batches: Iterable[tuple[Any, Any]], names: Sequence[str] | None = None) -> float:
    (shown,) = streamed({"m": metric}, Scored(metric.reads, names))
    shown.reset()
    for batch in batches:
        shown.metric.update(*batch)
    return shown.value


def in_batches(*sides: Any) -> Iterable[tuple[Any, ...]]:
    return [tuple(side[i : i + BATCH] for side in sides) for i in range(0, len(sides[0]), BATCH)]


def logits_for(predicted: Sequence[int], n: int) -> torch.Tensor:
    logits = torch.tensor(RNG.normal(size=(len(predicted), n)), dtype=torch.float32)
    logits[range(len(predicted)), list(predicted)] = logits.amax(1) + 0.5
    return logits


# -- the rows

CLASSES = {  # true classes, predicted classes, number of classes
    "two": ([0, 1, 1, 0, 1, 1, 0], [0, 1, 0, 0, 1, 1, 1], 2),
    "three": ([0, 1, 2, 2, 1, 0, 2, 1], [0, 2, 2, 1, 1, 0, 0, 1], 3),
    "a class that no row has": ([0, 2, 2, 0, 2], [0, 2, 0, 0, 2], 4),
    "a class that is predicted alone": ([0, 1, 0, 1], [0, 2, 0, 1], 3),
    "one class predicted": ([0, 1, 1, 0, 1], [1, 1, 1, 1, 1], 2),
    "one class predicted of three": ([0, 1, 2, 2], [2, 2, 2, 2], 3),
    "one class true": ([1, 1, 1, 1], [1, 0, 1, 1], 2),
    "one class on both sides": ([1, 1, 1], [1, 1, 1], 2),
    "nothing right": ([0, 1, 0, 1], [1, 0, 1, 0], 2),
    "one row": ([1], [0], 2),
}
LABELS = {  # 0/1 of each label: true, predicted
    "some": (RNG.integers(0, 2, (8, 4)), RNG.integers(0, 2, (8, 4))),
    "a label that no row has": (RNG.integers(0, 2, (5, 3)) * [1, 1, 0], RNG.integers(0, 2, (5, 3)) * [1, 1, 0]),
    "none predicted": (RNG.integers(0, 2, (5, 3)), np.zeros((5, 3), int)),
    "none true": (np.zeros((5, 3), int), RNG.integers(0, 2, (5, 3))),
    "all right": (np.eye(4, dtype=int), np.eye(4, dtype=int)),
}
NUMBERS = {  # true, predicted
    "some": (RNG.normal(size=20), RNG.normal(size=20)),
    "near": ((x := RNG.normal(size=50)), x + 0.01 * RNG.normal(size=50)),
    "ties": (RNG.integers(0, 4, 30).astype(float), RNG.integers(0, 3, 30).astype(float)),
    "large, and close together": (1e6 + RNG.normal(size=20), 1e6 + RNG.normal(size=20)),
    "reversed": (np.arange(9.0), -np.arange(9.0)),
    "constant predictions": (RNG.normal(size=8), np.full(8, 0.25)),
    "constant targets": (np.full(8, 3.0), RNG.normal(size=8)),
    "one row": (np.array([1.0]), np.array([2.0])),
}
ENGLISH = [  # reference, text
    ("the cat sat on the mat", "the cat lay on the mat"),
    ("Two rivers meet here. They flow on, slowly!", "They flow slowly on. Two rivers are meeting here."),
    ("running runners ran", "the runner runs"),
    ("it's a well-known fact: 3.5 percent of 1,000", "a fact well known - it is 35 of 1000"),
    ("the café opened", "the cafe has opened"),
    ("a a a b", "a b b b a"),
    ("nothing in common", "quite another thing"),
    ("", "words for nothing"),
    ("words for nothing", ""),
    ("", ""),
]
SCRIPTS = {  # how words are told by hand, and references with texts
    "Russian": (right.by_space, [("кошка сидит на окне", "на окне сидит собака"), ("Дождь. Ветер!", "Ветер. Дождь!")]),
    "Arabic": (right.by_space, [("القط على السجادة", "الكلب على السجادة"), ("مطر؟ ريح.", "ريح. مطر؟")]),
    "Hindi": (right.by_space, [("बिल्ली चटाई पर बैठी है", "बिल्ली चटाई पर सोई है"), ("पानी आया।", "पानी गया।")]),
    "Greek": (right.by_space, [("η γάτα κάθεται", "η γάτα κοιμάται")]),
    "Vietnamese": (right.by_space, [("má về quê", "mà về quê")]),
    "Chinese": (right.by_character, [("猫坐在垫子上。", "狗坐在垫子上。"), ("下雨了！刮风了。", "刮风了。下雨了！")]),
    "Japanese": (right.by_character, [("猫がマットに座った。", "犬がマットに座った。")]),
    "Thai": (right.by_character, [("แมวนอน", "แมวนอนแล้ว")]),
}
TAGS = {  # a list of labels for each document: true, predicted
    "some": (
        [["B-PER", "I-PER", "O", "B-LOC"], ["O", "B-ORG", "I-ORG", "I-ORG"], ["B-LOC", "O"]],
        [["B-PER", "I-PER", "O", "O"], ["O", "B-ORG", "I-ORG", "O"], ["B-LOC", "B-PER"]],
    ),
    "neighbours, and I without B": (
        [["B-PER", "B-PER", "I-PER", "O"], ["O", "B-LOC", "I-LOC"]],
        [["B-PER", "I-PER", "I-PER", "O"], ["O", "I-LOC", "I-LOC"]],
    ),
    "a type that is predicted alone": ([["B-PER", "O"]], [["B-PER", "B-MISC"]]),
    "a type that is true alone": ([["B-PER", "B-MISC"]], [["B-PER", "O"]]),
    "nothing predicted": ([["B-PER", "O"], ["O", "O"]], [["O", "O"], ["O", "O"]]),
    "no entities": ([["O", "O"]], [["O", "O"]]),
}
ANSWERS = {  # true answers, the answer given
    "1.1": [
        (["Denver Broncos"], "the Denver Broncos."),
        (["in 1912", "1912", "the year 1912"], "year 1912"),
        (["a cat"], "dog"),
        (["Москва"], "москва"),
        (["北京"], "北京市"),
        (["The"], "a"),
    ],
    "2.0": [
        ([], ""),
        ([], "something"),
        (["Paris", "the city of Paris"], ""),
        (["the"], ""),
        (["the", "Zürich"], "zürich"),
        (["a b c"], "b c d"),
    ],
}


@dataclass(frozen=True)
class Check:
    """A metric, the rows it is checked on, and what it must give."""

    batches: Callable[[Any], Iterable[tuple[Any, Any]]]
    expected: Callable[[Any], float]
    cases: dict[str, Any]
    names: Callable[[Any], Sequence[str] | None] = lambda case: None
    precision: float = 1e-6


def of_classes(expected: Callable[..., float], expected_of_labels: Callable[..., float]) -> Check:
    def batches(case: Any) -> Iterable[tuple[Any, Any]]:
        if len(case) == 2:
            logits = torch.tensor(np.where(case[1], 1.0, -1.0) * RNG.uniform(0.1, 3, case[1].shape))
            return in_batches(logits, torch.tensor(case[0], dtype=torch.float32))
        return in_batches(logits_for(case[1], case[2]), torch.tensor(case[0]))

    def value(case: Any) -> float:
        return expected_of_labels(*case) if len(case) == 2 else expected(*case)

    def names(case: Any) -> list[str]:
        return [f"c{i}" for i in range(case[0].shape[1] if len(case) == 2 else case[2])]

    return Check(batches, value, {**CLASSES, **{f"labels: {k}": v for k, v in LABELS.items()}}, names)


def of_likeliest(k: int) -> Check:
    def expected(case: Any) -> float:
        logits, true = case
        return float(sk.top_k_accuracy_score(true, logits, k=k, labels=range(logits.shape[1])))

    cases = {f"{n} classes": (RNG.normal(size=(40, n)), RNG.integers(0, n, 40)) for n in (k + 1, 4 * k)}
    return Check(lambda case: in_batches(torch.tensor(case[0]), torch.tensor(case[1])), expected, cases)


def of_one_class(score: Callable[..., Any]) -> Check:
    def one(true: Any, predicted: Any, n: int) -> float:
        options = {"average": "binary", "pos_label": 1} if n == 2 else {"average": "macro"}
        return right.averaged(score, true, predicted, **options)

    return of_classes(one, lambda true, predicted: right.averaged(score, true, predicted, average="micro"))


def of_numbers(expected: Callable[..., float]) -> Check:
    def batches(case: Any) -> Iterable[tuple[Any, Any]]:
        predicted, true = (torch.tensor(side, dtype=torch.float64) for side in reversed(case))
        return in_batches(predicted[:, None], true)

    return Check(batches, lambda case: expected(*case), NUMBERS, precision=1e-9)


def of_texts(expected: Callable[..., float], cut: Callable[[str], list[str]]) -> Check:
    """Check a metric on English texts, and on each script as a corpus of its own."""
    cases = {"English": (cut, ENGLISH), **SCRIPTS}

    def batches(case: Any) -> Iterable[tuple[Any, Any]]:
        references, texts = zip(*case[1], strict=True)
        return in_batches(texts, references)

    return Check(batches, lambda case: expected(*zip(*case[1], strict=True), case[0]), cases)


def rouge(kind: str) -> Check:
    return of_texts(lambda true, texts, cut: right.rouge(kind, true, texts, cut), right.english)


def by_jiwer(score: Callable[[list[str], list[str]], Any]) -> Check:
    """Check an error rate against jiwer's, on texts without spaces at their ends, of which it has rules of its own."""
    return of_texts(lambda true, texts, cut: float(score([*true], [*texts])), right.english)


def words_and_signs(text: str) -> list[str]:
    return re.findall(r"\w+|[^\w\s]+", text)


def meteor(true: Sequence[str], texts: Sequence[str], cut: Callable[[str], list[str]]) -> float:
    if cut is right.by_character:
        cut = lambda text: [*right.by_character(re.sub(r"[。！？]", "", text)), *re.findall(r"[。！？]", text)]  # noqa: E731
    elif cut is right.by_space:
        cut = lambda text: re.sub(r"([.,!?;:।؟])", r" \1", text).split()  # noqa: E731
    return right.meteor([cut(text) for text in true], [cut(text) for text in texts])


def bleu(*, smooth: bool) -> Check:
    """Corpora of texts whose words and signs stand apart, so that cutting them is no question."""

    def expected(true: Sequence[str], texts: Sequence[str], cut: Callable[[str], list[str]]) -> float:
        cut = list if cut is right.by_character else str.split
        return right.bleu([cut(text) for text in true], [cut(text) for text in texts], smooth=smooth)

    made = of_texts(expected, str.split)
    plain = {name: (cut, [tuple(map(apart, pair)) for pair in pairs]) for name, (cut, pairs) in made.cases.items()}
    long = [("a b c d e f", "a b c d f e"), ("g h i j k", "g h i j")]
    return Check(made.batches, made.expected, {**plain, "long": (str.split, long), "equal": (str.split, long[1:] * 2)})


def apart(text: str) -> str:
    return re.sub(r"[^\w\s\u0900-\u097f]|[।_]", "", text).strip()


def of_words(score: str) -> Check:
    def batches(case: Any) -> Iterable[tuple[Any, Any]]:
        parts = [[WordLabels(i, 0, labels) for i, labels in enumerate(side)] for side in case]
        return [(parts[1][i : i + 1], parts[0][i : i + 1]) for i in range(len(parts[0]))]

    return Check(batches, lambda case: right.entities(score, *case), TAGS)


@dataclass(frozen=True)
class Found:
    """An answer as a window gives it."""

    row: int
    text: str
    score: float = 1.0
    margin: float = -np.inf


def of_answers(score: str) -> Check:
    def batches(case: Any) -> Iterable[tuple[Any, Any]]:
        return in_batches([Found(i, text) for i, (_, text) in enumerate(case)], [true for true, _ in case])

    cases = {**ANSWERS, "both": ANSWERS["1.1"] + ANSWERS["2.0"]}
    return Check(batches, lambda case: right.answers(score, *zip(*case, strict=True)), cases)


def tokens(rows: int) -> tuple[np.ndarray, np.ndarray]:
    targets = RNG.integers(0, 7, (rows, 5))
    targets[RNG.random((rows, 5)) < 0.4] = -100
    targets[0, 0] = 3
    return RNG.normal(size=(rows, 5, 7)), targets


def of_tokens(expected: Callable[[np.ndarray, np.ndarray], float]) -> Check:
    def batches(case: Any) -> Iterable[tuple[Any, Any]]:
        return [score_tokens(*map(torch.tensor, batch)) for batch in in_batches(*case)]

    def value(case: Any) -> float:
        real = case[1] != -100
        return expected(case[0][real], case[1][real])

    return Check(batches, value, {"some": tokens(8), "one row": tokens(1), "one batch": tokens(BATCH)}, precision=1e-5)


def perplexity(logits: np.ndarray, ids: np.ndarray) -> float:
    nll = logsumexp(logits, axis=1) - logits[range(len(ids)), ids]
    return right.perplexity(nll, [1] * len(ids))


def masks(classes: int, *, rows: int = 5, predicted: Sequence[int] | None = None) -> tuple[Any, Any, int]:
    """Make masks, true and predicted: the last class is nowhere, the one before it said alone, some pixels of none."""
    true, said = (RNG.integers(0, classes - ends, (rows, 4, 6)) for ends in (2, 1))
    true[RNG.random(true.shape) < 0.2] = -100
    true[0] = -100 if rows > 1 else true[0]
    return true, said if predicted is None else np.broadcast_to(predicted, said.shape), classes


MASKS = {
    "some": masks(5),
    "one class predicted": masks(4, predicted=[1]),
    "one picture": masks(4, rows=1),
    "two classes": (*masks(4)[:2], 4),
    "all right": ((x := RNG.integers(0, 3, (4, 5, 5))), x, 3),
}


def of_masks(expected: Callable[[np.ndarray, np.ndarray], float]) -> Check:
    def value(case: Any) -> float:
        real = case[0] >= 0
        return expected(case[0][real], case[1][real])

    return Check(
        lambda case: in_batches(*(torch.tensor(side) for side in (case[1], case[0]))),
        value,
        MASKS,
        lambda case: [f"c{i}" for i in range(case[2])],
        precision=1e-9,
    )


def mean_iou(true: np.ndarray, predicted: np.ndarray) -> float:
    """The mean over classes that occur, as scikit-learn takes it where it is not told of others."""
    return float(sk.jaccard_score(true, predicted, average="macro", zero_division=0))


def dice(true: np.ndarray, predicted: np.ndarray) -> float:
    return float(sk.f1_score(true, predicted, average="macro", zero_division=0))


def objects(pictures: int, *, classes: int = 3, near: float = 0.1, most: int = 5) -> tuple[Any, Any, int]:
    """Make objects of pictures, found and true: some beside true ones, some of another class, some twice or nowhere."""
    found, true = [], []
    for _ in range(pictures):
        count = int(RNG.integers(0, most + 1))
        low, sides = RNG.uniform(0, 60, (count, 2)), RNG.uniform(5, 40, (count, 2))
        boxes, labels = np.concatenate([low, low + sides], axis=1), RNG.integers(0, classes, count)
        true.append({"labels": labels, "boxes": boxes})
        moved = np.concatenate([boxes + RNG.normal(size=boxes.shape) * near * 20, boxes, boxes[::-1] + 3.0])
        said = np.concatenate([labels, (labels + RNG.integers(0, 2, count)) % (classes + 1), labels[::-1]])
        scores = RNG.integers(1, 20, len(said)) / 20  # with ties
        kept = RNG.random(len(said)) < 0.7
        found.append({"labels": said[kept], "boxes": moved[kept], "scores": scores[kept]})
    return found, true, classes + 1


OBJECTS = {
    "some": objects(20),
    "near": objects(12, near=0.02),
    "one class": objects(7, classes=1),
    "one picture": objects(1, most=9),
    "many": objects(4, classes=2, most=120),
    "nothing found": ([{**each, **{k: each[k][:0] for k in each}} for each in objects(5)[0]], objects(5)[1], 4),
}


def of_boxes(name: str) -> Check:
    return Check(
        lambda case: in_batches(*case[:2]),
        lambda case: right.detection(*case[:2])[name],
        OBJECTS,
        lambda case: [f"c{i}" for i in range(case[2])],
        precision=1e-6,
    )


CHECKS: dict[str, Check] = {
    **{f"{name}.{name}": of_boxes(name) for name in ("map", "map50", "map75", "mar")},
    "mean_iou.mean_iou": of_masks(mean_iou),
    "dice.dice": of_masks(dice),
    "pixel_accuracy.pixel_accuracy": of_masks(lambda true, predicted: float((true == predicted).mean())),
    "accuracy.accuracy": of_classes(
        lambda true, predicted, n: sk.accuracy_score(true, predicted), lambda t, p: sk.accuracy_score(t, p)
    ),
    "f1.f1": of_one_class(sk.f1_score),
    "precision.precision": of_one_class(sk.precision_score),
    "recall.recall": of_one_class(sk.recall_score),
    "matthews.matthews": of_classes(
        lambda true, predicted, n: right.matthews(true, predicted), lambda t, p: right.matthews(t.ravel(), p.ravel())
    ),
    "top5.top5": of_likeliest(5),
    "pearson.pearson": of_numbers(right.pearson),
    "spearman.spearman": of_numbers(right.spearman),
    "rmse.rmse": of_numbers(right.rmse),
    **{f"{kind}.{kind}": rouge(kind) for kind in ("rouge1", "rouge2", "rougeL", "rougeLsum")},
    "exact_text.exact_match": of_texts(
        lambda true, texts, cut: sk.accuracy_score(*([" ".join(t.split()) for t in side] for side in (true, texts))),
        right.english,
    ),
    "meteor.meteor": of_texts(meteor, words_and_signs),
    "bleu.bleu": bleu(smooth=False),
    "sacrebleu.sacrebleu": bleu(smooth=True),
    "wer.wer": by_jiwer(jiwer.wer),
    "cer.cer": by_jiwer(jiwer.cer),
    "chrf.chrf": of_texts(lambda true, texts, cut: right.chrf(true, texts), right.english),
    **{f"seqeval.{score}": of_words(score) for score in ("precision", "recall", "f1", "accuracy")},
    "exact_match.exact_match": of_answers("exact_match"),
    "squad_f1.f1": of_answers("f1"),
    "perplexity.perplexity": of_tokens(perplexity),
    "token_accuracy.token_accuracy": of_tokens(lambda logits, ids: float((logits.argmax(1) == ids).mean())),
}
ELSEWHERE = {"bertscore.bertscore": "below", "worst_group.worst_group": "below"}
SETTINGS = {"meteor.meteor": {"synonyms": False}}  # which nltk may have here and not there
THERE = [f"{option}.{name}" for option, file in paths.options("metrics").items() for name in OmegaConf.load(file)]


def test_every_metric_has_an_oracle():
    assert sorted(THERE) == sorted([*CHECKS, *ELSEWHERE])


@pytest.mark.parametrize(
    ("key", "case"), [(key, case) for key, check in CHECKS.items() for case in check.cases], ids=lambda part: part
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
@pytest.mark.filterwarnings("ignore:A single label was found")
def test_a_metric_gives_what_its_oracle_gives(key: str, case: str):
    check, rows = CHECKS[key], CHECKS[key].cases[case]
    metric = metric_of(*key.split("."), **SETTINGS.get(key, {}))
    assert value_of(metric, check.batches(rows), check.names(rows)) == pytest.approx(
        check.expected(rows), rel=check.precision, abs=check.precision
    )


@pytest.mark.parametrize("average", ["macro", "micro", "weighted"])
@pytest.mark.parametrize("option", ["f1", "precision", "recall"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
def test_means_over_classes_are_those_of_scikit_learn(option: str, average: str):
    score = getattr(sk, f"{option}_score")
    check = CHECKS[f"{option}.{option}"]
    for case in check.cases.values():
        got = value_of(metric_of(option, option, average=average), check.batches(case), check.names(case))
        assert got == pytest.approx(right.averaged(score, case[0], case[1], average=average), abs=1e-6)


@pytest.mark.parametrize("option", ["f1", "precision", "recall"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
def test_the_class_that_counts_can_be_named(option: str):
    score = getattr(sk, f"{option}_score")
    check = CHECKS[f"{option}.{option}"]
    for case in check.cases.values():
        for i, name in enumerate(check.names(case) or ()):
            metric = metric_of(option, option, positive=name)
            got = value_of(metric, check.batches(case), check.names(case))
            true, predicted = ((side[:, i] if len(case) == 2 else np.array(side) == i) for side in case[:2])
            assert got == pytest.approx(right.averaged(score, true, predicted), abs=1e-6)
            assert metric.note() == f"of {name}"


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("option", ["rouge1", "rouge2", "rougeL", "rougeLsum", "bleu", "chrf"])
def test_equal_texts_of_any_script_have_the_best_score(option: str, script: str):
    texts = [f"{text} {text}" for pair in SCRIPTS[script][1] for text in pair]
    best = 100 if option in ("bleu", "chrf") else 1
    assert value_of(metric_of(option, option), in_batches(texts, texts)) == pytest.approx(best)


def test_the_worst_group_is_that_of_a_count_by_hand():
    rows = [{"group": "abc"[i % 3], "target": i % 2, "prediction": (i // 2) % 2} for i in range(20)]
    metric = metric_of("worst_group", "worst_group", column="group")
    assert isinstance(metric, RowMetric)
    assert metric.score(rows) == right.worst_group(rows, "group")


@pytest.mark.parametrize("score", ["precision", "recall", "f1"])
def test_bertscore_is_that_of_its_definition(score: str, tiny_bert):
    from transformers import AutoModel, AutoTokenizer

    model, tokenizer = AutoModel.from_pretrained(tiny_bert).eval(), AutoTokenizer.from_pretrained(tiny_bert)

    def vectors(text: str) -> np.ndarray:
        with torch.no_grad():
            states = model(**tokenizer(text, return_tensors="pt", return_token_type_ids=False)).last_hidden_state[0]
        return (states / states.norm(dim=-1, keepdim=True)).numpy()

    def one(true: str, text: str) -> float:
        if not (true.strip() and text.strip()):
            return 0.0
        cosines = vectors(text) @ vectors(true).T
        precision, recall = cosines.max(1)[1:-1].mean(), cosines.max(0)[1:-1].mean()  # but for the special tokens
        return {"precision": precision, "recall": recall, "f1": 2 * precision * recall / (precision + recall)}[score]

    pairs = [("the film was great .", "the film was fine and it is great ."), ("a plot", "電影 plot"), ("film", "")]
    metric = metric_of("bertscore", "bertscore", model=str(tiny_bert), score=score)
    true, texts = zip(*pairs, strict=True)
    expected = float(np.mean([one(*pair) for pair in pairs]))
    assert value_of(metric, in_batches(texts, true)) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("key", THERE)
def test_every_metric_says_which_way_it_is_better(key: str):
    option, name = key.split(".")
    target = OmegaConf.load(paths.options("metrics")[option])[name]["_target_"]
    expected = "minimize" if name in ("rmse", "perplexity", "wer", "cer") else "maximize"
    assert declared_direction(target) == expected
