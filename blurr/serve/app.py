"""Answer requests with a trained model, over HTTP."""

import asyncio
import json
import logging
from codecs import BOM_UTF8
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Request, Response, Security
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic_core import from_json

from blurr.errors import InputError
from blurr.serve.admission import Admission, Limits, Numbers
from blurr.serve.batching import Batcher, Overloaded
from blurr.serve.pages import docs_page, task_name, task_words, try_page
from blurr.serve.predictor import Predictor

log = logging.getLogger(__name__)
MOST_OF_A_NUMBER = 1024  # of an integer option, such as new tokens, so that no request keeps the model for hours


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
    408: {"description": "The request did not arrive in time."},
    411: {"model": Refusal, "description": "The request does not say how long it is."},
    413: {"model": Refusal, "description": "The request is too large."},
    415: {"model": Refusal, "description": "The request is not JSON."},
    421: {"model": Refusal, "description": "The server does not answer under this name."},
    422: {"model": Mistakes, "description": "The request, or an item, cannot be right."},
    500: {"model": Refusal, "description": "The model failed on an item."},
    503: {"model": Refusal, "description": "Too many requests wait already."},
    504: {"model": Refusal, "description": "There was no answer in time."},
}


class StrictRequest(Request):
    """A request whose body is JSON by the standard: in UTF-8, without NaN, Infinity, or half of a surrogate pair."""

    async def json(self) -> Any:
        """Parse the body.

        Raises:
            HTTPException: it is not JSON.
        """
        body = (await self.body()).removeprefix(BOM_UTF8)
        try:
            return from_json(body, allow_inf_nan=False)
        except ValueError as error:
            mistake = {"type": "json_invalid", "loc": ("body",), "msg": f"The body is not JSON: {error}"}
            raise HTTPException(422, [mistake]) from error


class StrictRoute(APIRoute):
    """A route that reads its requests as `StrictRequest`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def strictly(request: Request) -> Response:
            return await handle(StrictRequest(request.scope, request.receive))

        return strictly


def make_app(predictor: Predictor, limits: Limits | None = None) -> FastAPI:
    """Make the application: /predict, /health, /ready, /metrics, /docs, and a page to try the model at /."""
    limits, numbers = limits or Limits(), Numbers()
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
    app.router.route_class = StrictRoute
    app.add_middleware(Admission, limits=limits, numbers=numbers)
    _add_predict(app, predictor, batcher, limits)
    _add_pages(app, predictor, batcher, numbers, has_token=limits.token is not None)
    return app


def _body(predictor: Predictor, limits: Limits) -> type[BaseModel]:
    """Make the type of a request from the roles and options of the task."""
    required = predictor.saved.task.schema.required
    closed = ConfigDict(extra="forbid", allow_inf_nan=False)
    example = predictor.example
    has_lists = any(isinstance(value, list) for value in example.values())
    read: Any = str | list[str] if has_lists else str
    roles: Any = {role: (read, ...) if role in required else (read | None, None) for role in predictor.roles}
    bounds: dict[type, Any] = {int: {"ge": 1, "le": MOST_OF_A_NUMBER}}
    # strict: what JSON has as false or "1" is not a number
    options: Any = {
        name: (Annotated[kind, Field(strict=True, **bounds.get(kind, {}))] | None, None)
        for name, kind in predictor.options.items()
    }
    asked: Any = create_model("Options", __config__=closed, **options)
    item: Any = create_model("Item", __config__=closed, **roles)
    made: type[BaseModel] = create_model(
        "Request",
        __config__=ConfigDict(extra="forbid", json_schema_extra={"example": {"inputs": [example]}}),
        inputs=(Annotated[list[item | str], Field(min_length=1, max_length=limits.items)], ...),
        options=(asked | None, None),
    )
    return made


def _add_predict(app: FastAPI, predictor: Predictor, batcher: Batcher, limits: Limits) -> None:
    body = _body(predictor, limits)
    secured = [] if limits.token is None else [Security(HTTPBearer(auto_error=False))]  # for the schema alone

    @app.post("/predict", response_model=dict[str, list[Any]], responses=REFUSALS, dependencies=secured)
    async def predict(asked: body, request: Request) -> Response:  # type: ignore[valid-type]
        """Predict on each of the inputs; the results have the fields of `learn.predict`."""
        given = asked.model_dump(exclude_none=True)  # type: ignore[attr-defined]
        try:
            answer = batcher.predict(given["inputs"], given.get("options", {}))
        except Overloaded:
            raise HTTPException(503, "Too many requests wait already.", {"Retry-After": "1"}) from None
        await _wait(answer, request, limits.seconds)
        return _answered(answer.result())

    @app.exception_handler(RequestValidationError)
    async def refuse(request: Request, error: RequestValidationError) -> Response:
        # without the input, which may be what JSON cannot hold, and need not be sent back
        mistakes = [{name: each[name] for name in Mistake.model_fields} for each in error.errors()]
        return JSONResponse({"detail": mistakes}, 422)


async def _wait(answer: asyncio.Future[Any], request: Request, seconds: float) -> None:
    """Wait for an answer, and give it up if the client goes away or the time is over."""
    gone = asyncio.ensure_future(request.receive())  # what follows a whole request is the end of its connection
    try:
        await asyncio.wait([answer, gone], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return
        if gone.done():
            raise HTTPException(499, "The client has gone.")  # for the metrics alone
        raise HTTPException(504, f"No answer within {seconds:g} seconds.")
    finally:
        answer.cancel()
        gone.cancel()


def _answered(results: list[Any]) -> Response:
    """Return the answer to a request, or say which item has none.

    Raises:
        HTTPException: 422 for an item that is a mistake, 500 for one that the model failed on.
    """
    for index, result in enumerate(results):
        if isinstance(result, InputError):
            raise HTTPException(422, f"inputs[{index}]: {result}")
        if isinstance(result, Exception):
            said = f"inputs[{index}]: the model failed ({type(result).__name__}); the server's log says where."
            raise HTTPException(500, said)
    try:
        return JSONResponse({"predictions": results})  # FastAPI would copy and check every number of another type
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
