"""Energy of a layer on an array with buffers at its edges, where the technology has its parts."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from archonsim.machines.charge import charge
from archonsim.machines.phases import PhaseResult
from archonsim.spec.parts import SramSpec
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
