"""ICS'21's energies, by the published rules and by ours.

Dense layers, ARCHON's phases, and the overhead of ARCHON's blocks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction

from archonsim.machines.archon.published_energy import constants_of, overhead_energy
from archonsim.machines.registry import machine, machine_spec
from archonsim.network.networks import network
from archonsim.network.published import printed_as
from archonsim.reproduce.cell import Cell, Status
from archonsim.reproduce.ics21_runs import Run, Runs
from archonsim.reproduce.measure import Measured, measure
from archonsim.reproduce.published import read_rows
from archonsim.vocabulary.vocabulary import COMMON

#: Published energies are rounded to 0.01 uJ, those of one group before they are multiplied.
ENERGY_ROUNDING_UJ = 0.005
#: Last bits of a sum of floats are no difference.
LAST_BITS_UJ = 1e-6


def _published_rules(run: Run) -> Measured:
    return measure(run.arch, run.workload, (*run.overrides, "energy_rules=ics21"))


def _overhead(run: Run, cell: str) -> float:
    """Overhead of a block for the main cycles that are published, be they its own or not."""
    name = cell.partition(".")[0]
    block = next(one for one in network(run.workload).blocks() if one.name == name)
    spec = machine_spec(machine(run.arch), None, run.overrides)
    constants = constants_of(run.workload, spec.pe.adders)
    parts = overhead_energy(block, spec, constants, run.published[f"{name}.main"])
    return math.fsum(parts.values()) / 1e6


def _tolerance(run: Run, cell: str) -> float:
    """Return how far rounding may have moved a published energy, in uJ.

    The authors rounded once for each group, and ARCHON's phases once more after their corrections.
    """
    name, _, phase = cell.partition(".")
    work = network(run.workload)
    blocks = {block.name: block for block in work.blocks()}
    layers = {layer.name: layer for layer in work.layers()}
    if cell in layers:
        groups = 1 if layers[cell].kind == "depthwise" else layers[cell].groups
        return ENERGY_ROUNDING_UJ * groups
    return ENERGY_ROUNDING_UJ * (1 + (blocks[name].groups if COMMON.phase(phase).predicts else 1))


def _energy_cell(runs: Runs, run: Run, name: str, published: str) -> Cell:
    (held_run, held), _ = runs.holder(run.id, name)
    overhead = name.endswith(".overhead")
    ours = (
        _overhead(run, name) if overhead else _published_rules(runs.runs[held_run]).energies[held]
    )
    right = run.ours.energies[name]
    tolerance = _tolerance(run, name)
    wrong = not math.isclose(right, ours)
    notes = tuple(
        one.id
        for one in runs.defects
        if one.charges(run.id, name) or (held != name and one.names(run.id, name))
    )
    digits = printed_as(Fraction(str(round(ours, 6))), published) != "no"
    status: Status = "exact" if digits else "rounding"
    if wrong:
        by_rules = all(runs.by_id[note].kind == "rules" for note in notes)
        status = "rules" if by_rules else "defect"
    if abs(ours - float(published)) > tolerance + LAST_BITS_UJ or (wrong and not notes):
        status = "differs"
    return Cell(
        section="energies",
        run=run.id,
        item=name,
        quantity="uJ",
        published=published,
        ours=round(ours, 6),
        corrected=round(right, 6) if wrong else None,
        notes=notes if wrong else (),
        status=status,
        within=None if digits else tolerance,
    )


def energy_cells(runs: Runs) -> Iterator[Cell]:
    """Compare the energies of all runs that our machines can compute."""
    for row in (*read_rows("ics21_cycles"), *read_rows("ics21_overheads")):
        run = runs.runs[row["run"]]
        if run.energies and row["uj"]:
            yield _energy_cell(runs, run, row["cell"], row["uj"])
