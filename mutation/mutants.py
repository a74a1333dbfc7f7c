"""Mutants of a module, made by cosmic-ray's operators, and a sample of them that edits do not move.

Left out is what cannot change a result: annotations, decorators (``njit``, ``dataclass``, caches),
what only a type checker reads, the text of messages, the order of names, the ``strict=`` of
``zip``, and the ``-1`` of ``reshape``, where any negative number is as good.
"""

from __future__ import annotations

import ast
import hashlib
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

#: Operators of cosmic-ray that are tried. Of the eleven operators that it would put in an
#: operator's place those nearest: most others only raise, and would flatter the figure.
OPERATORS = (
    *(
        f"ReplaceBinaryOperator_{pair}"
        for pair in (
            *("Add_Sub", "Sub_Add", "Mul_Add", "Mul_FloorDiv", "Div_Mul", "FloorDiv_Mul"),
            *("FloorDiv_Div", "Mod_FloorDiv", "Mod_Mul", "Pow_Mul", "LShift_RShift"),
            *("RShift_LShift", "BitAnd_BitOr", "BitOr_BitAnd", "BitOr_BitXor", "BitXor_BitOr"),
        )
    ),
    *(
        f"ReplaceComparisonOperator_{pair}"
        for pair in (
            *("Lt_LtE", "Lt_GtE", "LtE_Lt", "LtE_Gt", "Gt_GtE", "Gt_LtE", "GtE_Gt", "GtE_Lt"),
            *("Eq_NotEq", "Eq_GtE", "Eq_LtE", "NotEq_Eq", "NotEq_Gt", "NotEq_Lt"),
            *("Is_IsNot", "IsNot_Is"),
        )
    ),
    *("ReplaceUnaryOperator_Delete_Not", "ReplaceUnaryOperator_Delete_Invert"),
    *("ReplaceUnaryOperator_Delete_USub", "ReplaceAndWithOr", "ReplaceOrWithAnd", "AddNot"),
    *("ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "NumberReplacer", "ZeroIterationForLoop"),
    *("ReplaceBreakWithContinue", "ReplaceContinueWithBreak", "ExceptionReplacer"),
)


#: Ask for an order, which texts that are names have by accident.
ORDER = {
    f"ReplaceComparisonOperator_{pair}" for pair in ("Eq_GtE", "Eq_LtE", "NotEq_Gt", "NotEq_Lt")
}


@dataclass(frozen=True)
class Mutant:
    """One change to a module.

    Attributes
    ----------
    function : str
        Where it is: a function, ``Class.method``, or ``""``.
    was, now : str
        The line that changes, before and after.
    nth : int
        Counts lines of one function that change alike, from 1.
    source : str
        The whole module, changed.
    """

    function: str
    was: str
    now: str
    nth: int
    source: str

    @property
    def key(self) -> tuple[str, str, str, int]:
        """What names the mutant within its module, wherever its line stands."""
        return (self.function, self.was, self.now, self.nth)


def mutants(source: str) -> list[Mutant]:
    """Return all mutants of a module that compile and differ from it, each once."""
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.operators.provider import OperatorProvider

    provider = OperatorProvider()
    nodes = list(ast_nodes(get_ast(source)))
    seen: Counter[tuple[str, str, str]] = Counter()
    found: dict[str | None, Mutant | None] = {None: None, _meaning(source): None}
    for name in OPERATORS:
        operator = provider[name]()
        positions = ((node, at) for node in nodes for at in operator.mutation_positions(node))
        for occurrence, (node, (start, _)) in enumerate(positions):
            if _left_out(node, start) or (name in ORDER and _of_text(node)):
                continue
            changed = mutate_code(source, operator, occurrence)
            meaning = changed and _meaning(changed)
            if changed is None or meaning in found:
                continue
            was, now = _line(source, changed)
            place = (_function(node), was, now)
            seen[place] += 1
            found[meaning] = Mutant(*place, seen[place], changed)
    return [mutant for mutant in found.values() if mutant is not None]


def sample(every: list[Mutant], share: float, least: int) -> list[Mutant]:
    """Return a share of mutants, and no fewer than `least` if there are so many.

    Which ones is decided by a hash of each alone: edits elsewhere change no mutant's place.
    """

    def place(mutant: Mutant) -> bytes:
        return hashlib.sha256(repr(mutant.key).encode()).digest()

    return sorted(every, key=place)[: max(least, math.ceil(share * len(every)))]


def module_name(path: Path) -> str:
    """``archonsim/pe/deal_kernel.py`` -> ``archonsim.pe.deal_kernel``."""
    return ".".join(path.with_suffix("").parts)


def _left_out(node: Any, start: tuple[int, int]) -> bool:
    """Tell whether a change at a position of a node is one that cannot change a result."""
    leaf = node.get_leaf_for_position(start) if hasattr(node, "children") else node
    leaf = leaf or node
    if leaf.type == "number" and leaf.parent.type == "factor" and _is_shape(leaf):
        return True
    return any(_is_idle(inner, outer) for inner, outer in _upwards(leaf))


def _of_text(comparison: Any) -> bool:
    return any(one.type == "string" for one in comparison.children)


def _is_shape(leaf: Any) -> bool:
    trailers = [outer for _, outer in _upwards(leaf) if outer.type == "trailer"]
    called = trailers and trailers[0].get_previous_sibling()
    return bool(called and called.get_code().strip() == ".reshape")


def _upwards(node: Any) -> Iterator[tuple[Any, Any]]:
    while node.parent is not None:
        yield node, node.parent
        node = node.parent


def _is_idle(inner: Any, outer: Any) -> bool:
    kind = outer.type
    if kind in ("decorator", "decorators", "fstring", "import_from", "import_name"):
        return True
    if kind == "annassign":  # of `: type = value` all but the value
        return inner is outer.children[1]
    if kind == "tfpdef":  # of `name: type`
        return inner is not outer.children[0]
    if kind == "funcdef":  # of `-> type`
        return inner is outer.annotation
    if kind == "argument":
        return bool(outer.children[0].get_code().strip() == "strict")
    if kind == "if_stmt":
        return bool(outer.children[1].get_code().strip() == "TYPE_CHECKING")
    return False


class _Plain(ast.NodeTransformer):
    """Writes ``not a < b`` as ``a >= b``, and ``not True`` as ``False``."""

    opposites: ClassVar = dict(
        (
            *((ast.Lt, ast.GtE), (ast.GtE, ast.Lt), (ast.Gt, ast.LtE), (ast.LtE, ast.Gt)),
            *((ast.Eq, ast.NotEq), (ast.NotEq, ast.Eq), (ast.Is, ast.IsNot), (ast.IsNot, ast.Is)),
            *((ast.In, ast.NotIn), (ast.NotIn, ast.In)),
        )
    )

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        """Look at one operator."""
        self.generic_visit(node)
        inner = node.operand
        if not isinstance(node.op, ast.Not):
            return node
        if isinstance(inner, ast.Constant):
            return ast.Constant(not inner.value)
        if isinstance(inner, ast.Compare) and len(inner.ops) == 1:
            opposite = self.opposites[type(inner.ops[0])]()
            return ast.Compare(inner.left, [opposite], inner.comparators)
        return node


def _meaning(source: str) -> str | None:
    """Return the same for sources that differ in nothing but form; None if it does not compile."""
    try:
        compile(source, "mutant", "exec")
    except SyntaxError:
        return None
    return ast.dump(_Plain().visit(ast.parse(source)))


def _line(source: str, changed: str) -> tuple[str, str]:
    """The first line that differs, before and after."""
    for was, now in zip(source.splitlines(), changed.splitlines(), strict=False):
        if was != now:
            return " ".join(was.split()), " ".join(now.split())
    raise AssertionError("the sources are equal")


def _function(node: Any) -> str:
    names = [
        outer.name.value for _, outer in _upwards(node) if outer.type in ("funcdef", "classdef")
    ]
    return ".".join(reversed(names))
