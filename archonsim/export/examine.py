"""What is found in a traced network: its layers, the blocks that fuse, and why others do not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from archonsim.export.blocks import Candidate, find_blocks
from archonsim.export.images import Images
from archonsim.export.polyphase import in_phases
from archonsim.export.prune import PrunedRunner, Pruning, prune
from archonsim.export.source import Source
from archonsim.export.units import Unit, find_layers
from archonsim.export.walk import Tap, clipped_shares
from archonsim.network.layer import Layer
from archonsim.network.workload import Item


@dataclass(frozen=True, slots=True, eq=False)
class Examined:
    """A network and what was found in it.

    Attributes
    ----------
    source : Source
    layers : dict of node name to Unit or Layer
    candidates : list of Candidate
    """

    source: Source
    layers: dict[str, Unit | Layer]
    candidates: list[Candidate]

    def items(self) -> tuple[tuple[Item, ...], tuple[Tap, ...]]:
        """Return layers and blocks in order, blocks numbered from 1, and the blocks' taps."""
        fusable = {one.units[0].name: one for one in self.candidates if one.fusable}
        absorbed = {name for one in fusable.values() for name in one.absorbed}
        inner = {unit.name for one in fusable.values() for unit in one.units}
        items: list[Item] = []
        taps: list[Tap] = []
        for node, found in self.layers.items():
            layer = found.layer if isinstance(found, Unit) else found
            if layer.name in fusable:
                taps.append(Tap.of(fusable[layer.name], fusable[layer.name].block(len(taps) + 1)))
                items.append(taps[-1].block)
            elif layer.name not in inner and node not in absorbed:
                items.append(layer)
        return tuple(items), tuple(taps)


def examine(
    source: Source,
    images: Images | None = None,
    *,
    pruning: Pruning | None = None,
    calibration: Images | None = None,
    on_step: Callable[[str], None] = lambda name: None,
) -> Examined:
    """Find layers and blocks.

    Parameters
    ----------
    images : Images, optional
        Where a ReLU6 or its like clips on any of them, its masks say which activations it does.
    pruning : Pruning, optional
        Prune layers first; the network that is examined, run and exported is the pruned one.
    calibration : Images, optional
        What its normalisations are estimated on.
    on_step : function of a name
        Called for each layer that was pruned.
    """
    pruned: list[Unit] = []
    if pruning is not None:
        source, pruned = _pruned(source, pruning, calibration, on_step)
    source = in_phases(source)
    by_name = {unit.name: unit for unit in pruned}
    layers = {
        node: by_name.get(found.name, found) for node, found in find_layers(source.graph).items()
    }
    candidates = find_blocks(source.graph, layers)
    clipping = [one for one in candidates if one.may_clip]
    if images is None or not clipping or not len(images):
        return Examined(source, layers, candidates)
    measured = dict(
        zip(
            map(id, clipping),
            clipped_shares(source.graph, source.runner, images.pixels, clipping),
            strict=True,
        )
    )
    whole = [replace(one, clipped=measured.get(id(one))) for one in candidates]
    return Examined(source, layers, whole)


def _pruned(
    source: Source,
    pruning: Pruning,
    calibration: Images | None,
    on_step: Callable[[str], None],
) -> tuple[Source, list[Unit]]:
    """Prune layers; dilated and transposed convolutions, which are none yet, stay as they are."""
    units = [unit for unit in find_layers(source.graph).values() if isinstance(unit, Unit)]
    pixels = calibration.pixels if calibration is not None else np.zeros(0, np.float32)
    made = prune(source.graph, source.runner, units, pruning, pixels, on_step)
    return replace(source, runner=PrunedRunner(source.graph, source.runner, made)), made
