"""DRAM devices: banks with open rows and what their commands take.

The shipped ones lie in ``archonsim/data/dram``.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from functools import cache
from math import ceil
from typing import Annotated, Any

from pydantic import Field
from pydantic.dataclasses import dataclass

from archonsim.spec.parts import CONFIG, WORD_BITS, Count, Nanoseconds
from archonsim.spec.shipped import load_shipped


@dataclass(frozen=True, kw_only=True, config=CONFIG)
class DramDevice:
    """A channel of one device, or of several in lock step.

    Attributes
    ----------
    source : str
        Where the figures come from.
    bus_bits : int
        Width of the data bus.
    megatransfers_per_second : float
        Of each wire of the bus, two a clock.
    burst_length : int
        Transfers of one read or write command.
    banks : int
    row_bytes : int
        One row of one bank, over the whole bus.
    rcd_ns, rp_ns, ras_ns : float
        From activating a row to reading it; precharging it; the least from activating to
        precharging.
    rrd_ns : float
        Between two activations, of any banks.
    cl_ns, cwl_ns : float
        From a read or write command to its data.
    wr_ns : float
        From the last data written to precharging.
    wtr_ns, rtw_ns : float
        The bus idles so long between written and read data, and the other way round.
    rfc_ns, refi_ns : float
        A refresh, and the time between two.
    controller_ns : float
        From the bus to the chip's buffers.
    """

    source: str
    bus_bits: Annotated[int, Field(ge=WORD_BITS, multiple_of=WORD_BITS)]
    megatransfers_per_second: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    burst_length: Annotated[int, Field(ge=2, multiple_of=2)]
    banks: Count
    row_bytes: Annotated[int, Field(ge=2, multiple_of=2)]
    rcd_ns: Nanoseconds
    rp_ns: Nanoseconds
    ras_ns: Nanoseconds
    rrd_ns: Nanoseconds
    cl_ns: Nanoseconds
    cwl_ns: Nanoseconds
    wr_ns: Nanoseconds
    wtr_ns: Nanoseconds
    rtw_ns: Nanoseconds
    rfc_ns: Nanoseconds
    refi_ns: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    controller_ns: Nanoseconds

    def __post_init__(self) -> None:
        if self.row_words % self.burst_words:
            raise ValueError(
                f"row_bytes is {self.row_bytes}; it must hold whole bursts of"
                f" {2 * self.burst_words} bytes"
            )
        if self.rfc_ns >= self.refi_ns:
            raise ValueError(
                f"rfc_ns is {self.rfc_ns}; it must be less than refi_ns, {self.refi_ns}"
            )

    @property
    def burst_words(self) -> int:
        """16-bit words of one burst."""
        return self.bus_bits // WORD_BITS * self.burst_length

    @property
    def row_words(self) -> int:
        """16-bit words of one row."""
        return self.row_bytes * 8 // WORD_BITS

    @property
    def clock_mhz(self) -> Fraction:
        """Clock of the bus, lowered by the share of time that refreshes take.

        A refresh at a time of its own could make a faster machine slower, by letting a transfer run
        into it; as a lower clock it costs the same bandwidth and nothing else (own decision).
        """
        refresh = 1 - Fraction(str(self.rfc_ns)) / Fraction(str(self.refi_ns))
        return (Fraction(str(self.megatransfers_per_second)) / 2 * refresh).limit_denominator(1000)

    def clocks(self, nanoseconds: float) -> int:
        """Round a time up to whole clocks of the bus, as controllers do."""
        return ceil(
            Fraction(str(nanoseconds)) * Fraction(str(self.megatransfers_per_second)) / 2000
        )

    @property
    def gigabytes_per_second(self) -> float:
        """Bandwidth with refreshes taken off, when all bursts hit open rows."""
        return float(self.clock_mhz * 2 * self.bus_bits / 8 / 1000)


@cache
def load_device(name: str) -> DramDevice:
    """Return a shipped device by name, or read one from a TOML file.

    Raises
    ------
    SpecError
        No such device, or one that is malformed.
    """
    return load_shipped(DramDevice, "dram", name, "DRAM device")


def channel_rate(dram: Mapping[str, Any]) -> float | None:
    """Return the most that the channel of a resolved description moves, in GB/s.

    None where nothing limits it.

    Raises
    ------
    SpecError
        As :func:`load_device`, for the model ``banks``.
    """
    model = dram.get("model", "unlimited")
    if model == "unlimited":
        return None
    return (
        load_device(dram["device"]).gigabytes_per_second
        if model == "banks"
        else float(dram["gigabytes_per_second"])
    )


def say_dram(dram: Mapping[str, Any]) -> str:
    """Name the DRAM of a resolved description, for people."""
    rate = channel_rate(dram)
    if rate is None:
        return "unlimited"
    if dram["model"] == "banks":
        return f"{dram['device']} with banks and rows, at most {rate:.1f} GB/s"
    cycles = dram.get("latency_cycles")
    latency = f"{dram['latency_ns']:g} ns" if cycles is None else f"{cycles} cycles"
    return f"{rate:g} GB/s, {latency} latency"
