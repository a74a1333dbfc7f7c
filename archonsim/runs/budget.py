"""Rescale arrays so that machines are compared at an equal number of PEs, or at an equal area."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from math import isqrt
from typing import Any

from archonsim.errors import SpecError
from archonsim.machines.check import array_of
from archonsim.machines.protocol import Machine

#: Longest side over shortest side of a rescaled array (own decision).
MAX_ASPECT = 2


def _resized(spec: Any, rows: int, cols: int) -> Any:
    return dataclasses.replace(spec, pe=dataclasses.replace(spec.pe, rows=rows, cols=cols))


def _size(machine: Machine, spec: Any, budget: str) -> float:
    """PEs, or the whole area: with what a published total leaves out, which is on the chip, too."""
    found = machine.resources(spec)
    if budget == "pes":
        return float(found.pes)
    if found.whole_area_um2 is None:
        raise SpecError(
            f"--budget area: no area of {machine.name!r} is published; use --budget pes or none"
        )
    return found.whole_area_um2


def _arrays(pes: float) -> Iterator[tuple[int, int]]:
    """Rows and columns of every array of an allowed aspect ratio that has about so many PEs."""
    for short in range(1, isqrt(int(pes)) + 2):
        for long in {int(pes) // short, int(pes) // short + 1}:
            long = min(max(long, short), MAX_ASPECT * short)
            yield short, long
            yield long, short


def rescale(machine: Machine, spec: Any, base: tuple[Machine, Any], budget: str) -> Any:
    """Return `spec` with the array whose size comes nearest to the base machine's.

    An array that is as large stays as it is. Otherwise aspect ratios of at most 2 are tried; of
    arrays that come as near, the one that lies as the array does now (tall or wide), then the
    squarest. Buffers stay as they are.

    Parameters
    ----------
    machine, spec : what to rescale
    base : (machine, spec)
    budget : {"pes", "area"}

    Raises
    ------
    SpecError
        An area is asked of a machine whose area is not published, a machine has no ``pe.rows`` and
        ``pe.cols``, or it can have no array of that size.
    """
    if array_of(spec) is None:
        raise SpecError(
            f"--budget {budget}: the description of {machine.name!r} has no pe.rows and pe.cols to"
            " rescale; use --budget none"
        )
    target = _size(*base, budget)
    if _size(machine, spec, budget) == target:
        return spec
    smallest = _size(machine, _resized(spec, 1, 1), budget)
    per_pe = _size(machine, _resized(spec, 1, 2), budget) - smallest

    def rank(array: tuple[int, int]) -> tuple[float, bool, float, int]:
        rows, cols = array
        turned = (rows > cols) != (spec.pe.rows > spec.pe.cols)
        off = abs(smallest + (rows * cols - 1) * per_pe - target)
        return off, turned, max(array) / min(array), rows

    rows, cols = min(_arrays(max(1.0, 1 + (target - smallest) / per_pe)), key=rank)
    try:
        return _resized(spec, rows, cols)
    except ValueError as error:
        reason = str(error).partition("Value error, ")[2].partition(" [type")[0] or "not possible"
        raise SpecError(
            f"--budget {budget}: {machine.name!r} would need {rows} x {cols} PEs: {reason}"
        ) from error
