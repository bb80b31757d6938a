"""The rules of the house hold on every file, and each rule catches what it is there for."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.house import rules
from tests.house.source import ROOT, Module, cycle_through, import_graph, sources, suite

REGISTRY_HOSTS = tuple(
    ".".join(parts)
    for parts in (("pypi", "org"), ("files", "pythonhosted"), ("registry", "npmjs"), ("deb", "debian"), ("ghcr", "io"))
)
# In two pieces, so that this file does not hold what it forbids.
MACHINE_PATHS = re.compile(r"(?<![\w.~-])(?:/wo" + r"rk/|/tm" + r"p/w/|/ro" + r"ot/)")
LARGE_FILE_BYTES = 1_000_000


def breaches(rule: rules.Rule, modules: Iterable[Module]) -> str:
    """Return what breaks the rule, one to a line; empty for nothing."""
    return "\n".join(found for module in modules for found in rule(module))


@pytest.mark.parametrize("rule", rules.SOURCE_RULES, ids=lambda rule: rule.__name__)
def test_source_keeps_the_rule(rule: rules.Rule) -> None:
    """Every file of the three packages keeps every rule of the house."""
    assert not (found := breaches(rule, sources())), f"{rule.__doc__}\n{found}"


@pytest.mark.parametrize("rule", rules.TEST_RULES, ids=lambda rule: rule.__name__)
def test_tests_keep_the_rule(rule: rules.Rule) -> None:
    """Every file of the tests keeps the rules for tests."""
    assert not (found := breaches(rule, suite())), f"{rule.__doc__}\n{found}"


def test_no_module_imports_itself_by_way_of_others() -> None:
    """The graph of imports has no cycle."""
    graph = import_graph(sources())
    cycles = [" → ".join(cycle) for name in sorted(graph) if (cycle := cycle_through(name, graph))]
    assert cycles == []


def exported(module: Module) -> list[str] | None:
    """Return the names in `__all__` in their order, None where there is none."""
    for node in module.tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return [str(name) for name in ast.literal_eval(node.value)]
    return None


def test_all_is_sorted_and_importable() -> None:
    """What an `__all__` names is there, once, in ruff's order: constants, classes, functions."""
    for module in sources():
        names = exported(module) or []
        ordered = sorted(set(names), key=lambda name: (not name.isupper(), not name[0].isupper(), name))
        missing = [name for name in names if not hasattr(importlib.import_module(module.name), name)]
        assert (names, missing) == (ordered, []), module.path


def tracked_files() -> list[Path]:
    """Return the files git has or would add; what .gitignore leaves where there is no git."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout.split("\0")
    except (OSError, subprocess.CalledProcessError):
        ignored = [line.rstrip("/") for line in (ROOT / ".gitignore").read_text(encoding="utf-8").split()]
        paths = ((path, path.relative_to(ROOT).parts) for path in ROOT.rglob("*") if path.is_file())
        return [path for path, parts in paths if not any(fnmatch(part, name) for part in parts for name in ignored)]
    return [ROOT / name for name in listed if name and (ROOT / name).is_file()]


def test_no_file_names_a_registry_or_a_machine() -> None:
    """Nothing in the repository holds a package registry's host or a path of one machine."""
    found = [problem for path in tracked_files() for problem in places_named_in(path)]
    assert found == []


def places_named_in(path: Path) -> list[str]:
    """Return the forbidden strings of a text file; [] for binary and very large files."""
    data = path.read_bytes()
    if b"\0" in data or len(data) > LARGE_FILE_BYTES:
        return []
    found = []
    for number, line in enumerate(data.decode("utf-8", errors="replace").splitlines(), 1):
        if any(host in line for host in REGISTRY_HOSTS) or MACHINE_PATHS.search(line):
            found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}")
    return found


LONG_BODY = "\n".join(f"    x{number} = {number}" for number in range(46))
FLAT = "def f():\n    for a in b:\n        if a:\n            with a:\n                a()\n"
NESTED = FLAT.replace("a()", "while a:\n                    a()")

