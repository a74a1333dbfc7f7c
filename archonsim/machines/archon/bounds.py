"""What the main phase would take if only some of its causes of loss existed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from archonsim.machines.archon.spec import PeSpec
from archonsim.pe.beats import BeatStream
from archonsim.stats.counts import PhaseStats


def main_bounds(
    stream: BeatStream, pe: PeSpec, tiles: int, pixels: int, clip_beats: int = 0
) -> Callable[[PhaseStats], dict[str, int]]:
    """Return the main phase's bounds as a function of what it did.

    Parameters
    ----------
    stream : BeatStream
        Sent once for each tile.
    pe : PeSpec
    tiles, pixels : int
        Tiles of the phase, and output pixels of all of them: a PE has one pixel of a tile, or none
        at an edge.
    clip_beats : int
        Beats of a tile's clip terms.
    """
    of_group = np.bincount(stream.group, minlength=stream.groups)
    slots = int(np.count_nonzero(stream.is_mac))
    bias = int(of_group[~stream.is_mac].sum())

    def bounds(stats: PhaseStats) -> dict[str, int]:
        def if_all_were_busy(pe_cycles: int) -> int:
            return -(-pe_cycles // pe.count)

        clips = {"clips": if_all_were_busy((slots + bias) * pixels)} if clip_beats else {}
        return {
            "adders": if_all_were_busy(-(-stats.adds // pe.adders)),
            "empty": if_all_were_busy(slots * pixels),
            "bias": if_all_were_busy((slots + bias - clip_beats) * pixels),
            **clips,
            "beats": if_all_were_busy(stream.beats * pixels),
            "mapping": stream.beats * tiles,
        }

    return bounds
