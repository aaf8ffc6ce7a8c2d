"""A chat with a model: what may be asked of it, and the answer in the shape of OpenAI's API."""

import secrets
import time
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt

from blurr.models.streaming import Writing
from blurr.serve.predictor import Predictor
from blurr.text.chat.task import Chat

MOST = 1024  # new tokens, so that no request keeps the model for hours
USUAL = 64  # new tokens where neither the request nor the model says how many
Tokens = Annotated[StrictInt, Field(ge=1, le=MOST)]


class StreamOptions(BaseModel):
    """What a stream tells besides the text."""

    include_usage: StrictBool = False


class Completion(BaseModel):
    """A request for an answer; fields of OpenAI's that say nothing about the answer are ignored."""

    model_config = ConfigDict(
        extra="allow",
        allow_inf_nan=False,
        json_schema_extra={"example": {"model": "MODEL", "messages": [{"role": "user", "content": "Hello!"}]}},
    )

    model: str
    messages: Annotated[list[dict[str, Any]], Field(min_length=1)]
    stream: StrictBool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Tokens | None = None
    max_completion_tokens: Tokens | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    seed: Annotated[StrictInt, Field(ge=0, le=2**32 - 1)] | None = None
    stop: str | Annotated[list[str], Field(max_length=4)] | None = None
    n: Literal[1] | None = None
    frequency_penalty: Literal[0] | None = None
    presence_penalty: Literal[0] | None = None

    @property
    def stops(self) -> list[str]:
        """The texts that end the answer."""
        return [self.stop] if isinstance(self.stop, str) else self.stop or []

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of generation that the request names; a temperature of 0 takes the likeliest tokens."""
        drawn = {name: getattr(self, name) for name in ("temperature", "top_p") if getattr(self, name) is not None}
        if self.temperature == 0 or not drawn:
            return {"do_sample": False} if self.temperature == 0 else {}
        return {"do_sample": True, **drawn}


def is_chat(predictor: Predictor) -> bool:
    """Return whether a model answers chats."""
    return isinstance(predictor.saved.task, Chat)


def model_name(predictor: Predictor) -> str:
    """Return the name of a model in the API: what was trained, such as `chat-gpt2`."""
    choices = predictor.saved.choices
    return "-".join(choices[group] for group in ("task", "model") if group in choices) or "chat"


def writing_of(predictor: Predictor, messages: list[Any], asked: Completion) -> Writing:
    """Prepare an answer.

    Raises:
        InputError: the messages cannot be answered, or settings do not go together.
    """
    learner = predictor.learner
    dl = learner.dls.test_dl([{"messages": messages}], bs=1, max_tokens=None, num_workers=0)
    dl.to(predictor.device)
    inputs = dl.one_batch()[0]
    own = learner.model.hf_model.generation_config
    limit = asked.max_completion_tokens or asked.max_tokens or own.max_new_tokens or USUAL
    room = predictor.hf.processor.model_max_length - inputs[dl.dataset.names.main].shape[1]
    most = max(1, min(limit, room))
    ends = own.eos_token_id
    return Writing(
        lambda streamer: predictor.stream(inputs, {**asked.settings, "max_new_tokens": most}, streamer),
        predictor.decode,
        most=most,
        ends=ends if isinstance(ends, list) else [ends],
        stops=asked.stops,
        seed=asked.seed,
    )


def head_of(name: str) -> dict[str, Any]:
    """Return how the answer of a model of this name begins."""
    return {"id": f"chatcmpl-{secrets.token_hex(12)}", "created": int(time.time()), "model": name}


def completion_of(writing: Writing, name: str) -> dict[str, Any]:
    """Return an answer that has been written, in the shape of OpenAI's API."""
    message = {"role": "assistant", "content": writing.text, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": writing.finish}
    return {**head_of(name), "object": "chat.completion", "choices": [choice], "usage": usage_of(writing)}


def usage_of(writing: Writing) -> dict[str, int]:
    """Return how many tokens were read and written."""
    prompt, written = writing.prompt_tokens, len(writing.tokens)
    return {"prompt_tokens": prompt, "completion_tokens": written, "total_tokens": prompt + written}
