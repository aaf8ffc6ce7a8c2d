"""Spans of a context as what a task learns to give: the answer to a question, or that there is none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from datasets import DatasetDict
from fastai.callback.core import Callback
from fastai.learner import Learner

from blurr.config.annotations import Count
from blurr.data.core import RawData
from blurr.data.splits import Splits, split_rows
from blurr.errors import InputError
from blurr.loading.rows import Inputs, Table
from blurr.models.objects import HFObjects
from blurr.models.wrapper import logits_of
from blurr.targets.base import Target
from blurr.text.question_answering.metrics import AnswerF1, ExactMatch
from blurr.text.question_answering.no_answer import NoAnswerThreshold
from blurr.text.question_answering.rows import QuestionRows, check_answers
from blurr.text.question_answering.spans import AnswerWindow, SpanRules, find_spans, rank_answers
from blurr.training.inference import Result, as_items, infer_windows

SHOWN = 4  # answers that stand beside the best one in the described rows
TUNE = Splits(by="random", valid=0.1)  # the training rows on which a threshold is searched


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
    """

    predicts: ClassVar[tuple[str, ...]] = ("answers",)
    options: ClassVar[Mapping[str, type]] = {"top_k": int, "max_answer_length": int, "no_answer_threshold": float}

    n_best: Count = 20
    max_answer_length: Count = 30
    no_answer: bool | Literal["auto"] = "auto"
    no_answer_threshold: float | Literal["auto"] = 0.0

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
        return {"num_labels": 2}  # start and end, whatever the checkpoint has told apart before

    def decode(self, learner: Learner) -> tuple[Any, Any]:
        rows: QuestionRows = learner.dl.dataset
        windows = find_spans(learner.pred, learner.xb[0], rows.contexts, learner.spans)
        known = rows.answers or [[]] * len(rows.contexts)
        return windows, [[answer.text for answer in known[window.row]] for window in windows]

    def describe(self, learner: Learner) -> Table:
        return [{"window": window, "target": true} for window, true in zip(*learner.decoded, strict=True)]

    def merge_windows(self, parts: list[dict[str, Any]]) -> dict[str, Any]:
        true = parts[0]["target"]
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
    learn: Learner, items: Any, *, top_k: int = 1, bs: int | None = None, **rules: Any
) -> list[Result]:
    """Answer one question or many.

    Args:
        learn: a learner for question answering.
        items: a dict with `question` and `context`, a tuple of the two; or a list, DataFrame, Dataset of them.
        top_k: how many answers to give.
        bs: windows in a batch.
        rules: change the learner's `SpanRules`, such as `no_answer_threshold` or `max_answer_length`.

    Returns:
        One dict per item: `answer`, `start`, `end` and `score`; `context[start:end]` is the answer, and all but the
        score are `None` where there is none. With `top_k` above 1 also `answers`, a list of such dicts, best first.
    """
    rows = [as_question(item) for item in as_items(items)]
    contexts = [row["context"] for row in rows]
    chosen = replace(learn.spans, **rules)

    def step(x: Inputs) -> list[AnswerWindow]:
        return find_spans(logits_of(learn.model(x)), x, contexts, chosen)

    found = infer_windows(learn, rows, step, bs=bs)
    ranked = [rank_answers(windows, max(chosen.n_best, top_k))[:top_k] for windows in found]
    return [{**answers[0], "answers": answers} if top_k > 1 else answers[0] for answers in ranked]


def as_question(item: Any) -> dict[str, Any]:
    """Make a row of a dict or a tuple of question and context.

    Raises:
        InputError: it lacks one of the two.
    """
    row = dict(zip(("question", "context"), item, strict=False)) if isinstance(item, tuple) else item
    if not isinstance(row, Mapping) or not all(isinstance(row.get(key), str) for key in ("question", "context")):
        raise InputError(f"An item to predict on needs a question and a context; this one is {item!r}.")
    return dict(row)
