"""Seeded masks and pruned weights of given densities.

For studies and tests, and labelled synthetic.

The masks are drawn, not predicted; everything else is evaluated for real, so that a fused and an
unfused evaluation of a block must agree on its output. Weights and maps are rounded to float16, as
exported networks are.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from archonsim.errors import WorkloadError
from archonsim.network.block import Block
from archonsim.network.layer import Layer
from archonsim.network.workload import Provenance, Workload
from archonsim.trace.algebra import branch_output, joined, preactivations
from archonsim.trace.digest import workload_digest
from archonsim.trace.mask import Mask
from archonsim.trace.tensors import BlockTrace, Floats, LayerTensors, MemoryTrace, PredictorTensors
from archonsim.trace.trace_parts import traced_blocks, traced_layers
from archonsim.version import __version__

Tensors = dict[str, LayerTensors]


def synthesize(
    workload: Workload,
    *,
    seed: int,
    density1: float = 0.5,
    density2: float = 0.5,
    weight_density: tuple[float, float, float] = (0.2, 0.3, 0.2),
    images: int = 1,
    spatial: int = 0,
    agreement: float = 0.9,
) -> tuple[Workload, MemoryTrace]:
    """Give a workload synthetic weights, masks and maps.

    Parameters
    ----------
    workload : Workload
        Only its shapes are used.
    seed : int
        Equal arguments give equal content.
    density1, density2 : float
        Share of activations that keep1 and keep2 keep.
    weight_density : (PW1, DW, PW2)
        Share of weights that are not zero in the blocks; other layers stay dense.
    images : int
    spatial : int
        Masks are correlated over this many pixels on either side; 0 draws each bit alone.
    agreement : float
        Share of bits in which the true masks equal the predicted ones.

    Returns
    -------
    (Workload, MemoryTrace)
        The workload with the trace attached, and the trace.

    Raises
    ------
    WorkloadError
        A density or a number is impossible.
    """
    _check_arguments(
        density1, density2, agreement, weight_density, images=images, spatial=spatial, seed=seed
    )
    workload = with_ends(workload, 0.0)
    rng = np.random.default_rng(seed)
    layers = _all_tensors(workload, weight_density, rng)
    blocks: dict[tuple[str, int], BlockTrace] = {}
    for image in range(images):
        made: Floats | None = None
        for block in traced_blocks(workload, images):
            if made is None or made.shape != block.input_shape:
                made = _half(rng.standard_normal(block.input_shape))
            masks = _draw_masks(block, (density1, density2), spatial, agreement, rng)
            if image == 0:
                layers |= _normalised(block, layers, masks, made)
            blocks[block.name, image] = evaluate(block, layers, masks, made)
            made = blocks[block.name, image].output
    pairs = {block.name: _predictors(block, layers) for block in traced_blocks(workload, images)}
    memory = MemoryTrace(layers=layers, predictor_pairs=pairs, blocks=blocks, images=images)
    note = (
        f"synthetic: mask densities {density1:g} and {density2:g}, spatial {spatial}, agreement"
        f" {agreement:g}"
    )
    made_up = replace(
        workload, provenance=_synthetic(workload.provenance, seed, note), trace=memory
    )
    return replace(made_up, digest=workload_digest(made_up, memory)), memory


def _check_arguments(
    density1: float,
    density2: float,
    agreement: float,
    weight_density: tuple[float, float, float],
    **numbers: int,
) -> None:
    shares = {"density1": density1, "density2": density2, "agreement": agreement}
    shares |= {f"weight_density[{place}]": value for place, value in enumerate(weight_density)}
    for name, value in shares.items():
        if not 0 <= value <= 1:
            raise WorkloadError(f"{name} is {value}; it must be a share between 0 and 1")
    for name, number in numbers.items():
        least = 1 if name == "images" else 0
        if number < least:
            raise WorkloadError(f"{name} is {number}; it must be at least {least}")


def _synthetic(origin: Provenance, seed: int, note: str) -> Provenance:
    return Provenance(
        network=origin.network,
        dataset=origin.dataset,
        flavour="pred",
        mask_source="synthetic",
        created_by=f"archonsim {__version__}",
        seed=seed,
        note=note,
    )


def _half(values: NDArray[np.floating]) -> Floats:
    return values.astype(np.float16).astype(np.float32)


def _pruned(shape: tuple[int, ...], density: float, rng: np.random.Generator) -> Floats:
    """Draw normal weights and zero the smallest, as magnitude pruning does."""
    weight = rng.standard_normal(shape)
    size = np.abs(weight)
    zeros = round(weight.size * (1 - density))
    if zeros == weight.size:
        return np.zeros(shape, np.float32)
    return _half(np.where(size >= np.partition(size, zeros, axis=None)[zeros], weight, 0))


def _all_tensors(
    workload: Workload, densities: tuple[float, float, float], rng: np.random.Generator
) -> Tensors:
    share: dict[str, float] = {}
    for block in workload.blocks():
        share |= {
            block.pw1.name: densities[0],
            block.dw.name: densities[1],
            block.pw2.name: densities[2],
        }
    return {
        layer.name: _tensors(layer, share.get(layer.name, 1.0), rng)
        for layer in traced_layers(workload)
    }


def _tensors(layer: Layer, density: float, rng: np.random.Generator) -> LayerTensors:
    weight = _pruned(layer.weight_shape, density, rng)
    inputs = max(1.0, density * weight[0].size)
    scale = np.full(layer.out_channels, inputs**-0.5)
    return LayerTensors(
        weight=weight,
        scale=_half(scale),
        shift=_half(0.1 * rng.standard_normal(layer.out_channels)),
    )


def _draw(
    layer: Layer, density: float, spatial: int, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Draw keep bits (M, H, W).

    The `density` share of largest values in a map of noise, smoothed over neighbours.
    """
    shape = (layer.out_channels, layer.out_h, layer.out_w)
    noise = rng.random(shape, np.float32)
    for axis in (1, 2):
        reach = min(spatial, (shape[axis] - 1) // 2)
        noise = sum(
            (np.roll(noise, step, axis) for step in range(-reach, reach + 1)), np.zeros_like(noise)
        )
    dropped = round(noise.size * (1 - density))
    if dropped == noise.size:
        return np.zeros(shape, np.bool_)
    keep: NDArray[np.bool_] = noise >= np.partition(noise, dropped, axis=None)[dropped]
    return keep


def _draw_masks(
    block: Block,
    densities: tuple[float, float],
    spatial: int,
    agreement: float,
    rng: np.random.Generator,
) -> tuple[Mask, Mask, Mask, Mask]:
    """Draw keep1, keep2, true1, true2."""
    keeps = [
        _draw(layer, density, spatial, rng)
        for layer, density in zip(block.layers, densities, strict=False)
    ]
    trues = [keep ^ (rng.random(keep.shape, np.float32) >= agreement) for keep in keeps]
    return Mask.pack(keeps[0]), Mask.pack(keeps[1]), Mask.pack(trues[0]), Mask.pack(trues[1])


def with_ends(workload: Workload, end: float) -> Workload:
    """Return a workload whose predicted blocks have ReLUs of this upper end, 0 for none."""
    items = (
        replace(item, clips=(end, end)) if isinstance(item, Block) and item.predicted else item
        for item in workload.items
    )
    return replace(workload, items=tuple(items))


def _of_block(block: Block, layers: Tensors) -> tuple[LayerTensors, LayerTensors, LayerTensors]:
    first, second, third = (layers[layer.name] for layer in block.layers)
    return first, second, third


def _branch(
    block: Block, layers: Tensors, masks: tuple[Mask, Mask, Mask, Mask], x: Floats
) -> Floats:
    tensors = _of_block(block, layers)
    _, pre2 = preactivations(block, tensors, masks[0], x)
    return branch_output(block, tensors[2], pre2, masks[1])


def _normalised(
    block: Block, layers: Tensors, masks: tuple[Mask, Mask, Mask, Mask], x: Floats
) -> Tensors:
    """Scale the last layer's tensors so that the block's output has a variance near 1.

    Outputs of trained networks have it, too.
    """
    last = block.layers[-1].name
    spread = float(_branch(block, layers, masks, x).std())
    factor = 1 / spread if spread > 0 else 1.0
    return {
        last: replace(
            layers[last], scale=_half(layers[last].scale * factor), shift=layers[last].shift
        )
    }


def evaluate(
    block: Block, layers: Tensors, masks: tuple[Mask, Mask, Mask, Mask], x: Floats
) -> BlockTrace:
    """Return what a block does under masks (keep1, keep2, true1, true2)."""
    output = _half(joined(block, _branch(block, layers, masks, x), x))
    return BlockTrace(
        keep1=masks[0], keep2=masks[1], true1=masks[2], true2=masks[3], input=x, output=output
    )


def _predictors(block: Block, layers: Tensors) -> tuple[PredictorTensors, PredictorTensors]:
    """Return the signs of the weights as predictors.

    They did not decide the masks, which were drawn.
    """
    tensors = _of_block(block, layers)[:2]
    first, second = (
        PredictorTensors(
            ternary=np.sign(one.weight).astype(np.int8), scale=one.scale, shift=one.shift, step=0.8
        )
        for one in tensors
    )
    return first, second
