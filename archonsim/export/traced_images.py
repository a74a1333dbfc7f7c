"""Images run through a network: masks and maps of its blocks, and what its layers read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from archonsim.export.agreement import Agreement, answers, own_answers
from archonsim.export.input_bits import input_bits, input_values, units_of
from archonsim.export.predictors.protocol import FittedPair
from archonsim.export.source import Source
from archonsim.export.units import RELU_ENDS, Unit
from archonsim.export.walk import Tap, Walk, trace_block
from archonsim.trace.mask import Mask
from archonsim.trace.tensors import BlockTrace, Floats


@dataclass(frozen=True, slots=True, eq=False)
class Traced:
    """What some images did.

    Attributes
    ----------
    blocks : dict of (block name, image) to BlockTrace
    bits : dict of (layer name, image) to Mask
        Non-zero bits of what layers read.
    maps : dict of (layer name, image) to (C, H, W) float32
        What layers read that stand outside of blocks and before a ReLU.
    agreement : Agreement or None
        Of the network with predictors with itself; None without predictors.
    """

    blocks: dict[tuple[str, int], BlockTrace] = field(default_factory=dict)
    bits: dict[tuple[str, int], Mask] = field(default_factory=dict)
    maps: dict[tuple[str, int], Floats] = field(default_factory=dict)
    agreement: Agreement | None = None


def trace_images(
    source: Source,
    taps: Sequence[Tap],
    pixels: Iterable[Floats],
    pairs: Mapping[str, FittedPair],
    wanted: tuple[Sequence[Unit], Sequence[Unit]],
    on_step: Callable[[str], None],
) -> Traced:
    """Run all images, with predictors where there are `pairs`.

    Parameters
    ----------
    wanted : (sequence of Unit, sequence of Unit)
        Layers of which the non-zero bits, and the values, of what they read are returned.
    """
    units, readers = wanted
    traced = Traced()
    read: list[dict[str, Floats]] = []
    same: list[bool] = []
    within = {layer.name for tap in taps for layer in tap.block.layers}
    plain = [unit for unit in units if unit.name not in within]
    behind = [one for one in readers if one.name not in within and one.activation in RELU_ENDS]
    for number, image in enumerate(pixels):
        walk = Walk(source.graph, source.runner, image[None])

        def keep(some: Sequence[Unit], walk: Walk = walk, number: int = number) -> None:
            found = input_bits(walk, some)
            traced.bits.update({(name, number): mask for name, mask in found.items()})

        for tap in taps:
            pair, own = pairs.get(tap.block.name), units_of(tap, units)
            traced.blocks[tap.block.name, number] = trace_block(walk, tap, pair, partial(keep, own))
            on_step(tap.block.name)
        keep(plain)
        read.append(input_values(walk, behind))
        if pairs:
            wanted_answers = own_answers(source.graph, source.runner, image)
            same.append(answers(source.graph, walk) == wanted_answers)
    names = set.intersection(*map(set, read)) if read else set()
    traced.maps.update(
        {(name, at): one[name] for at, one in enumerate(read) for name in sorted(names)}
    )
    agreement = Agreement(sum(same), len(same)) if same else None
    return Traced(traced.blocks, traced.bits, traced.maps, agreement)
