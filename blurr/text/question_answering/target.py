"""Answers as a target: spans of a context, or "no answer" by a threshold."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, ClassVar, Literal

import torch
from datasets import DatasetDict
from fastai.callback.core import Callback
from fastai.learner import Learner
from fastai.losses import CrossEntropyLossFlat
from torch import nn

from blurr.config.annotations import Count
from blurr.data.core import RawData
from blurr.data.splits import Splits, split_rows
from blurr.errors import InputError
from blurr.loading.rows import Inputs, Table
from blurr.models.losses import CustomLoss
from blurr.models.objects import HFObjects
from blurr.models.wrapper import logits_of
from blurr.targets.base import Loss, Target
from blurr.targets.labels import LabelThreshold
from blurr.text.question_answering.metrics import AnswerF1, ExactMatch
from blurr.text.question_answering.rows import QuestionRows, check_answers
from blurr.text.question_answering.spans import AnswerWindow, SpanRules, find_spans, rank_answers
from blurr.training.inference import Result, as_items, infer_windows

KEY = "no_answer_threshold"  # in the model's config, which save_pretrained writes and an export holds
SHOWN = 4  # further answers in the description of a row
TUNE = Splits(by="random", valid=0.1)  # the training rows that a threshold is searched on


@dataclass
class Answers(Target):
    """The best span of each context, or no answer.

    Args:
        n_best: Answers to choose from, for each question.
        max_answer_length: Longest answer in tokens.
        no_answer: Whether a question may have no answer; `auto`: as in the training rows.
        no_answer_threshold: "No answer" is predicted when its score exceeds that of the best answer by more than this;
            `auto` searches the one with the best F1, on a tenth of the training rows that is held out. It is kept in
            the model's config.
        loss: The mean of the cross-entropies of start and end, by every name, as the models themselves compute it; or a
            loss of fastai, torch or your own, see `blurr.models.losses.CustomLoss`.
    """

    predicts: ClassVar[tuple[str, ...]] = ("answers",)
    options: ClassVar[Mapping[str, type]] = {"top_k": int, "max_answer_length": int, "no_answer_threshold": float}

    n_best: Count = 20
    max_answer_length: Count = 30
    no_answer: bool | Literal["auto"] = "auto"
    no_answer_threshold: float | Literal["auto"] = 0.0
    loss: Loss = "auto"

    def loss_func(self, hf: HFObjects, raw: RawData) -> Any:
        own = CrossEntropyLossFlat(axis=1)
        return CustomLoss(self.loss, own, axis=1) if callable(self.loss) else own

    def learner_options(self, hf: HFObjects) -> dict[str, Any]:
        threshold = 0.0 if self.no_answer_threshold == "auto" else self.no_answer_threshold
        return {"spans": SpanRules(self.n_best, self.max_answer_length, self.no_answer, threshold)}

    def prepare(self, raw: RawData, inputs: Sequence[str]) -> RawData:
        if self.no_answer_threshold != "auto" or self.no_answer is False:
            return raw
        parts = split_rows(raw.train, TUNE, label=None, inputs=inputs)
        return replace(raw, splits=DatasetDict(raw.splits, train=parts["train"], tune=parts["valid"]))

    def callbacks(self, hf: HFObjects) -> list[Callback]:
        if self.no_answer is False:
            return []
        return [NoAnswerThreshold(None if self.no_answer_threshold == "auto" else self.no_answer_threshold)]

    def model_config(self, raw: RawData) -> dict[str, Any]:
        check_answers(raw)
        return {"num_labels": 2}  # start and end, whatever the head of the checkpoint was for

    def decode(self, learner: Learner) -> tuple[Any, Any]:
        rows: QuestionRows = learner.dl.dataset
        windows = find_spans(learner.pred, learner.xb[0], rows.contexts, learner.spans)
        known = rows.answers or [[]] * len(rows.contexts)
        return windows, [[answer.text for answer in known[window.row]] for window in windows]

    def describe(self, learner: Learner) -> Table:
        return [{"window": window, "target": true} for window, true in zip(*learner.decoded, strict=True)]

    def merge_windows(self, parts: list[dict[str, Any]]) -> dict[str, Any]:
        true = parts[0]["target"]  # the same in all windows of a question
        best, *others = rank_answers([part["window"] for part in parts], self.n_best)
        predicted = best.pop("answer") or ""
        scores = {"exact_match": ExactMatch.best_match(predicted, true), "f1": AnswerF1.best_match(predicted, true)}
        loss = sum(part["loss"] for part in parts) / len(parts)
        rest = {"others": others[:SHOWN], "windows": len(parts), "loss": loss}
        return {"target": true, "prediction": predicted, **best, **scores, **rest}

    def predict(self, learner: Learner, items: Any, **options: Any) -> list[Result]:
        return blurr_predict_answers(learner, items, **options)

    def resolved(self, learner: Learner) -> dict[str, Any]:
        spans: SpanRules = learner.spans
        return {"no_answer": bool(spans.no_answer), "no_answer_threshold": spans.no_answer_threshold}


def blurr_predict_answers(
    learn: Learner,
    items: Any,
    *,
    top_k: int = 1,
    bs: int | None = None,
    slow_word_ids_func: Any = None,
    **rules: Any,
) -> list[Result]:
    """Answer one question or many.

    Args:
        learn: A learner for question answering.
        items: A dict with `question` and `context`, a tuple of the two; or a list, DataFrame or Dataset of these.
        top_k: Number of answers to return.
        bs: Windows in a batch.
        slow_word_ids_func: An argument of blurr 1.x that changes nothing: words are not counted.
        rules: Change the learner's `SpanRules`, such as `no_answer_threshold` or `max_answer_length`.

    Returns:
        One dict per item: `answer`, `start`, `end` and `score`; the answer is `context[start:end]`, and all but the
        score are `None` for "no answer". With `top_k` above 1 also `answers`, a list of such dicts, best first.
    """
    rows = [as_question(item) for item in as_items(items)]
    contexts = [row["context"] for row in rows]
    chosen = replace(learn.spans, **rules)

    def step(x: Inputs) -> list[AnswerWindow]:
        return find_spans(logits_of(learn.model(x)), x, contexts, chosen)

    found = infer_windows(learn, rows, step, bs=bs)
    ranked = [rank_answers(windows, max(chosen.n_best, top_k))[:top_k] for windows in found]
    return [{**answers[0], "answers": answers} if top_k > 1 else answers[0] for answers in ranked]


def windows_in(
    batches: Iterable[Inputs], model: nn.Module, contexts: Sequence[str], rules: SpanRules
) -> list[AnswerWindow]:
    """Run a model over batches in eval mode, and find the best spans of each window."""
    was_training = model.training
    model.eval()
    with torch.inference_mode():
        found = [find_spans(logits_of(model(x)), x, contexts, rules) for x in batches]
    model.train(was_training)
    return list(chain.from_iterable(found))


def as_question(item: Any) -> dict[str, Any]:
    """Make a row from a dict or a tuple of question and context.

    Raises:
        InputError: One of the two is missing.
    """
    row = dict(zip(("question", "context"), item, strict=False)) if isinstance(item, tuple) else item
    if not isinstance(row, Mapping) or not all(isinstance(row.get(key), str) for key in ("question", "context")):
        raise InputError(f"An item to predict on needs a question and a context; this one is {item!r}.")
    return dict(row)


# -- the threshold of "no answer"


def no_answer_threshold_of(config: Any) -> float:
    """Return the threshold in a model's config, 0 if there is none."""
    value: float = vars(config).get(KEY, 0.0)
    return value


