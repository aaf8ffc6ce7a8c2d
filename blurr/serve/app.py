"""Answer requests with a trained model, over HTTP."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response, Security
from fastapi.exception_handlers import http_exception_handler
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.security import HTTPBearer
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel

from blurr.errors import InputError
from blurr.serve.admission import API, FORM, Admission, Limits, Numbers
from blurr.serve.batching import Batcher, Overloaded
from blurr.serve.chatting import is_chat
from blurr.serve.completions import add_completions, in_their_shape
from blurr.serve.pages import docs_page, task_name, task_words, try_page
from blurr.serve.predictor import Predictor
from blurr.serve.requests import StrictRoute, form_schema, request_type, until_answered
from blurr.serve.uploads import Form

log = logging.getLogger(__name__)


class Refusal(BaseModel):
    """Why a request was not answered."""

    detail: str


class Mistake(BaseModel):
    """Where a request is not as the schema says."""

    type: str
    loc: list[str | int]
    msg: str


class Mistakes(BaseModel):
    """What is wrong with a request, or with an item of it."""

    detail: str | list[Mistake]


REFUSALS: dict[int | str, dict[str, Any]] = {
    401: {"model": Refusal, "description": "There is no token, or a wrong one."},
    403: {"model": Refusal, "description": "The form comes from a page of another site."},
    408: {"description": "The request did not arrive in time."},
    411: {"model": Refusal, "description": "The request does not say how long it is."},
    413: {"model": Refusal, "description": "The request is too large."},
    415: {"model": Refusal, "description": "The request is of another type."},
    421: {"model": Refusal, "description": "The server does not answer under this name."},
    422: {"model": Mistakes, "description": "The request, or an item, cannot be right."},
    500: {"model": Refusal, "description": "The model failed on an item."},
    503: {"model": Refusal, "description": "Too many requests wait already."},
    504: {"model": Refusal, "description": "There was no answer in time."},
}


def make_app(predictor: Predictor, limits: Limits | None = None) -> FastAPI:
    """Make the application: /predict, /health, /ready, /metrics, /docs, and a page to try the model at /."""
    limits, numbers = replace(limits or Limits(), files=bool(predictor.media)), Numbers()
    batcher = Batcher(predictor, most=predictor.batch_size, limit=limits.waiting, seen=numbers.batches.observe)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        running = asyncio.create_task(batcher.run())
        app.state.ready = True
        yield
        app.state.ready = False
        running.cancel()
        await asyncio.wait([running])

    said = f"{task_words(predictor)}: a model trained by blurr."
    # FastAPI's own pages load their scripts from other machines
    app = FastAPI(title="blurr", description=said, lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.ready = False
    app.state.form = Form(tuple(predictor.media), predictor.roles, predictor.options, limits.items)
    app.router.route_class = StrictRoute
    app.add_middleware(Admission, limits=limits, numbers=numbers)
    _add_predict(app, predictor, batcher, limits)
    if is_chat(predictor):
        about = {
            "responses": {status: {"description": "An error in OpenAI's shape."} for status in (400, 404, 503, 504)}
        }
        add_completions(app, predictor, batcher, limits.seconds, **about, dependencies=_secured(limits))
    _add_handlers(app)
    _add_pages(app, predictor, batcher, numbers, has_token=limits.token is not None)
    return app


def _add_predict(app: FastAPI, predictor: Predictor, batcher: Batcher, limits: Limits) -> None:
    body = request_type(predictor, limits.items)
    about: dict[str, Any] = {"response_model": dict[str, list[Any]], "responses": REFUSALS}
    about["dependencies"] = _secured(limits)

    @app.post("/predict", description=_described(predictor), openapi_extra=form_schema(predictor), **about)
    async def predict(asked: body, request: Request) -> Response:  # type: ignore[valid-type]
        given = asked.model_dump(exclude_none=True)  # type: ignore[attr-defined]
        answer = batcher.predict(given["inputs"], given.get("options", {}))
        await until_answered(answer, request, limits.seconds)
        return _answered(answer.result(), [_name_of(item, predictor.media) for item in given["inputs"]])


def _secured(limits: Limits) -> list[Any]:
    return [] if limits.token is None else [Security(HTTPBearer(auto_error=False))]  # for the schema alone


def _add_handlers(app: FastAPI) -> None:
    """Answer mistakes, and what is too much; paths of OpenAI's API have errors in its shape."""

    @app.exception_handler(RequestValidationError)
    async def refuse(request: Request, error: RequestValidationError) -> Response:
        if request.url.path.startswith(API):
            return in_their_shape(error)
        # without the input, which may be what JSON cannot hold, and need not be sent back
        mistakes = [{name: each[name] for name in Mistake.model_fields} for each in error.errors()]
        return JSONResponse({"detail": mistakes}, 422)

    @app.exception_handler(HTTPException)
    async def fail(request: Request, error: HTTPException) -> Response:
        if request.url.path.startswith(API):
            return in_their_shape(error)
        return await http_exception_handler(request, error)

    @app.exception_handler(Overloaded)
    async def full(request: Request, error: Overloaded) -> Response:
        if request.url.path.startswith(API):
            return in_their_shape(error)
        return JSONResponse({"detail": "Too many requests wait already."}, 503, {"Retry-After": "1"})


