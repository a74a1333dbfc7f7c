"""What is recorded of mutation testing agrees with itself, and how mutants are made."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from mutation.mutants import mutants, sample
from mutation.record import (
    LEAST_SHARE,
    PAGE,
    known_survivors,
    modules,
    rows,
    survivors,
    with_summary,
)

ROOT = Path(__file__).parents[2]


def test_modules_and_their_tests_are_there() -> None:
    listed, measured = [str(module.path) for module in modules()], [row.module for row in rows()]
    assert [name for name in listed if name in measured] == measured
    for module in modules():
        assert (ROOT / module.path).is_file()
        for test in module.tests:
            file, _, name = test.partition("::")
            assert f"def {name.partition('[')[0]}" in (ROOT / file).read_text("utf-8")


def test_enough_are_killed_and_survivors_have_reasons() -> None:
    listed = Counter(one["module"] for one in survivors())
    for row in rows():
        assert row.killed <= row.tried <= row.mutants
        assert row.share >= LEAST_SHARE, row.module
        reasons = known_survivors(row.module).values()
        assert all(reasons)
        assert len(reasons) == listed[row.module] >= row.tried - row.killed
        assert sum(one.startswith("equivalent") for one in reasons) >= row.equivalent


def test_the_page_shows_what_was_measured() -> None:
    page = PAGE.read_text("utf-8")
    assert page == with_summary(page, rows())


MODULE = '''"""Docs, 1 + 1."""
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    import ast
LIMIT: int | None = 3

@njit(cache=True)
def least(a: int | None, b: list[int]) -> int | None:
    """Return 2 + 2."""
    for one, other in zip(a, b, strict=True):
        if not one < other and f"{1 + one}":
            c = b.reshape(-1, 2)
    return a
'''


def test_mutants_leave_out_what_cannot_change_a_result() -> None:
    pytest.importorskip("cosmic_ray", reason="cosmic-ray is not installed (extra 'mutation')")
    found = [(one.function, one.now) for one in mutants(MODULE)]
    assert sorted(found) == sorted(
        [
            *[("", f"LIMIT: int | None = {number}") for number in (4, 2)],
            ("least", "for one, other in []:"),
            *[
                ("least", f"if {condition}:")
                for condition in (
                    'not one <= other and f"{1 + one}"',
                    'not one >= other and f"{1 + one}"',
                    'not one < other or f"{1 + one}"',
                )
            ],
            *[("least", f"c = b.reshape({shape})") for shape in ("-1, 3", "-1, 1", "1, 2")],
        ]
    )


def test_a_sample_stays_where_other_lines_change() -> None:
    pytest.importorskip("cosmic_ray", reason="cosmic-ray is not installed (extra 'mutation')")
    before = mutants(MODULE)
    after = mutants("OTHER = True\n" + MODULE)
    some = sample(before, 0.5, 2)
    assert len(some) == -(-len(before) // 2)
    keys = {one.key for one in sample(after, 1, 0)[: len(some) + 1]}
    assert keys - {one.key for one in some} <= {one.key for one in after}
    assert len(keys & {one.key for one in some}) >= len(some) - 1
    assert sample(before, 0, 3) == some[:3]
