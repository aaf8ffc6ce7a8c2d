"""Read questions with their answers, and cut contexts into windows with token positions of the answers."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import BatchEncoding, PreTrainedTokenizerBase

from blurr.data.core import RawData
from blurr.errors import InputError, shortened
from blurr.loading.dataloader import RowsDL
from blurr.loading.rows import Batch, Inputs, Row, Table
from blurr.text.inputs import TextCollator, TextRows, shorten
from blurr.text.lengths import length_limit
from blurr.text.special_tokens import SpecialTokens, reader_of

log = logging.getLogger(__name__)

UNKNOWN = -(1 << 31)  # the start of an answer whose position the data does not tell
WINDOW = 384  # tokens, as usual for SQuAD
ROWS_AT_ONCE = 1000  # bounds memory: offsets are Python tuples until they are packed


class Answer(NamedTuple):
    """An answer, and the position of its first character in the context."""

    text: str
    start: int

    @property
    def span(self) -> tuple[int, int]:
        """The characters of the answer without white space at either end, end exclusive."""
        start = self.start + len(self.text) - len(self.text.lstrip())
        return start, start + len(self.text.strip())


def read_answers(value: Any, start: Any = None) -> list[Answer]:
    """Read the answers of a row; an unanswerable question has none.

    Args:
        value: `{"text": [...], "answer_start": [...]}`, a list of `{"text": ..., "answer_start": ...}`, a text, or a
            list of texts; `None`, an empty text or an empty list means that there is no answer.
        start: Position of the first character, or a list of positions, for texts; `None` leaves it `UNKNOWN`.

    Raises:
        InputError: It is none of these.
    """
    try:
        return list(_answers(value, start))
    except (KeyError, TypeError, ValueError, OverflowError) as e:
        raise InputError(
            f"The answer {shortened(repr(value))} that starts at {shortened(repr(start))} cannot be read "
            f"({type(e).__name__}: {e}). Give a column "
            '{"text": [...], "answer_start": [...]}, or name a column of texts and one of character numbers by '
            "data.columns.answers and data.columns.answer_start."
        ) from e


def _answers(value: Any, start: Any) -> Iterator[Answer]:
    if isinstance(value, Mapping):
        yield from _answers(value["text"], value.get("answer_start"))
    elif isinstance(value, list) and value and isinstance(value[0], Mapping):
        for each in value:
            yield from _answers(each, None)
    else:
        texts = value if isinstance(value, list) else [value]
        starts = start if isinstance(start, list) else [start] * (len(texts) if start is None else 1)
        for text, first in zip(texts, starts, strict=True):
            if text is not None and str(text).strip():
                yield Answer(str(text), _number(first))


def _number(start: Any) -> int:
    """Read the position of a character: csv files write it as text, and a column with gaps as a fraction."""
    if start is None or start != start or (isinstance(start, str) and not start.strip()):
        return UNKNOWN
    return int(float(start))


def answers_of(rows: Mapping[str, Sequence[Any]]) -> list[list[Answer]]:
    """Read the answers of columns of rows; one of unknown position is taken where it first stands in its context."""
    return [
        [answer if answer.start != UNKNOWN else Answer(answer.text, context.find(answer.text)) for answer in answers]
        for answers, context in zip(_as_given(rows), rows["context"], strict=True)
    ]


def _as_given(rows: Mapping[str, Sequence[Any]]) -> Iterator[list[Answer]]:
    starts = rows["answer_start"] if "answer_start" in rows else [None] * len(rows["answers"])
    return map(read_answers, rows["answers"], starts)


def check_answers(raw: RawData) -> None:
    """Refuse answers that are not in the context, or not at the position that their rows name.

    Raises:
        InputError: Names the first such row, what stands there instead, and the number of such answers.
    """
    for name, split in raw.splits.items():
        columns = {role: split[role][:] for role in ("answers", "answer_start", "context") if role in split.features}
        wrong = list(_misplaced(columns))
        if wrong:
            raise InputError(
                f"{raw.source} ({name}) has {len(wrong)} answers that are not where they should be, of {len(split)} "
                f"rows: {_said(*wrong[0])}. Correct the numbers (the first character is 0), or leave these rows out."
            )
        found = sum(answer.start == UNKNOWN for answers in _as_given(columns) for answer in answers)
        if found:
            said = "%s (%s): %d answers have no answer_start; each is taken where it first stands in its context."
            log.info(said, raw.source, name, found)


def _misplaced(columns: Mapping[str, Sequence[Any]]) -> Iterator[tuple[int, Answer, str]]:
    for number, (answers, context) in enumerate(zip(answers_of(columns), columns["context"], strict=True), start=1):
        for answer in answers:
            if answer.start < 0 or not context.startswith(answer.text, answer.start):
                yield number, answer, context


def _said(number: int, answer: Answer, context: str) -> str:
    """Describe a misplaced answer: what stands at its position, and where it is instead."""
    row, near = f"row {number} of this split (counted from 1)", context.find(answer.text)
    if near < 0 and answer.start < 0:
        return f"{row} has the answer {answer.text!r:.80}, which does not stand in its context, {context!r:.80}"
    there = context[max(answer.start, 0) : max(answer.start, 0) + len(answer.text)]
    place = "it stands nowhere in the context" if near < 0 else f"it first stands at {near}"
    return (
        f"{row} says that {answer.text!r:.80} starts at character {answer.start} of the context, but {there!r:.80} "
        f"stands there; {place}"
    )


# -- windows


def tokenize_questions(
    tokenizer: PreTrainedTokenizerBase,
    questions: Sequence[str],
    contexts: Sequence[str],
    answers: Sequence[Sequence[Answer]] | None = None,
    *,
    max_length: int | None = WINDOW,
    stride: int = 128,
    max_question_length: int = 64,
    special_tokens: SpecialTokens = "text",
) -> dict[str, list[Any]]:
    """Tokenize questions with their contexts; a context that is too long becomes several windows.

    Args:
        tokenizer: A fast tokenizer, which knows the characters of each token.
        questions: A text per row.
        contexts: A text per row.
        answers: The answers of each row, if they are known.
        max_length: Longest window in tokens, question and special tokens included; `None` takes the tokenizer's limit,
            which also counts where it is shorter than the default.
        stride: Tokens of the context that neighbouring windows share; at most half of a window.
        max_question_length: Longer questions, in tokens, lose their end; a question takes at most a third of a window.
        special_tokens: See `tokenize_texts`.

    Returns:
        Columns with an entry per window: `row` (the number of its row), `input_ids`, maybe `token_type_ids`;
        `char_start` and `char_end` of each token in the context, both 0 for tokens outside it; `no_answer` (the token
        that means "no answer"); and, with answers, the `first` and `last` token of the answer, both `no_answer` if the
        window does not hold the whole answer.

    Raises:
        InputError: The tokenizer is a slow one, or `max_length` leaves no room for a context.
    """
    if not tokenizer.is_fast:
        raise InputError(
            f"Question answering needs to know where tokens stand in the text, which {type(tokenizer).__name__} cannot "
            "tell. Choose a model with a fast tokenizer."
        )
    columns: dict[str, list[Any]] = {}
    for begin in range(0, len(questions), ROWS_AT_ONCE):
        rows = slice(begin, begin + ROWS_AT_ONCE)
        reader = reader_of(tokenizer, chain(questions[rows], contexts[rows]), special_tokens)
        encoded = _encode(reader, questions[rows], contexts[rows], max_length, stride, max_question_length)
        part = _columns(tokenizer, encoded, None if answers is None else answers[rows])
        part["row"] = [row + begin for row in part["row"]]  # numbers within the split, not within this part
        for name, values in part.items():
            columns.setdefault(name, []).extend(values)
    return columns


def _encode(
    tokenizer: PreTrainedTokenizerBase,
    questions: Sequence[str],
    contexts: Sequence[str],
    max_length: int | None,
    stride: int,
    max_question_length: int,
) -> BatchEncoding:
    limit = length_limit(tokenizer, max_length, usual=WINDOW)
    options: dict[str, Any] = {"return_offsets_mapping": True, "return_attention_mask": False}
    context_first = tokenizer.padding_side == "left"
    if limit is not None:
        room = limit - tokenizer.num_special_tokens_to_add(pair=True)
        longest = min(max_question_length, room // 3)  # a context keeps at least two thirds
        if longest < 1:
            raise InputError(f"task.max_length={limit} leaves no room for a question and a context; give at least 32.")
        questions = _cut(tokenizer, questions, longest)
        options |= {"truncation": "only_first" if context_first else "only_second", "max_length": limit}
        options |= {"stride": min(stride, limit // 2, room - longest - 1), "return_overflowing_tokens": True}
    pair = (contexts, questions) if context_first else (questions, contexts)
    encoded: BatchEncoding = tokenizer(*(list(texts) for texts in pair), **options)
    return encoded


def _cut(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], longest: int) -> list[str]:
    """Cut texts after their first `longest` tokens."""
    offsets = tokenizer(list(texts), add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    return [t[: o[longest - 1][1]] if len(o) > longest else t for t, o in zip(texts, offsets, strict=True)]


def _columns(
    tokenizer: PreTrainedTokenizerBase, encoded: BatchEncoding, answers: Sequence[Sequence[Answer]] | None
) -> dict[str, list[Any]]:
    """Return the columns of `tokenize_questions` for a few rows."""
    columns: dict[str, list[Any]] = {k: encoded[k] for k in ("input_ids", "token_type_ids") if k in encoded}
    # four bytes a token: all windows of a split are held
    columns = {name: [np.array(ids, dtype=np.int32) for ids in values] for name, values in columns.items()}
    windows = range(len(encoded["input_ids"]))
    columns["row"] = list(encoded.get("overflow_to_sample_mapping", windows))
    context = int(tokenizer.padding_side != "left")  # models that pad on the left, as XLNet, read the context first
    offsets = [_of_context(encoded, window, context) for window in windows]
    columns["char_start"] = [pair[:, 0] for pair in offsets]
    columns["char_end"] = [pair[:, 1] for pair in offsets]
    columns["no_answer"] = [_no_answer(tokenizer, ids) for ids in encoded["input_ids"]]
    if answers is not None:
        held = [answer_tokens(pair, answers[row]) for pair, row in zip(offsets, columns["row"], strict=True)]
        spans = [(a, b - 1) if b else (n, n) for (a, b), n in zip(held, columns["no_answer"], strict=True)]
        columns["first"], columns["last"] = [a for a, _ in spans], [b for _, b in spans]
    return columns


def _of_context(encoded: BatchEncoding, window: int, context: int) -> NDArray[np.int32]:
    """Return first and last character, end exclusive, of each token of the context, 0 for others: `(tokens, 2)`."""
    sequence = np.array([-1 if s is None else s for s in encoded.sequence_ids(window)])
    offsets = np.array(encoded["offset_mapping"][window], dtype=np.int32).reshape(-1, 2)
    offsets[sequence != context] = 0
    return offsets


def _no_answer(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> int:
    """Find the token that means "no answer": the one that a classifier reads, or the first."""
    known = [special for special in (tokenizer.cls_token_id, tokenizer.bos_token_id) if special in ids]
    return ids.index(known[0]) if known else 0


def answer_tokens(offsets: NDArray[np.int32], answers: Sequence[Answer]) -> tuple[int, int]:
    """Find the tokens of the first answer that a window holds as a whole.

    Args:
        offsets: First and last character of each token, end exclusive, `(tokens, 2)`; equal outside the context.
        answers: Tried in this order.

    Returns:
        First and last token, end exclusive; `(0, 0)` if the window holds no answer.
    """
    inside = np.flatnonzero(offsets[:, 1] > offsets[:, 0])  # tokens of the context
    for start, end in (answer.span for answer in answers):
        if len(inside) and offsets[inside[0], 0] <= start < end <= offsets[inside[-1], 1]:
            touched = inside[(offsets[inside, 1] > start) & (offsets[inside, 0] < end)]
            if len(touched):
                return int(touched[0]), int(touched[-1]) + 1
    return 0, 0


class QuestionRows(TextRows):
    """Tokenized windows, and the texts that they come from; the arguments are those of `tokenize_questions`."""

    def __init__(
        self,
        columns: Mapping[str, Sequence[Any]],
        questions: Sequence[str],
        contexts: Sequence[str],
        answers: Sequence[Sequence[Answer]] | None = None,
    ) -> None:
        super().__init__(columns)
        self.questions, self.contexts, self.answers = questions, contexts, answers

    @property
    def has_unanswerable(self) -> bool:
        """Whether there is a question without an answer."""
        return self.answers is not None and not all(self.answers)

    def new_empty(self) -> "QuestionRows":
        return QuestionRows({}, [], [])


class QuestionCollator(TextCollator):
    """Pad windows; the targets, `(batch, 2)`, are the first and the last token of the answer, or both `no_answer`."""

    def __call__(self, rows: Sequence[Row]) -> Batch:
        inputs, _ = super().__call__(rows)
        padding = inputs["attention_mask"].argmax(1)  # the number of pads on the left
        inputs["no_answer"] = inputs["no_answer"] + padding
        if "first" not in inputs:
            return inputs, torch.empty(len(rows), 0)
        # not among the inputs, where an encoder-decoder would take them for the text to write
        return inputs, torch.stack([inputs.pop("first"), inputs.pop("last")], 1) + padding[:, None]


def show_questions(
    dl: RowsDL, inputs: Inputs, targets: torch.Tensor, predictions: Any = None, *, trunc_at: int | None = None
) -> Table:
    """Return rows of question, the window's part of the context, its answer and, if there is one, the prediction.

    `found` says whether the window holds the answer, and `start/end` are the answer's tokens, end exclusive.
    """
    rows: QuestionRows = dl.dataset
    table: Table = []
    for i, row in enumerate(inputs["row"].tolist()):
        starts, ends, context = inputs["char_start"][i].tolist(), inputs["char_end"][i].tolist(), rows.contexts[row]
        begin = min((s for s, e in zip(starts, ends, strict=True) if e > s), default=0)
        shown = {"question": rows.questions[row], "context": shorten(context[begin : max(ends)].strip(), trunc_at)}
        if targets.numel():
            first, last = targets[i].tolist()
            found = ends[first] > starts[first]
            shown |= {"found": found, "start/end": (first, last + 1) if found else (0, 0)}
            shown["answer"] = context[starts[first] : ends[last]].strip() if found else ""
        if isinstance(predictions, torch.Tensor):
            first, last = predictions[i].tolist()
            shown["prediction"] = context[starts[first] : ends[last]].strip()
        elif predictions is not None:
            shown["prediction"] = predictions[i]
        table.append(shown)
    return table
