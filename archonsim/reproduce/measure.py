"""Our side: what a machine's closed form gives for a network, by layer and phase."""

from __future__ import annotations

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
    """Energy of one layer on the dense machine, in uJ.

    Attributes
    ----------
    uj : float
        A depthwise layer's inputs counted for all its channels.
    one_map_uj : float
        Counted for one of them.
    """

    uj: float
    one_map_uj: float


@cache
def dense_energies(workload: str, overrides: tuple[str, ...] = ()) -> dict[str, Energy]:
    """Return the energy of every layer of a registered network on ``dense``."""
    spec = machine_spec(machine("dense"), None, overrides)
    mapped = map_layers(network(workload), spec)
    return {one.layer.name: Energy(one.energy_pj / 1e6, one.cost.energy_pj * one.problem.groups / 1e6) for one in mapped}
