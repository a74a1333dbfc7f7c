"""A machine with parts of its memory system taken away, step by step.

What each of them costs is the difference of two runs.

Each step times more than the one before, and in a fixed DMA order nothing that is timed in addition
can make a run shorter.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator
from typing import Any, get_args

from archonsim.spec.parts import BufferSpec
from archonsim.vocabulary.kinds import DataKind

#: Kinds of data by the owner of the time that they take, in the order of the steps.
STEPS: dict[str, tuple[DataKind, ...]] = {
    "weights": ("weight",),
    "masks": ("mask",),
    "map": ("map",),
    "dram": tuple(kind for kind in get_args(DataKind) if kind not in ("weight", "mask", "map")),
}

#: Buffers that hold nothing but masks: their ports belong to mask delivery.
MASK_BUFFERS = ("prediction_glb",)


def _mask_buffers(spec: Any) -> dict[str, BufferSpec]:
    return {
        name: getattr(spec, name)
        for name in MASK_BUFFERS
        if isinstance(getattr(spec, name, None), BufferSpec)
    }


def _timed(spec: Any, kinds: Collection[DataKind]) -> Any:
    """Return a machine on which only data of these kinds take time in DRAM, and the ports of mask buffers only if masks do.

    An unlimited DRAM would not do: the machine may plan its tiles for it, and then the two runs
    differ in more than time.
    """
    free = tuple(kind for kind in get_args(DataKind) if kind not in kinds or kind in spec.dram.free)
    parts: dict[str, Any] = {"dram": dataclasses.replace(spec.dram, free=free)}
    if "mask" not in kinds:
        parts |= {
            name: dataclasses.replace(buffer, model="unlimited")
            for name, buffer in _mask_buffers(spec).items()
        }
    return dataclasses.replace(spec, **parts)


def runs(spec: Any) -> int:
    """Runs of an image that a waterfall takes, at most.

    The machine itself, the chip alone, and machines between them.
    """
    return 2 + (3 if _mask_buffers(spec) else 1)


def chip_alone(spec: Any) -> Any:
    """Return a machine on which neither DRAM nor the delivery of masks takes time."""
    return _timed(spec, ())


def steps(spec: Any, traffic: Collection[tuple[str, str, str]]) -> Iterator[tuple[str, Any]]:
    """Yield owners and machines on which what they own takes time, and all that came before.

    The last one is `spec` itself.

    Parameters
    ----------
    spec : a machine's description
    traffic : keys of `PhaseStats.traffic`
        What moves: owners that own none of it are left out.
    """
    timed_parts = MASK_BUFFERS if spec.dram.model == "unlimited" else ("dram", *MASK_BUFFERS)
    moved = {kind for component, _, kind in traffic if component in timed_parts}
    owners = [owner for owner, kinds in STEPS.items() if moved & set(kinds)]
    timed: set[DataKind] = set()
    for owner in owners[:-1]:
        timed |= set(STEPS[owner])
        yield owner, _timed(spec, timed)
    if owners:
        yield owners[-1], spec
