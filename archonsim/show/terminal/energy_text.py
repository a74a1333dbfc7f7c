"""Where the energy of a run went, as a table for a terminal."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from rich.console import RenderableType
from rich.text import Text

from archonsim.result.report import Report, by_component, by_kind
from archonsim.result.wording import grouped, share
from archonsim.show.terminal.style import add_numbers, new_table
from archonsim.vocabulary.known import in_order


def _microjoules(picojoules: float) -> str:
    return grouped(picojoules / 1e6, 2) if picojoules else ""


def _phases(report: Report) -> dict[str, dict[str, float]]:
    """Energies by ``component.kind`` of each phase, over all layers."""
    phases: dict[str, dict[str, float]] = {}
    for layer in report.layers:
        sums = phases.setdefault(layer.phase, {})
        for key, value in (layer.energy or {}).items():
            sums[key] = sums.get(key, 0.0) + value
    return phases


def render_energy(report: Report) -> RenderableType:
    """Lay energies out by component and phase, and by data kind and phase."""
    if report.energy_uj is None:
        return Text(f"\nenergy of {report.arch} is not known: {_reason(report)}")
    phases = _phases(report)
    total = report.energy_uj * 1e6
    table = new_table(title="\nenergy, uJ")
    table.add_column("by component, by data kind")
    add_numbers(table, *phases, "all", "share")

    def section(split: Callable[[Mapping[str, float]], dict[str, float]], sort: str) -> None:
        sums = {phase: split(energy) for phase, energy in phases.items()}
        names = in_order(sort, {name for one in sums.values() for name in one})
        for name in names:
            values = [one.get(name, 0.0) for one in sums.values()]
            whole = math.fsum(values)
            table.add_row(
                name,
                *map(_microjoules, (*values, whole)),
                share(whole, total),
                end_section=name == names[-1],
            )

    section(by_component, "components")
    section(by_kind, "kinds")
    values = [math.fsum(energy.values()) for energy in phases.values()]
    table.add_row("total", *map(_microjoules, (*values, total)), share(total, total), style="bold")
    return table


def _reason(report: Report) -> str:
    if report.fidelity == "ideal":
        return "its ideal fidelity counts no accesses"
    return f"technology {report.machine.get('technology', '')!r} lacks its parts (docs/energy.md)"
