"""Nothing that the service reads from a disk or a database can run code: no format that can is ever loaded."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parents[2]
FORBIDDEN: Final = frozenset(
    {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "jsonpickle", "skops"}
)
CALLS: Final = frozenset(
    {"read_pickle", "to_pickle", "load_module", "unsafe_load", "full_load", "load_from_checkpoint"}
)
BUILT_IN: Final = frozenset({"eval", "exec", "__import__"})


def sources() -> list[Path]:
    return sorted([*(ROOT / "consumer").rglob("*.py"), *(ROOT / "schemas").rglob("*.py")])


def dangers(tree: ast.AST) -> Iterator[str]:
    """What in a module loads, or could load, something that runs."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] in FORBIDDEN)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in FORBIDDEN:
            yield f"from {node.module}"
        elif isinstance(node, ast.Call):
            yield from _dangers_of_call(node)


def _dangers_of_call(call: ast.Call) -> Iterator[str]:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    owner = ast.unparse(call.func.value) if isinstance(call.func, ast.Attribute) else ""
    named = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
    if name in CALLS or (not owner and name in BUILT_IN):
        yield name
    if name == "load" and owner in {"torch", "self._torch"} and named.get("weights_only") != "True":
        yield "torch.load without weights_only=True"
    if name == "load" and owner in {"np", "numpy"} and named.get("allow_pickle", "False") != "False":
        yield "np.load with allow_pickle"
    if name == "import_module" and call.args and isinstance(call.args[0], ast.Constant):
        module = str(call.args[0].value).split(".")[0]
        if module in FORBIDDEN:
            yield f"import_module({module})"


def test_no_source_loads_what_can_run() -> None:
    """No module of the service imports pickle or its kin, or calls what would load one."""
    paths = sources()
    assert len(paths) > 100
    found = {str(path.relative_to(ROOT)): list(dangers(ast.parse(path.read_text()))) for path in paths}
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import os, joblib.numpy_pickle",
        "from cloudpickle import loads",
        "pandas.read_pickle(path)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "importlib.import_module('dill')",
        "eval(text)",
        "Model.load_from_checkpoint(path)",
    ],
)
def test_search_finds_what_it_looks_for(source: str) -> None:
    """Each way of loading code from a file is one that the search above would have found."""
    assert list(dangers(ast.parse(source)))


@pytest.mark.parametrize(
    "source", ["np.load(path)", "torch.load(path, weights_only=True)", "re.compile('eval')", "import json"]
)
def test_search_finds_nothing_harmless(source: str) -> None:
    """Reading arrays and JSON is no danger."""
    assert not list(dangers(ast.parse(source)))
