"""Read from the source which texts an expression can be: through names, helpers, and what calls hand on.

`‹name›` stands for a value that is filled in, `‹…›` for one without a name.
"""

import ast
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

UNKNOWN = "‹…›"
DEEPEST = 6  # helpers that call each other
FEW = 3  # alternatives of a part that are written out, unless the others have no words of their own
MOST = 12  # texts that one expression is written out in
LIKE_IT = {"shortened", "str", "repr", "visible", "listed", "mask_text"}  # of one argument, which they write down
LEFT_OUT = {"nearest"}  # adds a word that is close, if there is one

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, eq=False)
class Module:
    """The source of a module.

    Args:
        name: its dotted name.
        file: where it lies.
    """

    name: str
    file: Path

    @cached_property
    def source(self) -> str:
        """Its text."""
        return self.file.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        """Its syntax tree."""
        return ast.parse(self.source)

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """All nodes of the tree."""
        return list(ast.walk(self.tree))

    @cached_property
    def functions(self) -> dict[str, Function]:
        """Its functions and methods by their names; of equal names, the first."""
        found: dict[str, Function] = {}
        for node in self.nodes:
            if isinstance(node, Function):
                found.setdefault(node.name, node)
        return found

    @cached_property
    def constants(self) -> dict[str, ast.expr]:
        """What is assigned at the top of the module, or in a class."""
        found = {}
        for node in self.nodes:
            for each in node.body if isinstance(node, ast.Module | ast.ClassDef) else ():
                if isinstance(each, ast.Assign) and isinstance(each.targets[0], ast.Name):
                    found[each.targets[0].id] = each.value
        return found

    @cached_property
    def imported(self) -> dict[str, tuple[str, str]]:
        """The module and the name of what it imports by name."""
        return {
            each.asname or each.name: (node.module or "", each.name)
            for node in self.nodes
            if isinstance(node, ast.ImportFrom)
            for each in node.names
        }

    @cached_property
    def owners(self) -> dict[ast.AST, Function]:
        """The function around each node; the innermost."""
        return dict(_owned(self.tree, None))


@dataclass(frozen=True)
class Wording:
    """The texts of the modules of a package.

    Args:
        modules: by their dotted names.
    """

    modules: dict[str, Module]

    def texts(self, node: ast.expr, module: Module, *, most: int = FEW) -> list[str]:
        """Return the texts that an expression can be.

        Args:
            node: the expression.
            module: where it stands.
            most: alternatives of a part that are written out; where there are more, it is shown as a value.
        """
        return list(dict.fromkeys(_Reading(self, module, module.owners.get(node), most).of(node)))

    def handed_on(self, node: ast.expr, module: Module) -> Iterator[tuple[Module, ast.expr]]:
        """Yield what callers pass for a name that is a parameter of the function around it."""
        function = module.owners.get(node)
        if function is None or not isinstance(node, ast.Name):
            return
        names = [each.arg for each in [*function.args.args, *function.args.kwonlyargs]]
        if node.id not in names:
            return
        place = names.index(node.id) - (names[0] in ("self", "cls"))
        for caller, call in self._calls(function.name):
            named = {each.arg: each.value for each in call.keywords}
            given = named.get(node.id) or (call.args[place] if place < len(call.args) else None)
            if given is not None:
                yield caller, given

    def _calls(self, name: str) -> Iterator[tuple[Module, ast.Call]]:
        for module in self.modules.values():
            for node in module.nodes if f"{name}(" in module.source else ():
                if isinstance(node, ast.Call) and _name(node.func) == name:
                    yield module, node


