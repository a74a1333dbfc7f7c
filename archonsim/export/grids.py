"""Arithmetic of 8-bit networks as the reference kernels of LiteRT (TensorFlow Lite) define it.

A value is ``scale * (q - zero)`` with an integer q of 8 bits. Sums are exact; a layer's sum becomes
an integer of its output by a fixed-point factor of 31 bits and a shift, rounded twice: after the
product and after the shift. All of it is integer arithmetic, so the same on every machine. Source:
``tensorflow/lite/kernels/internal`` (common.h, quantization_util.cc, reference/integer_ops).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from archonsim.trace.tensors import Floats

Whole = NDArray[np.int64]
#: Bits by which the terms of a sum are shifted before they are scaled, for accuracy.
_SUM_SHIFT: Final = 20
#: Of the places between pixels that a resized map takes its values from.
_PLACE_BITS: Final = 10
#: No integer of the runtime, of 32 bits, is larger; what is, becomes it.
_WIDE: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Grid:
    """The values that an 8-bit tensor can take.

    Attributes
    ----------
    scale : float
        A float32 number.
    zero : int
        The integer that stands for 0.
    low, high : int
        Smallest and largest integer of the type.
    """

    scale: float
    zero: int
    low: int
    high: int

    def steps(self, x: Floats) -> Whole:
        """Return ``q - zero`` of values on the grid, or beyond its ends; others are rounded."""
        whole: Whole = np.rint(x / np.float64(self.scale)).clip(-_WIDE, _WIDE).astype(np.int64)
        return whole

    def real(self, q: Whole) -> Floats:
        """Return the values of integers."""
        values: Floats = (np.float64(self.scale) * (q - self.zero)).astype(np.float32)
        return values

    def quantise(self, x: Floats) -> Whole:
        """Round values to integers, halves away from 0; what no type holds becomes its limit."""
        whole = _away(x / np.float64(self.scale)) + self.zero
        return np.nan_to_num(whole, nan=self.zero).clip(-_WIDE, _WIDE).astype(np.int64)

    def limits(self, activation: str) -> tuple[int, int]:
        """Return the smallest and largest integer behind an activation."""
        low, high = self.low, self.high
        if activation in ("relu", "relu6"):
            low = max(low, self.zero)
        if activation == "relu6":
            high = min(high, self.zero + int(_away(np.float32(6) / np.float32(self.scale))))
        return low, high


def _away(x: Any) -> NDArray[np.float64]:
    """Round halves away from 0."""
    sizes = np.abs(np.asarray(x, np.float64))
    whole = np.floor(sizes)
    whole += sizes - whole >= 0.5
    rounded: NDArray[np.float64] = np.copysign(whole, x)
    return rounded


@dataclass(frozen=True, slots=True, eq=False)
class Factor:
    """Factors as integers of 31 bits and shifts, one or one for each channel.

    Attributes
    ----------
    whole, shift : integers
        The factor is ``whole * 2 ** (shift - 31)``.
    """

    whole: Whole
    shift: Whole

    @classmethod
    def of(cls, factor: Any) -> Factor:
        """Return the nearest ones to numbers."""
        pairs = [_fixed(float(one)) for one in np.atleast_1d(np.asarray(factor, np.float64))]
        whole, shift = np.array(pairs, np.int64).T
        return cls(whole, shift)

    def over(self, count: int) -> Factor:
        """Return the factor divided by a count, as the runtime does for averages."""
        places = np.minimum(min(max(1, count).bit_length() - 1, 32), 31 + self.shift)
        return Factor((self.whole << places) // max(1, count), self.shift - places)

    def times(self, x: Whole, axis: int | None = None) -> Whole:
        """Multiply integers, rounding twice; `axis` is that of the channels."""
        shape = [1] * x.ndim
        if axis is not None:
            shape[axis] = -1
        whole, shift = (
            one.reshape(shape) if axis is not None else one[0] for one in (self.whole, self.shift)
        )
        left, right = np.maximum(shift, 0), np.maximum(-shift, 0)
        product = (x << left).clip(-_WIDE, _WIDE) * whole
        product += np.where(product >= 0, 1 << 30, 1 - (1 << 30))
        high = np.where(product >= 0, product >> 31, -((-product) >> 31))
        return _shifted(high, right)


def _shifted(x: Whole, places: Whole) -> Whole:
    """Divide by a power of 2, halves away from 0."""
    mask = (np.int64(1) << places) - 1
    behind: Whole = (x >> places) + ((x & mask) > (mask >> 1) + (x < 0))
    return behind


def _fixed(factor: float) -> tuple[int, int]:
    share, shift = math.frexp(abs(factor))
    whole = math.floor(share * 2**31 + 0.5)
    if whole == 2**31:
        whole, shift = whole // 2, shift + 1
    whole = -whole if factor < 0 else whole
    return (0, 0) if shift < -31 else (whole, min(shift, 30))


def added(terms: tuple[Whole, Whole], grids: tuple[Grid, Grid], out: Grid, sign: int = 1) -> Whole:
    """Return the sum, or with `sign` -1 the difference, of ``q - zero`` of two tensors."""
    twice = 2.0 * max(grids[0].scale, grids[1].scale)
    one, two = (
        Factor.of(grid.scale / twice).times(term << _SUM_SHIFT)
        for term, grid in zip(terms, grids, strict=True)
    )
    total = one + sign * two
    return Factor.of(twice / ((1 << _SUM_SHIFT) * out.scale)).times(total) + out.zero


def multiplied(terms: tuple[Whole, Whole], grids: tuple[Grid, Grid], out: Grid) -> Whole:
    """Return the product of ``q - zero`` of two tensors."""
    factor = np.float32(grids[0].scale) * np.float32(grids[1].scale) / np.float32(out.scale)
    return Factor.of(factor).times(terms[0] * terms[1]) + out.zero


def interpolated(q: Whole, size: tuple[int, int], *, half_pixel: bool, corners: bool) -> Whole:
    """Resize integers of shape (1, C, H, W) between four pixels, places in 1/1024 of a pixel."""
    one = 1 << _PLACE_BITS
    total = np.asarray(q, np.int64)
    for axis, want in zip((2, 3), size, strict=True):
        have = q.shape[axis]
        last, steps = (have - 1, want - 1) if corners and want > 1 else (have, want)
        step = (one * last + steps // 2) // steps
        places = np.arange(want) * step + (step // 2 - one // 2 if half_pixel else 0)
        low = np.maximum(places, 0) // one
        high = np.minimum((np.maximum(places, 0) + one - 1) // one, have - 1)
        share = (places - one * low).reshape((1, 1, -1, 1) if axis == 2 else (1, 1, 1, -1))
        total = total.take(low, axis) * (one - share) + total.take(high, axis) * share
    return divided(total, one * one)


def divided(total: Whole, count: Whole | int) -> Whole:
    """Divide sums by counts, halves away from 0."""
    half = np.asarray(count) // 2
    sizes = (np.abs(total) + half) // count
    rounded: Whole = np.where(total > 0, sizes, -sizes)
    return rounded
