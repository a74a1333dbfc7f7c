"""Phases of fixed time are shared by machines that differ in what only the main phase reads."""

from __future__ import annotations

import dataclasses

import pytest

from archonsim.engine.contract import Phase
from archonsim.machines.archon import fixed
from archonsim.machines.archon.residency import steps
from archonsim.machines.archon.spec import ArchonSpec
from archonsim.network.workload import Workload
from archonsim.trace.kept import Kept
from tests.laws.test_archon import CHANGES, digits, wide
from tests.strategies import archon

KEYS = sorted({*fixed.MAIN_ONLY, *(f"pe.{name}" for name in fixed.PE_MAIN_ONLY)})


def changed(key: str) -> ArchonSpec:
    """ARCHON's preset with one key changed."""
    if key == "mapping":  # a file that is read when the main phase is mapped
        return dataclasses.replace(archon(), mapping="found.json")
    return archon(f"{key}={CHANGES[key]}".lower())


def phases(spec: ArchonSpec, work: Workload) -> list[Phase]:
    """All phases of fixed time of one network."""
    trace, found = work.trace, []
    assert trace is not None
    for step in steps(work, spec.glb.words):
        found += fixed.fixed_phases(step, spec, trace)
    return found


def tiles(phase: Phase) -> list[dict[str, object]]:
    """All that a phase's tiles are made of."""
    return [dict(vars(tile)) for tile in phase.tiles]


@pytest.mark.parametrize("key", KEYS)
def test_only_the_main_phase_reads(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    other = changed(key)
    assert other != archon()
    for work in (digits(), wide()):
        made = []
        for spec in (archon(), other):
            monkeypatch.setattr(fixed, "_KEPT", Kept())
            made.append(phases(spec, work))
        assert [one.name for one in made[0]] == [one.name for one in made[1]]
        one, two = ([tiles(phase) for phase in some] for some in made)
        assert one == two
        # And so both machines get the very same phases.
        assert all(
            one is two for one, two in zip(phases(archon(), work), phases(other, work), strict=True)
        )


def test_other_keys_make_other_phases() -> None:
    work = digits()
    for change in ("pe.rows=4", "pe.adders=3", "requantise=mac", "glb.words=5000"):
        pairs = zip(phases(archon(), work), phases(archon(change), work), strict=True)
        assert not any(one is two for one, two in pairs)
