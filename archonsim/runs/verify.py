"""Functional check: a block under its masks must give what the trained network computed."""

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
from archonsim.pe.fused_kernel import AccumulatorUse, Lanes, accumulator_use, fused_output
from archonsim.spec.parts import WORD_BITS
from archonsim.trace.algebra import branch_output, joined, preactivations, shuffle
from archonsim.trace.factored import factored_output
from archonsim.trace.fused_weight import FusedWeight, fuse
from archonsim.trace.mask import Mask
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


def _streamed(block: Block, source: Trace, spec: ArchonSpec) -> tuple[FusedWeight, Lanes]:
    """The fused weights in the order of the stream, and the adders that take them."""
    lanes = Lanes(
        count=spec.pe.adders, width=spec.pe.beat_candidates, rotate=spec.lane_order == "rotate"
    )
    return streamed(block, fuse(block, source), spec), lanes


def _branch(
    block: Block,
    source: Trace,
    trace: BlockTrace,
    fused: tuple[FusedWeight, Lanes] | None,
) -> NDArray[np.float64]:
    """The convolution branch under the masks, shuffled if the block shuffles its output."""
    if fused is None:
        one, two, three = (source.layer(layer.name) for layer in block.layers)
        y = factored_output(block, (one, two, three), trace.input, (trace.keep1, trace.keep2))
    else:
        keeps = trace.keep1.states(), trace.keep2.states()
        y = fused_output(block, fused[0], trace.input, *keeps, fused[1])
    return shuffle(y, block.shuffle) if block.order == "pw-dw-pw" else y  # type: ignore[arg-type, return-value]


def _clipped_branch(block: Block, source: Trace, trace: BlockTrace) -> NDArray[np.float64]:
    """The convolution branch with a ReLU before each mask.

    The mistake that the check is there to find.
    """
    one, two, three = (source.layer(layer.name) for layer in block.layers)
    tensors = (one, two, three)
    pre1, _ = preactivations(block, tensors, trace.keep1, trace.input)
    positive1 = trace.keep1 & Mask.pack(pre1 > 0)
    _, pre2 = preactivations(block, tensors, positive1, trace.input)
    return branch_output(block, three, np.maximum(pre2, 0), trace.keep2).astype(np.float64)


def _accumulators(
    block: Block, fused: tuple[FusedWeight, Lanes], trace: BlockTrace, bits: int
) -> AccumulatorUse:
    keeps = trace.keep1.states(), trace.keep2.states()
    return accumulator_use(
        block, fused[0], *keeps, value_bits=WORD_BITS, accumulator_bits=bits, lanes=fused[1]
    )


def verify(
    workload: Workload,
    *,
    images: Sequence[int],
    tolerance: float = TOLERANCE,
    clip: bool = False,
    accumulator_bits: int | None = None,
    fused: bool = False,
    spec: ArchonSpec | None = None,
    on_step: Callable[[str], None] = lambda name: None,
) -> list[BlockCheck]:
    """Recompute each predicted block of each image and compare with the trained network's output.

    By default layer by layer, masks in the ReLUs' place; through the fused weights as the machine
    does it, groups in the order of its stream and candidates on its adders, where that is asked.

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
        These sums are of fused weights, so it implies `fused`.
    fused : bool
        Compute the sum over the fused weights, a part of them at a time. Its time grows with their
        number: minutes an image where weights are not pruned.
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
        whole = None
        if (fused and not clip) or accumulator_bits is not None:
            whole = _streamed(block, source, machine)
        for image in images:
            trace = source.block(block.name, image)
            y = (
                _clipped_branch(block, source, trace)
                if clip
                else _branch(block, source, trace, whole)
            )
            error = float(np.abs(joined(block, y, trace.input) - trace.output).max())
            use = (
                None
                if accumulator_bits is None or whole is None
                else _accumulators(block, whole, trace, accumulator_bits)
            )
            checks.append(
                BlockCheck(
                    block.name, image, error, float(np.abs(trace.output).max()), tolerance, use
                )
            )
            on_step(block.name)
    return checks
