"""The channel with banks against one that is stepped tick by tick, and the laws that it keeps."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from math import ceil, floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archonsim.memory.dram_banks import BankServer, Ticks
from archonsim.memory.dram_reference import Asked, step_channel
from archonsim.spec.dram_device import DramDevice, load_device
from tests.examples import examples

NANOSECONDS = st.integers(0, 12)
DEVICES = st.builds(
    DramDevice,
    source=st.just("random"),
    bus_bits=st.sampled_from([16, 32]),
    megatransfers_per_second=st.sampled_from([1000, 2000]),
    burst_length=st.sampled_from([2, 4]),
    banks=st.sampled_from([1, 2, 4]),
    row_bytes=st.sampled_from([16, 32]),
    rcd_ns=NANOSECONDS,
    rp_ns=NANOSECONDS,
    ras_ns=NANOSECONDS,
    rrd_ns=NANOSECONDS,
    cl_ns=NANOSECONDS,
    cwl_ns=NANOSECONDS,
    wr_ns=NANOSECONDS,
    wtr_ns=NANOSECONDS,
    rtw_ns=NANOSECONDS,
    rfc_ns=st.just(0),
    refi_ns=st.just(1),
    controller_ns=NANOSECONDS,
)
#: (cycles since the one before, direction, first burst, bursts)
TRANSFERS = st.lists(
    st.tuples(
        st.integers(0, 12),
        st.sampled_from(["read", "write"]),
        st.integers(0, 40),
        st.integers(1, 12),
    ),
    min_size=1,
    max_size=8,
)
Transfers = list[tuple[int, str, int, int]]


def reserve(
    device: DramDevice, clock: float, transfers: Transfers
) -> tuple[BankServer, list[tuple[int, int]], list[int]]:
    """Spans in ticks, and cycles of arrival."""
    server, now, spans, arrivals = BankServer(device, clock), 0, [], []
    for gap, direction, first, bursts in transfers:
        now += gap
        words = bursts * device.burst_words
        arrivals.append(server.reserve(words, now, direction, first * device.burst_words).arrival)  # type: ignore[arg-type]
        spans.append(server.last_span)
    return server, spans, arrivals


@examples(300)
@given(DEVICES, st.sampled_from([250, 500, 750]), TRANSFERS)
def test_every_burst_moves_when_the_stepped_channel_moves_it(
    device: DramDevice, clock: float, transfers: Transfers
) -> None:
    _, spans, _ = reserve(device, clock, transfers)
    ticks, now, asked = Ticks.of(device, clock), 0, []
    for gap, direction, first, bursts in transfers:
        now += gap
        asked.append(Asked(now * ticks.per_cycle, direction, first, bursts))  # type: ignore[arg-type]
    assert spans == step_channel(asked, ticks, device.banks, device.row_words // device.burst_words)


@examples(200)
@given(DEVICES, TRANSFERS)
def test_twice_the_banks_never_delay_a_transfer(device: DramDevice, transfers: Transfers) -> None:
    """And more of the bursts find their row open.

    What shared a bank before shares it now or does not.
    """
    few, _, before = reserve(device, 500, transfers)
    many, _, after = reserve(dataclasses.replace(device, banks=2 * device.banks), 500, transfers)
    assert all(late <= early for late, early in zip(after, before, strict=True))
    assert many.counts["row_hits"] >= few.counts["row_hits"]


@examples(200)
@given(
    DEVICES,
    TRANSFERS,
    st.sampled_from(
        ["rcd_ns", "rp_ns", "ras_ns", "rrd_ns", "cl_ns", "cwl_ns", "wr_ns", "wtr_ns", "rtw_ns"]
    ),
)
def test_a_quicker_device_never_delays_a_transfer(
    device: DramDevice, transfers: Transfers, field: str
) -> None:
    _, _, before = reserve(device, 500, transfers)
    _, _, after = reserve(
        dataclasses.replace(device, **{field: getattr(device, field) / 2}), 500, transfers
    )
    assert all(late <= early for late, early in zip(after, before, strict=True))


@given(DEVICES, TRANSFERS)
def test_each_burst_hits_or_misses(device: DramDevice, transfers: Transfers) -> None:
    server, _, _ = reserve(device, 500, transfers)
    assert server.counts["row_hits"] + server.counts["row_misses"] == sum(
        bursts for *_, bursts in transfers
    )


def test_a_long_stream_reaches_the_bandwidth_and_scattered_rows_do_not() -> None:
    """Sequential rows lie in different banks, so their activations hide.

    One row a transfer in one bank cannot.
    """
    for name in ("lpddr4-3200", "ddr4-2400", "hbm2"):
        device = load_device(name)
        words_per_cycle = Fraction(device.bus_bits, 16) * device.clock_mhz * 2 / 500
        stream = BankServer(device, 500)
        free = stream.reserve(device.row_words * 100, 0, "read", 0).free
        assert 1 <= free * words_per_cycle / (device.row_words * 100) < 1.01
        scattered = BankServer(device, 500)
        for number in range(100):
            slot = scattered.reserve(
                device.burst_words, 0, "read", number * device.row_words * device.banks
            )
        assert slot.free * words_per_cycle > 5 * device.burst_words * 100
        assert scattered.counts["row_misses"] == 100


def test_the_presets_have_the_bandwidth_of_their_name() -> None:
    peak = {
        name: load_device(name).bus_bits * load_device(name).megatransfers_per_second / 8000
        for name in ("lpddr4-3200", "hbm2")
    }
    assert peak == {"lpddr4-3200": 25.6, "hbm2": 256.0}
    assert load_device("ddr4-2400").gigabytes_per_second < 19.2


@pytest.mark.parametrize("name", ["lpddr4-3200", "ddr4-2400", "hbm2"])
def test_slots_are_whole_cycles_behind_the_controller(name: str) -> None:
    device = load_device(name)
    server, ticks = BankServer(device, 700), Ticks.of(device, 700)
    assert ticks.controller > 0
    assert server.last_span == (0, 0)
    address = 0
    for words, at in ((5, 0), (3 * device.row_words, 40), (device.burst_words, 5000)):
        slot = server.reserve(words, at, "read", address)
        start, end = (Fraction(one, ticks.per_cycle) for one in server.last_span)
        behind = Fraction(ticks.controller, ticks.per_cycle)
        assert slot == (floor(start + behind), ceil(end), ceil(end + behind))
        assert all(type(one) is int for one in (*slot, *server.counts.values()))
        assert server.in_bursts(words) == ceil(Fraction(words, device.burst_words)) * (
            device.burst_words
        )
        address += server.in_bursts(words)
