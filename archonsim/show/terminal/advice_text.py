"""Advice as a table for a terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from archonsim.result.advice import Advice
from archonsim.result.values import Number
from archonsim.result.wording import number, origin_line, share
from archonsim.show.terminal.style import add_numbers, new_table

_VERDICT = {True: "fuse", False: "plain", None: "unknown"}


def _known(value: Number | None) -> str:
    return "" if value is None else number(value)


def render_advice(advice: Advice) -> RenderableType:
    """Lay advice out as a table, disagreements below."""
    table = new_table()
    table.add_column("block")
    add_numbers(table, "density", "survival", "est. fused", "est. plain")
    table.add_column("estimate")
    add_numbers(table, "fused", "plain", "network saves")
    table.add_column("simulated")
    for one in advice.blocks:
        survival = "" if one.survival is None else share(one.survival, 1)
        table.add_row(
            one.block,
            f"{100 * one.density:.2f} %",
            survival,
            _known(one.estimated_fused),
            number(one.estimated_plain),
            _VERDICT[one.expected],
            _known(one.fused_cycles),
            _known(one.plain_cycles),
            _known(one.saved),
            Text(_VERDICT[one.pays], style="yellow" if one.agrees is False else ""),
        )
    head = Text(
        f"does fusing pay? {advice.arch} on {advice.workload}, masks: {advice.masks}", style="bold"
    )
    for line in origin_line(advice.workload, advice.mask_source):
        head.append(f"\n{line}", style="yellow")
    notes = Text(
        "cycles of a block by the closed form and as simulated; the network saves what its"
        " neighbours gain, too",
        style="dim",
    )
    notes.append(f"\nthe network as it is: {number(advice.total_cycles)} cycles")
    if advice.disagreements:
        notes.append(
            f"\nclosed form and simulator disagree on {', '.join(advice.disagreements)}",
            style="yellow",
        )
    else:
        notes.append("\nclosed form and simulator agree on all blocks that run both ways")
    for one in advice.blocks:
        if one.reason:
            notes.append(f"\n{one.block}: {one.reason}", style="yellow")
    return Group(head, Text(), table, Text(), notes)
