"""Whether fusing pays, block by block: a closed form, checked by two simulations."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archonsim.errors import SpecError, UserError, WorkloadError
from archonsim.machines.protocol import Densities, Fusing, Machine
from archonsim.machines.registry import fusing_names
from archonsim.network.block import Block
from archonsim.network.workload import Workload
from archonsim.result.advice import Advice, BlockAdvice
from archonsim.result.report import Report
from archonsim.result.values import Number
from archonsim.runs.simulate import simulate
from archonsim.spec.load import to_table
from archonsim.trace.kept_trace import keeping
from archonsim.trace.mask import Mask
from archonsim.trace.what_if import MaskPolicy, no_masks
from archonsim.tracefile.find import choose_images


def with_block(workload: Workload, name: str, *, fused: bool) -> Workload:
    """Return the workload with one block fused, or run as its three plain layers."""
    items = tuple(
        replace(item, predicted=fused) if isinstance(item, Block) and item.name == name else item
        for item in workload.items
    )
    return replace(workload, items=items)


def steps(workload: Workload, images: Sequence[int] | None) -> int:
    """How often `advise` reports progress.

    Once for each block and image, and once for the network as it is.
    """
    return len(choose_images(workload, images)) * (1 + sum(1 for _ in workload.blocks()))


def advise(
    workload: Workload,
    machine: Machine,
    spec: Any,
    *,
    images: Sequence[int] | None = (0,),
    masks: MaskPolicy | None = None,
    blocks: Collection[str] | None = None,
    on_step: Callable[[str], None] = lambda name: None,
) -> Advice:
    """Ask for each block whether fusing it pays.

    The network runs as it is, and once more for each block with that block the other way: fused if
    its ReLUs are not predicted (which needs masks that do not come from the trace), as three plain
    layers if they are.

    Parameters
    ----------
    workload : Workload
        With weights.
    machine : Machine
    spec : the machine's `spec_type`
    images : sequence of int or None
        Image numbers; None for all.
    masks : MaskPolicy or None
    blocks : collection of str or None
        Blocks to ask of; None for all.
    on_step : function of a block's name

    Raises
    ------
    SpecError
        The machine does not fuse.
    MaskError
        The workload is shape-only, or has no masks to run with.
    WorkloadError
        It has no block.
    """
    if not isinstance(machine, Fusing):
        raise SpecError(
            f"architecture {machine.name!r} runs blocks layer by layer; what fusing would bring is"
            f" asked of {' or '.join(fusing_names())}"
        )
    if workload.trace is None:
        raise no_masks(workload)
    if not any(workload.blocks()):
        raise WorkloadError(
            f"workload {workload.name!r} has no block of two pointwise layers and a depthwise one:"
            " nothing to fuse"
        )
    kept = keeping(workload)
    policy, numbers = masks or MaskPolicy(), choose_images(workload, images)

    def run(work: Workload, name: str) -> Report:
        report = simulate(work, machine, spec, images=numbers, masks=policy)
        for _ in numbers:
            on_step(name)
        return report

    as_is = run(kept, "as it is")
    found = []
    for block in kept.blocks():
        if blocks is not None and block.name not in blocks:
            continue
        other, reason = None, ""
        try:
            other = run(with_block(kept, block.name, fused=not block.predicted), block.name)
        except UserError as error:  # no masks to fuse it with, say, or a layer that does not fit
            reason = str(error)
        ways = (as_is, other) if block.predicted else (other, as_is)
        found.append(
            _judged(block, ways, reason, estimates(kept, block, (machine, spec), policy, numbers))
        )
    return Advice(
        arch=machine.name,
        workload=workload.name,
        digest=workload.digest,
        masks=str(policy),
        mask_source=workload.provenance.masks_from,
        seed=policy.seed,
        image_numbers=tuple(numbers),
        total_cycles=as_is.total_cycles,
        machine=to_table(spec),
        blocks=tuple(found),
    )


@dataclass(frozen=True, slots=True)
class Estimates:
    """What the closed form says of a block, and what it says it from."""

    density: float
    survival: float | None
    fused: float | None
    plain: float


def estimates(
    workload: Workload,
    block: Block,
    asked: tuple[Fusing, Any],
    policy: MaskPolicy,
    images: Sequence[int],
) -> Estimates:
    """Ask a machine, with its description, what it estimates."""
    machine, spec = asked
    assert workload.trace is not None
    one, two, three = (
        _density(workload.trace.layer(layer.name).weight)
        for layer in (block.pw1, block.dw, block.pw2)
    )
    survival = _survival(workload, block, policy, images)
    fused = (
        None
        if survival is None
        else machine.estimate_fused(block, spec, Densities(one, two, three, survival))
    )
    return Estimates(
        one * two * three,
        survival,
        fused,
        machine.estimate_plain(with_block(workload, block.name, fused=False), block, spec),
    )


def _judged(
    block: Block, ways: tuple[Report | None, Report | None], reason: str, estimates: Estimates
) -> BlockAdvice:
    """Put together what is known of a block; `ways` are the runs with it fused and plain."""
    fused, plain = ways
    return BlockAdvice(
        block=block.name,
        density=estimates.density,
        survival=estimates.survival,
        estimated_fused=estimates.fused,
        estimated_plain=estimates.plain,
        fused_cycles=_own(fused, block),
        plain_cycles=_own(plain, block),
        fused_total=_total(fused),
        plain_total=_total(plain),
        reason=reason,
    )


def _density(values: NDArray[Any]) -> float:
    return float(np.count_nonzero(values)) / values.size


def _survival(
    workload: Workload, block: Block, policy: MaskPolicy, images: Sequence[int]
) -> float | None:
    """Return the product of the shares that the two masks pass, a mean over images.

    None where there are no masks.
    """
    try:
        pairs = [policy.masks(workload, block, image) for image in images]
    except UserError:
        return None
    return sum(_passed(one) * _passed(two) for one, two in pairs) / len(pairs)


def _passed(mask: Mask) -> float:
    """Return the share of activations that survive as they are, not clipped."""
    return (mask.count() - mask.clipped()) / mask.bits


def _own(report: Report | None, block: Block) -> Number | None:
    """Return the cycles of one block; None where the run was not possible."""
    return (
        None
        if report is None
        else sum(layer.cycles for layer in report.layers if layer.block == block.index)
    )


def _total(report: Report | None) -> Number | None:
    return None if report is None else report.total_cycles
