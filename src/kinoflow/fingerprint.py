"""Fingerprints of the code that a stage really runs: equal code, equal text, whatever its comments and layout.

``fingerprint("pkg.mod")`` hashes module ``pkg.mod`` and everything inside ``pkg`` that it imports, directly or not.
``fingerprint("pkg.mod:func")`` is finer: only the top-level statements that ``func`` can reach by name, and those that
do something whenever a module on the way is imported. Nothing is imported or executed: sources are parsed. Comments,
docstrings, layout and the order of definitions never change the result; neither does the version of Python.

Names are followed, not scopes: a parameter called like a function of its module counts as a use of it. What cannot be
followed (``import_module``, subclasses that register themselves) is refused with file and line.
"""

import ast
import builtins
import hashlib
import importlib.util
from collections.abc import Iterator
from functools import cache, cached_property
from pathlib import Path
from typing import Any

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
LOOKS_AROUND = {("globals",), ("eval",), ("exec",), ("sys", "modules")}  # may take anything from their module
# Decorators from here register nothing: modules, and single names.
HARMLESS = {"abc", "builtins", "contextlib", "dataclasses", "enum", "functools", "pydantic", "types", "typing"}
HARMLESS |= {"torch.no_grad", "torch.inference_mode", "torch.jit.script", "torch.compile"}
READING = {"copy", "format", "get", "items", "join", "keys", "split", "values"}  # methods that change nothing

Target = tuple[str, str | None]  # (module, name in it, or None for all of it)
Chain = tuple[str, ...]  # a dotted name of the source: ("np", "linalg", "svd")
ON_IMPORT = "<import>"  # in place of a name: what runs when the module is imported


class FingerprintError(ValueError):
    """The source uses something that a static look cannot follow."""


def fingerprint(*targets: str, files: tuple[str, ...] = (), exclude: tuple[str, ...] = ()) -> str:
    """Return 16 hexadecimal digits that stand for the code behind ``targets`` ("pkg.mod" or "pkg.mod:name").

    ``files``: data files whose content counts too. ``exclude`` names what is neither hashed nor followed: "pkg.mod" with
    all below it, or "pkg.mod:name". It is meant for option models, whose values reach a stage as a param.
    Raises FingerprintError for a target that is not there and for code that cannot be followed.
    """
    digest = hashlib.sha256()
    for module, line in sorted(_Closure(targets, exclude).lines):
        digest.update(f"{module}\t{line}\n".encode())
    for file in files:
        digest.update(hashlib.sha256(Path(file).read_bytes()).digest())
    return digest.hexdigest()[:16]


def explain(*targets: str, exclude: tuple[str, ...] = ()) -> list[str]:
    """Name what ``fingerprint`` would hash: "module", "module:name", "module:<import>" for what runs on import."""
    return sorted(f"{module}:{name}" if name else module for module, name in _Closure(targets, exclude).reached)


def stage_code(target: str) -> str:
    """Return the fingerprint of a stage without what decides no result of it (see ``silent``)."""
    return fingerprint(target, files=templates(target), exclude=silent(target.partition(".")[0]))


def templates(target: str) -> tuple[str, ...]:
    """Return the page templates and style sheets beside a stage's module: they are its code as much as the module is."""
    path = _path(target.partition(":")[0])
    beside = sorted(path.parent.iterdir()) if path else ()
    return tuple(str(file) for file in beside if file.suffix in (".html", ".css"))


@cache
def silent(package: str) -> tuple[str, ...]:
    """Return the modules that count in no stage: option models, whose values are params, and what only speaks to people."""
    root = _root(package)
    found = sorted(root.rglob("options.py")) + [root / "errors.py", root / "progress.py"]
    return tuple(".".join((package, *path.relative_to(root).with_suffix("").parts)) for path in found if path.exists())


# ---------------------------------------------------------------- modules


@cache
def _root(package: str) -> Path:
    spec = importlib.util.find_spec(package)  # finds, does not import, a top-level package
    if spec is None or not spec.submodule_search_locations:
        raise FingerprintError(f"no package named {package!r} can be found")
    return Path(next(iter(spec.submodule_search_locations)))


@cache
def _path(module: str) -> Path | None:
    package, *rest = module.split(".")
    base = _root(package).joinpath(*rest)
    return next((p for p in (base / "__init__.py", base.with_name(f"{base.name}.py")) if p.is_file()), None)


