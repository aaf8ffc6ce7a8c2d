"""Read records as strictly as they are written: plain JSON and YAML, of the types that blurr writes."""

import json
from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, Literal, TypeVar

import yaml
from annotated_types import Ge, Le
from pydantic import TypeAdapter, ValidationError
from yaml.constructor import ConstructorError

T = TypeVar("T")

Number = float | Literal["nan", "inf", "-inf"]
"""A number as `to_json` writes it."""

Whole = Annotated[int, Ge(0), Le(2**53)]
"""A number of rows, steps or bytes."""

Time = Annotated[float, Ge(0), Le(2**53)]
"""Seconds since 1970, or of a duration."""

MOST_DIGITS = 300  # of a whole number that is still a float, too
DEEPEST = 60  # levels of lists and dicts; a config of blurr has less than ten, and Python gives up at some hundreds
TOO_DEEP = f"it is nested more than {DEEPEST} levels deep"


class PlainLoader(yaml.SafeLoader):
    """Reads YAML as blurr writes it: without aliases, which make gigabytes of a few lines, and every key once."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Compose a node, which may not be an alias."""
        if self.check_event(yaml.AliasEvent):
            raise ConstructorError(None, None, "it has an alias (*), which blurr never writes")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """Return a mapping whose keys are all different."""
        made = super().construct_mapping(node, deep=deep)
        if len(made) < len(node.value):
            raise ConstructorError(None, None, "a key stands twice", node.start_mark)
        return made


def parse_json(text: str) -> Any:
    """Read a JSON text.

    Raises:
        ValueError: it is not JSON, has a key twice, or holds what no text that blurr has written can hold.
    """
    return _plain(text, lambda: json.loads(text, object_pairs_hook=_each_once, parse_int=_whole))


def parse_yaml(text: str) -> Any:
    """Read a YAML text of plain values, without aliases.

    Raises:
        ValueError: see `parse_json`.
    """

    def load() -> Any:
        try:
            found = yaml.load(text, PlainLoader)  # nosec B506  # a SafeLoader that reads less
        except yaml.YAMLError as error:
            raise ValueError(" ".join(str(error).split())) from error
        plain = json.loads(json.dumps(found), parse_int=_whole)  # refuses dates, sets and bytes
        if _is_deep(plain, DEEPEST):
            raise ValueError(TOO_DEEP)
        return plain

    return _plain(text, load)


def validated(kind: type[T], text: str) -> T:
    """Return the value of a JSON text as one of a type, such as a dataclass or a pydantic model.

    Raises:
        ValueError: it is not of this type; says in one line where and why.
    """
    try:
        made: T = _adapter(kind).validate_json(text, strict=True)
    except ValidationError as error:
        raise _misfit(error) from error
    return made


def check_type(kind: type[object], value: object) -> None:
    """Check values that are no JSON, such as those of a checkpoint.

    Raises:
        ValueError: see `validated`.
    """
    try:
        _adapter(kind).validate_python(value, strict=True)
    except ValidationError as error:
        raise _misfit(error) from error


def _misfit(error: ValidationError) -> ValueError:
    first = error.errors(include_url=False)[0]
    where = ".".join(map(str, first["loc"]))
    return ValueError(f"{where or 'it'} is {str(first['input'])[:60]!r}: {first['msg']}")


_adapter: Callable[[Any], TypeAdapter[Any]] = cache(TypeAdapter)  # to make one takes longer than to use it


def _plain(text: str, load: Callable[[], Any]) -> Any:
    try:
        found = load()
    except (RecursionError, TypeError, OverflowError) as error:
        raise ValueError(f"it holds what blurr never writes ({error})") from error
    if text.count("[") + text.count("{") > DEEPEST and _is_deep(found, DEEPEST):
        raise ValueError(TOO_DEEP)
    if "\\u" in text or "\\U" in text:
        json.dumps(found, ensure_ascii=False).encode()  # half a surrogate pair, which no file can hold
    return found


def _whole(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"a number has {len(digits)} digits")
    return int(digits)


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("a key stands twice")
    return made


def _is_deep(value: Any, levels: int) -> bool:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(levels == 0 or _is_deep(child, levels - 1) for child in children)
