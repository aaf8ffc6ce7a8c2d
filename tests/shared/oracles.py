"""Scores computed by others' code, or by the definition: what blurr's own metrics must equal.

Nothing here imports blurr. Where blurr uses a library for a score, this is another one, or the arithmetic of the paper.
"""

import math
import re
import string
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from nltk.stem.porter import PorterStemmer
from scipy import stats
from sklearn import metrics as sk

Rows = Sequence[dict[str, Any]]

# -- classes and numbers: scikit-learn, SciPy


def accuracy(true: Sequence[Any], predicted: Sequence[Any]) -> float:
    return float(np.mean([t == p for t, p in zip(true, predicted, strict=True)]))


def averaged(score: Callable[..., Any], true: Sequence[Any], predicted: Sequence[Any], **options: Any) -> float:
    return float(score(true, predicted, zero_division=0, **options))


def matthews(true: Sequence[Any], predicted: Sequence[Any]) -> float:
    return float(sk.matthews_corrcoef(true, predicted))


def correlation(score: Callable[..., Any], true: Sequence[float], predicted: Sequence[float]) -> float:
    """0 where a side is constant, of which SciPy says that there is no correlation."""
    if len(set(true)) == 1 or len(set(predicted)) == 1:
        return 0.0
    return float(score(np.asarray(true, dtype=float), np.asarray(predicted, dtype=float))[0])


def pearson(true: Sequence[float], predicted: Sequence[float]) -> float:
    return correlation(stats.pearsonr, true, predicted)


def spearman(true: Sequence[float], predicted: Sequence[float]) -> float:
    return correlation(stats.spearmanr, true, predicted)


def rmse(true: Sequence[float], predicted: Sequence[float]) -> float:
    return math.sqrt(sk.mean_squared_error(np.asarray(true, dtype=float), np.asarray(predicted, dtype=float)))


# -- texts


def english(text: str, *, stem: bool = True) -> list[str]:
    """Words as rouge-score has them."""
    words = re.sub(r"[^a-z0-9]+", " ", text.lower()).split()
    return [PorterStemmer().stem(word) if stem and len(word) > 3 else word for word in words]


def by_space(text: str) -> list[str]:
    return re.sub(r"[.,!?;:।؟،…«»-]", " ", text.lower()).split()


def by_character(text: str) -> list[str]:
    """Characters, each with the marks that are written above or below it."""
    found: list[str] = []
    for letter in text:
        if unicodedata.category(letter)[0] == "M":
            found[-1] += letter
        elif unicodedata.category(letter)[0] in "LN":
            found.append(letter)
    return found


def fmeasure(common: int, predicted: int, true: int) -> float:
    return 2 * common / (predicted + true) if common else 0.0


def ngrams(items: Sequence[Any], n: int) -> Counter[tuple[Any, ...]]:
    return Counter(tuple(items[i : i + n]) for i in range(len(items) - n + 1))


def rouge_n(true: Sequence[str], predicted: Sequence[str], n: int) -> float:
    one, other = ngrams(true, n), ngrams(predicted, n)
    return fmeasure((one & other).total(), one.total(), other.total())


def lcs_table(one: Sequence[str], other: Sequence[str]) -> np.ndarray:
    table = np.zeros((len(one) + 1, len(other) + 1), dtype=int)
    for i, a in enumerate(one):
        for j, b in enumerate(other):
            table[i + 1, j + 1] = table[i, j] + 1 if a == b else max(table[i, j + 1], table[i + 1, j])
    return table


def rouge_l(true: Sequence[str], predicted: Sequence[str]) -> float:
    return fmeasure(int(lcs_table(true, predicted)[-1, -1]), len(predicted), len(true))


def in_common(true: Sequence[str], predicted: Sequence[str]) -> set[int]:
    """Places in `true` of a longest common subsequence."""
    table, i, j, found = lcs_table(true, predicted), len(true), len(predicted), set()
    while i and j:
        if true[i - 1] == predicted[j - 1]:
            found.add(i - 1)
            i, j = i - 1, j - 1
        elif table[i, j - 1] > table[i - 1, j]:
            j -= 1
        else:
            i -= 1
    return found


def edit_distance(true: Sequence[Any], predicted: Sequence[Any]) -> int:
    """Fewest substitutions, insertions and deletions (Wagner and Fischer 1974)."""
    row = list(range(len(predicted) + 1))
    for i, a in enumerate(true, start=1):
        before, row[0] = row[0], i
        for j, b in enumerate(predicted, start=1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (a != b))
    return row[-1]


