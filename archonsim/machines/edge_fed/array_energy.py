"""Energy of a layer on an array with buffers at its edges, where the technology has its parts."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from archonsim.machines.charge import area_part, charge
from archonsim.machines.phases import PhaseResult
from archonsim.spec.parts import SramSpec
from archonsim.spec.resources import AreaPart
from archonsim.spec.technology import load_technology

#: Parts that no published table has: a technology with any of them must have all.
OWN_PARTS = ("ifmap_sram", "filter_sram", "ofmap_sram", "pe_registers")

#: Words that a PE hands on for a product, each through a register: input, weight and partial sum
#: (own decision).
REGISTERS = 3


class EdgeBuffered(Protocol):
    """What the descriptions of such arrays have in common."""

    @property
    def technology(self) -> str:
        """Energies of actions, by name or as a TOML file."""

    @property
    def ifmap_sram(self) -> SramSpec:
        """Input memory."""

    @property
    def filter_sram(self) -> SramSpec:
        """Weight memory."""

    @property
    def ofmap_sram(self) -> SramSpec:
        """Output memory."""


def with_energy(result: PhaseResult, spec: EdgeBuffered) -> PhaseResult:
    """Count what a layer did, and charge it if the technology has the array's own parts."""
    stats = result.stats
    stats.actions.update(stats.traffic)
    stats.act("mac", "multiply", "compute", stats.macs)
    for action in ("read", "write"):
        stats.act("pe_registers", action, "compute", REGISTERS * stats.macs)
    technology = load_technology(spec.technology)
    if not technology.has(OWN_PARTS):
        return result
    sizes = {name: getattr(spec, name).words for name in OWN_PARTS[:3]}
    return replace(result, energy=charge(stats.actions, technology, sizes))


def own_areas(spec: EdgeBuffered, pes: int) -> tuple[AreaPart, ...]:
    """List areas of the array's parts if the technology has any of its own: none are published.

    A PE is a multiplier and a register for each word that it hands on.

    Raises
    ------
    SpecError
        The technology has some of them only.
    """
    technology = load_technology(spec.technology)
    if not any(name in technology.areas for name in OWN_PARTS):
        return ()
    srams = [area_part(technology, name, words=getattr(spec, name).words) for name in OWN_PARTS[:3]]
    return (
        *srams,
        area_part(technology, "mac", instances=pes, in_pe=True),
        area_part(technology, "pe_registers", words=REGISTERS, instances=pes, in_pe=True),
    )
