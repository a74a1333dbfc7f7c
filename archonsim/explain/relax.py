"""A machine with parts of its memory system taken away, step by step.

What each of them costs is the difference of two runs.

Each step times more than the one before, and in a fixed DMA order nothing that is timed in addition
can make a run shorter.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator
from typing import Any

from archonsim.spec.parts import BufferSpec
from archonsim.vocabulary.components import Buffer
from archonsim.vocabulary.vocabulary import COMMON, Vocabulary

#: Owner of the ports of buffers that a waterfall times with the array, without DRAM.
PORTS = "ports"


def _delivering(spec: Any, words: Vocabulary) -> list[Buffer]:
    """Return buffers whose ports take part in delivery from outside: of masks, say.

    Their ports take time only from their owner's step on.
    """
    return [
        one
        for one in words.buffers
        if one.owner != PORTS and isinstance(getattr(spec, one.name, None), BufferSpec)
    ]


def _timed(spec: Any, owners: Collection[str], words: Vocabulary) -> Any:
    """Return a machine on which only what these owners own takes time outside of the array.

    That is data in DRAM, and ports of the buffers that deliver them.

    An unlimited DRAM would not do: the machine may plan its tiles for it, and then the two runs
    differ in more than time.
    """
    free = tuple(
        one.name
        for one in words.kinds
        if one.moves and (one.owner not in owners or one.name in spec.dram.free)
    )
    parts: dict[str, Any] = {"dram": dataclasses.replace(spec.dram, free=free)}
    parts |= {
        one.name: dataclasses.replace(getattr(spec, one.name), model="unlimited")
        for one in _delivering(spec, words)
        if one.owner not in owners
    }
    return dataclasses.replace(spec, **parts)


def runs(spec: Any, words: Vocabulary) -> int:
    """Runs of an image that a waterfall takes, at most.

    The machine itself, the chip alone, and machines between them: one for each owner of what may
    come from outside, but for the last.
    """
    deliver = {one.owner for one in _delivering(spec, words)}
    own = {one.owner for one in words.kinds if not COMMON.has("kinds", one.name)}
    return (
        2
        + len({"weights", "dram"} | deliver | own | ({"map"} if "masks" in deliver else set()))
        - 1
    )


def chip_alone(spec: Any, words: Vocabulary) -> Any:
    """Return a machine on which neither DRAM nor the delivery of masks takes time."""
    return _timed(spec, (), words)


def steps(
    spec: Any, traffic: Collection[tuple[str, str, str]], words: Vocabulary
) -> Iterator[tuple[str, Any]]:
    """Yield owners and machines on which what they own takes time, and all that came before.

    The last one is `spec` itself.

    Parameters
    ----------
    spec : a machine's description
    traffic : keys of `PhaseStats.traffic`
        What moves: owners that own none of it are left out.
    words : Vocabulary
        The machine's, the common ones included.
    """
    buffers = {one.name: one.owner for one in _delivering(spec, words)}
    found = {buffers[component] for component, _, _ in traffic if component in buffers}
    if spec.dram.model != "unlimited":
        found |= {words.kind(kind).owner for component, _, kind in traffic if component == "dram"}
    owners = words.sort("owners", found)
    for reached in range(1, len(owners)):
        yield owners[reached - 1], _timed(spec, owners[:reached], words)
    if owners:
        yield owners[-1], spec