def error_rate(pairs: Iterable[tuple[Sequence[Any], Sequence[Any]]]) -> float:
    """Edits of all rows by units of all true sides."""
    pairs = list(pairs)
    return sum(edit_distance(*pair) for pair in pairs) / sum(len(true) for true, _ in pairs)


def sentences(text: str) -> list[str]:
    return [part for part in re.split(r"(?<=[.!?])\s|(?<=[。！？।؟۔])|\n", text) if part]


def rouge_lsum(true: list[list[str]], predicted: list[list[str]]) -> float:
    """The union of common subsequences of each true sentence with all predicted ones (Lin 2004, section 3.2)."""
    left = [Counter(word for sentence in side for word in sentence) for side in (true, predicted)]
    common = 0
    for sentence in true:
        places = set().union(*(in_common(sentence, other) for other in predicted)) if predicted else set()
        for word in (sentence[i] for i in sorted(places)):
            if left[0][word] > 0 and left[1][word] > 0:
                common += 1
                left[0][word] -= 1
                left[1][word] -= 1
    return fmeasure(common, sum(map(len, predicted)), sum(map(len, true)))


def rouge(kind: str, true: Sequence[str], predicted: Sequence[str], cut: Callable[[str], list[str]]) -> float:
    scores = []
    for one, other in zip(true, predicted, strict=True):
        if kind == "rougeLsum":
            parts = ([cut(sentence) for sentence in sentences(text)] for text in (one, other))
            scores.append(rouge_lsum(*parts))
        elif kind == "rougeL":
            scores.append(rouge_l(cut(one), cut(other)))
        else:
            scores.append(rouge_n(cut(one), cut(other), int(kind[-1])))
    return float(np.mean(scores))


def bleu(true: Sequence[list[str]], predicted: Sequence[list[str]], *, smooth: bool) -> float:
    """BLEU of words (Papineni et al. 2002); smoothed as in mteval-v13a: the k-th empty order counts 1 / 2^k."""
    right, total = np.zeros(4), np.zeros(4)
    for one, other in zip(true, predicted, strict=True):
        for n in range(1, 5):
            a, b = ngrams(one, n), ngrams(other, n)
            right[n - 1] += (a & b).total()
            total[n - 1] += b.total()
    if not total.all() or (not right.all() and not smooth) or not right.any():
        return 0.0
    empty = 0
    for n in range(4):
        if not right[n]:
            empty += 1
            right[n] = 1 / 2**empty
    lengths = [sum(map(len, side)) for side in (true, predicted)]
    brevity = min(1.0, math.exp(1 - lengths[0] / lengths[1]))
    return 100 * brevity * math.exp(np.log(right / total).mean())


def chrf(true: Sequence[str], predicted: Sequence[str], *, beta: float = 2, order: int = 6) -> float:
    """ChrF of a corpus (Popović 2015): precision and recall are means over the orders that both sides have."""
    counts = np.zeros((order, 3))
    for one, other in zip(true, predicted, strict=True):
        a, b = ("".join(text.split()) for text in (one, other))
        for n in range(1, order + 1):
            x, y = ngrams(a, n), ngrams(b, n)
            # as chrF++.py and sacrebleu: what is written where there is no reference of that length does not count
            counts[n - 1] += (x & y).total(), y.total() if x else 0, x.total()
    known = counts[(counts[:, 1] > 0) & (counts[:, 2] > 0)]
    if not len(known):
        return 0.0
    precision, recall = (known[:, 0] / known[:, 1]).mean(), (known[:, 0] / known[:, 2]).mean()
    if not precision + recall:
        return 0.0
    return 100 * (1 + beta**2) * precision * recall / (beta**2 * precision + recall)


def meteor(true: Sequence[list[str]], predicted: Sequence[list[str]]) -> float:
    """METEOR without synonyms (Banerjee and Lavie 2005): α 0.9, β 3, γ 0.5; exact words first, then stems."""
    return float(np.mean([_meteor(one, other) for one, other in zip(true, predicted, strict=True)]))


