"""The points of a sweep: all combinations, in a fixed order."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from archonsim.errors import SpecError, nearest
from archonsim.machines.registry import machine, machine_names
from archonsim.spec.load import check_type, known_keys
from archonsim.sweeps.values import check_values

#: Points of a sweep, at most (own decision): a longer one is a slip of the finger.
MOST_POINTS = 1_000_000


@dataclass(frozen=True, slots=True)
class Parameter:
    """What is varied.

    Attributes
    ----------
    name : str
        As asked for, and the column of the table: ``pe.rows``, or ``archon.pe.rows`` for one
        architecture only.
    arch : str or None
        None for all architectures.
    key : str
        Of the machine's description.
    values : tuple
    """

    name: str
    arch: str | None
    key: str
    values: tuple[Any, ...]

    def applies(self, arch: str) -> bool:
        """Whether it is one of this architecture's."""
        return self.arch is None or self.arch == arch


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One machine, one workload, one kind of masks.

    Attributes
    ----------
    index : int
        Place in the grid, and row of the table.
    arch, workload, masks : str
    overrides : dict of key to value
        Fixed changes and this point's.
    varied : dict of parameter name to value
        What the point's row says; parameters of other architectures are left out.
    """

    index: int
    arch: str
    workload: str
    masks: str
    overrides: dict[str, Any]
    varied: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """All points, each computed when it is asked for: its size costs no memory.

    Attributes
    ----------
    archs, workloads, masks : tuple of str
    parameters : tuple of Parameter
        The last one varies fastest.
    fixed : tuple of Parameter
        Changes of every point: parameters of one value without a column.
    """

    archs: tuple[str, ...]
    workloads: tuple[str, ...]
    masks: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    fixed: tuple[Parameter, ...]

    def __len__(self) -> int:
        return self.points

    @property
    def points(self) -> int:
        """Number of points, of any size (``len`` ends at 64 bits)."""
        return self._ends()[-1]

    def __getitem__(self, index: int) -> Point:
        ends = self._ends()
        group = bisect.bisect_right(ends, index)
        workload, arch, masks = self._groups()[group]
        rest = index - (ends[group - 1] if group else 0)
        mine = [one for one in self.parameters if one.applies(arch)]
        chosen: dict[str, Any] = {}
        for one in reversed(mine):
            rest, at = divmod(rest, len(one.values))
            chosen[one.name] = one.values[at]
        varied = {one.name: chosen[one.name] for one in mine}
        overrides = {one.key: one.values[0] for one in self.fixed if one.applies(arch)}
        overrides |= {one.key: varied[one.name] for one in mine}
        return Point(
            index=index,
            arch=arch,
            workload=workload,
            masks=masks,
            overrides=overrides,
            varied=varied,
        )

    def _groups(self) -> list[tuple[str, str, str]]:
        return list(itertools.product(self.workloads, self.archs, self.masks))

    def _ends(self) -> list[int]:
        """Index after the last point of each group."""
        sizes = {
            arch: math.prod(len(one.values) for one in self.parameters if one.applies(arch))
            for arch in self.archs
        }
        return list(itertools.accumulate(sizes[arch] for _, arch, _ in self._groups()))


def parameter(name: str, values: Any, archs: tuple[str, ...], option: str = "--param") -> Parameter:
    """Find whose key it is, and check the values' types.

    Raises
    ------
    SpecError
        An architecture that is not swept, an unknown key, or a value of the wrong type.
    """
    first, _, rest = name.partition(".")
    arch, key = (first, rest) if first in machine_names() else (None, name)
    if arch is not None and arch not in archs:
        raise SpecError(
            f"{option} {name}: {arch} is not among the architectures {', '.join(archs)}"
        )
    given = check_values(name, list(values) if isinstance(values, list | tuple) else [values])
    for one in archs if arch is None else (arch,):
        spec_type = machine(one).spec_type
        known = known_keys(spec_type)
        if key not in known:
            owners = [other for other in archs if key in known_keys(machine(other).spec_type)]
            hint = (
                f"; write {owners[0]}.{key} for {owners[0]} alone"
                if owners
                else nearest(key, known)
            )
            raise SpecError(f"{option} {name}: {one} has no key {key!r}{hint}")
        for value in given:
            check_type(spec_type, key, value, f"{option} {name}")
    return Parameter(name, arch, key, given)


def make_grid(
    *,
    archs: tuple[str, ...],
    workloads: tuple[str, ...],
    masks: tuple[str, ...],
    parameters: Mapping[str, Any],
    fixed: Mapping[str, Any],
) -> Grid:
    """Check a grid.

    Parameters
    ----------
    archs, workloads, masks : tuple of str
    parameters : mapping of ``KEY`` or ``ARCH.KEY`` to values
    fixed : mapping of ``KEY`` or ``ARCH.KEY`` to a value

    Raises
    ------
    SpecError
        Something is missing, there twice, unknown or of the wrong type; or parameters overlap.
    """
    for what, names in (("--arch", archs), ("--workload", workloads), ("--masks", masks)):
        if not names:
            raise SpecError(f"{what}: none is given; a sweep needs at least one")
        for at, name in enumerate(names):
            if name in names[:at]:
                raise SpecError(f"{what} {name} is there twice; name it once")
    for arch in archs:
        machine(arch)
    varied = tuple(parameter(name, values, archs) for name, values in parameters.items())
    same = tuple(parameter(name, (value,), archs, "--set") for name, value in fixed.items())
    given = [*(("--param", one) for one in varied), *(("--set", one) for one in same)]
    for (option, one), (other_option, other) in itertools.combinations(given, 2):
        if one.key == other.key and (
            one.arch is None or other.arch is None or one.arch == other.arch
        ):
            whose = one.arch or other.arch or archs[0]
            raise SpecError(
                f"{option} {one.name} and {other_option} {other.name} overlap: both set {one.key}"
                f" of {whose}; keep one"
            )
    grid = Grid(archs=archs, workloads=workloads, masks=masks, parameters=varied, fixed=same)
    if (points := grid.points) > MOST_POINTS:
        raise SpecError(f"{points} points; a sweep has at most {MOST_POINTS}: take fewer values")
    return grid