def _described(predictor: Predictor) -> str:
    said = "Predict on each of the inputs; the results have the fields of `learn.predict`."
    if not predictor.media:
        return said
    roles = " and ".join(f"`{role}`" for role in predictor.media)
    return (
        f"{said} {roles} holds a file: as base64 text or a `data:` URL in JSON, or uploaded in a form "
        f"(`{FORM}`), where several files under one name are several inputs and the answer has their names, "
        "`files`, beside the predictions."
    )


def _name_of(item: Any, media: Collection[str]) -> str | None:
    """Return the name of an item's file, if its owner gave one."""
    return next((item[role]["path"] for role in media if item.get(role, {}).get("path")), None)


def _answered(results: list[Any], names: Sequence[str | None]) -> Response:
    """Return the answer to a request, or say which item has none.

    Raises:
        HTTPException: 422 for an item that is a mistake, 500 for one that the model failed on.
    """
    for index, (result, name) in enumerate(zip(results, names, strict=True)):
        where = f"inputs[{index}]" if name is None else f"inputs[{index}] ({name})"
        if isinstance(result, InputError):
            raise HTTPException(422, f"{where}: {result}")
        if isinstance(result, Exception):
            said = f"{where}: the model failed ({type(result).__name__}); the server's log says where."
            raise HTTPException(500, said)
    found = {"predictions": results, **({"files": names} if any(names) else {})}
    try:
        return JSONResponse(found)  # FastAPI would copy and check every number of another type
    except ValueError:
        index = next(index for index, result in enumerate(results) if not _is_json(result))
        said = f"inputs[{index}]: the model's answer holds NaN or an infinity, which JSON cannot hold."
        log.error("%s It was %s.", said, results[index])
        raise HTTPException(500, said) from None


def _is_json(result: Any) -> bool:
    try:
        json.dumps(result, allow_nan=False)
    except ValueError:
        return False
    return True


def _add_pages(app: FastAPI, predictor: Predictor, batcher: Batcher, numbers: Numbers, *, has_token: bool) -> None:
    page, docs = try_page(predictor, has_token=has_token), docs_page()

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def try_it() -> Response:
        return page

    @app.get("/docs", response_class=HTMLResponse, include_in_schema=False)
    async def how_to_call_it() -> Response:
        return docs

    @app.get("/health")
    async def health() -> dict[str, str]:
        """Answer if the process lives."""
        return {"status": "alive"}

    @app.get("/ready", responses={503: {"model": Refusal, "description": "The model is not ready."}})
    async def ready(request: Request) -> dict[str, str]:
        """Answer if the model is loaded; 503 if it is not."""
        if not request.app.state.ready:
            raise HTTPException(503, "The model is not ready.")
        return {"status": "ready", "task": task_name(predictor)}

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        numbers.waiting.set(batcher.depth)
        return Response(generate_latest(numbers.registry), media_type=CONTENT_TYPE_LATEST)
