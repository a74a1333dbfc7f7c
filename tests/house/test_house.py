"""The house itself: sizes, where numba and the references may stand, names that are public."""

from __future__ import annotations

import ast
import inspect
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer

import archonsim
from archonsim.cli.app import COMMANDS as NAMED

ROOT = Path(archonsim.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
LONGEST_FILE = 400
#: Lines of a function behind its signature and docstring.
LONGEST_BODY = 80
#: Kernels whose loops share too many arrays to be cut.
LONGER_BODY = {"zoo/gated_kernel.py": 95, "pe/accumulate_kernel.py": 125}


#: Files that import numba: what does so for all kernels when the first one is called, and those of
#: training, which has imported torch before.
NUMBA = {"kernels.py", "zoo/fused_kernel.py", "zoo/gated_kernel.py", "zoo/predicted_kernel.py"}


def _imports(tree: ast.AST) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_files_and_functions_fit_a_sitting_and_a_screen(path: Path) -> None:
    text = path.read_text("utf-8")
    assert text.count("\n") <= LONGEST_FILE
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno is not None
            first = node.body[1 if ast.get_docstring(node) and len(node.body) > 1 else 0]
            assert node.end_lineno - first.lineno < LONGER_BODY.get(_name(path), LONGEST_BODY), (
                f"{node.name} is too long"
            )


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_numba_stands_in_kernels_and_references_stand_alone(path: Path) -> None:
    names = _imports(ast.parse(path.read_text("utf-8")))
    if any(name == "numba" or name.startswith("numba.") for name in names):
        assert _name(path) in NUMBA, "kernels take `njit` from archonsim.kernels"
    assert not any(part.endswith("_reference") for name in names for part in name.split(".")), (
        "references are for tests"
    )


@pytest.mark.parametrize(
    "path", [path for path in FILES if path.stem.endswith("_kernel")], ids=_name
)
def test_a_kernel_calls_others_by_name(path: Path) -> None:
    """What is compiled grows old with each file that it names; see `archonsim.kernels`."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").endswith("_kernel"):
            continue
        if isinstance(node, ast.ImportFrom):
            named = [one.name for one in node.names if one.name.endswith("_kernel")]
            for name in named:  # its numbers; then some kernel of it is named, too
                assert f"from {node.module}.{name} import" in path.read_text("utf-8")


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_nothing_prints(path: Path) -> None:
    calls = [
        node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)
    ]
    assert not any(
        isinstance(call.func, ast.Name) and call.func.id in ("print", "exit") for call in calls
    )


#: Functions that may have more parameters: what they compute in compiled code takes arrays one by
#: one. The list only shrinks.
WIDE = {
    "dataflow/nest_kernel.py": {"nest_counts", "nest_cost", "nest_costs"},
    "pe/fused_kernel.py": {"_fused"},
    "show/figures/curves.py": {"plot_sweep"},
    "zoo/fused_kernel.py": {"_backward_lane", "_forward_lane", "block_backward", "block_forward"},
    "zoo/gate_kernel.py": {"gated", "real_windows"},
    "zoo/gated_kernel.py": {
        "_predicted_backward_lane",
        "_predicted_forward_lane",
        "predicted_backward",
        "predicted_forward",
    },
    "zoo/predicted_kernel.py": {"_predicted_tile", "block_predicted"},
    "zoo/tile_kernel.py": {"every_second", "through_norm", "through_wide_norm"},
}
MOST_PARAMETERS = 8


def _commands() -> set[tuple[str, str]]:
    """Files and names of the functions behind commands, whose parameters are options."""
    callbacks: list[Any] = []
    for module, attribute, _ in NAMED.values():
        found = getattr(import_module(f"archonsim.cli.{module}"), attribute)
        callbacks += (
            [one.callback for one in found.registered_commands]
            if isinstance(found, typer.Typer)
            else [found]
        )
    functions = [inspect.unwrap(one) for one in callbacks]
    return {(_name(Path(inspect.getfile(one))), one.__name__) for one in functions}


COMMANDS = _commands()


def _parameters(node: ast.FunctionDef) -> int:
    args = node.args
    named = [one.arg for one in (*args.posonlyargs, *args.args, *args.kwonlyargs)]
    return len([name for name in named if name not in ("self", "cls")])


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_functions_have_few_parameters(path: Path) -> None:
    wide = {
        node.name
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef)
        and _parameters(node) > MOST_PARAMETERS
        and (_name(path), node.name) not in COMMANDS
    }
    assert wide == WIDE.get(_name(path), set())
