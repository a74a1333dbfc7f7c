"""Which blocks to fuse: those that fusing makes faster, decided before a run.

The closed form of ``advise`` errs in favour of fusing: on the shipped traces it says 29 to 75 % of
what is simulated for a fused block, and 73 to 99 % for its plain layers (docs/advise.md). Where
fusing loses by the closed form even so, or wins by it whatever the error, that decides; only the
blocks between are simulated both ways.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from archonsim.errors import SpecError
from archonsim.explain.advise import advise, estimates, with_block
from archonsim.machines.protocol import Forecasting, Fusing, Machine
from archonsim.machines.registry import fusing_names
from archonsim.network.workload import Workload
from archonsim.result.forecast import BASE_BYTES, bytes_text
from archonsim.result.wording import number
from archonsim.trace.what_if import MaskPolicy, no_masks
from archonsim.tracefile.find import choose_images

#: Least and largest share of the simulated cycles that the closed form says (measured).
FUSED_SHARE, PLAIN_SHARE = (0.29, 0.75), (0.73, 0.99)


@dataclass(frozen=True, slots=True)
class FuseChoice:
    """What is decided of one block.

    Attributes
    ----------
    block : str
    fused : bool
    reason : str
    """

    block: str
    fused: bool
    reason: str


def _by_forecast(block: str, fused: float, plain: float) -> FuseChoice | None:
    """Decide by the closed form; None where its error leaves it open."""
    counted = f"about {number(round(fused))} cycles fused, {number(round(plain))} plain"
    if fused / FUSED_SHARE[1] > plain / PLAIN_SHARE[0]:
        return FuseChoice(block, False, counted)
    if fused / FUSED_SHARE[0] < plain / PLAIN_SHARE[1]:
        return FuseChoice(block, True, counted)
    return None


def _simulated(
    work: Workload,
    machine: Machine,
    spec: Any,
    asked: tuple[Sequence[int], MaskPolicy],
    blocks: Sequence[str],
    on_step: Callable[[str], None],
) -> list[FuseChoice]:
    images, policy = asked
    advice = advise(
        work, machine, spec, images=images, masks=policy, blocks=blocks, on_step=on_step
    )
    found = []
    for one in advice.blocks:
        fused, plain = one.fused_total, one.plain_total
        if fused is None or plain is None:
            found.append(FuseChoice(one.block, fused is not None, one.reason))
            continue
        counted = f"the network takes {number(fused)} cycles with it fused, {number(plain)} plain"
        found.append(FuseChoice(one.block, fused < plain, f"{counted}, simulated"))
    return found


def choose_fused(
    workload: Workload,
    machine: Machine,
    spec: Any,
    *,
    images: Sequence[int] | None = (0,),
    masks: MaskPolicy | None = None,
    budget: int | None = None,
    on_step: Callable[[str], None] = lambda name: None,
) -> tuple[Workload, list[FuseChoice]]:
    """Run as plain layers what fusing makes slower.

    Parameters
    ----------
    workload : Workload
        With weights and masks.
    machine : Machine
    spec : the machine's `spec_type`
    images, masks : as of :func:`archonsim.runs.simulate.simulate`
    budget : int or None
        Bytes; a block whose fused weights do not fit runs as plain layers, too.
    on_step : function of a block's name
        Called after each simulation that a decision needs.

    Returns
    -------
    workload : Workload
        Those blocks unfused.
    choices : list of FuseChoice
        Of all blocks with predictors, in order.

    Raises
    ------
    SpecError
        The machine does not fuse.
    MaskError
        The workload has no masks.
    """
    if not isinstance(machine, Fusing):
        raise SpecError(
            f"--fuse advised: architecture {machine.name!r} fuses no blocks; it is for"
            f" {' or '.join(fusing_names())}"
        )
    if workload.trace is None:
        raise no_masks(workload)
    policy, numbers = masks or MaskPolicy(), choose_images(workload, images)
    works = machine.forecast(workload, spec) if isinstance(machine, Forecasting) else []
    bytes_of = {one.name: BASE_BYTES + one.peak_bytes for one in works}
    decided: dict[str, FuseChoice | None] = {}
    for block in workload.blocks():
        if not block.predicted:
            continue
        if budget is not None and bytes_of.get(block.name, 0) > budget:
            counted = f"fused, it takes about {bytes_text(bytes_of[block.name])} of memory"
            decided[block.name] = FuseChoice(block.name, False, counted)
            continue
        found = estimates(workload, block, (machine, spec), policy, numbers)
        assert found.fused is not None  # there are masks
        decided[block.name] = _by_forecast(block.name, found.fused, found.plain)
    work = workload
    for name, choice in decided.items():
        if choice is not None and not choice.fused:
            work = with_block(work, name, fused=False)
    open_ones = [name for name, choice in decided.items() if choice is None]
    if open_ones:
        asked = (numbers, policy)
        for one in _simulated(work, machine, spec, asked, open_ones, on_step):
            decided[one.block] = one
            work = with_block(work, one.block, fused=one.fused)
    return replace(work), [choice for choice in decided.values() if choice is not None]
