"""Top-level statements of Python source, as `kinoflow.fingerprint` sees them: what they bind, import, use and do.

Sources are parsed, never imported. A statement's text is the same for every layout and every version of Python.
"""

import ast
import builtins
import itertools
from collections.abc import Iterator
from functools import cached_property
from typing import Any

Target = tuple[str, str | None]  # (module, name in it, or None for all of it)
Chain = tuple[str, ...]  # a dotted name of the source: ("np", "linalg", "svd")

# What names cannot be followed through, and what to write instead.
REFUSED = {
    "import_module": "import by statement",
    "__import__": "import by statement",
    "pkgutil": "import by statement",
    "__subclasses__": "list the classes in a dictionary",
    "__init_subclass__": "list the classes in a dictionary",
    "importlib.resources": "find files by Path(__file__)",
    "PackageLoader": "find files by Path(__file__)",
}
# Decorators from here register nothing: modules, and single names.
HARMLESS = {"abc", "builtins", "contextlib", "dataclasses", "enum", "functools", "pydantic", "types", "typing"}
HARMLESS |= {"torch.no_grad", "torch.inference_mode", "torch.jit.script", "torch.compile"}
READING = {"copy", "format", "get", "items", "join", "keys", "split", "values"}  # methods that change nothing

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


class SourceError(ValueError):
    """The source uses something that a static look cannot follow."""


def parse(source: bytes, file: str, package: str) -> "list[Statement]":
    """Return the top-level statements of a module's source; ``package``: what its relative imports count from.

    ``if TYPE_CHECKING`` is taken for what it is while running. Raises SourceError for what cannot be followed.
    """
    tree = ast.parse(source, file)
    if any(name.encode() in source for name in (*REFUSED, "resources")):
        _refuse(tree, file)
    if b"TYPE_CHECKING" in source:
        tree = _Running().visit(tree)
    return [Statement(node, package) for node in tree.body if not _is_idle(node)]


class Statement:
    """One top-level statement of a module."""

    def __init__(self, node: ast.stmt, package: str):
        self.node, self.package = node, package
        self.is_definition = isinstance(node, Definition)
        self._nodes = _walked(node)

    @cached_property
    def text(self) -> str:
        """The syntax tree as text."""
        return canonical(self.node)

    @cached_property
    def binds(self) -> list[str]:
        """The names that it binds in its module, without imported ones."""
        found = [self.node.name] if isinstance(self.node, Definition) else list(_bound(self.node))
        found += [name for node in self._nodes if isinstance(node, ast.Global) for name in node.names]
        return list(dict.fromkeys(found))

    @cached_property
    def imports(self) -> dict[str, list[Target]]:
        """What is imported anywhere inside it: {name here: [(module, name there)]}; "*": star imports."""
        found: dict[str, list[Target]] = {}
        for node in self._nodes:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    found.setdefault(alias.asname or alias.name, []).append((alias.name, None))
                    if not alias.asname and "." in alias.name:  # `import a.b` binds a and loads a.b
                        first = alias.name.partition(".")[0]
                        found.setdefault(first, []).append((first, None))
            elif isinstance(node, ast.ImportFrom):
                module = _absolute(node, self.package)
                for alias in node.names:
                    target = (module, None if alias.name == "*" else alias.name)
                    found.setdefault(alias.asname or alias.name, []).append(target)
        return found

    @cached_property
    def uses(self) -> set[Chain]:
        """Every dotted name in it, those in annotations that are written as text included."""
        inner: set[int] = set()
        found: set[Chain] = set()
        quoted = list(
            itertools.chain.from_iterable(map(_quoted, self._nodes))
        )  # a list keeps them, and their ids, alive
        for node in (*self._nodes, *quoted):
            if isinstance(node, ast.Attribute):
                inner.add(id(node.value))
            if isinstance(node, ast.Attribute | ast.Name) and id(node) not in inner:
                found.add(_dotted(node))
        return found - {()}

    @cached_property
    def texts(self) -> set[str]:
        """Every string in it."""
        return {n.value for n in self._nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)}

    def acts(self, imports: dict[str, list[Target]], own: set[str], package: str) -> bool:
        """Tell whether it may do something on import beside binding its names: register, print, change.

        ``imports`` and ``own``: names that the module imports and binds; ``package``: the top-level package it is in.
        """
        node = self.node
        if isinstance(node, ast.Import | ast.ImportFrom):
            return False
        if not (self.is_definition or isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign)):
            return True
        ours = own | {name for name, found in imports.items() if any(m.partition(".")[0] == package for m, _ in found)}
        decorators = [_chain(decorator) for decorator in getattr(node, "decorator_list", ())]
        if not all(_is_harmless(chain, imports, own) for chain in decorators):
            return True
        return any(_changes(each, ours) for each in _evaluated(node))


# ---------------------------------------------------------------- what never runs, what cannot be followed


class _Running(ast.NodeTransformer):
    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt] | None:
        self.generic_visit(node)
        named = getattr(node.test, "id", getattr(node.test, "attr", None))
        return (node.orelse or None) if named == "TYPE_CHECKING" else node


def _is_idle(node: Any) -> bool:
    """Tell whether a statement never does anything: a docstring or other bare constant, or ``pass``."""
    return isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))


def _refuse(tree: ast.AST, file: str) -> None:
    for node in ast.walk(tree):
        found = [getattr(node, field, None) for field in ("id", "attr", "module", "name")]
        if isinstance(node, ast.ImportFrom):
            found += [f"{node.module}.{alias.name}" for alias in node.names]
        for name in found:
            if isinstance(name, str) and name in REFUSED:
                line = getattr(node, "lineno", "?")
                raise SourceError(f"{file}, line {line}: {name} cannot be followed; {REFUSED[name]}")


