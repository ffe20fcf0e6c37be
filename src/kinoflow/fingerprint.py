"""Fingerprints of the code that a workflow step really runs.

``fingerprint("pkg.mod")`` hashes module ``pkg.mod`` and everything inside ``pkg`` that it
imports, directly or not.  ``fingerprint("pkg.mod:func")`` is finer: only the top-level
definitions that ``func`` can reach.  Nothing is imported or executed: sources are parsed.
Comments, docstrings, blank lines and layout never change the result; neither does the
version of Python (fields that are None or empty are left out of the hashed form).
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from functools import cache
from pathlib import Path


class FingerprintError(ValueError):
    """The source uses something a static look cannot follow."""


def fingerprint(*targets: str, files: tuple[str, ...] = (), exclude: tuple[str, ...] = ()) -> str:
    """Return a short hash of the code behind ``targets`` ("pkg.mod" or "pkg.mod:name").

    ``exclude`` names what is neither hashed nor followed: "pkg.mod" with all below it, or "pkg.mod:name".
    It is meant for option models, whose values reach a step as a param: their descriptions are no code.
    """
    reached = _Closure(exclude)
    for target in targets:
        module, _, name = target.partition(":")
        reached.add(module, name or None)
    digest = hashlib.sha256()
    for line in reached.lines():
        digest.update(line.encode() + b"\n")
    for file in files:
        digest.update(hashlib.sha256(Path(file).read_bytes()).digest())
    return digest.hexdigest()[:16]


def stage_code(target: str) -> str:
    """Return the fingerprint of a stage. Left out: option models (their values are params), and what is only said to people."""
    return fingerprint(target, exclude=_silent(target.partition(".")[0]))


@cache
def _silent(package: str) -> tuple[str, ...]:
    root = _root(package)
    found = sorted(root.rglob("options.py")) + [root / "errors.py", root / "progress.py"]
    return tuple(".".join((package, *path.relative_to(root).with_suffix("").parts)) for path in found if path.exists())


def explain(*targets: str, exclude: tuple[str, ...] = ()) -> list[str]:
    """Name what ``fingerprint`` would hash, for tests and for the curious."""
    reached = _Closure(exclude)
    for target in targets:
        module, _, name = target.partition(":")
        reached.add(module, name or None)
    return sorted(f"{m}:{n}" if n else m for m, n in reached.done)


# ---------------------------------------------------------------- sources


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
    for path in (base / "__init__.py", base.with_suffix(".py")):
        if path.is_file():
            return path
    return None


@cache
def _module(name: str) -> _Module:
    return _Module(name)


def _canonical(node) -> str:
    if isinstance(node, ast.AST):
        fields = ((f, getattr(node, f, None)) for f in node._fields if f not in ("ctx", "kind", "type_comment"))
        inside = ",".join(f"{f}={_canonical(v)}" for f, v in fields if v is not None and v != [])
        return f"{type(node).__name__}({inside})"
    if isinstance(node, list):
        return "[" + ",".join(map(_canonical, node)) + "]"
    return repr(node)


class _StripDocstrings(ast.NodeTransformer):
    def _visit_body(self, node):
        self.generic_visit(node)
        first = node.body[0] if node.body else None
        value = first.value if isinstance(first, ast.Expr) else None
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            node.body = node.body[1:]
        return node

    visit_Module = visit_ClassDef = visit_FunctionDef = visit_AsyncFunctionDef = _visit_body

    def visit_If(self, node):  # `if TYPE_CHECKING:` never runs
        self.generic_visit(node)
        test = node.test
        named = test.id if isinstance(test, ast.Name) else getattr(test, "attr", None)
        if named != "TYPE_CHECKING":
            return node
        return node.orelse or None


class _Module:
    """The top-level statements of one module, by the names they bind."""

    def __init__(self, name: str):
        path = _path(name)
        if path is None:
            raise FingerprintError(f"no module named {name!r}")
        self.name = name
        self.package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        tree = _StripDocstrings().visit(ast.parse(path.read_text(encoding="utf-8"), str(path)))
        self.body = tree.body
        self.bound: dict[str, list[ast.stmt]] = {}  # name -> statements that bind it
        self.imports: dict[str, tuple[str, str | None]] = {}  # local name -> (module, attribute)
        self.always: list[ast.stmt] = []  # statements that run on import, whatever is used
        self.star: list[str] = []
        self.loaded: list[tuple[str, str | None]] = []  # what importing this module imports
        self._check_dynamic(tree, path)
        for stmt in self.body:
            if isinstance(stmt, (ast.Import, ast.ImportFrom)):
                self._record_import(stmt, top=True)
            elif isinstance(stmt, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                self.bound.setdefault(stmt.name, []).append(stmt)
                if any(isinstance(d, ast.Call) or _local(d) for d in stmt.decorator_list):
                    self.always.append(stmt)  # a decorator may register: it runs on import
            elif isinstance(stmt, (ast.Assign, ast.AnnAssign, ast.AugAssign)) and _targets(stmt):
                for target in _targets(stmt):
                    self.bound.setdefault(target, []).append(stmt)
            else:
                self.always.append(stmt)
                for node in ast.walk(stmt):
                    if isinstance(node, (ast.Import, ast.ImportFrom)):
                        self._record_import(node, top=True)
        for node in ast.walk(tree):  # imports inside functions: same table, same rules
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                self._record_import(node, top=False)

    def _check_dynamic(self, tree, path):
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                called = getattr(node.func, "id", None) or getattr(node.func, "attr", None)
                if called in ("import_module", "__import__"):
                    where = f"{path.name}:{node.lineno}"
                    raise FingerprintError(f"{where}: {called}() cannot be followed; import by statement")

    def _record_import(self, node, top):
        if top:
            self.loaded += _imported(node, self.package)
        if isinstance(node, ast.Import):
            for alias in node.names:
                local = alias.asname or alias.name.partition(".")[0]
                target = alias.name if alias.asname else alias.name.partition(".")[0]
                self.imports.setdefault(local, (target, None))
                if not alias.asname and "." in alias.name:  # import a.b.c binds a, loads a.b.c
                    self.imports.setdefault(f"{local} {alias.name}", (alias.name, None))
            return
        base = _base(node, self.package)
        for alias in node.names:
            if alias.name == "*":
                self.star.append(base)
            else:
                self.imports.setdefault(alias.asname or alias.name, (base, alias.name))


def _base(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    parts = package.split(".")
    parts = parts[: len(parts) - (node.level - 1)]
    return ".".join(parts + ([node.module] if node.module else []))


def _imported(node, package):
    if isinstance(node, ast.Import):
        return [(alias.name, None) for alias in node.names]
    return [(_base(node, package), alias.name) for alias in node.names]


def _local(decorator) -> bool:
    return isinstance(decorator, ast.Name) and decorator.id not in (
        "property",
        "staticmethod",
        "classmethod",
        "dataclass",
        "cache",
        "contextmanager",
    )


def _targets(stmt) -> list[str]:
    targets = stmt.targets if isinstance(stmt, ast.Assign) else [stmt.target]
    names = []
    for target in targets:
        for node in ast.walk(target):
            if isinstance(node, ast.Name):
                names.append(node.id)
            if isinstance(node, (ast.Attribute, ast.Subscript)):
                return []  # TABLE["x"] = ..., mod.attr = ...: a side effect, always counted
    return names


# ---------------------------------------------------------------- closure


class _Closure:
    def __init__(self, exclude: tuple[str, ...] = ()):
        self.done: set[tuple[str, str | None]] = set()
        self.hashed: dict[str, set[str]] = {}
        self.without = {(module, name or None) for module, _, name in (e.partition(":") for e in exclude)}
        for module, name in self.without:
            if (name and name not in _module(module).bound) or not _path(module):
                raise FingerprintError(f"cannot exclude {name or module!r}: there is none")

    def _excluded(self, module: str, name: str | None = None) -> bool:
        inside = any(m == module or module.startswith(f"{m}.") for m, n in self.without if n is None)
        return inside or (module, name) in self.without

    def lines(self):
        for module in sorted(self.hashed):
            for line in sorted(self.hashed[module]):
                yield f"{module}\t{line}"

    def add(self, module: str, name: str | None):
        """Reach ``name`` of ``module`` (all of the module when None)."""
        if (module, name) in self.done or (module, None) in self.done or self._excluded(module, name):
            return
        self.done.add((module, name))
        parent = module.rpartition(".")[0]
        if parent:
            self._run_on_import(_module(parent))
        found = _module(module)
        self._run_on_import(found)
        if name is None:
            for stmt in found.body:
                if not self._excluded(module, getattr(stmt, "name", None)):
                    self._statement(found, stmt)
            for target in set(found.imports.values()):
                self._import(*target)
            return
        if name in found.bound:
            for stmt in found.bound[name]:
                self._statement(found, stmt)
        elif name in found.imports:
            self._import(*found.imports[name])
        elif _path(f"{module}.{name}"):
            self.add(f"{module}.{name}", None)
        elif found.star:
            for other in found.star:
                self._import(other, None)
        elif any(name in _names(stmt) for stmt in found.always):
            pass  # bound inside an if/try/for that is hashed anyway
        else:
            raise FingerprintError(f"{module} has no {name!r}")

    def _run_on_import(self, found: _Module):
        if (found.name, "<import>") in self.done or self._excluded(found.name):
            return
        self.done.add((found.name, "<import>"))
        parent = found.name.rpartition(".")[0]
        if parent:
            self._run_on_import(_module(parent))
        for stmt in found.always:
            if not self._excluded(found.name, getattr(stmt, "name", None)):
                self._statement(found, stmt)
        self._loads(found.loaded)

    def _loads(self, imported):
        """Importing a module runs its top level, used or not: registrations, settings."""
        for module, name in imported:
            if self._ours(module):
                for candidate in (f"{module}.{name}" if name else module, module):
                    if _path(candidate):
                        self._run_on_import(_module(candidate))

    def _import(self, module: str, name: str | None):
        if not self._ours(module):
            return
        if name is None:
            self.add(module, None)
        elif _path(f"{module}.{name}"):
            self.add(f"{module}.{name}", None)
        else:
            self.add(module, name)

    def _ours(self, module: str) -> bool:
        return any(module.split(".")[0] == m.split(".")[0] for m, _ in self.done)

    def _statement(self, found: _Module, stmt: ast.stmt):
        text = _canonical(stmt)
        lines = self.hashed.setdefault(found.name, set())
        if text in lines:
            return
        lines.add(text)
        for node in ast.walk(stmt):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                self._loads(_imported(node, found.package))
        for base, attribute in _uses(stmt):
            if base in found.bound:
                self.add(found.name, base)
            elif base in found.imports:
                module, name = found.imports[base]
                if not self._ours(module):
                    continue
                whole = f"{module}.{name}" if name else module
                if attribute and _path(whole) and not _path(f"{whole}.{attribute}"):
                    self.add(whole, attribute)  # mod.attr: only that attribute
                else:
                    self._import(module, name)
                    if attribute and _path(f"{whole}.{attribute}"):
                        self.add(f"{whole}.{attribute}", None)
                for key, target in found.imports.items():
                    if key.startswith(base + " "):
                        self._import(*target)
            elif found.star:
                for other in found.star:
                    self._import(other, None)


def _names(stmt) -> set[str]:
    found = {n.id for n in ast.walk(stmt) if isinstance(n, ast.Name)}
    return found | {n.name for n in ast.walk(stmt) if hasattr(n, "name")}


def _uses(stmt):
    """(name, attribute) pairs read anywhere in ``stmt``; attribute None for a bare name."""
    seen = set()
    attributed = set()
    for node in ast.walk(stmt):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            seen.add((node.value.id, node.attr))
            attributed.add(id(node.value))
    for node in ast.walk(stmt):
        if isinstance(node, ast.Name) and id(node) not in attributed:
            seen.add((node.id, None))
    return sorted(seen, key=str)
