"""ICS'21's measured non-zero weights and published cycles (``archonsim/data/sparse``)."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from archonsim.errors import SpecError

_FOLDER = resources.files("archonsim") / "data" / "sparse"


@dataclass(frozen=True, slots=True)
class PublishedLayer:
    """One pruned layer, all groups together.

    Attributes
    ----------
    cycles : int
        With a barrier after every pass.
    macs : int or None
        Multiplications; None where only the density is published.
    matrix : str or None
        Name of the measured matrix; None where there are only the cycles.
    """

    cycles: int
    macs: int | None = None
    matrix: str | None = None


@cache
def _table() -> dict[str, dict[str, PublishedLayer]]:
    tree = tomllib.loads((_FOLDER / "ics21.toml").read_text("utf-8"))
    return {
        network: {name: PublishedLayer(**layer) for name, layer in layers.items()}
        for network, layers in tree.items()
    }


def published_layers(network: str) -> dict[str, PublishedLayer]:
    """Return a network's pruned layers by name; its other layers ran dense.

    Raises
    ------
    SpecError
        The authors measured no such network.
    """
    if network not in _table():
        known = ", ".join(_table())
        raise SpecError(
            f"nnz is 'ics21', and workload {network!r} is none of the networks that were measured:"
            f" {known}"
        )
    return _table()[network]


def measured_work(matrix: str) -> NDArray[np.int32]:
    """Return the non-zero weights of each PE and pass, for one group of a layer.

    Returns
    -------
    work : (PEs, passes) int32
    """
    with (_FOLDER / "ics21.npz").open("rb") as file, np.load(file) as matrices:
        work: NDArray[np.int32] = matrices[matrix].astype(np.int32)
    return work