# ---------------------------------------------------------------- names


def _walked(tree: ast.AST) -> list[ast.AST]:
    """Return a node and all below it, outer ones first: ast.walk in half the time."""
    nodes = [tree]
    for node in nodes:
        for field in node._fields:
            value = getattr(node, field, None)
            if isinstance(value, ast.AST):
                nodes.append(value)
            elif isinstance(value, list):
                nodes += [each for each in value if isinstance(each, ast.AST)]
    return nodes


def _absolute(node: ast.ImportFrom, package: str) -> str:
    """Return the full name of the module that is imported from."""
    if not node.level:
        return node.module or ""
    parts = package.split(".")
    return ".".join(filter(None, (*parts[: len(parts) - (node.level - 1)], node.module)))


def _bound(node: ast.AST) -> Iterator[str]:
    """Yield the names that a statement binds in the scope that it stands in."""
    if isinstance(node, Definition | ast.Lambda):
        yield from () if isinstance(node, ast.Lambda) else (node.name,)
        return
    if isinstance(node, Comprehension):  # only := binds outside
        yield from (inner.target.id for inner in ast.walk(node) if isinstance(inner, ast.NamedExpr))
        return
    if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
        yield node.id
    if not isinstance(node, ast.alias):  # except ... as name, case ... as name, case {**name}
        names = (getattr(node, "name", None), getattr(node, "rest", None))
        yield from (name for name in names if isinstance(name, str))
    for inner in ast.iter_child_nodes(node):
        yield from _bound(inner)


def _quoted(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a node's annotations that are written as text."""
    annotation = getattr(
        node, "returns" if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else "annotation", None
    )
    if annotation is not None:
        for text in ast.walk(annotation):
            if isinstance(text, ast.Constant) and isinstance(text.value, str):
                try:
                    yield from ast.walk(ast.parse(text.value.strip(), mode="eval"))
                except SyntaxError:
                    continue  # no annotation but a value: Literal["T x D"]


def _dotted(node: ast.AST) -> Chain:
    """Return ("a", "b", "c") for ``a.b.c``, () for an attribute of something without a name."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return (node.id, *reversed(names)) if isinstance(node, ast.Name) else ()


def _chain(node: ast.AST) -> Chain:
    """Return ("a", "b") for ``a.b``, ``a.b(1)`` and ``a[0].b``: the names along what is called."""
    names: list[str] = []
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
        if isinstance(node, ast.Attribute):
            names.append(node.attr)
        node = node.func if isinstance(node, ast.Call) else node.value
    return (node.id, *reversed(names)) if isinstance(node, ast.Name) else ()


# ---------------------------------------------------------------- what happens on import


def _is_harmless(decorator: Chain, imports: dict[str, list[Target]], own: set[str]) -> bool:
    base, *rest = decorator or ("",)
    if base in own:
        return False
    origins = imports.get(base, [("builtins", base)] if hasattr(builtins, base) else [])
    names = [".".join(filter(None, (*origin, *rest))) for origin in origins]
    return bool(names) and all(name in HARMLESS or name.partition(".")[0] in HARMLESS for name in names)


def _changes(node: ast.AST, ours: set[str]) -> bool:
    """Tell whether evaluating a node may change something: it sets an item or attribute, or calls our own code."""
    if isinstance(node, ast.Attribute | ast.Subscript):
        return not isinstance(node.ctx, ast.Load)
    chain = _chain(node) if isinstance(node, ast.Call) else ()
    return bool(chain) and chain[0] in ours and not (len(chain) > 1 and chain[-1] in READING)


def _evaluated(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what is evaluated with a definition or assignment: decorators, defaults, bases, class bodies, values."""
    if isinstance(node, ast.Lambda):
        return
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        inside = [*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults)]
    else:
        yield node
        inside = list(ast.iter_child_nodes(node))
    yield from (ast.Call(decorator, [], []) for decorator in getattr(node, "decorator_list", ()))  # it is called
    for each in inside:
        yield from _evaluated(each)


# ---------------------------------------------------------------- text


def canonical(node: Any) -> str:
    """Write a syntax tree as text: no positions, nothing idle, no fields that are None or empty (new Pythons add some)."""
    if isinstance(node, ast.JoinedStr):
        return f"JoinedStr({','.join(map(canonical, _joined(node.values)))})"
    if isinstance(node, ast.AST):
        fields = [(f, getattr(node, f, None)) for f in node._fields if f not in ("ctx", "kind", "type_comment")]
        inside = [f"{f}={canonical(value)}" for f, value in fields if value is not None and value != []]
        return f"{type(node).__name__}({','.join(inside)})"
    if isinstance(node, list):
        return f"[{','.join([canonical(each) for each in node if not _is_idle(each)])}]"
    return ascii(node)  # repr() shows more characters as they are from version to version


def _joined(values: list[ast.expr]) -> list[ast.expr]:
    """Join the constants of an f-string that stand side by side: versions cut them differently."""
    parts: list[ast.expr] = []
    for value in values:
        if isinstance(value, ast.Constant) and parts and isinstance(parts[-1], ast.Constant):
            parts[-1] = ast.Constant(parts[-1].value + value.value)
        elif not (isinstance(value, ast.Constant) and value.value == ""):
            parts.append(value)
    return parts