def best_no_answer_threshold(gaps: Sequence[float], answered: Sequence[float], empty: Sequence[float]) -> float:
    """Find the threshold with the highest score, as the official script of SQuAD 2.0 does.

    Sorted by gap, the questions answered at any threshold are the first k, so one running sum gives the score of every
    possible threshold. Ties go to the first.

    Args:
        gaps: For each question, the score of "no answer" minus that of the best span.
        answered: The score of answering with the best span, 0 to 1.
        empty: The score of "no answer", 0 or 1.

    Returns:
        The midpoint between the last answered gap and the next.
    """
    order = sorted(range(len(gaps)), key=gaps.__getitem__)
    ends = [gaps[order[0]] - 1, *(gaps[i] for i in order), gaps[order[-1]] + 1]
    total = best = sum(empty)  # the score of answering nothing
    found = 0
    for k, i in enumerate(order, start=1):
        total += answered[i] - empty[i]
        if total > best and ends[k + 1] > ends[k]:  # no threshold separates equal gaps
            best, found = total, k
    return (ends[found] + ends[found + 1]) / 2


class NoAnswerThreshold(LabelThreshold):
    """Keep the threshold of "no answer" in the model's config and in the learner's rules; search it by F1."""

    start = 0.0

    def current(self) -> float:
        return no_answer_threshold_of(self.model.hf_model.config)

    def _found(self) -> float:
        dl = self.dls.loaders[-1]
        rules = replace(self.learn.spans, no_answer=True, no_answer_threshold=0.0)
        windows = windows_in((x for x, *_ in dl), self.model, dl.dataset.contexts, rules)
        return best_no_answer_threshold(*_scores(windows, dl.dataset.answers))

    def _keep(self, value: float) -> None:
        setattr(self.model.hf_model.config, KEY, value)
        self.learn.spans = replace(self.learn.spans, no_answer_threshold=value)


def _scores(
    windows: Sequence[AnswerWindow], answers: Sequence[Sequence[Any]]
) -> tuple[list[float], list[float], list[float]]:
    """Return the arguments of `best_no_answer_threshold`."""
    by_question: dict[int, list[AnswerWindow]] = {}
    for window in windows:
        by_question.setdefault(window.row, []).append(window)
    gaps: list[float] = []
    answered: list[float] = []
    empty: list[float] = []
    for row, found in by_question.items():
        best = max(found, key=lambda window: window.score)
        true = [answer.text for answer in answers[row]]
        # as in `rank_answers`, the lowest "no answer" counts
        gaps.append(min(window.no_answer_score for window in found) - best.score)
        answered.append(AnswerF1.best_match(best.text, true))
        empty.append(AnswerF1.best_match("", true))
    return gaps, answered, empty
