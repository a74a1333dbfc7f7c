"""Non-zero bits of every layer's input, for a synthetic trace.

What blocks read is evaluated: the first layer reads the block's input, the others what the keep
masks leave. What plain layers read is drawn, each bit alone; the network's own input is dense, as
pixels are.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from archonsim.errors import WorkloadError
from archonsim.network.block import Block
from archonsim.network.layer import Layer
from archonsim.network.workload import Workload
from archonsim.trace.algebra import masked, preactivations
from archonsim.trace.digest import workload_digest
from archonsim.trace.mask import Mask
from archonsim.trace.tensors import MemoryTrace
from archonsim.trace.trace_parts import traced_blocks, traced_layers

#: Keeps the draws apart from those of weights and masks of the same seed.
_STREAM = 0x696E


def with_inputs(
    workload: Workload, trace: MemoryTrace, density: float
) -> tuple[Workload, MemoryTrace]:
    """Return a synthetic workload and its trace, with the non-zero bits of each layer's input.

    Parameters
    ----------
    workload : Workload
        From :func:`archonsim.trace.synthetic.synthesize`.
    trace : MemoryTrace
    density : float
        Share of a plain layer's inputs that are not zero.

    Raises
    ------
    WorkloadError
        The density is impossible.
    """
    if not 0 <= density <= 1:
        raise WorkloadError(f"activations is {density}; it must be a share between 0 and 1")
    rng = np.random.default_rng([_STREAM, workload.provenance.seed or 0])
    traced = {block.name for block in traced_blocks(workload, trace.images)}
    first = next(iter(traced_layers(workload)), None)
    inputs: dict[tuple[str, int], Mask] = {}
    for image in range(trace.images):
        for item in workload.items:
            if isinstance(item, Block) and item.name in traced:
                found = _block_inputs(item, trace, image)
            else:
                layers = item.layers if isinstance(item, Block) else (item,)
                found = {
                    layer.name: _drawn(layer, 1.0 if layer is first else density, rng)
                    for layer in layers
                    if layer.is_compute
                }
            inputs |= {(name, image): mask for name, mask in found.items()}
    made = replace(trace, inputs=inputs)
    note = f"{workload.provenance.note}, activation density {density:g}"
    whole = replace(
        workload, trace=made, provenance=replace(workload.provenance, note=note), digest=""
    )
    return replace(whole, digest=workload_digest(whole, made)), made


def _block_inputs(block: Block, trace: MemoryTrace, image: int) -> dict[str, Mask]:
    """Evaluate which inputs of a block's three layers are not zero."""
    one, (first, second, third) = trace.block(block.name, image), block.layers
    tensors = tuple(trace.layer(layer.name) for layer in block.layers)
    pre1, pre2 = preactivations(block, (tensors[0], tensors[1], tensors[2]), one.keep1, one.input)
    middle = masked(pre1, one.keep1, block.clips[0])
    if block.order == "pw-pw-dw":
        middle = middle[list(block.pw2_reads)]
    return {
        first.name: Mask.pack(one.input != 0),
        second.name: Mask.pack(middle != 0),
        third.name: Mask.pack(masked(pre2, one.keep2, block.clips[1]) != 0),
    }


def _drawn(layer: Layer, density: float, rng: np.random.Generator) -> Mask:
    shape = (layer.in_channels, layer.in_h, layer.in_w)
    return Mask.pack(rng.random(shape, np.float32) < density)
