"""Extractive question answering: the part of a text that answers a question about it, or that there is none."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from datasets import DatasetDict
from fastai.callback.core import Callback
from fastai.learner import Learner
from fastai.losses import CrossEntropyLossFlat
from transformers import PretrainedConfig

from blurr.config.annotations import Count, Natural
from blurr.data.core import RawData, Schema
from blurr.data.splits import Splits, split_rows
from blurr.errors import InputError
from blurr.loading.dataloader import TextDL
from blurr.loading.loader import Loader
from blurr.loading.rows import Batch, Inputs, Table, TokenizedRows
from blurr.metrics.base import Metric
from blurr.models.objects import HFObjects
from blurr.models.wrapper import logits_of
from blurr.tasks.base import Task, from_data
from blurr.text.question_answering.metrics import AnswerF1, ExactMatch
from blurr.text.question_answering.no_answer import NoAnswerThreshold, no_answer_threshold_of
from blurr.text.question_answering.rows import (
    WINDOW,
    QuestionCollator,
    QuestionRows,
    answers_of,
    check_answers,
    show_questions,
    tokenize_questions,
)
from blurr.text.question_answering.samples import questions
from blurr.text.question_answering.spans import SpanRules, Window, find_spans, rank_answers
from blurr.training.inference import as_items, infer_windows
from blurr.training.learner import Blearner, Result

SHOWN = 4  # answers that stand beside the best one in the described rows
TUNE = Splits(by="random", valid=0.1)  # the training rows on which a threshold is searched


def blurr_predict_answers(
    learn: "BlearnerForQuestionAnswering", items: Any, *, top_k: int = 1, bs: int | None = None, **rules: Any
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

    def step(x: Inputs) -> list[Window]:
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


class BlearnerForQuestionAnswering(Blearner):
    """A `Blearner` for extractive question answering; `from_data` makes one of rows in one line.

    Args:
        spans: what counts as an answer; `None` takes the threshold of "no answer" that the model's config holds.
        loss_func: `None` takes the mean of the cross-entropies of start and end, as the models themselves do.
        args, kwargs: as for `Blearner`.
    """

    def __init__(self, *args: Any, spans: SpanRules | None = None, loss_func: Any = None, **kwargs: Any) -> None:
        self.spans = spans or SpanRules()  # before the callbacks are made, one of which may set its threshold
        super().__init__(*args, loss_func=loss_func or CrossEntropyLossFlat(axis=1), **kwargs)
        if spans is None:
            stored = no_answer_threshold_of(self.model.hf_model.config)
            self.spans = replace(self.spans, no_answer_threshold=stored)
        if self.spans.no_answer == "auto":
            rows = self.dls.train_ds
            self.spans = replace(self.spans, no_answer=isinstance(rows, QuestionRows) and rows.has_unanswerable)

    def blurr_predict_answers(self, question_contexts: Any, **options: Any) -> list[Result]:
        """Answer one question or many; see `blurr.text.question_answering.task.blurr_predict_answers`."""
        return blurr_predict_answers(self, question_contexts, **options)

    def predict(self, items: Any, **options: Any) -> list[Result]:
        """Answer one question or many; see `blurr_predict_answers`."""
        return self.blurr_predict_answers(items, **options)

    def show_results(
        self, ds_idx: int = 1, dl: TextDL | None = None, max_n: int = 6, show: bool = True, **options: Any
    ) -> Any:
        """Show windows of the first batch beside the best answer that each of them holds; see `TextDL.show_results`."""
        dl = self.dls[ds_idx] if dl is None else dl
        batch = dl.one_batch()
        return dl.show_results(batch, self._answers(batch, dl.dataset.contexts), max_n=max_n, show=show, **options)

    def _answers(self, batch: Batch, contexts: Sequence[str]) -> list[str | None]:
        """Give the best answer that each window of a batch holds; `None` for "no answer"."""
        was_training = self.model.training
        self.model.eval()
        inputs = {k: v.to(next(self.model.parameters()).device) for k, v in batch[0].items()}
        with torch.no_grad():
            windows = find_spans(logits_of(self.model(inputs)), inputs, contexts, self.spans)
        self.model.train(was_training)
        return [rank_answers([window], self.spans.n_best)[0]["answer"] for window in windows]

    @classmethod
    def from_data(
        cls,
        data: Any,
        pretrained_model_name_or_path: str | Path,
        question_attr: str = "question",
        context_attr: str = "context",
        answers_attr: str = "answers",
        answer_start_attr: str | None = None,
        *,
        max_length: int | None = WINDOW,
        stride: int = 128,
        no_answer: bool | Literal["auto"] = "auto",
        no_answer_threshold: float | Literal["auto"] = 0.0,
        **options: Any,
    ) -> Blearner:
        """Make a learner with a frozen body.

        Args:
            data: a DataFrame, Dataset, DatasetDict, list of dicts, or the path of a file; a column `is_valid` marks the
                validation rows.
            pretrained_model_name_or_path: Hub id or local folder.
            question_attr: column of the question.
            context_attr: column of the text that holds the answer.
            answers_attr: column of the answers as in SQuAD, or of the answer's text.
            answer_start_attr: column of the number of the first character, where `answers_attr` is a text.
            max_length: longest window in tokens.
            stride: tokens that neighbouring windows share.
            no_answer: see `QuestionAnswering`.
            no_answer_threshold: likewise.
            options: `dblock_splitter`, `dl_kwargs`, `learner_kwargs`, `hf_kwargs`, as for
                `blurr.tasks.base.from_data`.
        """
        task = QuestionAnswering(
            max_length=max_length, stride=stride, no_answer=no_answer, no_answer_threshold=no_answer_threshold
        )
        columns = {"question": question_attr, "context": context_attr, "answers": answers_attr}
        columns |= {} if answer_start_attr is None else {"answer_start": answer_start_attr}
        return from_data(
            task, data, pretrained_model_name_or_path, columns=columns, metrics=_default_metrics, **options
        )


def _default_metrics(config: PretrainedConfig) -> dict[str, Metric]:
    return {"exact_match": ExactMatch(), "f1": AnswerF1()}


@dataclass
class QuestionAnswering(Task):
    """Find the answer to a question in a text.

    Args:
        max_length: longest window in tokens, question included; `None` takes the model's limit.
        stride: tokens of the context that neighbouring windows share; at most half of a window.
        max_question_length: what is longer, in tokens, loses its end; a question takes a third of a window at most.
        n_best: answers to choose from, for each question.
        max_answer_length: longest answer in tokens.
        no_answer: whether a question may have no answer; `auto`: as in the training rows.
        no_answer_threshold: "no answer" is taken when its score is above that of the best answer by more than this;
            `auto` searches the one with the best F1, on a tenth of the training rows that is held out. It is kept in
            the model's config.
    """

    schema: ClassVar[Schema] = Schema(
        required=("question", "context", "answers"),
        optional=("answer_start",),
        label="answers",
        sample=questions,
        blank=("answers", "answer_start"),
    )
    model_cls: ClassVar[str] = "AutoModelForQuestionAnswering"
    predicts: ClassVar[str] = "answers"
    learner_cls: ClassVar[type[Blearner]] = BlearnerForQuestionAnswering
    show_rows = staticmethod(show_questions)
    usual_length: ClassVar[int | None] = WINDOW
    options: ClassVar[Mapping[str, type]] = {"top_k": int, "max_answer_length": int, "no_answer_threshold": float}

    max_length: Count | None = WINDOW
    stride: Natural = 128
    max_question_length: Count = 64
    n_best: Count = 20
    max_answer_length: Count = 30
    no_answer: bool | Literal["auto"] = "auto"
    no_answer_threshold: float | Literal["auto"] = 0.0

    def __post_init__(self) -> None:
        if self.max_length is not None and self.stride > self.max_length // 2:
            raise InputError(
                f"task.stride={self.stride} is more than half of task.max_length={self.max_length}: windows would "
                f"hardly move. Set task.stride to at most {self.max_length // 2}."
            )

    def prepare(self, raw: RawData) -> RawData:
        if self.no_answer_threshold != "auto" or self.no_answer is False:
            return raw
        parts = split_rows(raw.train, TUNE, label=None, inputs=["question", "context"])
        return replace(raw, splits=DatasetDict(raw.splits, train=parts["train"], tune=parts["valid"]))

    def callbacks(self, hf: HFObjects) -> list[Callback]:
        if self.no_answer is False:
            return []
        return [NoAnswerThreshold(None if self.no_answer_threshold == "auto" else self.no_answer_threshold)]

    def model_config(self, raw: RawData) -> dict[str, Any]:
        check_answers(raw)
        return {"num_labels": 2}  # start and end, whatever the checkpoint has told apart before

    def corpus(self, raw: RawData) -> Iterator[str]:
        for role in ("question", "context"):
            yield from dict.fromkeys(raw.train[role][:])  # a context stands in the rows of all its questions

    def tokenize(self, rows: Mapping[str, Sequence[Any]], hf: HFObjects) -> dict[str, list[Any]]:
        return tokenize_questions(
            hf.tokenizer,
            rows["question"],
            rows["context"],
            answers_of(rows) if "answers" in rows else None,
            max_length=self.max_length,
            stride=self.stride,
            max_question_length=self.max_question_length,
            special_tokens=self.special_tokens,
        )

    def hold(self, tokenized: Mapping[str, Any], rows: Mapping[str, Sequence[Any]], hf: HFObjects) -> TokenizedRows:
        answers = answers_of(rows) if "answers" in rows else None
        return QuestionRows(tokenized, rows["question"], rows["context"], answers)

    def collator(self, hf: HFObjects, loader: Loader, *, train: bool) -> Callable[..., Batch]:
        return QuestionCollator(
            hf.tokenizer.pad_token_id,
            padding_side=hf.tokenizer.padding_side,
            pad_to_multiple_of=loader.pad_to_multiple_of,
        )

    def row_of(self, item: Any) -> dict[str, Any]:
        return as_question(item)

    def learner_options(self, hf: HFObjects) -> dict[str, Any]:
        threshold = 0.0 if self.no_answer_threshold == "auto" else self.no_answer_threshold
        return {"spans": SpanRules(self.n_best, self.max_answer_length, self.no_answer, threshold)}

    def settled(self, learner: Learner) -> Task:
        spans: SpanRules = learner.spans
        return replace(self, no_answer=bool(spans.no_answer), no_answer_threshold=spans.no_answer_threshold)

    def decode(self, learner: Learner) -> tuple[Any, Any]:
        rows: QuestionRows = learner.dl.dataset
        windows = find_spans(learner.pred, learner.xb[0], rows.contexts, learner.spans)
        known = rows.answers or [[]] * len(rows.contexts)
        return windows, [[answer.text for answer in known[window.row]] for window in windows]

    def describe(self, learner: Learner) -> Table:
        return [{"window": window, "target": true} for window, true in zip(*learner.decoded, strict=True)]

    def join(self, parts: list[dict[str, Any]]) -> dict[str, Any]:
        true = parts[0]["target"]
        best, *others = rank_answers([part["window"] for part in parts], self.n_best)
        predicted = best.pop("answer") or ""
        scores = {"exact_match": ExactMatch.best_match(predicted, true), "f1": AnswerF1.best_match(predicted, true)}
        loss = sum(part["loss"] for part in parts) / len(parts)
        rest = {"others": others[:SHOWN], "windows": len(parts), "loss": loss}
        return {"target": true, "prediction": predicted, **best, **scores, **rest}
