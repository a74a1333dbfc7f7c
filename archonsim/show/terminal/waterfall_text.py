"""A waterfall as tables with bars for a terminal; everything fits 80 columns."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from archonsim.result.values import Number
from archonsim.result.waterfall import Bars, Grain, Waterfall
from archonsim.result.wording import number, share
from archonsim.show.terminal.style import new_table
from archonsim.show.terminal.text import heading
from archonsim.spec.load import flat_items

BAR = 22
STACK = 24


def _floating(start: Number, cycles: Number, whole: Number) -> str:
    """A bar that starts where the one above ends.

    Whole characters on the left, eighths on the right.
    """
    first = int(start * BAR / whole)
    eighths = max(1, round(cycles * BAR * 8 / whole))
    full, rest = divmod(eighths, 8)
    return " " * first + "█" * full + " ▏▎▍▌▋▊▉"[rest].strip()


def _stacked(bars: Bars) -> Text:
    """All owners in one line, a letter each."""
    text, done = Text(), 0
    for step in bars.steps:
        end = round(step.cumulative * STACK / bars.cycles)
        owner = bars.words.owner(step.owner)
        text.append(owner.letter * (end - done), style=owner.colour)
        done = end
    return text


def _table(*columns: tuple[str, bool]) -> Table:
    table = new_table(tight=True)
    for name, right in columns:
        table.add_column(name, justify="right" if right else "left", no_wrap=True)
    return table


def _one(bars: Bars) -> Table:
    """The network's waterfall, an owner a line."""
    table = _table(
        ("owner", False), ("cycles", True), ("share", True), ("so far", True), ("", False)
    )
    for step in bars.steps:
        owner = bars.words.owner(step.owner)
        bar = Text(
            _floating(step.cumulative - step.cycles, step.cycles, bars.cycles), style=owner.colour
        )
        table.add_row(
            owner.title,
            number(step.cycles),
            share(step.cycles, bars.cycles),
            number(step.cumulative),
            bar,
        )
    return table


def _largest_loss(bars: Bars) -> str:
    """Say which owner but the work itself takes most."""
    losses = [step for step in bars.steps if not bars.words.owner(step.owner).work]
    if not losses:
        return ""
    worst = max(losses, key=lambda step: step.cycles)
    return f"{bars.words.owner(worst.owner).title} {100 * worst.cycles / bars.cycles:.0f} %"


def _many(bars: Iterable[Bars], phases: bool) -> Table:
    """A line for each layer or phase."""
    table = _table(
        ("layer", False),
        *((("phase", False),) if phases else ()),
        ("cycles", True),
        ("", False),
        ("largest loss", False),
    )
    above = ""
    for one in bars:
        table.add_row(
            "" if one.name == above else one.name,
            *((one.phase,) if phases else ()),
            number(one.cycles),
            _stacked(one),
            _largest_loss(one),
        )
        above = one.name
    return table


def _meanings(network: Bars, keys: Collection[str], letters: bool) -> Table:
    """Say what the owners mean, and which of the machine's keys act on them."""
    table = new_table(tight=True, ruled=False, head=False)
    table.add_column(no_wrap=True)
    table.add_column()
    for owner in network.words.owners:
        if owner.name not in network.owners:
            continue
        name = Text(f"{owner.letter} " if letters else "", style=owner.colour).append(
            owner.title, style="default"
        )
        text = Text(owner.meaning)
        acting = [f"{key} ({what})" for key, what in owner.keys if key in keys]
        if acting:
            text.append(f"; acted on by {', '.join(acting)}", style="dim")
        table.add_row(name, text)
    return table


def _head(fall: Waterfall) -> Text:
    images = ", ".join(map(str, fall.image_numbers))
    what_if = "" if fall.masks == "trace" else f" (what-if, seed {fall.seed})"
    parts = [f"{fall.arch} on {fall.workload}", "one owner for every cycle"]
    if fall.provenance.mask_source != "none":
        parts += [
            f"{'mean of images' if len(fall.image_numbers) > 1 else 'image'} {images}",
            f"masks: {fall.masks}{what_if}",
        ]
    return heading(" · ".join(parts), fall.provenance, fall.digest)


def render_waterfall(fall: Waterfall, grain: Grain) -> RenderableType:
    """Lay a waterfall out: the network owner by owner, or a line for each layer or phase.

    Then what the owners mean.
    """
    network = fall.network
    sums = [*(fall.kinds if grain == "phase" else ()), replace(network, name="total")]
    table = (
        _one(network) if grain == "network" else _many([*fall.by(grain), *sums], grain == "phase")
    )
    total = Text(
        f"{number(network.cycles)} cycles = {network.cycles / fall.clock_mhz / 1000:.3f} ms",
        style="bold",
    )
    total.append(f" at {fall.clock_mhz:g} MHz", style="bold")
    return Group(
        _head(fall),
        Text(),
        table,
        Text(),
        total,
        Text(),
        _meanings(network, dict(flat_items(fall.machine)), grain != "network"),
    )
