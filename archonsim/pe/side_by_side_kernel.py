"""Numba kernels: occupancies of four binary digits, a 64-bit word a digit, 64 PEs at a time.

Part of :mod:`archonsim.pe.accumulate_kernel`, whose loops over lanes the compiler turns into vector
instructions once these are put in their place. ``(o0, o1, o2, o3)`` are the digits, the lowest one
first.
"""

from __future__ import annotations

import numpy as np

from archonsim.kernels import njit

#: Digits of an occupancy.
FEW = 4
_NONE, _ONES = np.uint64(0), ~np.uint64(0)


@njit(cache=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def same_in_all(number):  # type: ignore[no-untyped-def]
    """Return the digits of one number in all PEs."""
    return (
        _ONES if number & 1 else _NONE,
        _ONES if number & 2 else _NONE,
        _ONES if number & 4 else _NONE,
        _ONES if number & 8 else _NONE,
    )


@njit(cache=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def less(held, gone):  # type: ignore[no-untyped-def]
    """Take `gone` off, and leave 0 where that is more than there is."""
    o0, o1, o2, o3 = held
    g0, g1, g2, g3 = gone
    b0 = ~o0 & g0
    b1 = (~o1 & (g1 | b0)) | (g1 & b0)
    b2 = (~o2 & (g2 | b1)) | (g2 & b1)
    b3 = (~o3 & (g3 | b2)) | (g3 & b2)
    return (o0 ^ g0) & ~b3, (o1 ^ g1 ^ b0) & ~b3, (o2 ^ g2 ^ b1) & ~b3, (o3 ^ g3 ^ b2) & ~b3


@njit(cache=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def count_of_four(x, y, z, v):  # type: ignore[no-untyped-def]
    """Return three digits of how many of four words have a bit."""
    xy, zv = x & y, z & v
    x, z = x ^ y, z ^ v
    return x ^ z, xy ^ zv ^ (x & z), xy & zv


@njit(cache=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def plus(held, pushed):  # type: ignore[no-untyped-def]
    """Add a number of three digits; the sum has no more than four."""
    o0, o1, o2, o3 = held
    p0, p1, p2 = pushed
    c0 = o0 & p0
    x1, x2 = o1 ^ p1, o2 ^ p2
    c1 = (o1 & p1) | (c0 & x1)
    return o0 ^ p0, x1 ^ c0, x2 ^ c1, o3 ^ ((o2 & p2) | (c1 & x2))


@njit(cache=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def above(held, limit):  # type: ignore[no-untyped-def]
    """Return in which PEs there is more than `limit`."""
    o0, o1, o2, o3 = held
    l0, l1, l2, l3 = limit
    x = o0 & ~l0
    x = (o1 & ~l1) | (x & (o1 | ~l1))
    x = (o2 & ~l2) | (x & (o2 | ~l2))
    return (o3 & ~l3) | (x & (o3 | ~l3))


@njit(cache=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def fullest(occupancy, first, lanes):  # type: ignore[no-untyped-def]
    """Return the largest of all occupancies, whose digits lie `lanes` words apart from `first` on.

    Digit by digit from the highest: where any has one, only those that have it go on.
    """
    d1, d2, d3 = np.uint64(lanes), np.uint64(2 * lanes), np.uint64(3 * lanes)
    f3, f2, f1, f0 = _NONE, _NONE, _NONE, _NONE
    for i in range(lanes):
        f3 |= occupancy[first + d3 + np.uint64(i)]
    m3 = _NONE if f3 else _ONES
    for i in range(lanes):
        t = first + np.uint64(i)
        f2 |= occupancy[t + d2] & (occupancy[t + d3] | m3)
    m2 = _NONE if f2 else _ONES
    for i in range(lanes):
        t = first + np.uint64(i)
        f1 |= occupancy[t + d1] & (occupancy[t + d2] | m2) & (occupancy[t + d3] | m3)
    m1 = _NONE if f1 else _ONES
    for i in range(lanes):
        t = first + np.uint64(i)
        c = (occupancy[t + d1] | m1) & (occupancy[t + d2] | m2) & (occupancy[t + d3] | m3)
        f0 |= occupancy[t] & c
    return (8 if f3 else 0) + (4 if f2 else 0) + (2 if f1 else 0) + (1 if f0 else 0)


@njit(cache=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def ones_in(word):  # type: ignore[no-untyped-def]
    """Return the number of bits of a word."""
    two, four = np.uint64(2), np.uint64(4)
    x = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    x = (x & np.uint64(0x3333333333333333)) + ((x >> two) & np.uint64(0x3333333333333333))
    x = (x + (x >> four)) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((x * np.uint64(0x0101010101010101)) >> np.uint64(56))