BROKEN = [
    (rules.packages_point_left, "indexes/x.py", "from ragopt.domain import Question"),
    (rules.packages_point_left, "ragopt/domain.py", "import eval.metrics"),
    (rules.ragopt_layers, "ragopt/domain.py", "from ragopt.stages.pack import pack"),
    (rules.ragopt_layers, "ragopt/stages/pack.py", "from ragopt.stages.cite import cite"),
    (rules.ragopt_layers, "ragopt/stages/pack.py", "from ragopt.stages import cite"),
    (rules.ragopt_layers, "ragopt/stages/pack.py", "from . import cite"),
    (rules.ragopt_layers, "ragopt/state/keys.py", "from ragopt import wiring"),
    (rules.ragopt_layers, "ragopt/wiring.py", "def f():\n    from ragopt.api.app import make"),
    (rules.ragopt_layers, "ragopt/novel.py", ""),
    (rules.packages_have_owners, "ragopt/wiring.py", "from fastapi import FastAPI"),
    (rules.packages_have_owners, "ragopt/api/app.py", "import redis.asyncio"),
    (rules.packages_have_owners, "ragopt/providers/anthropic.py", "import openai"),
    (rules.packages_have_owners, "indexes/library.py", "import qdrant_edge"),
    (rules.packages_have_owners, "ragopt/wiring.py", "import litellm"),
    (rules.domain_is_plain, "ragopt/domain.py", "import numpy"),
    (rules.environment_in_one_file, "ragopt/wiring.py", "import os\nx = os.environ['A']"),
    (rules.environment_in_one_file, "ragopt/wiring.py", "from os import getenv"),
    (rules.local_imports_are_heavy, "indexes/x.py", "def f():\n    import json"),
    (rules.local_imports_are_heavy, "ragopt/wiring.py", "def f():\n    import uvicorn"),
    (rules.no_print, "indexes/x.py", "print('hello')"),
    (rules.files_are_short, "indexes/x.py", "\n" * 351),
    (rules.bodies_are_short, "indexes/x.py", f"def f():\n{LONG_BODY}"),
    (rules.blocks_are_shallow, "indexes/x.py", NESTED),
    (rules.few_positional, "indexes/x.py", "def f(a, b, c, d, e): ..."),
    (rules.few_positional, "indexes/x.py", "def f(a=True): ..."),
    (rules.few_positional, "indexes/x.py", "def f(a: bool): ..."),
    (rules.all_is_documented, "indexes/x.py", "x = 1"),
    (rules.all_is_documented, "indexes/x.py", '"""Doc."""\nclass A:\n    """Doc."""\n    def f(self): ...'),
    (rules.names_say_something, "indexes/utils.py", ""),
    (rules.names_say_something, "indexes/x.py", "class KeyManager: ..."),
    (rules.init_only_exports, "indexes/__init__.py", '"""Doc."""\nx = 1'),
    (rules.no_patching, "tests/test_x.py", "from unittest.mock import Mock"),
    (rules.no_patching, "tests/test_x.py", "def test_x(monkeypatch): ..."),
    (rules.tests_state_a_fact, "tests/test_x.py", "def test_x():\n    assert f()"),
    (rules.tests_state_a_fact, "tests/test_x.py", 'def test_x():\n    """It runs."""\n    f()'),
]

SOUND = [
    (rules.packages_point_left, "ragopt/x.py", "from indexes.records import Hit"),
    (rules.ragopt_layers, "ragopt/stages/pack.py", "from ragopt.providers.protocol import Prompt"),
    (rules.ragopt_layers, "ragopt/pipeline.py", "from ragopt.providers.protocol import Prompt"),
    (rules.ragopt_layers, "ragopt/stages/cite/spans.py", "from ragopt.stages.cite.match import quote"),
    (rules.ragopt_layers, "ragopt/wiring.py", "from ragopt.stages.pack import pack"),
    (rules.packages_have_owners, "ragopt/cli/serve.py", "import uvicorn"),
    (rules.packages_have_owners, "eval/stub/app.py", "import fastapi"),
    (rules.local_imports_are_heavy, "indexes/model.py", "def f():\n    import torch"),
    (rules.local_imports_are_heavy, "ragopt/cli/serve.py", "def f():\n    from ragopt.wiring import open_service"),
    (rules.blocks_are_shallow, "indexes/x.py", FLAT),
    (rules.few_positional, "indexes/x.py", "def f(a, b, c, d, *, e: bool = True): ..."),
    (rules.all_is_documented, "indexes/x.py", '"""Doc."""\ndef _f(): ...'),
    (rules.init_only_exports, "indexes/__init__.py", '"""Doc."""\nfrom indexes.x import y\n__all__ = ["y"]'),
]


@pytest.mark.parametrize(("rule", "path", "text"), BROKEN)
def test_rule_catches(rule: rules.Rule, path: str, text: str) -> None:
    """Each rule reports a file that breaks it, with its place."""
    assert re.match(rf"{re.escape(path)}:\d+: ", breaches(rule, [Module(path, text)]))


@pytest.mark.parametrize(("rule", "path", "text"), SOUND)
def test_rule_lets_pass(rule: rules.Rule, path: str, text: str) -> None:
    """No rule reports a file that keeps it."""
    assert breaches(rule, [Module(path, text)]) == ""


def test_cycle_is_found() -> None:
    """A cycle over three modules is reported as the path that closes it; local imports close none."""
    texts = {"indexes/a.py": "import indexes.b", "indexes/b.py": "from indexes import c", "indexes/c.py": ""}
    open_chain = [Module(path, text) for path, text in texts.items()]
    closed = [*open_chain[:2], Module("indexes/c.py", "import indexes.a")]
    late = [*open_chain[:2], Module("indexes/c.py", "def f():\n    import indexes.a")]
    path = ["indexes.a", "indexes.b", "indexes.c", "indexes.a"]
    found = [cycle_through("indexes.a", import_graph(modules)) for modules in (open_chain, closed, late)]
    assert found == [None, path, None]


def test_every_file_is_read() -> None:
    """The rules see the spine of the project and this file, so they cannot pass by seeing nothing."""
    paths = {module.path for module in (*sources(), *suite())}
    assert {"ragopt/pipeline.py", "indexes/records.py", "eval/__init__.py", "tests/test_house.py"} <= paths
