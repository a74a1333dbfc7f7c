"""Parts that machines are composed of: sizes, ports and rates, no behaviour.

The unit is in every field's name.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field, Strict
from pydantic.dataclasses import dataclass

from archonsim.spec.effect import Needs

# The largest values keep every time of a run within 64 bits.
Count = Annotated[int, Strict(), Field(ge=1, lt=2**31)]
Size = Annotated[int, Strict(), Field(ge=0, lt=2**31)]
Rate = Annotated[float, Field(ge=1e-3, le=1e6, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]

Nanoseconds = Annotated[float, Field(ge=0, le=1e5, allow_inf_nan=False)]

#: What checks a part is made when it is first used: a command uses a few of them.
CONFIG = ConfigDict(extra="forbid", defer_build=True)
WORD_BITS = 16


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class DramSpec:
    """An off-chip memory channel.

    Attributes
    ----------
    model : {"fixed", "banks", "unlimited"}
        ``fixed``: bandwidth, latency and turnaround as given below; ``banks``: banks with open
        rows, all timing from `device`; ``unlimited``: every transfer is free, as in the authors'
        model.
    device : str
        Of the model ``banks``: ``lpddr4-3200``, ``ddr4-2400``, ``hbm2``, or a TOML file like these.
    gigabytes_per_second : float
        Peak bandwidth of the model ``fixed``; 25.6 is 64-bit LPDDR4-3200 (own decision).
    latency_ns : float
        Of the model ``fixed``: from the end of a transfer's slot on the channel to its data on chip
        (100: own decision).
    latency_cycles : int or None
        The same in cycles of the array's clock, however fast that is; where given, it goes before
        `latency_ns`.
    burst_words : int
        Of the model ``fixed``: transfers are rounded up to this many 16-bit words.
    turnaround_ns : float
        Of the model ``fixed``: the channel idles so long between a read and a write, and back (16
        in the presets: own decision).
    turnaround_cycles : int or None
        The same in cycles of the array's clock; where given, it goes before `turnaround_ns`.
    write_queue_words : int
        Writes wait in the controller until there are so many words of them, then go out together,
        so that the channel does not turn around for each; 0: they go out at once.
    free : tuple of data kinds
        What-if: data of these kinds (``weight``, ``mask``, ...) take no time on the channel; they
        are counted as ever.
    """

    needs: ClassVar[Needs] = {
        "device": ("model", ("banks",)),
        "gigabytes_per_second": ("model", ("fixed",)),
        "latency_ns": ("model", ("fixed",)),
        "latency_cycles": ("model", ("fixed",)),
        "burst_words": ("model", ("fixed",)),
        "turnaround_ns": ("model", ("fixed",)),
        "turnaround_cycles": ("model", ("fixed",)),
        "write_queue_words": ("model", ("fixed", "banks")),
        "free": ("model", ("fixed", "banks")),
    }

    model: Literal["fixed", "banks", "unlimited"] = "fixed"
    device: str = "lpddr4-3200"
    gigabytes_per_second: Rate
    latency_ns: Nanoseconds = 100.0
    latency_cycles: Size | None = None
    burst_words: Count
    turnaround_ns: Nanoseconds = 0.0
    turnaround_cycles: Size | None = None
    write_queue_words: Size = 0
    free: tuple[str, ...] = ()

    def words_per_cycle(self, clock_mhz: float) -> Fraction:
        """16-bit words that the channel moves in one cycle of the array's clock, exactly."""
        bytes_per_word = WORD_BITS // 8
        return (
            Fraction(str(self.gigabytes_per_second))
            * 1000
            / bytes_per_word
            / Fraction(str(clock_mhz))
        )

    def latency(self, clock_mhz: float) -> Fraction:
        """Latency of the model ``fixed`` in cycles of the array's clock, exactly."""
        return _cycles(self.latency_cycles, self.latency_ns, clock_mhz)

    def turnaround(self, clock_mhz: float) -> Fraction:
        """Turnaround of the model ``fixed`` in cycles of the array's clock, exactly."""
        return _cycles(self.turnaround_cycles, self.turnaround_ns, clock_mhz)


def _cycles(cycles: int | None, nanoseconds: float, clock_mhz: float) -> Fraction:
    if cycles is not None:
        return Fraction(cycles)
    return Fraction(str(nanoseconds)) * Fraction(str(clock_mhz)) / 1000


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class BufferSpec:
    """An on-chip buffer.

    Attributes
    ----------
    model : {"ports", "banks", "unlimited"}
        ``ports``: rates as given; ``banks``: also, a bank serves one entry a cycle, read or
        written, so that two streams that hit a bank in the same cycle conflict; ``unlimited``:
        reads and writes take no time. Capacity holds in all.
    words : int
        Capacity in 16-bit words.
    read_words_per_cycle, write_words_per_cycle : int
    banks : int
        Single-ported banks; neighbouring entries lie in neighbouring banks.
    entry_words : int
        16-bit words that a bank reads or writes at a time.
    """

    needs: ClassVar[Needs] = {
        "read_words_per_cycle": ("model", ("ports", "banks")),
        "write_words_per_cycle": ("model", ("ports", "banks")),
        "banks": ("model", ("banks",)),
        "entry_words": ("model", ("banks",)),
    }

    model: Literal["ports", "banks", "unlimited"] = "ports"
    words: Count
    read_words_per_cycle: Count
    write_words_per_cycle: Count
    banks: Count
    entry_words: Count


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class PrefetchSpec:
    """The DMA, which moves data between DRAM and chip in a fixed order.

    Its limits say how far it may run ahead of the array.

    Attributes
    ----------
    tile_buffers : int
        Tiles whose inputs may be on chip, the running one included, and whose results: 2 is double
        buffering.
    """

    tile_buffers: Annotated[int, Strict(), Field(ge=2, le=16)]


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class DmaSpec(PrefetchSpec):
    """The same, where data also stream into running tiles.

    Attributes
    ----------
    chunk_words : int
        A stream (fused weights) moves in chunks of about this many 16-bit words.
    stream_chunks : int
        Chunks of the stream that the chip can hold.
    """

    chunk_words: Count
    stream_chunks: Count


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class ArraySpec:
    """A rectangle of PEs, one MAC each.

    Attributes
    ----------
    rows, cols : int
    """

    rows: Count
    cols: Count

    @property
    def count(self) -> int:
        """Number of PEs."""
        return self.rows * self.cols


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class SramSpec:
    """A double-buffered memory at an array's edge, as wide as the edge.

    It never makes the array wait.

    Attributes
    ----------
    words : int
        Capacity in 16-bit words; half of it works while the other half fills.
    """

    words: Annotated[int, Strict(), Field(ge=2)]
