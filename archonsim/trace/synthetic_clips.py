"""Clipped activations, a ReLU6's say, for a synthetic trace: drawn, each alone, like its masks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from archonsim.errors import WorkloadError
from archonsim.network.workload import Workload
from archonsim.trace.digest import workload_digest
from archonsim.trace.mask import Mask
from archonsim.trace.synthetic import evaluate, with_ends
from archonsim.trace.tensors import BlockTrace, Floats, MemoryTrace
from archonsim.trace.trace_parts import traced_blocks

#: Upper end of the ReLUs: a ReLU6's.
END = 6.0
#: Keeps the draws apart from those of weights and masks of the same seed.
_STREAM = 0x636C


def with_clips(
    workload: Workload, trace: MemoryTrace, share: float
) -> tuple[Workload, MemoryTrace]:
    """Return a synthetic workload and its trace with masks of three values.

    The same activations are clipped by predicted and true masks, where these keep them; maps are
    evaluated anew.

    Parameters
    ----------
    workload : Workload
        From :func:`archonsim.trace.synthetic.synthesize`.
    trace : MemoryTrace
        Without the non-zero bits of inputs, which follow from the masks.
    share : float
        Share of the kept activations that are clipped.

    Raises
    ------
    WorkloadError
        The share is impossible.
    """
    if not 0 <= share <= 1:
        raise WorkloadError(f"clipped is {share}; it must be a share between 0 and 1")
    ended = with_ends(workload, END)
    rng = np.random.default_rng([_STREAM, workload.provenance.seed or 0])
    blocks: dict[tuple[str, int], BlockTrace] = {}
    for image in range(trace.images):
        made: Floats | None = None
        for block in traced_blocks(ended, trace.images):
            one = trace.block(block.name, image)
            x = one.input if made is None or made.shape != block.input_shape else made
            masks = _clipped((one.keep1, one.keep2, one.true1, one.true2), share, rng)
            blocks[block.name, image] = evaluate(block, trace.layers, masks, x)
            made = blocks[block.name, image].output
    whole = replace(trace, blocks=blocks)
    note = f"{workload.provenance.note}, clipped {share:g}"
    about = replace(workload.provenance, note=note)
    ended = replace(ended, trace=whole, provenance=about, digest="")
    return replace(ended, digest=workload_digest(ended, whole)), whole


def _clipped(
    masks: tuple[Mask, Mask, Mask, Mask], share: float, rng: np.random.Generator
) -> tuple[Mask, Mask, Mask, Mask]:
    first, second = (
        rng.random((mask.channels, mask.height, mask.width), np.float32) < share
        for mask in masks[:2]
    )
    one, two, true1, true2 = (
        Mask.pack(mask.unpack().astype(bool), clip)
        for mask, clip in zip(masks, (first, second) * 2, strict=True)
    )
    return one, two, true1, true2
