"""Phases whose time no mask makes a difference to, ready to run: predictions, and plain layers.

A forecast looks at them, then the run takes them, and so does the next point of a sweep that leaves
the machine as it is.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import fields

import numpy as np
from numpy.typing import NDArray

from archonsim.engine.contract import Phase
from archonsim.errors import SpecError
from archonsim.machines.archon.residency import Step, fitting
from archonsim.machines.archon.rounds import layer_phase, prediction_phases
from archonsim.machines.archon.spec import ArchonSpec
from archonsim.network.block import Block
from archonsim.network.prediction import TERNARY
from archonsim.trace.kept import Kept
from archonsim.trace.tensors import Trace

#: Bytes of a tile with its transfers (measured: 600 to 900).
TILE_BYTES = 1 << 10

_KEPT = Kept()

#: Parameters of the machine, and of its PEs, that only the main phase reads: points of a sweep that
#: differ in nothing else share the other phases.
MAIN_ONLY = frozenset(
    (
        "bias_terms",
        "group_order",
        "lane_order",
        "main_order",
        "mapping",
        "mask_fetch",
        "skip_empty_groups",
    )
)
PE_MAIN_ONLY = frozenset(("fifo_depth", "mask_links", "psum_pads", "psum_words"))


def _read(spec: ArchonSpec) -> tuple[Hashable, ...]:
    """Return all parameters that phases of fixed time may depend on."""
    return tuple(
        getattr(part, field.name)
        for part, others in ((spec, MAIN_ONLY | {"pe"}), (spec.pe, PE_MAIN_ONLY))
        for field in fields(part)
        if field.name not in others
    )


def fixed_phases(step: Step, spec: ArchonSpec, trace: Trace) -> list[Phase]:
    """Return a step's phases of fixed compute time, their tiles split until they fit the GLB.

    Raises
    ------
    SpecError
        They do not fit, however small.
    """

    def make() -> list[Phase]:
        item = step.item
        phases = (
            prediction_phases(step, item, spec, _nonzero(item, spec, trace))
            if isinstance(item, Block)
            else [layer_phase(step, item, spec)]
        )
        return [fitting(phase, step, spec) for phase in phases]

    if spec.overlap_prediction:  # what hides behind the phase before is taken off theirs
        return make()
    key = step, _read(spec), trace if spec.skip_zero_ternary else None
    found: list[Phase] = _KEPT.get(
        key, make, lambda phases: TILE_BYTES * sum(len(one.tiles) for one in phases)
    )
    return found


def _nonzero(
    block: Block, spec: ArchonSpec, trace: Trace
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Non-zero ternary weights of each channel of the two predictors.

    Only read where zeros are skipped.
    """
    if not spec.skip_zero_ternary:
        none = np.zeros(0, np.int64)
        return none, none
    if block.prediction.predictor != TERNARY.predictor:
        raise SpecError(
            "skip_zero_ternary=true leaves out zeros of ternary weights, and block"
            f" {block.name} is predicted by {block.prediction.predictor!r}; use"
            " skip_zero_ternary=false"
        )
    one, two = trace.predictors(block.name)
    return _per_channel(one.ternary), _per_channel(two.ternary)


def _per_channel(ternary: NDArray[np.int8]) -> NDArray[np.int64]:
    nonzero: NDArray[np.int64] = np.count_nonzero(ternary.reshape(len(ternary), -1), axis=1)
    return nonzero
