"""Read the files in a request: base64 text and `data:` URLs in JSON, and the uploads of a form."""

import re
from base64 import b64decode, b64encode
from binascii import Error as NotBase64Error
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PureWindowsPath
from typing import Any

from fastapi import HTTPException, Request
from pydantic_core import PydanticCustomError, from_json
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException as Unreadable

from blurr.data.cells import content_of
from blurr.data.media import Media
from blurr.serve.admission import FORM

DATA_URL = re.compile(r"data:[^,]{0,200};base64,", re.IGNORECASE)
SHOWN = 40  # characters of what was sent that a message repeats
Fields = dict[str, list[Any]]


@dataclass(frozen=True)
class Upload:
    """A file of a form.

    Attributes:
        name: What its owner calls it, without folders.
        content: Its bytes.
    """

    name: str
    content: bytes


def read_file(sent: Any) -> dict[str, Any]:
    """Return a file of a request as `{"path": …, "bytes": …}`, with the name that its owner gave it or `None`.

    Nothing is opened by its name: whoever may ask the model may read neither this machine nor others through it.

    Args:
        sent: Base64 text, a `data:` URL, or an `Upload`.

    Raises:
        PydanticCustomError: It is none of these, or empty.
    """
    name, content = (sent.name, sent.content) if isinstance(sent, Upload) else (None, _decoded(sent))
    if not content:
        raise PydanticCustomError("file_empty", "The file{name} is empty.", {"name": f" {name}" if name else ""})
    return {"path": name, "bytes": content}


def _decoded(sent: Any) -> bytes:
    try:
        return b64decode("".join(DATA_URL.sub("", sent, count=1).split()), validate=True)
    except (AttributeError, TypeError, NotBase64Error, ValueError):
        raise PydanticCustomError(
            "file_encoding",
            "A file is sent as base64 text or as a data: URL with base64, or uploaded in a form ({form}). Paths and "
            "addresses are not opened. This is none of them: {shown}",
            {"form": FORM, "shown": repr(sent)[:SHOWN]},
        ) from None


def as_json(item: Mapping[str, Any], media: Mapping[str, Media]) -> dict[str, Any]:
    """Return an item as a request in JSON holds it, its files as base64 text."""
    return {
        role: b64encode(content_of(value, media[role])).decode() if role in media else value
        for role, value in item.items()
    }


def is_form(content_type: str) -> bool:
    """Return whether a body of this type is a form with files."""
    return content_type.partition(";")[0].strip().lower() == FORM


@dataclass(frozen=True)
class Form:
    """The fields that a form may have.

    Attributes:
        media: Roles that are files.
        roles: All roles.
        options: The options of a prediction, with the types of their values.
        most: Largest number of files.
    """

    media: Sequence[str]
    roles: Sequence[str]
    options: Mapping[str, type]
    most: int

    async def read(self, request: Request) -> dict[str, Any]:
        """Read a form as the JSON that would say the same, with an `Upload` in place of base64 text.

        Several values of a field are several items; a field that is given once holds for all of them.

        Raises:
            HTTPException: It is not a form, has other fields, or its fields do not make items.
        """
        try:
            form = await request.form(max_files=self.most, max_fields=self.most * len(self.roles) + len(self.options))
        except Unreadable as error:
            raise HTTPException(422, f"The body is not a form that can be read: {error.detail}") from error
        fields: Fields = {}
        for name, value in form.multi_items():
            fields.setdefault(name, []).append(await _value(value))
        await form.close()
        self._check(fields)
        items = _items({name: fields[name] for name in self.roles if name in fields})
        asked = {name: _read(fields[name][-1], kind) for name, kind in self.options.items() if name in fields}
        return {"inputs": items, "options": asked}

    def _check(self, fields: Fields) -> None:
        known = [f"{role} (a file)" if role in self.media else role for role in (*self.roles, *self.options)]
        for name, values in fields.items():
            if name not in (*self.roles, *self.options):
                raise HTTPException(422, f"The form has the field {name!r:.80}. Its fields are {', '.join(known)}.")
            if name not in self.media and any(isinstance(value, Upload) for value in values):
                raise HTTPException(422, f"The field {name} of the form is a file, and has to be a text.")


async def _value(value: UploadFile | str) -> Upload | str:
    if isinstance(value, str):
        return value
    # a Windows path has both separators
    return Upload(PureWindowsPath(value.filename or "").name, await value.read())


def _items(fields: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Return the items that the values of fields make.

    Raises:
        HTTPException: Fields with several values have different numbers of them.
    """
    sizes = {name: len(values) for name, values in fields.items() if len(values) > 1}
    if len(set(sizes.values())) > 1:
        said = ", ".join(f"{size} of {name}" for name, size in sizes.items())
        raise HTTPException(422, f"The form has {said}. Give each item its own, or all items one.")
    count = max(sizes.values(), default=1 if fields else 0)
    return [{name: values[i % len(values)] for name, values in fields.items()} for i in range(count)]


def _read(text: str, kind: type) -> Any:
    """Read a number, `true` or `false`; what is not one stays text, for the schema to refuse."""
    if kind is str:
        return text
    try:
        return from_json(text, allow_inf_nan=False)
    except ValueError:
        return text