def _meteor(true: list[str], predicted: list[str]) -> float:
    wanted, written = (list(enumerate(word.lower() for word in words)) for words in (true, predicted))
    pairs: list[tuple[int, int]] = []
    for stage in (lambda word: word, PorterStemmer().stem):
        for i, word in reversed(list(written)):  # from the end on, and the last of equal words first
            for j, other in reversed(list(wanted)):
                if stage(word) == stage(other):
                    pairs.append((i, j))
                    written.remove((i, word))
                    wanted.remove((j, other))
                    break
    if not pairs:
        return 0.0
    pairs.sort()
    precision, recall = len(pairs) / len(predicted), len(pairs) / len(true)
    mean = precision * recall / (0.9 * precision + 0.1 * recall)
    chunks = 1 + sum((b[0] - a[0], b[1] - a[1]) != (1, 1) for a, b in zip(pairs, pairs[1:], strict=False))
    return mean * (1 - 0.5 * (chunks / len(pairs)) ** 3)


# -- words: the entities of conlleval


def spans(labels: Sequence[str]) -> set[tuple[str, int, int]]:
    """Entities of IOB tags: one begins at B, or at I after another type or none."""
    found, begun, kind = set(), 0, None
    for i, label in enumerate([*labels, "O"]):
        prefix, _, name = label.partition("-")
        if kind is not None and (prefix in ("B", "O") or name != kind):
            found.add((kind, begun, i))
            kind = None
        if prefix in ("B", "I") and kind is None:
            begun, kind = i, name
    return found


def entities(score: str, true: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> float:
    if score == "accuracy":
        words = [pair for sides in zip(true, predicted, strict=True) for pair in zip(*sides, strict=True)]
        return sum(t == p for t, p in words) / len(words)
    one, other = ({(i, span) for i, labels in enumerate(side) for span in spans(labels)} for side in (true, predicted))
    right = len(one & other)
    return {
        "precision": right / len(other) if other else 0.0,
        "recall": right / len(one) if one else 0.0,
        "f1": fmeasure(right, len(other), len(one)),
    }[score]


# -- answers: the arithmetic of SQuAD 2.0


def bare(text: str) -> list[str]:
    kept = "".join(letter for letter in text.lower() if letter not in set(string.punctuation))
    return re.sub(r"\b(a|an|the)\b", " ", kept).split()


def answers(score: str, true: Sequence[Sequence[str]], predicted: Sequence[str]) -> float:
    """Percent of SQuAD 1.1 where every question has an answer, of 2.0 where one has none."""
    has_none = not all(true)
    total = 0.0
    for golds, text in zip(true, predicted, strict=True):
        kept = [gold for gold in golds if bare(gold)] if has_none else golds
        total += max(_answer(score, gold, text, has_none=has_none) for gold in (kept or [""]))
    return 100 * total / len(true)


def _answer(score: str, gold: str, text: str, *, has_none: bool) -> float:
    one, other = bare(gold), bare(text)
    if score == "exact_match":
        return float(one == other)
    if has_none and not (one and other):
        return float(one == other)
    common = sum((Counter(one) & Counter(other)).values())
    return fmeasure(common, len(other), len(one))


# -- tokens


def perplexity(nll: Iterable[float], tokens: Iterable[int]) -> float:
    return math.exp(math.fsum(nll) / sum(tokens))


def worst_group(rows: Rows, column: str) -> float:
    groups = defaultdict(list)
    for row in rows:
        groups[row[column]].append(row["target"] == row["prediction"])
    return min(sum(group) / len(group) for group in groups.values())


# -- masks


def segmentation(rows: Rows) -> dict[str, float]:
    """Mean IoU and accuracy of pixels, by the pixels of each class that are true, predicted, and both."""
    sums: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(3))
    for row in rows:
        for name, counts in row["pixels"].items():
            sums[name] += counts
    ious = [both / (true + predicted - both) for true, predicted, both in sums.values()]
    true, _, both = sum(sums.values(), np.zeros(3))
    return {"mean_iou": float(np.mean(ious)), "pixel_accuracy": both / true}


# -- boxes


Boxes = Sequence[dict[str, Any]]


