"""What a machine is made of, for comparisons: PEs, on-chip memory, area."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

WORD_BYTES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class AreaPart:
    """Area of one component.

    Attributes
    ----------
    component : str
    area_um2 : float
        Of one instance, 45 nm.
    instances : int
    in_pe : bool
        Whether every PE has one.
    counted : bool
        Whether the published total contains it.
    estimate : bool
        Whether it is our estimate of a part that nobody published; no sum but its own contains it.
    """

    component: str
    area_um2: float
    instances: int
    in_pe: bool
    counted: bool = True
    estimate: bool = False

    @property
    def all_um2(self) -> float:
        """Area of all instances."""
        return self.area_um2 * self.instances


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """Sizes of one machine.

    Attributes
    ----------
    pes : int
        Multipliers.
    buffer_words : int
        16-bit words of the shared on-chip buffers, scratchpads in PEs apart.
    parts : tuple of AreaPart
        Empty where nothing is published.
    """

    pes: int
    buffer_words: int
    parts: tuple[AreaPart, ...] = ()

    @property
    def buffer_kib(self) -> float:
        """Shared on-chip buffers in KiB."""
        return self.buffer_words * WORD_BYTES / 1024

    @property
    def area_um2(self) -> float | None:
        """Area as the published total counts it; None where nothing is published."""
        if not self.parts:
            return None
        return math.fsum(part.all_um2 for part in self.parts if part.counted and not part.estimate)

    @property
    def extra_area_um2(self) -> float:
        """Area that the published total leaves out (ARCHON's prediction GLB)."""
        return math.fsum(
            part.all_um2 for part in self.parts if not part.counted and not part.estimate
        )

    @property
    def estimated_area_um2(self) -> float:
        """Area of the parts that only we estimate."""
        return math.fsum(part.all_um2 for part in self.parts if part.estimate)

    @property
    def whole_area_um2(self) -> float | None:
        """Area with what the published total leaves out; None where nothing is published."""
        return None if self.area_um2 is None else self.area_um2 + self.extra_area_um2

    @property
    def pe_area_um2(self) -> float:
        """Area of one PE."""
        return math.fsum(part.area_um2 for part in self.parts if part.in_pe and not part.estimate)


@cache
def area_table() -> dict[str, Any]:
    """Read the shipped areas (``archonsim/data/areas.toml``), in um^2."""
    return tomllib.loads((resources.files("archonsim") / "data" / "areas.toml").read_text("utf-8"))


def area_parts(
    machine: str,
    pes: int,
    buffer_words: Mapping[str, int],
    *,
    adders: int = 0,
    apart: tuple[str, ...] = (),
) -> tuple[AreaPart, ...]:
    """List a machine's components with their areas.

    Parameters
    ----------
    machine : str
        Table of the areas.
    pes : int
    buffer_words : mapping of shared buffer to 16-bit words
        Their areas are in proportion to the published size; what stands in a PE counts at its
        published size.
    adders : int
        Of a PE.
    apart : tuple of str
        Components that the published total leaves out.
    """
    table = area_table()[machine]
    parts = [
        AreaPart(
            component=name,
            area_um2=float(one["area"]) * buffer_words[name] / float(one["words"]),
            instances=1,
            in_pe=False,
            counted=name not in apart,
        )
        for name, one in table["buffers"].items()
    ]
    chip = {name: area * adders for name, area in table.get("chip_adder", {}).items()}
    in_pe = {
        **table["pe"],
        **{name: area * adders for name, area in table.get("pe_adder", {}).items()},
    }
    parts += [
        AreaPart(component=name, area_um2=area, instances=1, in_pe=False)
        for name, area in chip.items()
    ]
    parts += [
        AreaPart(component=name, area_um2=area, instances=pes, in_pe=True)
        for name, area in in_pe.items()
    ]
    return tuple(parts)
