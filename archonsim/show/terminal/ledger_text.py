"""A prediction ledger as tables for a terminal; everything fits 80 columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from archonsim.result.ledger import MASKS, Ledger, ReluLedger
from archonsim.result.wording import number, share
from archonsim.show.terminal.style import new_table
from archonsim.show.terminal.text import heading

#: What each run of :data:`MASKS` takes away from the one before, or restores.
CHANGES = (
    "as predicted",
    "no false alarms (1)",
    "no false alarms",
    "and no misses (1)",
    "perfect prediction",
)


def _table(title: str, words: Iterable[str], numbers: Iterable[str]) -> Table:
    return new_table(tuple(words), tuple(numbers), title=title, bold_title=True, tight=True)


def _names(ledger: Ledger) -> Iterator[tuple[str, str, ReluLedger]]:
    above = ""
    for one in (*ledger.relus, *ledger.totals):
        yield "" if one.block == above else one.block, str(one.relu or "both"), one
        above = one.block


def _predictions(ledger: Ledger) -> Table:
    """What was predicted, as shares of the activations, and how large the values were."""
    numbers = ("values", "hits", "false a.", "misses", "zeros", "|hit|", "|pass|", "|lost|")
    table = _table("Predictions", ("block", "ReLU"), numbers)
    for block, relu, one in _names(ledger):
        counts, values = one.counts, one.values
        shares = (counts.hits, counts.false_alarms, counts.misses, counts.correct_zeros)
        means = (values.hit_mean, values.negative_mean, values.lost_mean)
        table.add_row(
            block,
            relu,
            number(counts.activations),
            *(share(part, counts.activations) for part in shares),
            *(f"{mean:.3f}" for mean in means),
        )
    return table


def _costs(ledger: Ledger) -> Table:
    """What errors cost."""
    numbers = ("adds wasted", "adds saved", "cycles wasted", "cycles saved")
    table = _table("What errors cost", ("block", "ReLU"), numbers)
    for block, relu, one in _names(ledger):
        figures = (one.wasted.adds, one.saved.adds, one.wasted.cycles, one.saved.cycles)
        table.add_row(block, relu, *map(number, figures))
    return table


def _runs(ledger: Ledger) -> Table:
    """From the predicted masks to perfect ones."""
    table = _table(
        "From these masks to perfect ones", ("--masks", ""), ("cycles", "change", "adds", "change")
    )
    before = None
    for masks, what in zip(MASKS, CHANGES, strict=True):
        cost = ledger.runs[masks]
        step = cost if before is None else cost - before
        changes = (
            ("", "") if before is None else (f"{_signed(step.cycles)}", f"{_signed(step.adds)}")
        )
        table.add_row(masks, what, number(cost.cycles), changes[0], number(cost.adds), changes[1])
        before = cost
    return table


def _signed(value: int) -> str:
    return ("+" if value > 0 else "") + number(value)


def _head(ledger: Ledger) -> Text:
    images = ", ".join(map(str, ledger.image_numbers))
    which = f"sums over images {images}" if len(ledger.image_numbers) > 1 else f"image {images}"
    title = f"{ledger.arch} on {ledger.workload} · prediction ledger · {which}"
    return heading(title, ledger.provenance, ledger.digest)


def _foot(ledger: Ledger) -> Text:
    both = ledger.totals[2]
    cycles = ledger.runs["trace"].cycles
    text = Text(
        f"false alarms cost {number(both.wasted.cycles)} cycles"
        f" ({share(both.wasted.cycles, cycles)}); misses saved {number(both.saved.cycles)}"
        f" ({share(both.saved.cycles, cycles)}), wrongly",
        style="bold",
    )
    text.append(
        f"\npredicting itself took {number(ledger.prediction_cycles)} of {number(cycles)} cycles"
        f" ({share(ledger.prediction_cycles, cycles)})\nnegative values passed:"
        f" {number(both.values.negatives)}, on average {both.values.negative_mean:.3f} in"
        f" magnitude, {share(both.values.negative_mean, both.values.hit_mean)} of what hits pass",
        style="not bold",
    )
    return text


def render_ledger(ledger: Ledger) -> RenderableType:
    """Lay a ledger out: predictions, costs, and the runs that they are differences of."""
    meanings = Text(
        "hits: predicted to survive, and positive; false alarms: predicted to survive, but"
        " negative: they pass; misses: predicted away, but positive: they are lost; zeros: rightly"
        " predicted away. |hit|, |pass|, |lost|: mean magnitudes of the pre-activations that hits"
        " pass, that false alarms pass, and that misses lose.",
        style="dim",
    )
    parts = (
        _head(ledger),
        _predictions(ledger),
        _costs(ledger),
        _runs(ledger),
        _foot(ledger),
        meanings,
    )
    return Group(*(row for part in parts for row in (part, Text())))
