"""Rescale arrays so that machines are compared at an equal number of PEs, or at an equal area."""

from __future__ import annotations

import dataclasses
from typing import Any

from archonsim.errors import SpecError
from archonsim.machines.check import array_of
from archonsim.machines.protocol import Machine

#: Longest side over shortest side of a rescaled array (own decision).
MAX_ASPECT = 2.0
MAX_SIDE = 64


def _resized(spec: Any, rows: int, cols: int) -> Any:
    return dataclasses.replace(spec, pe=dataclasses.replace(spec.pe, rows=rows, cols=cols))


def _size(machine: Machine, spec: Any, budget: str) -> float:
    found = machine.resources(spec)
    if budget == "pes":
        return float(found.pes)
    if found.area_um2 is None:
        raise SpecError(
            f"--budget area: no area of {machine.name!r} is published; use --budget pes or none"
        )
    return found.area_um2


def rescale(machine: Machine, spec: Any, base: tuple[Machine, Any], budget: str) -> Any:
    """Return `spec` with the array whose size comes nearest to the base machine's.

    Every rows x cols with an aspect ratio of at most 2 is tried; ties go to the squarer one.
    Buffers stay as they are.

    Parameters
    ----------
    machine, spec : what to rescale
    base : (machine, spec)
    budget : {"pes", "area"}

    Raises
    ------
    SpecError
        An area is asked of a machine whose area is not published, or a machine has no ``pe.rows``
        and ``pe.cols``.
    """
    if array_of(spec) is None:
        raise SpecError(
            f"--budget {budget}: the description of {machine.name!r} has no pe.rows and pe.cols to"
            " rescale; use --budget none"
        )
    target = _size(*base, budget)
    smallest, per_pe = _size(machine, _resized(spec, 1, 1), budget), 0.0
    per_pe = _size(machine, _resized(spec, 1, 2), budget) - smallest
    best: tuple[float, float, int, int] | None = None
    for rows in range(1, MAX_SIDE + 1):
        for cols in range(rows, min(MAX_SIDE, int(rows * MAX_ASPECT)) + 1):
            size = smallest + (rows * cols - 1) * per_pe
            candidate = (abs(size - target), cols / rows, rows, cols)
            best = candidate if best is None else min(best, candidate)
    assert best is not None
    return _resized(spec, best[2], best[3])
