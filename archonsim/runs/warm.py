"""Run a little of everything, so that numba's cache holds all kernels for what runs usually ask."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from archonsim.errors import ArchonsimError
from archonsim.machines.registry import machine_names
from archonsim.network.networks import network
from archonsim.runs.scenario import Scenario
from archonsim.runs.verify import verify
from archonsim.trace.synthetic import synthesize
from archonsim.tracefile.find import find_workload
from archonsim.tracefile.writer import write_workload

#: The smallest of the shipped networks whose blocks fuse.
NETWORK = "fusionet_digits"
#: Changes whose kernels a preset does not use, by machine.
CHANGES: dict[str, list[dict[str, object]]] = {
    "archon": [{"main_order": "published"}, {"glb.model": "banks"}],
}


def scenarios(workload: Path) -> list[Scenario]:
    """Return the runs that use every kernel of the machines."""
    found = []
    for arch in machine_names():
        found += [
            Scenario(arch=arch, workload=NETWORK, fidelity="ideal"),  # shapes alone
            Scenario(arch=arch, workload=workload, fidelity="ideal"),
            Scenario(arch=arch, workload=workload),
        ]
        found += [
            Scenario(arch=arch, workload=workload, set=changes) for changes in CHANGES.get(arch, [])
        ]
    return found


def warm(on_step: Callable[[str], None], on_fault: Callable[[str], None]) -> None:
    """Compile what is not compiled yet, by running it on a synthetic workload.

    Parameters
    ----------
    on_step : function of a machine's name
        Called after each run.
    on_fault : function of a message
        Called for a plug-in that does not run; the others are compiled all the same.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "warm.h5"
        write_workload(path, *synthesize(network(NETWORK), seed=0))
        work = find_workload(str(path))
        for scenario in scenarios(path):
            try:
                scenario.prepare().execute()
            except ArchonsimError as error:
                on_fault(f"{scenario.arch}: {error}")
            on_step(scenario.arch)
        for bits in (None, 24):
            verify(work, images=[0], accumulator_bits=bits)
