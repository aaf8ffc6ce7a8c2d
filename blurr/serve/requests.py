"""What a request to /predict may be: strict JSON, or a form with files, of the roles and options; and its wait."""

import asyncio
from codecs import BOM_UTF8
from collections.abc import Callable, Coroutine, Mapping
from typing import Annotated, Any

from fastapi import HTTPException, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, create_model
from pydantic_core import from_json

from blurr.serve.admission import FORM
from blurr.serve.predictor import Predictor
from blurr.serve.uploads import as_json, is_form, read_file

MOST_OF_A_NUMBER = 1024  # of an integer option, such as new tokens, so that no request keeps the model for hours
CLOSED = ConfigDict(extra="forbid", allow_inf_nan=False)
SAID = {"type": "string", "contentEncoding": "base64", "description": "base64 text, or a data: URL with base64"}
FILE: Any = Annotated[Any, BeforeValidator(read_file), WithJsonSchema(SAID)]


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


class FormRequest(Request):
    """A form, as FastAPI reads the JSON that would say the same.

    Args:
        request: The form, which has been read.
        asked: What it says.
    """

    def __init__(self, request: Request, asked: dict[str, Any]) -> None:
        kind = (b"content-type", b"application/json")
        headers = [kind if each[0] == kind[0] else each for each in request.scope["headers"]]
        super().__init__({**request.scope, "headers": headers}, request.receive)
        self.asked = asked

    async def body(self) -> bytes:
        return FORM.encode()  # not empty: there is a body

    async def json(self) -> Any:
        return self.asked


class StrictRoute(APIRoute):
    """A route that reads its requests as `StrictRequest`, and forms as `FormRequest`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def strictly(request: Request) -> Response:
            if is_form(request.headers.get("content-type", "")):
                return await handle(FormRequest(request, await request.app.state.form.read(request)))
            return await handle(StrictRequest(request.scope, request.receive))

        return strictly


def request_type(predictor: Predictor, most: int) -> type[BaseModel]:
    """Make the type of a request from the roles and options of the task.

    Args:
        predictor: The model.
        most: Largest number of items.
    """
    shown = as_json(predictor.example, predictor.media)
    item: Any = _item(predictor)  # what it is comes from the task
    items: Any = Annotated[list[item], Field(min_length=1, max_length=most)]
    made: type[BaseModel] = create_model(
        "Request",
        __config__=ConfigDict(extra="forbid", json_schema_extra={"example": {"inputs": [shown]}}),
        inputs=(items, ...),
        options=(_options(predictor.options) | None, None),
    )
    return made


def _item(predictor: Predictor) -> Any:
    """Return the type of an item: its roles, or a text alone for the first of them."""
    schema, example = predictor.saved.task.schema, predictor.example
    has_lists = any(isinstance(value, list) for value in example.values())
    text: Any = str | list[Any] if schema.shaper else str | list[str] if has_lists else str
    kinds = {role: FILE if role in schema.media else text for role in predictor.roles}
    needed = () if schema.shaper else schema.required
    roles: Any = {role: (kind, ...) if role in needed else (kind | None, None) for role, kind in kinds.items()}
    item: Any = create_model("Item", __config__=CLOSED, **roles)
    first = schema.required[0]
    if first not in schema.media:
        return item | str
    return Annotated[item, BeforeValidator(lambda sent: {first: sent} if isinstance(sent, str) else sent)]


def _options(kinds: Mapping[str, type]) -> Any:
    bounds: dict[type, Any] = {int: {"ge": 1, "le": MOST_OF_A_NUMBER}}
    # strict: what JSON has as false or "1" is not a number
    options: Any = {
        name: (Annotated[kind, Field(strict=True, **bounds.get(kind, {}))] | None, None) for name, kind in kinds.items()
    }
    return create_model("Options", __config__=CLOSED, **options)


def form_schema(predictor: Predictor) -> dict[str, Any]:
    """Return what the documentation of the API says of forms; empty for a task that reads no files."""
    if not predictor.media:
        return {}
    file = {"type": "array", "items": {"type": "string", "format": "binary"}}
    fields = {role: file if role in predictor.media else {"type": "string"} for role in predictor.roles}
    fields |= {name: {"type": "string"} for name in predictor.options}
    needed = [role for role in predictor.roles if role in predictor.saved.task.schema.required]
    schema = {"type": "object", "title": "Form", "properties": fields, "required": needed}
    return {"requestBody": {"content": {FORM: {"schema": schema}}}}


async def until_answered(answer: asyncio.Future[Any], request: Request, seconds: float) -> None:
    """Wait for an answer, and give it up if the client goes away or the time is over.

    Raises:
        HTTPException: 499 or 504: it was given up.
    """
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
