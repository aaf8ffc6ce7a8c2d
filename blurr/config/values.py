"""Check a value of a config against the type that it is to have, and say the type in words. Imports nothing heavy."""

import json
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic import TypeAdapter

from blurr.errors import InputError, nearest, shortened

NOUNS = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    list: "a list",
    dict: "a mapping",
    type(None): "null",
    Callable: "a function, as {_target_: my_module.name, _partial_: true}",
}


def check_value(key: str, value: Any, expected: Any) -> None:
    """Raise an InputError if a value is not of its type; it names the key, and what the type takes."""
    try:
        # As JSON: there a list passes for a tuple and a whole number for a number, and all else is strict.
        TypeAdapter(expected).validate_json(json.dumps(value, allow_nan=False), strict=True)
    except ValueError as error:  # pydantic's, or json's for NaN and infinity
        literals = [choice for choice in _literals(expected) if isinstance(choice, str)]
        hint = nearest(value, literals) if isinstance(value, str) else ""
        shown = value if isinstance(value, str) else json.dumps(value)
        raise InputError(f"{key}={shortened(shown)}: must be {describe(expected)}.{hint}") from error


def describe(expected: Any) -> str:
    """Describe a type in words, e.g. `a whole number of at least 1 or 'auto'`."""
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if origin is Annotated:
        return f"{describe(arguments[0])}{_bounds(arguments[1:])}"
    if origin is Literal:
        return " or ".join(repr(argument) for argument in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(describe(argument) for argument in arguments)
    if isinstance(origin, type) and issubclass(origin, Sequence):
        length = f" of {len(arguments)}" if origin is tuple and ... not in arguments else ""
        return f"a list{length}, each {describe(arguments[0])}"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return NOUNS[dict]
    return NOUNS.get(origin or expected, str(expected))


def _literals(expected: Any) -> Iterator[Any]:
    if typing.get_origin(expected) is Literal:
        yield from typing.get_args(expected)
    else:
        for argument in typing.get_args(expected):
            yield from _literals(argument)


def _bounds(constraints: tuple[Any, ...]) -> str:
    words = []
    for constraint in constraints:
        match constraint:
            case Ge(ge=low):
                words.append(f"of at least {low}")
            case Gt(gt=low):
                words.append(f"above {low}")
            case Le(le=high):
                words.append(f"at most {high}")
            case Lt(lt=high):
                words.append(f"below {high}")
            case MinLen():
                return " that is not empty"
    return f" {' and '.join(words)}" if words else ""
