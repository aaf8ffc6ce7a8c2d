"""Make the pages of the Python API: the names of each façade, and every function and class behind them."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from blurr.config import paths, signatures
from docs.pages.markdown import page, table, text

FOLDER = "reference/api"
FACADES = {
    "blurr.text.data.all": "Data of texts",
    "blurr.text.modeling.all": "Models and training of texts",
    "blurr.vision.all": "Pictures",
    "blurr.audio.all": "Sounds",
}
# What no façade has, and users of the library call, too.
OTHERS = {
    "track": "blurr.notebook.track.track",
    "Predictor": "blurr.serve.predictor.Predictor",
    "Record": "blurr.runs.record.Record",
    "BlurrError": "blurr.errors.BlurrError",
    "InputError": "blurr.errors.InputError",
    "ResourceError": "blurr.errors.ResourceError",
}


@dataclass(frozen=True)
class Name:
    """A public name: its dotted path where it is defined, and what it is."""

    name: str
    path: str
    about: str

    @property
    def is_ours(self) -> bool:
        """Is it defined in blurr?"""
        return signatures.is_ours(self.path)


def make() -> dict[str, str]:
    """Return the pages by their paths in the site."""
    facades = {module: list(names(module)) for module in FACADES}
    others = [_ours(name, path) for name, path in OTHERS.items()]
    rooms: dict[str, dict[str, Name]] = {}
    for each in [*others, *(name for found in facades.values() for name in found)]:
        if each.is_ours:
            rooms.setdefault(each.path.split(".")[1], {})[each.path] = each
    pages = {f"{FOLDER}/{room}.md": _room(room, found) for room, found in sorted(rooms.items())}
    return {f"{FOLDER}/index.md": _index(facades, others), **pages}


def names(module: str) -> Iterator[Name]:
    """Yield the public names of a façade, with where each is defined."""
    file = paths.PACKAGE.joinpath(*module.split(".")[1:]).with_suffix(".py")
    tree = ast.parse(file.read_text(encoding="utf-8"))
    imported = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    public = next(node.value for node in tree.body if isinstance(node, ast.Assign) and node.targets[0].id == "__all__")
    same = {node.targets[0].id: node.value.id for node in tree.body if _is_second_name(node)}
    for name in ast.literal_eval(public):
        path = imported[same.get(name, name)]
        yield _ours(name, path) if signatures.is_ours(path) else Name(name, path, "")


def _is_second_name(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and isinstance(node.value, ast.Name)


def _ours(name: str, path: str) -> Name:
    source = signatures.find(path)
    about = (ast.get_docstring(source.node) or "").partition("\n")[0]
    return Name(name, f"{source.module}.{path.rpartition('.')[2]}", about)


def _index(facades: dict[str, list[Name]], others: list[Name]) -> str:
    parts = [
        "`from blurr.text.data.all import *` and the other façades have all that a notebook needs. Names of fastai are "
        "fastai's own, passed on."
    ]
    for module, found in facades.items():
        parts += [f"## {module}", f"{FACADES[module]}.", table(("name", "what it is"), map(_row, found))]
    parts += ["## Besides", table(("name", "what it is"), map(_row, others))]
    return page("Python API", *parts)


def _row(each: Name) -> list[str]:
    if not each.is_ours:
        return [f"`{each.name}`", f"of fastai: `{each.path}`"]
    room = each.path.split(".")[1]
    return [f"[`{each.name}`]({room}.md#{each.path})", text(each.about)]


def _room(room: str, found: dict[str, Name]) -> str:
    return page(f"blurr.{room}", *(f"::: {path}" for path in sorted(found)))
