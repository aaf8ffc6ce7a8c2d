"""Extractive question answering: find the span of a text that answers a question, or that none does."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from fastai.losses import CrossEntropyLossFlat

from blurr.config.annotations import Count, Length, Natural
from blurr.config.wording import in_words_of_notebook
from blurr.data.core import RawData, Schema
from blurr.errors import InputError
from blurr.loading.dataloader import RowsDL
from blurr.loading.loader import Loader
from blurr.loading.rows import Batch, EncodedRows
from blurr.models.objects import HFObjects
from blurr.targets.base import Loss, Target
from blurr.tasks.base import Task
from blurr.tasks.notebook import from_data
from blurr.text.inputs import TEXT, TextInputs
from blurr.text.lengths import check_source
from blurr.text.question_answering.rows import (
    WINDOW,
    QuestionCollator,
    QuestionRows,
    answers_of,
    show_questions,
    tokenize_questions,
)
from blurr.text.question_answering.samples import questions
from blurr.text.question_answering.spans import SpanRules, rank_answers
from blurr.text.question_answering.target import Answers, as_question, no_answer_threshold_of, windows_in
from blurr.text.special_tokens import SpecialTokens
from blurr.training.inference import Result
from blurr.training.learner import Blearner

OF_PREPROCESSOR = ("id_attr", "tok_ans_start_attr", "tok_ans_end_attr")  # columns that QAPreprocessor of 1.x made


class BlearnerForQuestionAnswering(Blearner):
    """A `Blearner` for extractive question answering; `from_data` makes one from rows in one line.

    Args:
        spans: What counts as an answer; `None` takes the threshold of "no answer" in the model's config.
        loss_func: `None` takes the mean of the cross-entropies of start and end, as the models themselves do.
        args, kwargs: As for `Blearner`.
    """

    def __init__(self, *args: Any, spans: SpanRules | None = None, loss_func: Any = None, **kwargs: Any) -> None:
        self.spans = spans or SpanRules()  # before the callbacks are made: one of them sets its threshold
        super().__init__(*args, loss_func=loss_func or CrossEntropyLossFlat(axis=1), **kwargs)
        if spans is None:
            stored = no_answer_threshold_of(self.model.hf_model.config)
            self.spans = replace(self.spans, no_answer_threshold=stored)
        if self.spans.no_answer == "auto":
            rows = self.dls.train_ds
            self.spans = replace(self.spans, no_answer=isinstance(rows, QuestionRows) and rows.has_unanswerable)

    def blurr_predict_answers(self, question_contexts: Any, **options: Any) -> list[Result]:
        """Answer one question or many; see `target.blurr_predict_answers`."""
        results: list[Result] = self.predict(question_contexts, **options)
        return results

    def shown_predictions(self, batch: Batch, dl: RowsDL, **_: Any) -> list[str | None]:
        """Return the best answer in each window of a batch; `None` for "no answer"."""
        inputs = {k: v.to(next(self.model.parameters()).device) for k, v in batch[0].items()}
        windows = windows_in([inputs], self.model, dl.dataset.contexts, self.spans)
        return [rank_answers([window], self.spans.n_best)[0]["answer"] for window in windows]

    @classmethod
    @in_words_of_notebook()
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
        max_seq_len: int | None = None,
        **options: Any,
    ) -> Blearner:
        """Make a learner with a frozen body; see `blurr.tasks.notebook.from_data` for `data` and `options`.

        - `question_attr`: Column of the question.
        - `context_attr`: Column of the text that holds the answer.
        - `answers_attr`: Column of the answers as in SQuAD, or of the answer's text.
        - `answer_start_attr`: Column of the number of the first character, where `answers_attr` is a text.
        - `max_length`: See `QuestionAnswering`, also for the settings that follow.
        - `max_seq_len`: Its name in blurr 1.x, whose columns `answer_text` and `ans_start_char_idx` are found, too; its
          `id_attr`, `tok_ans_start_attr` and `tok_ans_end_attr` change nothing, since windows are made of the answers.
        """
        options = {name: value for name, value in options.items() if name not in OF_PREPROCESSOR}
        max_length = max_length if max_seq_len is None else max_seq_len
        task = QuestionAnswering(
            max_length=max_length, stride=stride, no_answer=no_answer, no_answer_threshold=no_answer_threshold
        )
        columns = {"question": question_attr, "context": context_attr, "answers": answers_attr}
        columns |= {} if answer_start_attr is None else {"answer_start": answer_start_attr}
        other = {} if answer_start_attr else {"answer_start": ["ans_start_char_idx", "answer_start_char_idx"]}
        other |= {"answers": ["answer_text"]} if answers_attr == "answers" else {}
        return from_data(task, data, pretrained_model_name_or_path, columns=columns, other_columns=other, **options)


@dataclass
class QuestionAnswering(Task):
    """Find the answer to a question in a text; the rules of answers are those of `question_answering.target.Answers`.

    Args:
        max_length: Longest window in tokens, question included; `None` takes the model's limit.
        stride: Tokens of the context that neighbouring windows share; at most half of a window.
        max_question_length: Longer questions, in tokens, lose their end; a question takes at most a third of a window.
        special_tokens: See `tokenize_texts`.
    """

    schema: ClassVar[Schema] = Schema(
        required=("question", "context", "answers"),
        optional=("answer_start", "weight"),
        label="answers",
        sample=questions,
        blank=("answers", "answer_start"),
    )
    model_cls: ClassVar[str] = "AutoModelForQuestionAnswering"
    inputs: ClassVar[TextInputs] = TEXT
    target_cls: ClassVar[type[Target]] = Answers
    learner_cls: ClassVar[type[Blearner]] = BlearnerForQuestionAnswering
    show_rows = staticmethod(show_questions)

    max_length: Length | None = WINDOW
    stride: Natural = 128
    max_question_length: Length = 64
    n_best: Count = 20
    max_answer_length: Count = 30
    no_answer: bool | Literal["auto"] = "auto"
    no_answer_threshold: float | Literal["auto"] = 0.0
    loss: Loss = "auto"
    special_tokens: SpecialTokens = "text"

    def __post_init__(self) -> None:
        if self.max_length is not None and self.stride > self.max_length // 2:
            raise InputError(
                f"task.stride={self.stride} is more than half of task.max_length={self.max_length}: windows would "
                f"hardly move. Set task.stride to at most {self.max_length // 2}."
            )

    def check(self, hf: HFObjects) -> None:
        check_source("task.max_length", self.max_length, hf, usual=WINDOW)

    def corpus(self, raw: RawData) -> Iterator[str]:
        for role in ("question", "context"):
            yield from dict.fromkeys(raw.train[role][:])  # the rows of all questions to a context repeat it

    def encode(self, rows: Mapping[str, Sequence[Any]], hf: HFObjects) -> dict[str, list[Any]]:
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

    def make_rows(self, columns: Mapping[str, Any], rows: Mapping[str, Sequence[Any]], hf: HFObjects) -> EncodedRows:
        answers = answers_of(rows) if "answers" in rows else None
        return QuestionRows(columns, rows["question"], rows["context"], answers)

    def collator(self, hf: HFObjects, loader: Loader, *, train: bool) -> Callable[..., Batch]:
        return QuestionCollator.of(hf.tokenizer, pad_to_multiple_of=loader.pad_to_multiple_of)

    def row_of(self, item: Any) -> dict[str, Any]:
        return as_question(item)