@cache
def _source(module: str) -> "_Source":
    path = _path(module)
    if path is None:
        raise FingerprintError(f"no module named {module!r}")
    return _Source(module, path)


class _Source:
    """The top-level statements of one module, by the names that they bind."""

    def __init__(self, name: str, path: Path):
        self.name, self.path = name, path
        tree = _Stripped().visit(ast.parse(path.read_bytes(), str(path)))
        _refuse(tree, path)
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        self.statements = [_Statement(node, package) for node in tree.body]
        self.binders: dict[str, list[_Statement]] = {}  # name: the statements that bind it, in order
        self.imports: dict[str, list[Target]] = {}  # name: what it was imported from; "*": star imports
        for statement in self.statements:
            for bound in statement.binds:
                self.binders.setdefault(bound, []).append(statement)
            for bound, targets in () if statement.is_definition else statement.imports.items():
                self.imports.setdefault(bound, []).extend(targets)
        self.effects = [statement for statement in self.statements if self._acts(statement)]

    def _acts(self, statement: "_Statement") -> bool:
        """Tell whether a statement may do something on import beside binding its names: register, print, change."""
        node = statement.node
        if isinstance(node, ast.Import | ast.ImportFrom):
            return False
        if not (statement.is_definition or isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign)):
            return True
        decorators = getattr(node, "decorator_list", ())
        return not all(map(self._is_harmless, decorators)) or any(map(self._changes, _evaluated(node)))

    def _is_harmless(self, decorator: ast.expr) -> bool:
        base, *rest = _chain(decorator) or ("",)
        if base in self.binders:
            return False
        origins = self.imports.get(base, [("builtins", base)] if hasattr(builtins, base) else [])
        names = [".".join(filter(None, (*origin, *rest))) for origin in origins]
        return bool(names) and all(name in HARMLESS or name.partition(".")[0] in HARMLESS for name in names)

    def _changes(self, node: ast.AST) -> bool:
        """Tell whether evaluating a node may change something: it sets an item or attribute, or calls our own code."""
        if isinstance(node, ast.Attribute | ast.Subscript):
            return not isinstance(node.ctx, ast.Load)
        chain = _chain(node) if isinstance(node, ast.Call) else ()
        if not chain or (len(chain) > 1 and chain[-1] in READING):
            return False
        ours = self.name.partition(".")[0]
        imported = any(module.partition(".")[0] == ours for module, _ in self.imports.get(chain[0], ()))
        return imported or chain[0] in self.binders

    def data_files(self) -> Iterator[str]:
        """Yield name and hash of every file beside the module that is no Python: templates, style sheets."""
        for path in sorted(self.path.parent.rglob("*")):
            if path.is_file() and path.suffix not in (".py", ".pyc") and not path.name.startswith("."):
                name = path.relative_to(self.path.parent).as_posix()
                yield f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}"


