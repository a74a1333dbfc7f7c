"""Cutting whole numbers as evenly as integers allow; nothing is lost or rounded up."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def edge(total: int, part: int, parts: int) -> int:
    """Return where part `part` of `total` begins, which is where the part before it ends."""
    return total * part // parts


def share(total: int, part: int, parts: int) -> int:
    """Return what part `part` of `parts` gets of `total`."""
    return edge(total, part + 1, parts) - edge(total, part, parts)


def shares(total: int | NDArray[np.int64], parts: int) -> NDArray[np.int64]:
    """Cut each number into `parts`.

    Parameters
    ----------
    total : int or (...) int64
    parts : int

    Returns
    -------
    (..., parts) int64
        Each row adds up to its number.
    """
    edges = np.asarray(total, np.int64)[..., None] * np.arange(parts + 1, dtype=np.int64) // parts
    return np.diff(edges, axis=-1)
