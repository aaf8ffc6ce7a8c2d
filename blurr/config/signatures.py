"""Read the parameters of our functions and classes from their source, without importing what they import."""

import ast
import builtins
import collections.abc
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_args

from blurr.config import annotations
from blurr.config.moved import current_name
from blurr.config.paths import PACKAGE
from blurr.errors import InputError, nearest

Definition = ast.ClassDef | ast.FunctionDef


class _Names(dict[str, Any]):
    """The names that a module's annotations may use: typing's, those of `annotations`, aliases (`A = Literal[…]`)."""

    def __init__(self, module: str) -> None:
        super().__init__(NAMESPACE)
        self.module = module

    def __missing__(self, name: str) -> Any:
        scope = _parse(self.module).body
        for node in scope:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == name:
                return _evaluate(node.value, self)
        source = _imported_from(scope, name)
        if source is None:
            raise KeyError(name)
        module, names = _split(source)
        return _Names(module)[names[0]]


class _Unknown:
    """Stands for a type that is unknown unless heavy libraries are imported."""


UNKNOWN: Any = _Unknown
# In a config, a path is text.
NAMESPACE = {**vars(builtins), **vars(typing), **vars(collections.abc), **vars(annotations), "Path": str}


@dataclass(frozen=True)
class Parameter:
    """A parameter's type (`UNKNOWN` if the annotation names a heavy library's), and whether it has a default."""

    type: Any
    has_default: bool


@dataclass(frozen=True)
class Signature:
    """The parameters of a target; `open` if it has `**kwargs`, and so takes anything."""

    parameters: dict[str, Parameter]
    open: bool


@dataclass(frozen=True)
class Source:
    """A definition of ours, and the module that holds it."""

    module: str
    node: Definition


def is_ours(target: str) -> bool:
    """Is this `_target_` blurr's own?"""
    return target.split(".")[0] == PACKAGE.name


def find(target: str) -> Source:
    """Find the function, class or method that a dotted path into blurr names, or named in an earlier version.

    Raises:
        InputError: there is no such module, or nothing of that name in it.
    """
    target = current_name(target)
    module, names = _split(target)
    if not names:
        raise InputError(f"{target} is a module; a _target_ names a function or class in it.")
    scope = _parse(module).body
    source = _imported_from(scope, names[0])
    if source and not _define(scope, names[0]):
        return find(".".join([source, *names[1:]]))
    node: Definition
    for name in names:
        definition = _define(scope, name)
        if definition is None:
            there = [each.name for each in scope if isinstance(each, Definition) and each.name[0] != "_"]
            raise InputError(
                f"There is no {target}.{nearest(name, there)} {module} has: {', '.join(there) or 'nothing'}."
            )
        node, scope = definition, definition.body
    return Source(module, node)


@cache
def signature(target: str) -> Signature:
    """Return the parameters of a function or method, or the fields of a dataclass with those it inherits."""
    found = find(target)
    if isinstance(found.node, ast.FunctionDef):
        return _of_function(found.node, _Names(found.module))
    for owner in _lineage(found):
        init = _define(owner.node.body, "__init__")
        if isinstance(init, ast.FunctionDef):
            return _of_function(init, _Names(owner.module))
    return Signature(dict(_fields(found)), open=False)


def alias(module: str, name: str) -> Any:
    """Return the type alias of this name in a module of ours, such as `Precision = Literal[…]`, or `UNKNOWN`."""
    return _evaluate(ast.Name(name), _Names(module))


def class_attribute(target: str, name: str) -> str | None:
    """Return the text of an attribute that a class or one of its bases sets; None if there is none.

    If the value is a class of ours, the text is its dotted path.
    """
    for module, value in _class_values(target, name):
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            return value.value
        if isinstance(value, ast.Name):
            scope = _parse(module).body
            return f"{module}.{value.id}" if _define(scope, value.id) else _imported_from(scope, value.id)
    return None


def class_texts(target: str, name: str) -> tuple[str, ...]:
    """Return the texts of an attribute that a class or one of its bases sets as a tuple; empty if there is none."""
    for _, value in _class_values(target, name):
        if isinstance(value, ast.Tuple):
            return tuple(str(each.value) for each in value.elts if isinstance(each, ast.Constant))
    return ()


def class_arguments(target: str, name: str) -> dict[str, Any]:
    """Return the arguments, as far as they are literals, of the call that a class or one of its bases sets."""
    for _, value in _class_values(target, name):
        if isinstance(value, ast.Call):
            return {str(each.arg): ast.literal_eval(each.value) for each in value.keywords if _is_literal(each.value)}
    return {}


def class_argument_keys(target: str, name: str, argument: str) -> tuple[str, ...]:
    """Return the keys of a dict that is an argument of the call that a class or one of its bases sets."""
    for _, value in _class_values(target, name):
        if isinstance(value, ast.Call):
            found = next((each.value for each in value.keywords if each.arg == argument), None)
            keys = found.keys if isinstance(found, ast.Dict) else []
            return tuple(str(key.value) for key in keys if isinstance(key, ast.Constant))
    return ()


def has_argument(target: str, name: str, argument: str) -> bool:
    """Return whether the call that a class or one of its bases sets has an argument of this name."""
    calls = (value for _, value in _class_values(target, name) if isinstance(value, ast.Call))
    return any(each.arg == argument for call in calls for each in call.keywords)