class _Stripped(ast.NodeTransformer):
    """Take away what never does anything: docstrings and other bare constants, ``pass``, ``if TYPE_CHECKING``."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        return None if isinstance(node.value, ast.Constant) else self.generic_visit(node)

    def visit_Pass(self, node: ast.Pass) -> None:
        return None

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt] | None:
        self.generic_visit(node)
        named = getattr(node.test, "id", getattr(node.test, "attr", None))
        return (node.orelse or None) if named == "TYPE_CHECKING" else node


def _refuse(tree: ast.AST, path: Path) -> None:
    for node in ast.walk(tree):
        found = [getattr(node, field, None) for field in ("id", "attr", "module", "name")]
        if isinstance(node, ast.ImportFrom):
            found += [f"{node.module}.{alias.name}" for alias in node.names]
        for name in found:
            if isinstance(name, str) and name in REFUSED:
                line = getattr(node, "lineno", "?")
                raise FingerprintError(f"{path}, line {line}: {name} cannot be followed; {REFUSED[name]}")


# ---------------------------------------------------------------- statements


class _Statement:
    """One top-level statement: what it binds, imports and uses."""

    def __init__(self, node: ast.stmt, package: str):
        self.node, self.package = node, package
        self.is_definition = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)

    @cached_property
    def text(self) -> str:
        """The syntax tree as text, the same in every version of Python."""
        return _canonical(self.node)

    @cached_property
    def binds(self) -> list[str]:
        """The names that it binds in its module, without imported ones."""
        return list(dict.fromkeys(_bound(self.node)))

    @cached_property
    def imports(self) -> dict[str, list[Target]]:
        """What is imported anywhere inside it: {name here: [(module, name there)]}; a name is bound by one or by many."""
        found: dict[str, list[Target]] = {}
        for node in ast.walk(self.node):
            if isinstance(node, ast.Import):
                for alias in node.names:  # `import a.b` binds a and loads a.b
                    found.setdefault(alias.asname or alias.name, []).append((alias.name, None))
                    if not alias.asname and "." in alias.name:
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
        for node in list(_walked(self.node)):  # a list keeps all nodes alive: the ids of dead ones would come again
            if isinstance(node, ast.Attribute):
                inner.add(id(node.value))
            if isinstance(node, ast.Attribute | ast.Name) and id(node) not in inner:
                found.add(_dotted(node))
        return found - {()}

    @cached_property
    def texts(self) -> set[str]:
        """Every string in it."""
        return {n.value for n in ast.walk(self.node) if isinstance(n, ast.Constant) and isinstance(n.value, str)}


def _absolute(node: ast.ImportFrom, package: str) -> str:
    """Return the full name of the module that is imported from."""
    if not node.level:
        return node.module or ""
    parts = package.split(".")
    return ".".join(filter(None, (*parts[: len(parts) - (node.level - 1)], node.module)))


def _bound(node: ast.AST) -> Iterator[str]:
    """Yield the names that a statement binds in its own scope, and those that functions in it bind as global."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
        yield from () if isinstance(node, ast.Lambda) else (node.name,)
        yield from (name for inner in ast.walk(node) if isinstance(inner, ast.Global) for name in inner.names)
        return
    if isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):  # only := binds outside
        yield from (inner.target.id for inner in ast.walk(node) if isinstance(inner, ast.NamedExpr))
        return
    if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
        yield node.id
    if not isinstance(node, ast.alias):  # except ... as name, case ... as name, case {**name}
        names = (getattr(node, "name", None), getattr(node, "rest", None))
        yield from (name for name in names if isinstance(name, str))
    for inner in ast.iter_child_nodes(node):
        yield from _bound(inner)


def _walked(tree: ast.AST) -> Iterator[ast.AST]:
    """Walk a tree, and the names in annotations that are written as text."""
    for node in ast.walk(tree):
        yield node
        for annotation in filter(None, (getattr(node, "annotation", None), getattr(node, "returns", None))):
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
    """Return ("a", "b") for ``a.b``, ``a.b(1)``, ``a[0].b``: what a call begins from."""
    names: list[str] = []
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
        if isinstance(node, ast.Attribute):
            names.append(node.attr)
        node = node.func if isinstance(node, ast.Call) else node.value
    return (node.id, *reversed(names)) if isinstance(node, ast.Name) else ()


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


def _canonical(node: Any) -> str:
    """Write a syntax tree as text: no positions, no fields that are None or empty (a newer Python has more of them)."""
    if isinstance(node, ast.JoinedStr):
        return f"JoinedStr({','.join(map(_canonical, _joined(node.values)))})"
    if isinstance(node, ast.AST):
        fields = ((f, getattr(node, f, None)) for f in node._fields if f not in ("ctx", "kind", "type_comment"))
        inside = ",".join(f"{f}={_canonical(value)}" for f, value in fields if value is not None and value != [])
        return f"{type(node).__name__}({inside})"
    if isinstance(node, list):
        return f"[{','.join(map(_canonical, node))}]"
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


# ---------------------------------------------------------------- what is reached


