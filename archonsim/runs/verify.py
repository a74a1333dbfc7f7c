"""Functional check: the masked fused sum must give what the trained network computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archonsim.errors import MaskError
from archonsim.machines.archon.spec import ArchonSpec
from archonsim.machines.archon.tile_trace import streamed
from archonsim.machines.registry import machine as known_machine
from archonsim.machines.registry import machine_spec
from archonsim.network.block import Block
from archonsim.network.workload import Workload
from archonsim.pe.beats import cut
from archonsim.pe.fused_kernel import AccumulatorUse, Lanes, accumulator_use, fused_output
from archonsim.spec.parts import WORD_BITS
from archonsim.trace.algebra import branch_output, joined, preactivations, shuffle
from archonsim.trace.fused_weight import FusedWeight, fuse
from archonsim.trace.tensors import BlockTrace, Trace
from archonsim.trace.what_if import no_masks

#: Largest error allowed, relative to the block output's largest magnitude: two units in the last
#: place of float16, in which maps between blocks are stored (own decision).
TOLERANCE = 2.0**-10


@dataclass(frozen=True, slots=True)
class BlockCheck:
    """One block of one image.

    Attributes
    ----------
    block : str
    image : int
    max_error : float
        Largest absolute difference from the trace's output.
    scale : float
        Largest magnitude of that output.
    tolerance : float
        Largest `relative` that passes.
    accumulators : AccumulatorUse or None
        What adders of the width asked for meet.
    """

    block: str
    image: int
    max_error: float
    scale: float
    tolerance: float
    accumulators: AccumulatorUse | None = None

    @property
    def relative(self) -> float:
        """Largest error relative to the output's largest magnitude."""
        return self.max_error / self.scale if self.scale else self.max_error

    @property
    def passed(self) -> bool:
        """Whether the error is within the tolerance (an error that is no number is not)."""
        return bool(self.relative <= self.tolerance)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "block": self.block,
            "image": self.image,
            "max_error": self.max_error,
            "scale": self.scale,
            "relative": self.relative,
            "tolerance": self.tolerance,
            "passed": self.passed,
            **(asdict(self.accumulators) if self.accumulators else {}),
        }


def _streamed(block: Block, fused: FusedWeight, spec: ArchonSpec) -> tuple[FusedWeight, Lanes]:
    """The fused weights in the order of the stream, and the adders that take them."""
    ordered = streamed(block, fused, spec)
    stream = cut(
        ordered,
        lanes=spec.pe.adders,
        per_lane=spec.pe.candidates_per_adder,
        lane_order=spec.lane_order,
    )
    return ordered, Lanes(stream.lane_of_candidate, spec.pe.adders)


def _branch(
    block: Block, fused: FusedWeight, lanes: Lanes, trace: BlockTrace
) -> NDArray[np.float64]:
    """The convolution branch by the masked fused sum, shuffled if the block shuffles its output."""
    keeps = trace.keep1.unpack(), trace.keep2.unpack()
    y = fused_output(block, fused, trace.input, *keeps, lanes)
    return shuffle(y, block.shuffle) if block.order == "pw-dw-pw" else y  # type: ignore[arg-type, return-value]


def _clipped_branch(block: Block, source: Trace, trace: BlockTrace) -> NDArray[np.float64]:
    """The convolution branch with a ReLU before each mask.

    The mistake that the check is there to find.
    """
    one, two, three = (source.layer(layer.name) for layer in block.layers)
    tensors = (one, two, three)
    pre1, _ = preactivations(block, tensors, trace.keep1, trace.input)
    positive1 = type(trace.keep1).pack((pre1 > 0) & trace.keep1.unpack().astype(bool))
    _, pre2 = preactivations(block, tensors, positive1, trace.input)
    return branch_output(block, three, np.maximum(pre2, 0), trace.keep2).astype(np.float64)


def _accumulators(
    block: Block, fused: FusedWeight, lanes: Lanes, trace: BlockTrace, bits: int
) -> AccumulatorUse:
    keeps = trace.keep1.unpack(), trace.keep2.unpack()
    return accumulator_use(
        block, fused, *keeps, value_bits=WORD_BITS, accumulator_bits=bits, lanes=lanes
    )


def verify(
    workload: Workload,
    *,
    images: Sequence[int],
    tolerance: float = TOLERANCE,
    clip: bool = False,
    accumulator_bits: int | None = None,
    spec: ArchonSpec | None = None,
    on_step: Callable[[str], None] = lambda name: None,
) -> list[BlockCheck]:
    """Recompute each predicted block of each image and compare with the trained network's output.

    As the machine does: groups in the order of its stream, candidates on its adders.

    Parameters
    ----------
    workload : Workload
        With weights and masks.
    images : sequence of int
    tolerance : float
        Relative to the block output's largest magnitude.
    clip : bool
        Compute the deliberately wrong variant instead (ReLU, then mask), which must fail wherever a
        mask lets a negative value pass.
    accumulator_bits : int or None
        Also count the sums that adders of this width could not hold, with fused weights of 16 bits.
    spec : ArchonSpec or None
        The machine; None for ARCHON's preset.
    on_step : function of the block's name

    Raises
    ------
    MaskError
        The workload has no masks, or no predicted blocks.
    """
    source = workload.trace
    blocks = [block for block in workload.blocks() if block.predicted]
    if source is not None and not blocks:
        raise MaskError(
            f"workload {workload.name!r} has no block that fuses: there is nothing to verify"
            " (archonsim export --list says why no block does; export itself checks plain layers)"
        )
    if source is None or not workload.images:
        raise no_masks(workload)
    checks: list[BlockCheck] = []
    machine: ArchonSpec = spec or machine_spec(known_machine("archon"))
    for block in blocks:
        fused, lanes = _streamed(block, fuse(block, source), machine)
        for image in images:
            trace = source.block(block.name, image)
            y = (
                _clipped_branch(block, source, trace)
                if clip
                else _branch(block, fused, lanes, trace)
            )
            error = float(np.abs(joined(block, y, trace.input) - trace.output).max())
            use = (
                None
                if accumulator_bits is None
                else _accumulators(block, fused, lanes, trace, accumulator_bits)
            )
            checks.append(
                BlockCheck(
                    block.name, image, error, float(np.abs(trace.output).max()), tolerance, use
                )
            )
            on_step(block.name)
    return checks
