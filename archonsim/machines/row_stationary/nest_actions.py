"""What a mapped layer does, as actions that energy is charged for.

Accesses are counted as ICS'21's Timeloop did: those of a data kind at a level, rounded up to whole
accesses of an instance. The channels of a depthwise layer share one input map in that analysis.
DRAM and the GLB hold a map for each channel, and every channel's is counted there. The authors
multiplied the one map's accesses by the channels instead, which is the same unless a mapping sweeps
that map several times, for some channels at a time.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from archonsim.dataflow.hierarchy import Hierarchy
from archonsim.dataflow.nest import Cost, Counts
from archonsim.dataflow.problem import Problem

#: Levels that hold the input maps of all channels.
SHARED = ("dram", "glb")

Actions = Counter[tuple[str, str, str]]


@dataclass(frozen=True, slots=True)
class InputMaps:
    """How the authors counted the input maps of a depthwise layer: one, multiplied.

    Attributes
    ----------
    times : int
        Input maps for each channel.
    levels : tuple of str
        Where maps beyond the first count.
    """

    times: int = 1
    levels: tuple[str, ...] = SHARED


def _accesses(counts: Counts, block_words: int) -> tuple[int, int]:
    """Words of whole accesses of one instance: (read, written)."""
    written = counts.updates + counts.fills
    accesses = -(-(counts.reads + written) // block_words)
    writes = min(accesses, -(-written // block_words))
    return (accesses - writes) * block_words, writes * block_words


def nest_actions(
    problem: Problem,
    cost: Cost,
    moved: Cost,
    hierarchy: Hierarchy,
    published: InputMaps | None = None,
) -> Actions:
    """Return the actions of all groups of a layer, every MAC done.

    Parameters
    ----------
    problem : Problem
    cost : Cost
        By the published analysis: one input map for all channels of a depthwise layer.
    moved : Cost
        With an input map for each of them.
    hierarchy : Hierarchy
        That of both.
    published : InputMaps or None
        Multiply the one map as the authors did; None: count each channel's.
    """
    actions: Actions = Counter()
    for level in hierarchy.levels:
        for kind in level.keeps:
            own = published is None and kind == "input" and level.name in SHARED
            counts = (moved if own else cost).counts[level.name, kind]
            times = counts.instances * problem.groups
            if published is not None and kind == "input" and level.name in published.levels:
                times *= problem.input_maps * published.times
            read, written = _accesses(counts, level.block_words)
            named = "psum" if level.name == "psum_spad" else kind
            actions[level.name, "read", named] += read * times
            actions[level.name, "write", named] += written * times
    actions["mac", "multiply", "compute"] = problem.macs * problem.groups
    return actions
