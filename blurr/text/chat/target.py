"""Answers as a target: their tokens in training, and the texts that a model writes for the last turn of each chat."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from fastai.learner import Learner

from blurr.data.roles import beside
from blurr.loading.rows import EncodedRows, Inputs, Table
from blurr.metrics.base import Scored
from blurr.models.generation import generate_texts, tokenizer_of
from blurr.models.objects import HFObjects
from blurr.targets.texts import BlearnerForGeneration, blurr_generate
from blurr.text.chat.messages import is_message
from blurr.text.chat.rows import ChatRows, prompts_of
from blurr.text.language_modeling.metrics import score_tokens
from blurr.text.language_modeling.target import NextTokens, counted
from blurr.training.inference import Result

ANSWER = "answer"  # under which the text of a prediction stands


@dataclass
class ChatAnswers(NextTokens):
    """The tokens of answers; metrics read them, and the last answers that the model writes."""

    predicts: ClassVar[tuple[str, ...]] = ("tokens", "texts")
    interface: ClassVar[str | None] = "llm/v1/chat"

    def scored(self, hf: HFObjects) -> Scored:
        return Scored("tokens", others=("texts",))

    def decode(self, learner: Learner) -> Any:
        rows: ChatRows = learner.dl.dataset
        references = rows.references(learner.dl.rows_of(learner.iter))
        tokens = score_tokens(learner.pred, learner.y)
        return {"tokens": tokens, "texts": (answers_to(learner, learner.xb[0]), references)}

    def describe(self, learner: Learner) -> Table:
        texts = zip(*learner.decoded["texts"], strict=True)
        counts = counted(learner.pred, learner.y, learner.decoded["tokens"][0])
        return [{"target": t, "prediction": p, **each} for (p, t), each in zip(texts, counts, strict=True)]

    def per_row(self, given: Table, rows: EncodedRows, described: Table, roles: Sequence[str]) -> Table:
        return beside(given, described, roles)

    def shown_predictions(self, learner: Learner) -> list[str]:
        return list(learner.decoded["texts"][0])

    def predict(self, learner: Learner, items: Any, **options: Any) -> list[Result]:
        key = learner.key if isinstance(learner, BlearnerForGeneration) else ANSWER
        is_one = isinstance(items, list) and bool(items) and all(map(is_message, items))
        return blurr_generate(learner, [items] if is_one else items, **{"key": key, **options})


def answers_to(learner: Learner, inputs: Inputs, settings: Mapping[str, Any] | None = None) -> list[Any]:
    """Write an answer to each chat of a batch, given all before its last answer."""
    one = {"num_return_sequences": 1, **(settings or {})}  # metrics compare one text with one
    return generate_texts(learner.model.hf_model, tokenizer_of(learner.dls.tokenizer), prompts_of(inputs), one)
