"""Fingerprints of the code that a stage really runs: equal code, equal text, whatever its comments and layout.

``fingerprint("pkg.mod")`` hashes module ``pkg.mod`` and everything inside ``pkg`` that it imports, directly or not.
``fingerprint("pkg.mod:func")`` is finer: only the top-level statements that ``func`` can reach by name, and those that
do something whenever a module on the way is imported. Nothing is imported or executed: sources are parsed. Comments,
docstrings, layout and the order of definitions never change the result; neither does the version of Python.

Names are followed, not scopes: a parameter called like a function of its module counts as a use of it. What cannot be
followed (``import_module``, subclasses that register themselves) is refused with file and line.
"""

import builtins
import hashlib
import importlib.util
from functools import cache, cached_property
from pathlib import Path

from kinoflow.syntax import Chain, Statement, Target, parse
from kinoflow.syntax import SourceError as FingerprintError

LOOKS_AROUND = {("globals",), ("eval",), ("exec",), ("sys", "modules")}  # may take anything from their module
ON_IMPORT = "<import>"  # in place of a name: what runs when the module is imported


def fingerprint(*targets: str, files: tuple[str, ...] = (), exclude: tuple[str, ...] = ()) -> str:
    """Return 16 hexadecimal digits that stand for the code behind ``targets`` ("pkg.mod" or "pkg.mod:name").

    ``files``: data files whose content counts too. ``exclude`` names what is neither hashed nor followed: "pkg.mod" with
    all below it, or "pkg.mod:name". It is meant for option models, whose values reach a stage as a param.
    Raises FingerprintError for a target that is not there and for code that cannot be followed.
    """
    digest = hashlib.sha256()
    for module, line in sorted(_closure(targets, exclude)[1]):
        digest.update(f"{module}\t{line}\n".encode())
    for file in files:
        digest.update(hashlib.sha256(Path(file).read_bytes()).digest())
    return digest.hexdigest()[:16]


def explain(*targets: str, exclude: tuple[str, ...] = ()) -> list[str]:
    """Name what ``fingerprint`` would hash: "module", "module:name", "module:<import>" for what runs on import."""
    return sorted(f"{module}:{name}" if name else module for module, name in _closure(targets, exclude)[0])


def stage_code(target: str) -> str:
    """Return the fingerprint of a stage without what decides no result of it (see ``silent``)."""
    return fingerprint(target, exclude=silent(target.partition(".")[0]))


@cache
def silent(package: str) -> tuple[str, ...]:
    """Return the modules that count in no stage.

    Option models, whose values are params; what only speaks to people; the way a file comes over the network, whose
    content is checked whatever way it came.
    """
    root = _root(package)
    found = [*sorted(root.rglob("*options.py")), root / "errors.py", root / "progress.py", *root.glob("store/fetch.py")]
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
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        self.statements = parse(path.read_bytes(), str(path), package)
        self.binders: dict[str, list[Statement]] = {}  # name: the statements that bind it, in order
        self.imports: dict[str, list[Target]] = {}  # name: what it was imported from; "*": star imports
        for statement in self.statements:
            for bound in statement.binds:
                self.binders.setdefault(bound, []).append(statement)
            for bound, targets in () if statement.is_definition else statement.imports.items():
                self.imports.setdefault(bound, []).extend(targets)
        own, top = set(self.binders), name.partition(".")[0]
        self.effects = [statement for statement in self.statements if statement.acts(self.imports, own, top)]

    @cached_property
    def data_files(self) -> list[str]:
        """Name and hash of every file beside the module that is no Python: templates, style sheets."""
        folder = self.path.parent
        files = [p for p in sorted(folder.rglob("*")) if p.is_file() and p.suffix not in (".py", ".pyc")]
        return [f"{p.relative_to(folder).as_posix()} {hashlib.sha256(p.read_bytes()).hexdigest()}" for p in files]


# ---------------------------------------------------------------- what is reached


