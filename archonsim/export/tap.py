"""Running a trained network image by image and writing down what its blocks did."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from archonsim.export.folding import layer_tensors, predictor_tensors, to_floats
from archonsim.export.self_check import check_block, refuse, weighted_deviations
from archonsim.trace.mask import Mask
from archonsim.trace.tensors import BlockTrace, LayerTensors, MemoryTrace, PredictorTensors
from archonsim.zoo.bottleneck import Bottleneck
from archonsim.zoo.network import Network, after_core, core, to_half
from archonsim.zoo.predictor import gate
from archonsim.zoo.unit import ConvUnit, Dense


def _mask(positive: Tensor) -> Mask:
    return Mask.pack(positive[0].cpu().numpy())


@torch.no_grad()
def trace_block(block: Bottleneck, x: Tensor) -> tuple[BlockTrace, Tensor]:
    """Run one block on one image ``(1, C, H, W)``; return its trace and its output."""
    x = to_half(x)
    real1, real2, predicted1, predicted2 = block.wide_maps(x)
    if predicted1 is None or predicted2 is None:
        raise ValueError(f"block {block.block.name} has no predictors")
    last = block.pw2 if block.block.order == "pw-dw-pw" else block.dw
    output = to_half(block.finish(last(gate(real2, predicted2)), x))
    trace = BlockTrace(
        keep1=_mask(predicted1 > 0),
        keep2=_mask(predicted2 > 0),
        true1=_mask(real1 > 0),
        true2=_mask(real2 > 0),
        input=to_floats(x[0]),
        output=to_floats(output[0]),
    )
    return trace, output


def network_layers(network: Network) -> dict[str, LayerTensors]:
    """Return the weights of every layer that has some, by name."""
    return {
        module.layer.name: layer_tensors(module)
        for module in network.modules()
        if isinstance(module, ConvUnit | Dense) and module.layer.is_compute
    }


def network_predictors(network: Network) -> dict[str, tuple[PredictorTensors, PredictorTensors]]:
    """Return the predictors of every block that has some, by name."""
    return {
        block.block.name: (predictor_tensors(block.predictor1), predictor_tensors(block.predictor2))
        for block in network.bottlenecks()
        if block.predictor1 is not None and block.predictor2 is not None
    }


@contextmanager
def _listening(network: Network, bits: dict[str, Mask] | None) -> Iterator[None]:
    """Write down which inputs of layers are not zero, by the layer's name, unless `bits` is None.

    Layers of blocks with predictors, whose masks say it, are not heard.
    """

    def hear(module: nn.Module, given: tuple[Tensor, ...], made: Tensor) -> None:
        assert bits is not None
        assert isinstance(module, ConvUnit | Dense)
        layer = module.layer
        size = layer.in_channels, layer.in_h, layer.in_w
        bits[layer.name] = _mask((given[0] != 0).reshape(1, *size))

    units = [one for one in network.modules() if isinstance(one, ConvUnit | Dense)]
    heard = [one for one in units if one.layer.is_compute and bits is not None]
    hooks = [one.register_forward_hook(hear) for one in heard]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def trace_network(network: Network, images: Tensor, *, activations: bool = False) -> MemoryTrace:
    """Trace a network in evaluation mode, one image at a time.

    Parameters
    ----------
    network : Network
        Maps between blocks are rounded to 16 bits, so that a stored map is exactly what the next
        block read.
    images : (N, C, H, W) float32
        Normalised; N = 0 gives weights alone.
    activations : bool
        Write down which inputs of layers are not zero, outside of blocks with predictors.
    """
    network.eval()
    network.use_half_words()
    blocks: dict[tuple[str, int], BlockTrace] = {}
    inputs: dict[tuple[str, int], Mask] = {}
    for number in range(len(images)):
        x = images[number : number + 1]
        bits: dict[str, Mask] | None = {} if activations else None
        with _listening(network, bits):
            for module in network.items.values():
                block = core(module)
                if block is not None and block.predictor1 is not None:
                    blocks[block.block.name, number], y = trace_block(block, x)
                    x = after_core(module, y, x)
                else:
                    x = module(x)
        inputs |= {(name, number): mask for name, mask in (bits or {}).items()}
    return MemoryTrace(
        layers=network_layers(network),
        predictor_pairs=network_predictors(network),
        blocks=blocks,
        images=len(images),
        inputs=inputs,
    )


@torch.no_grad()
def check_network(network: Network, trace: MemoryTrace, image: Tensor) -> None:
    """Compare what would be stored of a network of ours with what it computes.

    Parameters
    ----------
    image : (1, C, H, W) float32
        Layers that the network runs by themselves are checked on it; blocks with masks, whose
        layers it runs as one, on the first image of `trace`. Noise stands for no image.

    Raises
    ------
    WorkloadError
        A layer or a block does not reproduce the network.
    """
    first = next(network.workload.layers())
    size = (1, first.in_channels, first.in_h, first.in_w)
    image = image if len(image) else torch.randn(size, generator=torch.Generator().manual_seed(0))

    def compare(module: nn.Module, given: tuple[Tensor, ...], made: Tensor) -> None:
        assert isinstance(module, ConvUnit | Dense)
        x, y = to_floats(given[0][0]), to_floats(made[0])
        refuse(list(weighted_deviations(module.layer, layer_tensors(module), x, None, y)))

    units = [one for one in network.modules() if isinstance(one, ConvUnit | Dense)]
    hooks = [one.register_forward_hook(compare) for one in units if one.layer.is_compute]
    try:
        network(image)
    finally:
        for hook in hooks:
            hook.remove()
    for block in network.workload.blocks():
        if (block.name, 0) in trace.blocks:
            one, two, three = (trace.layer(layer.name) for layer in block.layers)
            check_block(block, (one, two, three), trace.block(block.name, 0))
