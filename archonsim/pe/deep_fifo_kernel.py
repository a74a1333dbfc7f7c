"""Numba kernel: push a beat to FIFOs of more than a few entries, digit by digit.

Part of :mod:`archonsim.pe.accumulate_kernel`, for occupancies of any number of digits.
"""

from __future__ import annotations

import numpy as np

from archonsim.kernels import njit


@njit(cache=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def deep_push(table, column, beat, when, bounds, fifos, pushed):  # type: ignore[no-untyped-def]
    """Push a beat as :func:`archonsim.pe.accumulate_kernel.send` does, for any number of planes.

    Return the fullest FIFO's entries; -1 where none holds more than ``bounds[0]``. `pushed` is a
    word for each plane.
    """
    begin, end, lane = beat
    occupancy, side, since, some, alive = fifos
    limit, depth = bounds
    count, planes, words = len(side), len(pushed), len(some)
    over = np.uint64(0)
    touched = min(end - begin, count)
    for w in range(words):
        at = lane
        for first in range(begin, begin + touched):
            pushed[:] = 0
            for i in range(first, end, count):
                carry = table[column[i] * words + w]
                some[w] |= carry
                for p in range(planes):
                    plane = pushed[p]
                    pushed[p] = plane ^ carry
                    carry &= plane
            base = 2 * planes * (w * count + at)
            old, new = base + side[at] * planes, base + (1 - side[at]) * planes
            # Take `gone` off, and leave 0 where that is more than there is.
            gone = min(when - since[at], depth)
            borrow = np.uint64(0)
            for p in range(planes):
                digit = ~np.uint64(0) if (gone >> p) & 1 else np.uint64(0)
                plane = occupancy[old + p]
                occupancy[new + p] = plane ^ digit ^ borrow
                borrow = (~plane & (digit | borrow)) | (digit & borrow)
            carry, greater = np.uint64(0), np.uint64(0)
            for p in range(planes):
                a, b = occupancy[new + p] & ~borrow, pushed[p]
                plane = a ^ b ^ carry
                occupancy[new + p] = plane
                carry = (a & b) | (carry & (a ^ b))
                bound = np.uint64(0) if (limit >> p) & 1 else ~np.uint64(0)
                greater = (plane & bound) | (greater & (plane | bound))
            over |= greater
            at = at + 1 if at + 1 < count else 0
    if not over:
        return -1
    alive[:] = ~np.uint64(0)
    fullest = 0
    for p in range(planes - 1, -1, -1):
        found = np.uint64(0)
        # Look for the digit; where there is one, go on with those that have it.
        for keep in range(2):
            for i in range(words * touched):
                at = lane + i % touched
                at -= count if at >= count else 0
                place = (2 * (i // touched * count + at) + 1 - side[at]) * planes + p
                if keep:
                    alive[i] &= occupancy[place]
                else:
                    found |= occupancy[place] & alive[i]
            if not found:
                break
        if found:
            fullest |= 1 << p
    return fullest
