"""A storage hierarchy: what a loop nest runs on, outermost level first."""

from __future__ import annotations

import math
from dataclasses import dataclass

from archonsim.dataflow.problem import KINDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """One level.

    Attributes
    ----------
    name : str
        ``dram``, ``glb``, ``ifmap_spad``, ...
    keeps : tuple of {"weight", "input", "output"}
        Data kinds that live here; the others pass by. A level that keeps nothing only places loops.
    words : int or None
        16-bit words of one instance; None for no limit.
    block_words : int
        Words of one access.
    access_pj : float
        Energy of one access of a block, read or write.
    read_words_per_cycle, write_words_per_cycle : int or None
        Ports of one instance; None for no limit.
    """

    name: str
    keeps: tuple[str, ...] = ()
    words: int | None = None
    block_words: int = 1
    access_pj: float = 0.0
    read_words_per_cycle: int | None = None
    write_words_per_cycle: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hierarchy:
    """Levels, the array that spatial loops may fill, and the energy of a MAC.

    Attributes
    ----------
    levels : tuple of Storage
        Outermost first.
    cols, rows : int
        PEs along the axes X and Y.
    mac_pj : float
    """

    levels: tuple[Storage, ...]
    cols: int
    rows: int
    mac_pj: float = 0.0

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the levels, outermost first."""
        return tuple(level.name for level in self.levels)

    @property
    def pes(self) -> int:
        """PEs of the array."""
        return math.prod((self.cols, self.rows))

    def keepers(self, kind: str) -> list[int]:
        """Levels that keep a data kind, outermost first."""
        if kind not in KINDS:
            raise ValueError(f"{kind!r} is no data kind; known: {', '.join(KINDS)}")
        return [at for at, level in enumerate(self.levels) if kind in level.keeps]
