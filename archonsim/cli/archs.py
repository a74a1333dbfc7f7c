"""``archonsim archs``: the architectures known by name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from archonsim.cli.common import Form, Format, emit
from archonsim.cli.rows import print_rows
from archonsim.errors import SpecError
from archonsim.machines.protocol import Machine
from archonsim.machines.registry import machine, machine_names, machine_spec
from archonsim.result.files import rows_to_csv, to_json
from archonsim.show.terminal.area_text import render_area
from archonsim.spec.load import flat_items, to_table, to_toml


def _summary(name: str) -> str:
    """Return a machine's summary, or why a plug-in is none: one must not hide the others."""
    try:
        return machine(name).summary
    except SpecError as error:
        return f"cannot be used: {error}"


def archs(
    name: Annotated[
        str | None, typer.Argument(help="Show this architecture's resolved description.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a parameter first. Repeatable."),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file laid over the preset.")] = None,
    area: Annotated[
        bool, typer.Option("--area", help="Show the architecture's area by component instead.")
    ] = False,
    form: Form = Format.table,
) -> None:
    """List architectures, or print a description as TOML (for --config), or its area."""
    if name is None:
        if area:
            raise SpecError(
                "--area: name an architecture, for example: archonsim archs archon --area"
            )
        print_rows(form, [{"name": one, "summary": _summary(one)} for one in machine_names()])
        return
    found = machine(name)
    spec = machine_spec(found, config, set_ or [])
    if area:
        _print_area(form, found, spec)
        return
    table = to_table(spec)
    flat = [{"key": key, "value": value} for key, value in flat_items(table)]
    emit(
        form,
        lambda: f"# {' '.join(found.summary.split())}\n{to_toml(table)}".rstrip(),
        lambda: to_json(table),
        lambda: rows_to_csv(flat),
    )


def _print_area(form: Format, found: Machine, spec: Any) -> None:
    parts = found.resources(spec)
    if parts.area_um2 is None:
        raise SpecError(f"--area: no areas of {found.name!r} are published")
    rows = [
        {
            "component": part.component,
            "where": "PE" if part.in_pe else "chip",
            "instances": part.instances,
            "um2": round(part.area_um2, 2),
            "all_um2": round(part.all_um2, 2),
            "in_total": part.counted and not part.estimate,
            "estimate": part.estimate,
        }
        for part in parts.parts
    ]
    sums = {
        "pe_um2": parts.pe_area_um2,
        "total_um2": parts.area_um2,
        "apart_um2": parts.extra_area_um2,
        "estimates_um2": parts.estimated_area_um2,
    }
    tree = {"arch": found.name, "components": rows, **sums}
    emit(form, lambda: render_area(parts), lambda: to_json(tree), lambda: rows_to_csv(rows))