class _Closure:
    """All that the targets can reach; ``lines`` stand for it: {(module, text)}."""

    def __init__(self, targets: tuple[str, ...], exclude: tuple[str, ...]):
        self.reached: set[Target] = set()
        self.lines: set[tuple[str, str]] = set()
        self.todo: list[Target] = []
        self.packages = {target.partition(":")[0].partition(".")[0] for target in targets}
        self.without = set(map(_checked, exclude))
        for target in targets:
            self._reach(*_checked(target))
        while self.todo:
            self._visit(*self.todo.pop())

    def _reach(self, module: str, name: str | None) -> None:
        if not ((module, name) in self.reached or self._is_excluded(module, name)):
            self.reached.add((module, name))
            self.todo.append((module, name))

    def _is_excluded(self, module: str, name: str | None) -> bool:
        inside = any(m == module or module.startswith(f"{m}.") for m, n in self.without if n is None)
        return inside or (module, name) in self.without

    def _visit(self, module: str, name: str | None) -> None:
        source = _source(module)
        if name == ON_IMPORT:
            self._visit_import(source)
            return
        self._reach(module, ON_IMPORT)
        if name is None:
            for each in (*source.binders, *source.imports):
                self._reach(module, each)
        elif name in source.binders or name in source.imports:
            self._visit_name(source, name)
        elif name == "__dict__" or not name.startswith("__"):  # made while running, or it came by a star import
            self._reach(module, None)

    def _visit_import(self, source: _Source) -> None:
        """Whatever is used of a module, its effects happen when it is imported, and those of its own imports."""
        parent = source.name.rpartition(".")[0]
        if parent:
            self._reach(parent, ON_IMPORT)
        effects = [s for s in source.effects if not any(self._is_excluded(source.name, name) for name in s.binds)]
        if effects:
            self.lines.add((source.name, f"{ON_IMPORT}: {';'.join(s.text for s in effects)}"))
        for statement in effects:
            self._follow_uses(source, statement)
        for statement in source.statements:
            if not statement.is_definition:
                self._load(statement)

    def _visit_name(self, source: _Source, name: str) -> None:
        statements = source.binders.get(name, [])
        if statements:  # all that bind it, in order: X = [], X += [1]
            self.lines.add((source.name, f"{name}: {';'.join(s.text for s in statements)}"))
        for statement in statements:
            self._follow_uses(source, statement)
        for module, attribute in source.imports.get(name, ()):
            self.lines.add((source.name, f"{name}: from {module} {attribute}"))
            self._follow(module, attribute)

    def _follow_uses(self, source: _Source, statement: _Statement) -> None:
        self._load(statement)
        for chain in statement.uses:
            self._follow_use(source, statement, chain)
        for text in statement.texts:  # `python -m pkg.mod` in a child process
            parts = text.split(".")
            if len(parts) > 1 and parts[0] in self.packages and all(map(str.isidentifier, parts)) and _path(text):
                self._reach(text, None)

    def _follow_use(self, source: _Source, statement: _Statement, chain: Chain) -> None:
        base, *rest = chain
        inside = statement.imports.get(base, []) if statement.is_definition else []
        outside = source.imports.get(base, [])
        for module, name in (*inside, *outside):
            self._follow(module, name, *rest)
        for module, name in outside:
            self.lines.add((source.name, f"{base}: from {module} {name}"))
        if base in source.binders:
            self._reach(source.name, base)
        elif base == "__file__":
            self.lines.update((source.name, f"file {line}") for line in source.data_files())
        elif chain[:1] in LOOKS_AROUND or chain[:2] in LOOKS_AROUND:
            self._reach(source.name, None)
        elif not (inside or outside or hasattr(builtins, base)):
            for module, _ in source.imports.get("*", ()):
                self._follow(module, None)

    def _follow(self, module: str, *names: str | None) -> None:
        """Follow an imported name, through modules as far as it names them, to one name of the last or all of it."""
        if module.partition(".")[0] not in self.packages:
            return
        rest = [name for name in names if name]
        while rest and _path(f"{module}.{rest[0]}"):
            if rest[0] in _source(module).binders:  # a module and a variable of one name: either may be meant
                self._reach(module, rest[0])
            module = f"{module}.{rest.pop(0)}"
        self._reach(module, rest[0] if rest else None)
        path = _path(module)
        if not rest and path and path.name == "__init__.py":  # a package as a whole: getattr(package, name)
            for inner in path.parent.rglob("*.py"):
                parts = inner.relative_to(path.parent).with_suffix("").parts
                self._reach(".".join((module, *(part for part in parts if part != "__init__"))), None)

    def _load(self, statement: _Statement) -> None:
        """Importing runs a module's effects, used or not: registrations, settings."""
        for targets in statement.imports.values():
            for module, name in targets:
                if module.partition(".")[0] in self.packages:
                    for each in (f"{module}.{name}" if name else module, module):
                        if _path(each):
                            self._reach(each, ON_IMPORT)


def _checked(target: str) -> Target:
    """Split "pkg.mod:name"; raise FingerprintError if there is no such module or name."""
    module, _, name = target.partition(":")
    source = _source(module)
    if name and name not in source.binders and name not in source.imports:
        raise FingerprintError(f"{module} has no {name!r}")
    return module, name or None
