"""Our side: what a machine's closed form gives for a network, by layer and phase."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from archonsim.machines.dense.layers import map_layers
from archonsim.machines.registry import machine, machine_spec
from archonsim.simulate import simulate
from archonsim.workload.networks import network

#: Phases that a layer has alone: the layer's name says it all.
WHOLE_LAYER = ("layer", "published")


@dataclass(frozen=True, slots=True)
class Measured:
    """A run in ``ideal`` fidelity.

    Attributes
    ----------
    cycles : dict
        By cell: ``b1.dw``, ``b1.main``, ``head_conv``.
    given : frozenset of str
        Cells whose cycles the machine read instead of computing them.
    """

    cycles: dict[str, int]
    given: frozenset[str]


@cache
def measure(arch: str, workload: str, overrides: tuple[str, ...] = ()) -> Measured:
    """Run a registered network on a machine."""
    found = machine(arch)
    report = simulate(network(workload), found, machine_spec(found, None, overrides), fidelity="ideal")
    cells = [(one.name if one.phase in WHOLE_LAYER else f"{one.name}.{one.phase}", one) for one in report.layers]
    return Measured(
        {name: int(one.cycles) for name, one in cells}, frozenset(name for name, one in cells if one.phase == "published")
    )


@dataclass(frozen=True, slots=True)
class Energy:
    """Energy of one layer on the dense machine, all groups together.

    Attributes
    ----------
    one_map_uj : float
        With one input map, as the published analysis sees the channels of a depthwise layer.
    input_uj : dict of level to float
        What a further input map adds at ``dram`` and ``glb``.
    maps : int
        Input maps of a group.
    groups : int
    """

    one_map_uj: float
    input_uj: dict[str, float]
    maps: int
    groups: int

    def counted(self, times: int = 1, levels: Sequence[str] = ("dram", "glb")) -> float:
        """Energy in uJ with `times` as many input maps, further ones counted at `levels`."""
        return self.one_map_uj + (self.maps * times - 1) * sum(self.input_uj[level] for level in levels)


@cache
def dense_energies(workload: str, overrides: tuple[str, ...] = ()) -> dict[str, Energy]:
    """Return the energy of every layer of a registered network on ``dense``."""
    energies = {}
    for one in map_layers(network(workload), machine_spec(machine("dense"), None, overrides)):
        groups = one.problem.groups
        further = {level: one.cost.counts[level, "input"].energy_pj * groups / 1e6 for level in ("dram", "glb")}
        energies[one.layer.name] = Energy(one.cost.energy_pj * groups / 1e6, further, one.problem.input_maps, groups)
    return energies
