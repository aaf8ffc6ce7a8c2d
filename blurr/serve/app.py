"""Answer requests with a trained model, over HTTP."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from pydantic import BaseModel, ConfigDict, Field, create_model
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from blurr.errors import InputError
from blurr.serve.batching import Batcher, Overloaded
from blurr.serve.predictor import Predictor

PAGE, DOCS = (Path(__file__).with_name(name) for name in ("page.html", "docs.html"))
MOST_OF_A_NUMBER = 1024  # of an integer option, such as new tokens, so that no request keeps the model for hours
SIZES = (1, 2, 4, 8, 16, 32, 64, 128)  # buckets of the histogram of batch sizes


@dataclass(frozen=True)
class Limits:
    """What is refused.

    Args:
        items: number of items in a request.
        bytes: size of a request.
        seconds: time after which a request is answered with an error.
        waiting: number of items that may wait before requests are refused.
    """

    items: int = 256
    bytes: int = 1_000_000
    seconds: float = 30.0
    waiting: int = 2048


class Numbers:
    """The metrics that Prometheus reads at /metrics."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        put: Any = {"registry": self.registry}
        self.requests = Counter("blurr_requests", "Requests to /predict by status.", ["status"], **put)
        self.seconds = Histogram("blurr_request_seconds", "Time to answer a request to /predict.", **put)
        self.batches = Histogram("blurr_batch_items", "Items in a batch of the model.", buckets=SIZES, **put)
        self.waiting = Gauge("blurr_waiting_items", "Items that wait for the model.", **put)


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

    said = f"{_kind(predictor)}, a model trained by blurr."
    # FastAPI's own pages load their scripts from other machines
    app = FastAPI(title="blurr", description=said, lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.ready = False
    app.add_middleware(Limiting, limits=limits, numbers=numbers)
    _add_predict(app, predictor, batcher, limits)
    _add_pages(app, predictor, batcher, numbers)
    return app


def _kind(predictor: Predictor) -> str:
    return type(predictor.saved.task).__name__


class Limiting:
    """Refuse requests that are too large before they are read; count and time the others.

    Plain ASGI, because FastAPI's own decorator for middleware takes as long as predicting a short text.
    """

    def __init__(self, app: ASGIApp, limits: Limits, numbers: Numbers) -> None:
        self.app, self.limits, self.numbers = app, limits, numbers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/predict":
            return await self.app(scope, receive, send)
        started, status = time.perf_counter(), 500

        async def seen(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        await (self._refusal(scope) or self.app)(scope, receive, seen)
        self.numbers.requests.labels(status).inc()
        self.numbers.seconds.observe(time.perf_counter() - started)
        return None

    def _refusal(self, scope: Scope) -> Response | None:
        size = Headers(scope=scope).get("content-length")
        if size is None or not size.isdecimal():
            return JSONResponse({"detail": "A request needs a Content-Length."}, 411)
        if int(size) > self.limits.bytes:
            said = f"A request has at most {self.limits.bytes} bytes; this one has {size}."
            return JSONResponse({"detail": said}, 413)
        return None


def _body(predictor: Predictor, limits: Limits) -> type[BaseModel]:
    """Make the type of a request from the roles and options of the task."""
    required = predictor.saved.task.schema.required
    closed = ConfigDict(extra="forbid")
    example = predictor.example
    has_lists = any(isinstance(value, list) for value in example.values())
    kind: Any = str | list[str] if has_lists else str
    roles: Any = {role: (kind, ...) if role in required else (kind | None, None) for role in predictor.roles}
    bounded: dict[type, Any] = {int: Annotated[int, Field(ge=1, le=MOST_OF_A_NUMBER)]}
    options: Any = {name: (bounded.get(t, t) | None, None) for name, t in predictor.options.items()}
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

    @app.post("/predict", response_model=dict[str, list[Any]])
    async def predict(request: body) -> Response:  # type: ignore[valid-type]
        """Predict on each of the inputs; the results have the fields of `learn.predict`."""
        given = request.model_dump(exclude_none=True)  # type: ignore[attr-defined]
        try:
            async with asyncio.timeout(limits.seconds):
                results = await batcher.predict(given["inputs"], given.get("options", {}))
        except TimeoutError:
            raise HTTPException(504, f"No answer within {limits.seconds:g} seconds.") from None
        except Overloaded:
            raise HTTPException(503, "Too many requests wait already.", {"Retry-After": "1"}) from None
        for index, result in enumerate(results):
            if isinstance(result, InputError):
                raise HTTPException(422, f"inputs[{index}]: {result}")
        return JSONResponse({"predictions": results})  # FastAPI would copy and check every number of another type


def _add_pages(app: FastAPI, predictor: Predictor, batcher: Batcher, numbers: Numbers) -> None:
    roles, example = list(predictor.roles), predictor.example
    known = {"task": _kind(predictor), "model": predictor.hf.arch, "roles": roles, "example": example}
    # "</script>" in a text would end the script that the JSON is put into
    page = PAGE.read_text(encoding="utf-8").replace("/*KNOWN*/", json.dumps(known).replace("<", "\\u003c"))
    docs = DOCS.read_text(encoding="utf-8")

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def try_it() -> str:
        return page

    @app.get("/docs", response_class=HTMLResponse, include_in_schema=False)
    async def how_to_call_it() -> str:
        return docs

    @app.get("/health")
    async def health() -> dict[str, str]:
        """Answer if the process lives."""
        return {"status": "alive"}

    @app.get("/ready")
    async def ready(request: Request) -> dict[str, str]:
        """Answer if the model is loaded; 503 if it is not."""
        if not request.app.state.ready:
            raise HTTPException(503, "The model is not ready.")
        return {"status": "ready", "task": _kind(predictor)}

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        numbers.waiting.set(batcher.depth)
        return Response(generate_latest(numbers.registry), media_type=CONTENT_TYPE_LATEST)
