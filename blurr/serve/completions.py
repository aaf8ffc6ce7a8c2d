"""Answer chats over HTTP in the shape of OpenAI's API: whole or as a stream, with errors in its shape."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse

from blurr.errors import InputError
from blurr.models.streaming import Writing
from blurr.serve.admission import API, COMPLETIONS
from blurr.serve.batching import Batcher, Overloaded, TokenStream
from blurr.serve.chatting import Completion, completion_of, head_of, model_name, usage_of, writing_of
from blurr.serve.predictor import Predictor
from blurr.serve.requests import until_answered
from blurr.text.chat.messages import USER, is_message

UNKNOWN = ("tools", "tool_choice", "functions", "function_call", "logprobs", "top_logprobs", "logit_bias", "audio")


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
        if asked.stream:
            usage = asked.stream_options is not None and asked.stream_options.include_usage
            parts = _events(stream, head_of(name), seconds, usage=usage)
            return StreamingResponse(parts, media_type="text/event-stream", headers={"Cache-Control": "no-store"})
        await until_answered(stream.answer, request, seconds)
        _check(stream)
        return JSONResponse(completion_of(stream.writing, name))

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


def _check(stream: TokenStream) -> None:
    """Raise what went wrong while an answer was written."""
    while not stream.pieces.empty():
        piece = stream.pieces.get_nowait()
        if isinstance(piece, Exception):
            raise _failure(piece)


async def _events(stream: TokenStream, head: Mapping[str, Any], seconds: float, *, usage: bool) -> AsyncIterator[str]:
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
            yield _event({**chunk, "choices": [], "usage": usage_of(stream.writing)})
        yield "data: [DONE]\n\n"
    except TimeoutError:
        yield _event(refusal(504, f"Nothing was written for {seconds:g} seconds.").detail)
    finally:
        stream.answer.cancel()


def _event(value: Any) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"


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
