"""Where a machine's area goes, as a table for a terminal."""

from __future__ import annotations

from rich.console import RenderableType

from archonsim.result.wording import grouped, number, share
from archonsim.show.terminal.style import add_numbers, new_table
from archonsim.spec.resources import AreaPart, Resources


def render_area(resources: Resources) -> RenderableType:
    """Lay areas out: shared components, one PE, the published total, and its omissions.

    Estimates of parts that nobody published stand below all sums.
    """
    total = resources.area_um2 or 0.0
    table = new_table(title="area, 45 nm")
    table.add_column("component")
    add_numbers(table, "instances", "um2 each", "um2 in all", "share")

    def add(
        name: str,
        instances: int,
        each: float,
        style: str = "",
        *,
        counted: bool = True,
        end: bool = False,
    ) -> None:
        whole = each * instances
        part = share(whole, total) if counted else "apart"
        table.add_row(
            name,
            number(instances),
            grouped(each, 2),
            number(whole),
            part,
            style=style,
            end_section=end,
        )

    def section(parts: list[AreaPart]) -> None:
        for part in parts:
            add(
                part.component,
                part.instances,
                part.area_um2,
                counted=part.counted,
                end=part is parts[-1],
            )

    published = [part for part in resources.parts if not part.estimate]
    section([part for part in published if not part.in_pe])
    section([part for part in published if part.in_pe])
    # `pes` counts multipliers, of which a PE may have several.
    pes = next((part.instances for part in published if part.in_pe), resources.pes)
    add("PE", pes, resources.pe_area_um2)
    add("total", 1, total, "bold")
    if resources.extra_area_um2:
        add("with what stands apart", 1, total + resources.extra_area_um2)
    if resources.estimated_area_um2:
        table.add_section()
        section([part for part in resources.parts if part.estimate])
        add("estimates, in no total", 1, resources.estimated_area_um2, counted=False)
    return table
