"""What each layer of a traced network reads: which values are not zero, and the values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from archonsim.export.units import Unit
from archonsim.export.walk import Tap, Walk
from archonsim.trace.mask import Mask
from archonsim.trace.tensors import Floats

#: Values of one image that are computed in one run of the network (own decision).
_TOGETHER = 32
#: A float16 is less.
_LARGEST = 65520


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


def input_values(walk: Walk, units: Iterable[Unit]) -> dict[str, Floats]:
    """Return what layers read, rounded to 16 bits, by the layer's name.

    Parameters
    ----------
    walk : Walk
        Of one image.
    units : iterable of Unit

    Returns
    -------
    values : dict of layer name to (C, H, W) float32
        Without layers that read a negative value, or one that 16 bits cannot hold.
    """
    todo, found = list(units), {}
    for first in range(0, len(todo), _TOGETHER):
        batch = todo[first : first + _TOGETHER]
        for unit, value in zip(batch, walk.values(*(one.source for one in batch)), strict=True):
            shape = (unit.layer.in_channels, unit.layer.in_h, unit.layer.in_w)
            if value.size == int(np.prod(shape)) and 0 <= value.min() <= value.max() < _LARGEST:
                found[unit.name] = value.reshape(shape).astype(np.float16).astype(np.float32)
    return found