def _is_literal(value: ast.expr) -> bool:
    if isinstance(value, ast.Tuple | ast.List):
        return all(map(_is_literal, value.elts))
    return isinstance(value, ast.Constant)


def _class_values(target: str, name: str) -> Iterator[tuple[str, ast.expr]]:
    """Yield the module and value of a class attribute, that of the nearest class first."""
    for owner in _lineage(find(target)):
        for statement in owner.node.body:
            if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                goal, value = statement.target, statement.value
            elif isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
                goal, value = statement.targets[0], statement.value
            else:
                continue
            if goal.id == name and value is not None:
                yield owner.module, value


def _split(target: str) -> tuple[str, list[str]]:
    """Split a dotted path into the module and the names inside it."""
    parts = target.split(".")
    folder = PACKAGE
    for index, part in enumerate(parts[1:], start=1):
        if (folder / f"{part}.py").is_file():
            return ".".join(parts[: index + 1]), parts[index + 1 :]
        if not (folder / part).is_dir():
            if _imported_from(_parse(".".join(parts[:index])).body, part):
                return ".".join(parts[:index]), parts[index:]
            there = sorted(path.stem for path in folder.iterdir() if path.suffix == ".py" or path.is_dir())
            there = [name for name in there if not name.startswith("_")]
            raise InputError(f"There is no {target}.{nearest(part, there)} {folder.name} has: {', '.join(there)}.")
        folder = folder / part
    return target, []


@cache
def _parse(module: str) -> ast.Module:
    path = PACKAGE.joinpath(*module.split(".")[1:])
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    if not file.is_file():  # a folder without an __init__.py defines nothing
        return ast.parse("")
    return ast.parse(file.read_text(encoding="utf-8"), filename=str(file))


def _define(scope: list[ast.stmt], name: str) -> Definition | None:
    return next((node for node in scope if isinstance(node, Definition) and node.name == name), None)


def _imported_from(scope: list[ast.stmt], name: str) -> str | None:
    """Return the dotted path of a name that a module imports from another module of ours."""
    for node in scope:
        if isinstance(node, ast.ImportFrom) and node.module and is_ours(node.module):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return f"{node.module}.{alias.name}"
    return None


def _lineage(target: Source) -> Iterator[Source]:
    """Yield a class and those of its bases that are ours, nearest first."""
    yield target
    for base in target.node.bases if isinstance(target.node, ast.ClassDef) else []:
        scope = _parse(target.module).body
        if isinstance(base, ast.Name) and _define(scope, base.id):
            yield from _lineage(find(f"{target.module}.{base.id}"))
        elif isinstance(base, ast.Name) and (source := _imported_from(scope, base.id)):
            yield from _lineage(find(source))


def _of_function(node: ast.FunctionDef, names: _Names) -> Signature:
    positional = [*node.args.posonlyargs, *node.args.args]
    first_default = len(positional) - len(node.args.defaults)
    parameters = {
        argument.arg: Parameter(_evaluate(argument.annotation, names), position >= first_default)
        for position, argument in enumerate(positional)
        if argument.arg not in ("self", "cls")
    }
    for argument, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True):
        parameters[argument.arg] = Parameter(_evaluate(argument.annotation, names), default is not None)
    return Signature(parameters, open=node.args.kwarg is not None)


def _fields(target: Source) -> Iterator[tuple[str, Parameter]]:
    """Yield the fields of a dataclass in the order of its `__init__`: keyword-only fields come last."""
    found = [(owner, field) for owner in reversed(list(_lineage(target))) for field in _annotated(owner.node)]
    for owner, field in sorted(found, key=lambda each: "kw_only=True" in ast.unparse(each[1])):
        parameter = Parameter(_evaluate(field.annotation, _Names(owner.module)), field.value is not None)
        yield ast.unparse(field.target), parameter


def _annotated(node: ast.AST) -> Iterator[ast.AnnAssign]:
    for statement in node.body if isinstance(node, ast.ClassDef) else []:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            is_field = "ClassVar" not in ast.unparse(statement.annotation)
            if is_field and "init=False" not in ast.unparse(statement):
                yield statement


def _evaluate(annotation: ast.expr | None, names: _Names) -> Any:
    if annotation is None:
        return UNKNOWN
    text = annotation.value if isinstance(annotation, ast.Constant) else ast.unparse(annotation)
    try:
        value = eval(str(text), {}, names)  # nosec B307  # the text is an annotation of our own source
    except (NameError, AttributeError, TypeError):
        return UNKNOWN
    return UNKNOWN if UNKNOWN in get_args(value) else value


@cache
def attributes(mark: annotations.SettingsOf) -> frozenset[str]:
    """Return the public attributes that a library's class sets in its `__init__`; empty if it cannot be read."""
    file = source_of(mark.library, mark.file)
    if file is None or not file.is_file():
        return frozenset()
    owner = _define(ast.parse(file.read_text(encoding="utf-8")).body, mark.name)
    init = _define(owner.body, "__init__") if owner else None
    stored = [node for node in ast.walk(init) if isinstance(node, ast.Attribute)] if init else []
    names = [node.attr for node in stored if isinstance(node.ctx, ast.Store)]
    return frozenset(name for name in names if name[0] != "_")


def source_of(module: str, *parts: str) -> Path | None:
    """Return the path of a file of an installed library, found without importing the library."""
    from importlib.util import find_spec

    spec = find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0], *parts)
