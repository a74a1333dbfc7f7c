"""What the engine asks of a machine: phases made of tiles, tiles that compute in chunks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from archonsim.dataflow.even import share
from archonsim.engine.feed import Feed
from archonsim.engine.program import Program
from archonsim.stats.counts import PhaseStats, Transfer


class RunningTile(Protocol):
    """A tile in the array. Its kernels give exact cycles; it never waits by itself.

    Attributes
    ----------
    queued : int
        Entries in the FIFOs of all PEs after the last chunk so far; 0 where there are no FIFOs.
    """

    @property
    def queued(self) -> int:
        """Entries in FIFOs."""

    def run(self, chunk: int, arrival: int, source: str) -> int:
        """Compute chunk number `chunk`.

        Its stream data have arrived in cycle `arrival`, the last of them from `source`.

        Returns the cycle after the last in which the chunk needed its data.
        """

    def finish(self, stats: PhaseStats) -> int:
        """Add the tile's compute cycles, stalls and counts to `stats`.

        Return the cycle after its last.
        """


class TileData(Protocol):
    """What a piece of a phase moves between two synchronisations with memory.

    Attributes
    ----------
    loads : sequence of Transfer
        Must be complete before the tile starts; fetched while earlier tiles run.
    chunks : sequence of int
        16-bit words that stream in while the tile runs, chunk by chunk; a 0 for a chunk that needs
        none.
    along : sequence of sequences of Transfer
        Read with each chunk of the stream, in time for it; empty if there is nothing to read.
    stores : sequence of Transfer
        Written after the tile, while the next one runs.
    """

    @property
    def loads(self) -> Sequence[Transfer]:
        """Transfers before the tile."""

    @property
    def chunks(self) -> Sequence[int]:
        """Words of each chunk of the stream."""

    @property
    def along(self) -> Sequence[Sequence[Transfer]]:
        """Transfers with each chunk."""

    @property
    def stores(self) -> Sequence[Transfer]:
        """Transfers after the tile."""


class Tile(TileData, Protocol):
    """A tile that has all it needs once its loads and its stream are there."""

    def begin(self, start: int) -> RunningTile:
        """Start the tile in cycle `start`."""


@runtime_checkable
class FedTile(TileData, Protocol):
    """A tile whose PEs fetch operands from on-chip buffers while it runs."""

    def begin_fed(self, start: int, feed: Feed) -> RunningTile:
        """Start the tile in cycle `start`; it reads through `feed`, in the order of its steps."""


def no_bounds(stats: PhaseStats) -> dict[str, int]:
    """Give no bounds: only the work and the cycles that it took are known."""
    return {}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, weakref_slot=True)
class Phase:
    """One phase of a layer or block: tiles that run one after the other.

    Attributes
    ----------
    name : str
        ``predict_pw1``, ``predict_dw``, ``predict_pw2``, ``main`` or ``layer``.
    tiles : sequence of Tile or FedTile
    stream_from : sequence of component names
        Where tile i's stream comes from: ``dram`` or ``glb``.
    bounds : function of the phase's stats
        For explanations: cycles of the array if only a cause and those before it existed, by cause
        (an owner of `archonsim.explain`, in its order). The work itself need not be given; nor what
        the last cause leaves of `compute`, which is the mapping's.
    program : Program or None
        The same tiles for a compiled pass, where their time depends on data; tiles of fixed time
        need none.
    """

    name: str
    tiles: Sequence[Tile | FedTile]
    stream_from: Sequence[str]
    bounds: Callable[[PhaseStats], dict[str, int]] = no_bounds
    program: Program | None = None


class FixedTile:
    """A tile whose compute time does not depend on data.

    Its `accesses` of buffers as wide as the array's edges are counted and take no time.
    """

    def __init__(
        self,
        *,
        cycles: int,
        loads: Sequence[Transfer] = (),
        stores: Sequence[Transfer] = (),
        macs: int = 0,
        adds: int = 0,
        adds_possible: int = 0,
        accesses: Sequence[Transfer] = (),
    ) -> None:
        self.loads = tuple(loads)
        self.stores = tuple(stores)
        self.chunks: tuple[int, ...] = (0,)
        self.along = ()
        self.cycles, self.macs, self.adds, self.adds_possible = cycles, macs, adds, adds_possible
        self.accesses = tuple(accesses)

    def split(self, parts: int) -> list[FixedTile]:
        """Cut the tile into `parts` as evenly as integers allow."""

        def cut(transfers: Sequence[Transfer], part: int) -> list[Transfer]:
            return [replace(one, words=share(one.words, part, parts)) for one in transfers]

        return [
            FixedTile(
                cycles=share(self.cycles, part, parts),
                loads=cut(self.loads, part),
                stores=cut(self.stores, part),
                macs=share(self.macs, part, parts),
                adds=share(self.adds, part, parts),
                adds_possible=share(self.adds_possible, part, parts),
                accesses=cut(self.accesses, part),
            )
            for part in range(parts)
        ]

    def begin(self, start: int) -> RunningTile:
        """Start the tile in cycle `start`."""
        return _RunningFixedTile(self, start)

    def count(self, stats: PhaseStats) -> None:
        """Add what the tile does to a phase's counts."""
        for access in self.accesses:
            stats.move(access)
        stats.compute += self.cycles
        stats.macs += self.macs
        stats.adds += self.adds
        stats.adds_possible += self.adds_possible


class _RunningFixedTile:
    queued = 0

    def __init__(self, tile: FixedTile, start: int) -> None:
        self._tile, self._end = tile, start + tile.cycles

    def run(self, chunk: int, arrival: int, source: str) -> int:
        return self._end

    def finish(self, stats: PhaseStats) -> int:
        self._tile.count(stats)
        return self._end
