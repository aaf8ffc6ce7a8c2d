"""Chat: a language model learns to answer."""

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from fastai.learner import Learner

from blurr.config.annotations import GenerationSettings, Length, Smoothing
from blurr.data.core import RawData, Schema
from blurr.errors import InputError
from blurr.loading.columns import Ragged
from blurr.loading.loader import Loader
from blurr.loading.rows import Batch, EncodedRows
from blurr.models.objects import HFObjects
from blurr.targets.base import Loss, Target
from blurr.targets.texts import BlearnerForGeneration
from blurr.tasks.base import Task, check_unicode
from blurr.tasks.notebook import from_data
from blurr.text.chat.encoding import encode_chats
from blurr.text.chat.messages import ALIASES, ASSISTANT, USER, Messages, read_chat, read_messages
from blurr.text.chat.rows import BEGIN, LEARNT, ChatCollator, ChatRows, show_chats
from blurr.text.chat.samples import questions_and_answers
from blurr.text.chat.target import ANSWER, ChatAnswers, answers_to
from blurr.text.chat.template import ChatInputs, Layout
from blurr.text.language_modeling.packing import first_position
from blurr.text.lengths import check_source, length_limit
from blurr.training.inference import Result
from blurr.training.learner import Blearner

LONGEST = 1024  # tokens of a chat by default
ROLES = ("prompt", "input", "answer", "system")


