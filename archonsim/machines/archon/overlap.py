"""A block's first prediction on the adders that the main phase before it leaves idle.

The two share the adders, so a prediction can only use what main does not (own decision, nothing is
published): the cycles of main less those that its additions take at full lanes, and of these none
in main's last tile, whose output pixels are not there yet. What is hidden so is an upper bound:
main's beats and the prediction's additions would have to mesh without a loss. The prediction's data
are still moved in its own phase.
"""

from __future__ import annotations

from archonsim.engine.contract import FixedTile, Phase
from archonsim.machines.archon.spec import PeSpec
from archonsim.stats.counts import PhaseStats


def idle_adder_cycles(phase: Phase, stats: PhaseStats, pe: PeSpec) -> int:
    """Cycles' worth of all adders that a main phase leaves for the next block's prediction.

    None for other phases.
    """
    if phase.name != "main":
        return 0
    tiles = len(phase.tiles)
    busy = -(-stats.adds // (pe.count * pe.adders))
    return max(0, stats.cycles - busy) * (tiles - 1) // tiles


def hide(phase: Phase, idle: int) -> int:
    """Take up to `idle` cycles off the tiles of a prediction that adds, evenly; return how many."""
    adds = any(isinstance(tile, FixedTile) and tile.adds for tile in phase.tiles)
    if not phase.name.startswith("predict") or not adds:
        return 0
    tiles = [tile for tile in phase.tiles if isinstance(tile, FixedTile)]
    total = sum(tile.cycles for tile in tiles)
    hidden = min(idle, total)
    before = 0
    for tile in tiles:
        after = before + tile.cycles
        tile.cycles -= hidden * after // total - hidden * before // total
        before = after
    return hidden