def _closure(targets: tuple[str, ...], exclude: tuple[str, ...]) -> tuple[set[Target], set[tuple[str, str]]]:
    return _graph(frozenset(target.partition(":")[0].partition(".")[0] for target in targets), exclude).closure(targets)


@cache
def _graph(packages: frozenset[str], exclude: tuple[str, ...]) -> "_Graph":
    return _Graph(packages, exclude)


class _Node:
    """What one name of a module uses itself: the lines that stand for it, and the names that it reaches next."""

    def __init__(self) -> None:
        self.lines: set[tuple[str, str]] = set()
        self.next: set[Target] = set()


class _Graph:
    """All that names can reach, without what is excluded; looked at once, however many stages reach it."""

    def __init__(self, packages: frozenset[str], exclude: tuple[str, ...]):
        self.packages, self.without = packages, set(map(_checked, exclude))
        self.nodes: dict[Target, _Node] = {}
        self.inside: dict[str, bool] = {}  # modules: are they excluded?
        self.node = _Node()  # the one that is being looked at

    def closure(self, targets: tuple[str, ...]) -> tuple[set[Target], set[tuple[str, str]]]:
        """Return all names that the targets can reach, and the lines that stand for them: {(module, text)}."""
        todo = [target for target in map(_checked, targets) if not self._is_excluded(*target)]
        reached, lines = set(todo), set()
        while todo:
            node = self._node(todo.pop())
            lines |= node.lines
            todo += node.next - reached
            reached |= node.next
        return reached, lines

    def _node(self, target: Target) -> _Node:
        if target not in self.nodes:
            self.node = _Node()
            self._visit(*target)
            self.nodes[target] = self.node
        return self.nodes[target]

    def _reach(self, module: str, name: str | None) -> None:
        if not self._is_excluded(module, name):
            self.node.next.add((module, name))

    def _is_excluded(self, module: str, name: str | None) -> bool:
        if module not in self.inside:
            without = (m for m, n in self.without if n is None)
            self.inside[module] = any(m == module or module.startswith(f"{m}.") for m in without)
        return self.inside[module] or (module, name) in self.without

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
            self.node.lines.add((source.name, f"{ON_IMPORT}: {';'.join(s.text for s in effects)}"))
        for statement in effects:
            self._follow_uses(source, statement)
        for statement in source.statements:
            if not statement.is_definition:
                self._load(statement)

    def _visit_name(self, source: _Source, name: str) -> None:
        statements = source.binders.get(name, [])
        if statements:  # all that bind it, in order: X = [], X += [1]
            self.node.lines.add((source.name, f"{name}: {';'.join(s.text for s in statements)}"))
        for statement in statements:
            self._follow_uses(source, statement)
        for module, attribute in source.imports.get(name, ()):
            self.node.lines.add((source.name, f"{name}: from {module} {attribute}"))
            self._follow(module, attribute)

    def _follow_uses(self, source: _Source, statement: Statement) -> None:
        self._load(statement)
        for chain in statement.uses:
            self._follow_use(source, statement, chain)
        for text in statement.texts:  # `python -m pkg.mod` in a child process
            parts = text.split(".")
            if len(parts) > 1 and parts[0] in self.packages and all(map(str.isidentifier, parts)) and _path(text):
                self._reach(text, None)

    def _follow_use(self, source: _Source, statement: Statement, chain: Chain) -> None:
        base, *rest = chain
        inside = statement.imports.get(base, []) if statement.is_definition else []
        outside = source.imports.get(base, [])
        for module, name in (*inside, *outside):
            self._follow(module, name, *rest)
        for module, name in outside:
            self.node.lines.add((source.name, f"{base}: from {module} {name}"))
        if base in source.binders:
            self._reach(source.name, base)
        elif base == "__file__":
            self.node.lines.update((source.name, f"file {line}") for line in source.data_files)
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

    def _load(self, statement: Statement) -> None:
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