class BlearnerForChat(BlearnerForGeneration):
    """A `Blearner` that answers; `from_data` makes one from rows in one line."""

    key: ClassVar[str] = ANSWER

    def blurr_chat(self, items: Any, **options: Any) -> list[Result]:
        """Answer one chat or many, each a question, a list of messages or a dict; see `blurr_generate`."""
        results: list[Result] = self.predict(items, **options)
        return results

    def decoded_predictions(self, batch: Any, **options: Any) -> Any:
        """Write an answer to each chat of a batch, given all before its last answer."""
        was_training = self.model.training
        self.model.eval()
        inputs = {k: v.to(next(self.model.parameters()).device) for k, v in batch[0].items()}
        texts = answers_to(self, inputs, options.get("text_gen_kwargs"))
        self.model.train(was_training)
        return texts

    @classmethod
    def from_data(
        cls,
        data: Any,
        pretrained_model_name_or_path: str | Path,
        messages_attr: str | None = None,
        *,
        prompt_attr: str | None = None,
        answer_attr: str | None = None,
        task_kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Blearner:
        """Make a learner with a frozen body; see `blurr.tasks.notebook.from_data` for `data` and `options`.

        - `messages_attr`: Column of the messages; the usual names are found, see `Chat`.
        - `prompt_attr`, `answer_attr`: Columns of a question and its answer, in place of messages.
        - `task_kwargs`: Fields of `Chat`, such as `{"template": "chatml", "packing": True}`.
        """
        columns = {"messages": messages_attr, "prompt": prompt_attr, "answer": answer_attr}
        return from_data(Chat(**(task_kwargs or {})), data, pretrained_model_name_or_path, columns=columns, **options)


@dataclass
class Chat(Task):
    """Learn to write the answers of chats; see `messages.read_chat` for the shapes of rows.

    Args:
        template: `auto` is the tokenizer's own chat template, and ChatML where it has none; or `chatml`, a file, or
            Jinja text. The tokenizer that is saved with the model has it.
        learn: `answers` learns the tokens of answers, with the one that ends each; `all` those of everything.
        max_length: Longest chat in tokens; a longer one loses early turns, see `encoding.encode_chats`. `None` takes
            the model's limit, which also counts where it is shorter than the default.
        packing: Put several chats into a row in training, none of which sees another.
        generation: Generation settings by the names of `transformers.GenerationConfig`; they are saved with the model.
    """

    schema: ClassVar[Schema] = Schema(
        required=("messages",),
        optional=("prompt", "input", "answer", "system"),
        label="answer",
        writes_labels=True,
        sample=questions_and_answers,
        aliases=ALIASES,
        shaper=read_chat,
    )
    model_cls: ClassVar[str] = "AutoModelForCausalLM"
    target_cls: ClassVar[type[Target]] = ChatAnswers
    learner_cls: ClassVar[type[Blearner]] = BlearnerForChat
    show_rows = staticmethod(show_chats)

    template: str = "auto"
    learn: Literal["answers", "all"] = "answers"
    max_length: Length | None = LONGEST
    packing: bool = False
    loss: Loss = "auto"
    label_smoothing: Smoothing = 0.0
    generation: GenerationSettings = field(default_factory=lambda: {"max_new_tokens": 64})

    @property
    def inputs(self) -> ChatInputs:  # type: ignore[override]  # its template is a setting
        return ChatInputs(template=self.template)

    def check(self, hf: HFObjects) -> None:
        check_source("task.max_length", self.max_length, hf, usual=LONGEST)

    def corpus(self, raw: RawData) -> Iterator[str]:
        for messages in raw.train["messages"]:
            yield from (message["content"] for message in messages)

    def room(self, hf: HFObjects) -> int | None:
        """Return the longest chat in tokens."""
        return length_limit(hf.tokenizer, self.max_length, usual=LONGEST)

    def encode(self, rows: Mapping[str, Sequence[Any]], hf: HFObjects) -> dict[str, list[Any]]:
        return self._encoded(rows, hf, first=1)

    def encode_parts(
        self, parts: Iterable[Mapping[str, Sequence[Any]]], hf: HFObjects
    ) -> Iterator[dict[str, list[Any]]]:
        first = 1
        for rows in parts:
            yield self._encoded(rows, hf, first=first)
            first += len(rows["messages"])

    def _encoded(self, rows: Mapping[str, Sequence[Any]], hf: HFObjects, *, first: int) -> dict[str, list[Any]]:
        made = list(encode_chats(rows["messages"], Layout(hf.tokenizer), room=self.room(hf), first=first))
        learnt = [[1] * len(each.ids) if self.learn == "all" else each.answers for each in made]
        return {"input_ids": [each.ids for each in made], LEARNT: learnt, BEGIN: [each.begin for each in made]}

    def encode_items(self, rows: Mapping[str, Sequence[Any]], hf: HFObjects) -> dict[str, list[Any]]:
        """Keep the last turns of each chat that fit beside an answer."""
        room, new = self.room(hf), self.generation.get("max_new_tokens") or 0
        left = None if room is None else max(room - new, room // 2)
        made = encode_chats(rows["messages"], Layout(hf.tokenizer), room=left, prompted=True)
        return {"input_ids": [each.ids for each in made]}

    def make_rows(self, columns: Mapping[str, Any], rows: Mapping[str, Sequence[Any]], hf: HFObjects) -> EncodedRows:
        return ChatRows(columns, rows)

    def training_rows(self, rows: EncodedRows, hf: HFObjects) -> EncodedRows:
        capacity = self.room(hf)
        if not self.packing or not isinstance(rows, ChatRows):
            return rows
        if capacity is None:
            raise InputError("The tokenizer knows no longest length, so packing needs task.max_length, such as 1024.")
        return rows.packed(capacity)

    def facts_of(self, rows: EncodedRows) -> list[tuple[str, str]]:
        learnt = rows.columns[LEARNT]
        flat = learnt.flat if isinstance(learnt, Ragged) else np.zeros(1)
        return [("learnt", f"{flat.mean():.1%} of {len(flat):,} tokens (task.learn={self.learn})")]

    def collator(self, hf: HFObjects, loader: Loader, *, train: bool) -> Callable[..., Batch]:
        return ChatCollator.of(
            hf.tokenizer,
            pad_to_multiple_of=loader.pad_to_multiple_of,
            first_position=first_position(hf.model) if self.packing and train else 0,
        )

    def learner_options(self, hf: HFObjects) -> dict[str, Any]:
        return {"generation": {"eos_token_id": Layout(hf.tokenizer).stops, **self.generation}}

    def row_of(self, item: Any) -> dict[str, Any]:
        """Return an item as its messages up to the last of the user, which is to be answered."""
        row = dict(item) if isinstance(item, Mapping) else {"messages": item}
        if isinstance(row.get("messages"), str):  # as the one role that is needed, see `serve.typed`
            row["prompt"] = row.pop("messages")
        row.pop("answer", None)
        try:
            messages = read_messages(row)
        except InputError as error:
            raise InputError(f"A chat to answer {error}.") from error
        messages = messages[: 1 + max((i for i, each in enumerate(messages) if each["role"] == USER), default=-1)]
        if not messages:
            raise InputError("A chat to answer has no message of the user.")
        check_unicode({"messages": [[each["content"] for each in messages]]})
        return {"messages": messages}

    def example(self, hf: HFObjects, seed: int = 0) -> dict[str, Any]:
        messages: Messages = questions_and_answers(random.Random(seed))["messages"]
        end = next(i for i, each in enumerate(messages) if each["role"] == ASSISTANT)
        return {"messages": messages[:end]}

    def resolved(self, learner: Learner) -> "Chat":
        """Leave the template to the tokenizer, which is saved with it."""
        return replace(self, template="auto", **self.target.resolved(learner))
