"""The project's own source files, parsed once, and what the rules ask of them."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import TypeAlias

ROOT = Path(__file__).parents[2]
PACKAGES = ("indexes", "ragopt", "eval")

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
Documented: TypeAlias = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Import:
    """One imported dotted name. `local` is True inside a function, `typing_only` under TYPE_CHECKING."""

    target: str
    line: int
    local: bool
    typing_only: bool

    @property
    def top(self) -> str:
        """Return the package that is imported."""
        return self.target.partition(".")[0]


@dataclass(frozen=True)
class Module:
    """One Python file: its path from the root with slashes, and its text."""

    path: str
    text: str = field(repr=False)

    @cached_property
    def tree(self) -> ast.Module:
        """Return the parsed file."""
        return ast.parse(self.text, self.path)

    @property
    def name(self) -> str:
        """Return the dotted name it is imported by."""
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @property
    def is_package(self) -> bool:
        """Return whether this is an `__init__.py`."""
        return self.path.endswith("__init__.py")

    def at(self, line: int, message: str) -> str:
        """Return `message` with the place in front, as editors read it."""
        return f"{self.path}:{line}: {message}"

    def imports(self) -> Iterator[Import]:
        """Yield every imported name; `from a import b` yields `a.b`, relative imports resolved."""
        yield from imports_below(self, self.tree.body, local=False, typing_only=False)

    def functions(self) -> Iterator[Function]:
        """Yield every function and method, nested ones too."""
        for node in ast.walk(self.tree):
            if isinstance(node, Function):
                yield node

    def classes(self) -> Iterator[ast.ClassDef]:
        """Yield every class."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ClassDef):
                yield node

    def public(self) -> Iterator[Documented]:
        """Yield the module and its public classes, functions and methods, not what functions define inside."""
        yield self.tree
        yield from public_below(self.tree)


def imports_below(module: Module, body: Iterable[ast.AST], *, local: bool, typing_only: bool) -> Iterator[Import]:
    """Yield the imports of `body` and of everything nested in it."""
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            for target in targets(module, node):
                yield Import(target, node.lineno, local, typing_only)
            continue
        checking = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        yield from imports_below(
            module,
            ast.iter_child_nodes(node),
            local=local or isinstance(node, Function),
            typing_only=typing_only or checking,
        )


def targets(module: Module, node: ast.Import | ast.ImportFrom) -> list[str]:
    """Return the dotted names that one import statement names."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    package = module.name.split(".") if module.is_package else module.name.split(".")[:-1]
    anchor = package[: len(package) - node.level + 1] if node.level else []
    prefix = [*anchor, *([node.module] if node.module else [])]
    return [".".join([*prefix, alias.name]) for alias in node.names]


def public_below(node: ast.Module | ast.ClassDef) -> Iterator[Documented]:
    """Yield the public definitions of a module or class body, depth first."""
    for child in node.body:
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not child.name.startswith("_"):
            yield child
            if isinstance(child, ast.ClassDef):
                yield from public_below(child)


def span(node: ast.stmt | ast.expr) -> int:
    """Return how many source lines a node covers."""
    return (node.end_lineno or node.lineno) - node.lineno + 1


def docstring_lines(node: Documented) -> int:
    """Return how many lines the docstring covers; 0 without one."""
    first = node.body[0] if node.body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        return span(first)
    return 0


@cache
def sources() -> tuple[Module, ...]:
    """Return every Python file of the three packages, sorted by path."""
    return read_below(PACKAGES)


@cache
def suite() -> tuple[Module, ...]:
    """Return every Python file of the tests, sorted by path."""
    return read_below(("tests",))


def read_below(folders: Iterable[str]) -> tuple[Module, ...]:
    """Return the Python files below `folders` of the project."""
    paths = sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return tuple(Module(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")) for path in paths)


def known_module(target: str, names: frozenset[str]) -> str | None:
    """Return the longest prefix of a dotted name that is one of our modules, None if none is."""
    while target and target not in names:
        target = target.rpartition(".")[0]
    return target or None


def import_graph(modules: Iterable[Module]) -> dict[str, set[str]]:
    """Return module name to the modules it imports when it is imported itself."""
    modules = tuple(modules)
    names = frozenset(module.name for module in modules)
    graph: dict[str, set[str]] = {name: set() for name in names}
    for module in modules:
        for item in module.imports():
            target = known_module(item.target, names)
            if target and target != module.name and not item.local and not item.typing_only:
                graph[module.name].add(target)
    return graph


def cycle_through(start: str, graph: dict[str, set[str]]) -> list[str] | None:
    """Return a path of imports from `start` back to `start`, None if there is none."""
    paths = [[start, target] for target in sorted(graph[start])]
    seen: set[str] = set()
    while paths:
        path = paths.pop(0)
        if path[-1] == start:
            return path
        if path[-1] not in seen:
            seen.add(path[-1])
            paths.extend([*path, target] for target in sorted(graph[path[-1]]))
    return None