def detection(found: Boxes, true: Boxes) -> dict[str, float]:
    """COCO's own evaluation, by torchmetrics and faster-coco-eval: `labels`, `boxes` and `scores` of each picture."""
    from torchmetrics.detection import MeanAveragePrecision

    # its own steps are floats of 32 bits: 0.3 is a little more than COCO's
    steps = {"iou_thresholds": np.linspace(0.5, 0.95, 10).tolist(), "rec_thresholds": np.linspace(0, 1, 101).tolist()}
    metric = MeanAveragePrecision(backend="faster_coco_eval", **steps)
    metric.warn_on_many_detections = False
    sides = (
        [{name: torch.as_tensor(np.asarray(each[name])) for name in each} for each in side] for side in (found, true)
    )
    metric.update(*([{**each, "boxes": each["boxes"].reshape(-1, 4)} for each in side] for side in sides))
    names = {"map": "map", "map50": "map_50", "map75": "map_75", "mar": "mar_100"}
    return {name: float(value) for name, value in zip(names, map(metric.compute().get, names.values()), strict=True)}


def detected(rows: Rows) -> dict[str, float]:
    labels = sorted({each["label"] for row in rows for key in ("boxes", "predicted_boxes") for each in row[key]})

    def of(objects: list[dict[str, Any]]) -> dict[str, Any]:
        ids = np.array([labels.index(each["label"]) for each in objects], dtype=np.int64)
        scores = {"scores": [each["score"] for each in objects]} if objects and "score" in objects[0] else {}
        return {"labels": ids, "boxes": np.array([each["box"] for each in objects], dtype=np.float64), **scores}

    return detection([of(row["predicted_boxes"]) for row in rows], [of(row["boxes"]) for row in rows])


# -- whole runs


def recomputed(task: str, rows: Rows) -> dict[str, float]:
    """Compute the default metrics of a task from what predictions.jsonl says, and nothing else."""
    true, predicted = ([row[key] for row in rows] for key in ("target", "prediction"))
    match task:
        case "sequence_classification":
            names = sorted({*true, *predicted})
            f1 = averaged(sk.f1_score, true, predicted, average="binary", pos_label=names[1])
            return {"accuracy": accuracy(true, predicted), "f1": f1}
        case "image_classification" | "audio_classification":
            f1 = averaged(sk.f1_score, true, predicted, average="macro")
            return {"accuracy": accuracy(true, predicted), "f1": f1}
        case "token_classification":
            return {s: entities(s, true, predicted) for s in ("precision", "recall", "f1", "accuracy")}
        case "question_answering":
            return {s: answers(s, true, predicted) for s in ("exact_match", "f1")}
        case "summarization":
            kinds = ("rouge1", "rouge2", "rougeL", "rougeLsum")
            return {kind: rouge(kind, true, predicted, english) for kind in kinds}
        case "translation":
            words = [[re.findall(r"\w+|[^\w\s]", text) for text in side] for side in (true, predicted)]
            return {"bleu": bleu(*words, smooth=False), "chrf": chrf(true, predicted)}
        case "causal_lm" | "masked_lm":
            right, tokens = (sum(row[key] for row in rows) for key in ("right_count", "target_count"))
            nll, counts = ([row[key] for row in rows] for key in ("nll", "target_count"))
            return {"perplexity": perplexity(nll, counts), "token_accuracy": right / tokens}
        case "chat":
            same = [" ".join(t.split()) == " ".join(p.split()) for t, p in zip(true, predicted, strict=True)]
            texts = {"exact_match": sum(same) / len(same), "rougeL": rouge("rougeL", true, predicted, english)}
            return {**recomputed("causal_lm", rows), **texts}
        case "speech_recognition":
            sides = [([w for w, _ in row["alignment"] if w], [w for _, w in row["alignment"] if w]) for row in rows]
            return {"wer": error_rate(sides), "cer": error_rate([(" ".join(t), " ".join(p)) for t, p in sides])}
        case "semantic_segmentation":
            return segmentation(rows)
        case "object_detection":
            return detected(rows)
    raise ValueError(f"There is no oracle for the task {task}: write one here.")


def mean_loss(rows: Rows) -> float:
    """The mean loss, each row by the number of its targets: tokens, words, windows of a question; else one."""
    weights = [_targets(row) for row in rows]
    return math.fsum(row["loss"] * n for row, n in zip(rows, weights, strict=True)) / sum(weights)


def _targets(row: dict[str, Any]) -> int:
    is_of_picture = "pixels" in row or "boxes" in row
    if isinstance(row["target"], list) and isinstance(row["prediction"], list) and not is_of_picture:
        return len(row["target"])
    return next((row[name] for name in ("target_count", "target_token_count", "windows") if name in row), 1)
