"""Which values each layer of a traced network reads and are not zero."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from archonsim.export.units import Unit
from archonsim.export.walk import Tap, Walk
from archonsim.trace.mask import Mask

#: Values of one image that are computed in one run of the network (own decision).
_TOGETHER = 32


def input_bits(walk: Walk, units: Iterable[Unit]) -> dict[str, Mask]:
    """Return the non-zero bits of what layers read, by the layer's name.

    Parameters
    ----------
    walk : Walk
        Of one image; masks that stand in a ReLU's place are in it.
    units : iterable of Unit

    Returns
    -------
    bits : dict of layer name to Mask (C, H, W)
        Without layers that read a value of another size than their input has.
    """
    todo, found = list(units), {}
    for first in range(0, len(todo), _TOGETHER):
        batch = todo[first : first + _TOGETHER]
        for unit, value in zip(batch, walk.values(*(one.source for one in batch)), strict=True):
            shape = (unit.layer.in_channels, unit.layer.in_h, unit.layer.in_w)
            if value.size == int(np.prod(shape)):
                found[unit.name] = Mask.pack(value.reshape(shape) != 0)
    return found


def units_of(tap: Tap, units: Sequence[Unit]) -> list[Unit]:
    """Return the units of a block's layers."""
    names = {layer.name for layer in tap.block.layers}
    return [unit for unit in units if unit.name in names]