@dataclass(frozen=True)
class _Reading:
    """Reads expressions of one function."""

    wording: Wording
    module: Module
    function: Function | None
    most: int
    depth: int = 0

    def of(self, node: ast.expr) -> Sequence[str]:
        """Return the texts of an expression."""
        match node:
            case ast.Constant(value=str(value)):
                return [value]
            case ast.Constant(value=None):
                return [""]
            case ast.JoinedStr(values=parts):
                return _joined([self.of(each) for each in parts])
            case ast.FormattedValue(value=inner):
                found = self.of(inner)
                return found if len(found) <= self.most else [_shown(inner)]
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return _joined([self.of(left), self.of(right)])
            case ast.IfExp(body=one, orelse=other):
                return [*self.of(one), *self.of(other)]
            case ast.BoolOp(op=ast.Or(), values=values):
                return [each for value in values for each in self.of(value) if each]
            case ast.Name(id=name):
                return self._of_name(name) or [_shown(node)]
            case ast.Subscript(value=ast.Name(id=name)):
                return self._of_table(name) or [UNKNOWN]
            case ast.Call():
                return self._of_call(node) or [_shown(node)]
        return [_shown(node)]

    def _of_name(self, name: str) -> list[str]:
        if self.function is not None and name in _parameters(self.function):
            return []
        values = list(_assigned(name, self.function)) if self.function else []
        if values:
            return self._deeper().all_of(values)
        return self._elsewhere(name)

    def _elsewhere(self, name: str) -> list[str]:
        """Return the texts of a constant of this module, or of the one that it is imported from."""
        module, name = self._home(name)
        value = module.constants.get(name) if module else None
        return [] if value is None or self.depth > DEEPEST else self._deeper(module, None).all_of([value])

    def _of_table(self, name: str) -> list[str]:
        module, name = self._home(name)
        value = module.constants.get(name) if module else None
        return self._deeper(module, None).all_of(value.values) if isinstance(value, ast.Dict) else []

    def _of_call(self, node: ast.Call) -> list[str]:
        name, method = _name(node.func), isinstance(node.func, ast.Attribute)
        if name in LEFT_OUT:
            return [""]
        if name in LIKE_IT and node.args:
            return [_shown(node.args[0])]
        if name == "join" and isinstance(node.args[0], ast.GeneratorExp | ast.ListComp):
            return list(self.of(node.args[0].elt))
        if name in ("removeprefix", "removesuffix", "rstrip", "strip") and isinstance(node.func, ast.Attribute):
            return list(self.of(node.func.value))
        home, name = (self.module, name) if method else self._home(name)
        function = home.functions.get(name) if home else None
        is_own = not method or ast.unparse(node.func).startswith(("self.", "cls."))
        if function is None or home is None or not is_own or self.depth > DEEPEST:
            return []
        returned = [each.value for each in ast.walk(function) if isinstance(each, ast.Return) and each.value]
        return self._deeper(home, function).all_of(returned)

    def _home(self, name: str) -> tuple[Module | None, str]:
        if name in self.module.imported:
            source, original = self.module.imported[name]
            return self.wording.modules.get(source), original
        return self.module, name

    def _deeper(self, module: Module | None = None, function: Function | None = None) -> "_Reading":
        there = (module, function) if module else (self.module, self.function)
        return _Reading(self.wording, *there, self.most, self.depth + 1)

    def all_of(self, values: Sequence[ast.expr]) -> list[str]:
        """Return the texts of several expressions; none where they are too many or too deep."""
        if self.depth > DEEPEST:
            return []
        return list(dict.fromkeys(text for value in values for text in self.of(value)))


def _owned(node: ast.AST, owner: Function | None) -> Iterator[tuple[ast.AST, Function]]:
    """Yield what is inside of a node, with the function around it."""
    for inner in ast.iter_child_nodes(node):
        if owner is not None:
            yield inner, owner
        yield from _owned(inner, inner if isinstance(inner, Function) else owner)


def _parameters(function: Function) -> set[str]:
    return {each.arg for each in [*function.args.args, *function.args.kwonlyargs]}


def _assigned(name: str, function: Function) -> Iterator[ast.expr]:
    """Yield what is assigned to a name, with what is added to it later."""
    added: list[ast.expr] = []
    values: list[ast.expr] = []
    for node in ast.walk(function):
        match node:
            case ast.Assign(targets=[ast.Name(id=found)], value=value) if found == name:
                values.append(value)
            case ast.AnnAssign(target=ast.Name(id=found), value=ast.expr() as value) if found == name:
                values.append(value)
            case ast.NamedExpr(target=ast.Name(id=found), value=value) if found == name:
                values.append(value)
            case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Tuple(elts=elements)):
                values += [v for n, v in zip(names, elements, strict=False) if isinstance(n, ast.Name) and n.id == name]
            case ast.AugAssign(target=ast.Name(id=found), op=ast.Add(), value=value) if found == name:
                added.append(value)
    for value in values:
        for extra in added:
            value = ast.BinOp(value, ast.Add(), extra)
        yield value


def _joined(parts: Sequence[Sequence[str]]) -> list[str]:
    """Return the texts of parts one after the other, in every combination, if these are few."""
    few = [list(each) for each in parts]
    while _combinations(few) > MOST:
        widest = max(range(len(few)), key=lambda place: len(few[place]))
        few[widest] = [UNKNOWN]
    return ["".join(each) for each in itertools.product(*few)]


def _combinations(parts: Sequence[Sequence[str]]) -> int:
    count = 1
    for each in parts:
        count *= len(each)
    return count


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _shown(node: ast.expr) -> str:
    """Return what stands for a value."""
    match node:
        case ast.FormattedValue(value=inner):
            return _shown(inner)
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return f"‹{name.strip('_')}›"
        case ast.Call(func=ast.Name(id=name), args=[inner, *_]) if name in (*LIKE_IT, "len", "sorted"):
            return _shown(inner)
    return UNKNOWN
