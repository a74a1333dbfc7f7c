"""Our side: what a machine's closed form gives for a network, by layer and phase."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from archonsim.machines.registry import machine, machine_spec
from archonsim.network.networks import network
from archonsim.result.report import LayerReport
from archonsim.runs.simulate import simulate

#: Phases that a layer has alone: the layer's name says it all.
WHOLE_LAYER = ("layer", "published")

#: Components of ARCHON's main phase that its loop nest accounts for, but for weights and masks from
#: DRAM.
NEST = ("dram.", "glb.", "ifmap_spad.", "psum_spad.", "mac.")


@dataclass(frozen=True, slots=True)
class Measured:
    """A run in ``ideal`` fidelity.

    Attributes
    ----------
    cycles : dict
        By cell: ``b1.dw``, ``b1.main``, ``head_conv``.
    given : frozenset of str
        Cells whose cycles the machine read instead of computing them.
    energies : dict
        uJ by cell; the main phase's in two, as the authors have it: the loop nest ``b1.main``, and
        ``b1.overhead``.
    """

    cycles: dict[str, int]
    given: frozenset[str]
    energies: dict[str, float]


def _energies(name: str, layer: LayerReport) -> Iterator[tuple[str, float]]:
    """Energy of a phase in uJ, by cell."""
    if layer.energy is None or layer.energy_pj is None:
        return
    if layer.phase != "main":
        yield name, layer.energy_pj / 1e6
        return
    nest = sum(
        pj
        for key, pj in layer.energy.items()
        if key.startswith(NEST) and key != "dram.mask" and key != "dram.weight"
    )
    yield name, nest / 1e6
    yield f"{layer.name}.overhead", (layer.energy_pj - nest) / 1e6


@cache
def measure(arch: str, workload: str, overrides: tuple[str, ...] = ()) -> Measured:
    """Run a registered network on a machine."""
    found = machine(arch)
    report = simulate(
        network(workload), found, machine_spec(found, None, overrides), fidelity="ideal"
    )
    cells = [
        (one.name if one.phase in WHOLE_LAYER else f"{one.name}.{one.phase}", one)
        for one in report.layers
    ]
    return Measured(
        {name: int(one.cycles) for name, one in cells},
        frozenset(name for name, one in cells if one.phase == "published"),
        dict(pair for name, one in cells for pair in _energies(name, one)),
    )
