"""Answer chats over HTTP in the shape of OpenAI's API: whole or as a stream, with errors in its shape."""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any, Literal

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt

from blurr.errors import InputError
from blurr.models.streaming import Writing
from blurr.serve.admission import API, COMPLETIONS
from blurr.serve.batching import Batcher, Overloaded, Stream
from blurr.serve.predictor import Predictor
from blurr.serve.requests import MOST_OF_A_NUMBER
from blurr.text.chat.messages import USER, is_message
from blurr.text.chat.task import Chat

USUAL = 64  # new tokens where neither the request nor the model says how many
UNKNOWN = ("tools", "tool_choice", "functions", "function_call", "logprobs", "top_logprobs", "logit_bias", "audio")
Tokens = Annotated[StrictInt, Field(ge=1, le=MOST_OF_A_NUMBER)]


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


def add_completions(app: FastAPI, predictor: Predictor, batcher: Batcher, seconds: float, **about: Any) -> None:
    """Add the routes that OpenAI's clients call.

    Args:
        app: gets `/v1/chat/completions` and `/v1/models`.
        predictor: the model.
        batcher: gives it its turns.
        seconds: for a whole answer, or between two pieces of a stream.
        about: what the documentation says of the route.
    """
    name, started = model_name(predictor), int(time.time())

    @app.post(COMPLETIONS, **about)
    async def complete(asked: Completion, request: Request) -> Response:
        """Answer a chat, in the shape of OpenAI's API; `stream` sends the answer as it is written."""
        stream = batcher.stream(_checked(predictor, asked, name))
        head = {"id": f"chatcmpl-{secrets.token_hex(12)}", "created": int(time.time()), "model": name}
        if asked.stream:
            usage = asked.stream_options is not None and asked.stream_options.include_usage
            parts = _events(stream, head, seconds, usage=usage)
            return StreamingResponse(parts, media_type="text/event-stream", headers={"Cache-Control": "no-store"})
        await _whole(stream, request, seconds)
        message = {"role": "assistant", "content": stream.writing.text, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": stream.writing.finish}
        return JSONResponse({**head, "object": "chat.completion", "choices": [choice], "usage": _usage(stream.writing)})

    @app.get(f"{API}/models", **about)
    async def models() -> dict[str, Any]:
        """Name the one model that answers here."""
        return {"object": "list", "data": [{"id": name, "object": "model", "created": started, "owned_by": "blurr"}]}


def _checked(predictor: Predictor, asked: Completion, name: str) -> Writing:
    """Prepare the answer to a request.

    Raises:
        HTTPException: 400 or 404: the request asks for what there is not.
    """
    for field in UNKNOWN:
        if (asked.model_extra or {}).get(field):
            raise refusal(400, f"This server has no {field}. Leave it out.", param=field)
    if asked.model != name:
        said = f"There is no model {asked.model!r} here, only {name!r}."
        raise refusal(404, said, param="model", code="model_not_found")
    if not all(map(is_message, asked.messages)) or asked.messages[-1].get("role") != USER:
        raise refusal(400, "Messages have a role and a content each, and the last is the user's.", param="messages")
    try:
        return writing_of(predictor, list(asked.messages), asked)
    except InputError as error:
        raise refusal(400, str(error), param="messages") from error


async def _whole(stream: Stream, request: Request, seconds: float) -> None:
    """Wait for all of an answer; give it up if the client goes away or the time is over."""
    gone = asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait([stream.answer, gone], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if not stream.answer.done():
            status = 499 if gone.done() else 504
            raise refusal(status, "The client has gone." if status == 499 else f"No answer within {seconds:g} seconds.")
    finally:
        stream.answer.cancel()
        gone.cancel()
    while not stream.pieces.empty():
        piece = stream.pieces.get_nowait()
        if isinstance(piece, Exception):
            raise _failure(piece)


async def _events(stream: Stream, head: Mapping[str, Any], seconds: float, *, usage: bool) -> AsyncIterator[str]:
    """Yield an answer as server-sent events; whoever stops reading them gives it up."""
    chunk = {**head, "object": "chat.completion.chunk", **({"usage": None} if usage else {})}

    def event(delta: dict[str, Any], finish: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return _event({**chunk, "choices": [choice]})

    try:
        yield event({"role": "assistant", "content": ""})
        while (piece := await asyncio.wait_for(stream.pieces.get(), seconds)) is not None:
            if isinstance(piece, Exception):
                yield _event(_failure(piece).detail)
                return
            if piece:
                yield event({"content": piece})
        yield event({}, stream.writing.finish)
        if usage:
            yield _event({**chunk, "choices": [], "usage": _usage(stream.writing)})
        yield "data: [DONE]\n\n"
    except TimeoutError:
        yield _event(refusal(504, f"Nothing was written for {seconds:g} seconds.").detail)
    finally:
        stream.answer.cancel()


def _event(value: Any) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"


def _usage(writing: Writing) -> dict[str, int]:
    prompt, written = writing.prompt_tokens, len(writing.tokens)
    return {"prompt_tokens": prompt, "completion_tokens": written, "total_tokens": prompt + written}


def _failure(error: Exception) -> HTTPException:
    if isinstance(error, InputError):
        return refusal(400, str(error), param="messages")
    return refusal(500, f"The model failed ({type(error).__name__}); the server's log says where.")


# -- errors


def refusal(status: int, message: str, *, param: str | None = None, code: str | None = None) -> HTTPException:
    """Return an error in the shape of OpenAI's API."""
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return HTTPException(status, {"error": {"message": message, "type": kind, "param": param, "code": code}})


def in_their_shape(error: HTTPException | RequestValidationError | Overloaded) -> Response:
    """Turn any error of a request to the API into a response in its shape."""
    headers: Mapping[str, str] | None = None
    if isinstance(error, Overloaded):
        made, headers = refusal(503, "Too many requests wait already."), {"Retry-After": "1"}
    elif isinstance(error, RequestValidationError):
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part != "body")
        made = refusal(400, f"{where}: {first['msg']}" if where else str(first["msg"]), param=where or None)
    elif isinstance(error.detail, dict):
        made = error
    else:
        made = refusal(400 if error.status_code == 422 else error.status_code, _said(error.detail))
    return JSONResponse(made.detail, made.status_code, headers)


def _said(detail: Any) -> str:
    return str(detail[0].get("msg", detail)) if isinstance(detail, list) and detail else str(detail)
