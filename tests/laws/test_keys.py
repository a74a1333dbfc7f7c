"""Laws of the baselines' descriptions: every key of theirs has an effect, and they do every MAC."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from archonsim.machines.registry import machine
from archonsim.network.networks import network
from archonsim.result.report import LayerReport
from archonsim.spec.load import known_keys
from tests.conformance.test_machines import WORK, run

#: A change to every key of every machine but archon (tests/laws has its own) that must show in the
#: figures of some workload.
CHANGES: dict[str, Any] = {
    "clock_mhz": 2000.0, "pe.rows": 4, "pe.cols": 4, "pe.ifmap_words": 4, "pe.weight_words": 8,
    "pe.psum_words": 2, "pe.pad_writes_per_cycle": 1, "glb.model": "unlimited", "glb.words": 600,
    "glb.read_words_per_cycle": 1, "glb.write_words_per_cycle": 1, "dram.model": "unlimited",
    "dram.gigabytes_per_second": 5.0, "dram.latency_cycles": 7, "dram.burst_words": 512,
    "dram.free": ["input"], "dram.turnaround_cycles": 50,
    "dram.latency_ns": 7.0, "dram.turnaround_ns": 200.0, "dram.write_queue_words": 64,
    "dram.device": "hbm2", "glb.banks": 2, "glb.entry_words": 32, "dma.tile_buffers": 3,
    "space": "free", "nnz": "density", "barrier": "fifo:3", "skip_zero_activations": "true",
    "pointwise_density": 0.5, "depthwise_density": 0.5, "conv_density": 0.5, "fc_density": 0.5,
    "index_bits": 30, "value_bits": 30,
    "dataflow": "ws", "ifmap_sram.words": 300, "filter_sram.words": 300, "ofmap_sram.words": 300,
    "energy_rules": "ics21",
    "skip": "none", "psum_bits": 40, "input_share": 0.001, "pe.products_per_cycle": 1,
    "pe.input_values": 3, "pe.weight_values": 20, "pe.psum_values": 2, "cluster.rows": 1,
    "cluster.cols": 1, "cluster.input_values_per_cycle": 1,
    "cluster.weight_values_per_cycle": 1, "cluster.psum_values_per_cycle": 1,
    "pe.inputs": 2, "pe.weights": 2, "accumulator.model": "unlimited", "accumulator.banks": 4,
    "accumulator.entries": 2, "accumulator.queue": 0, "filters_together": 2,
    "pe.chunk": 16, "pe.input_words": 16, "balance": "none",
    "mode": "off", "negatives": "stored", "zero_weights": "keep", "prefix_share": 0.5,
    "lost_share": 0.5, "meet": "round", "pe.lanes": 2, "pe.windows": 16,
}  # fmt: skip
TIMINGS = {"systolic": "drained", "fuse": "corrected"}
#: Keys that only count beside another one, on all machines or one.
BESIDE: dict[str, tuple[str, ...]] = {
    "pointwise_density": ("nnz=density",), "depthwise_density": ("nnz=density",),
    "conv_density": ("nnz=density",), "fc_density": ("nnz=density",),
    "dram.device": ("dram.model=banks",), "glb.banks": ("glb.model=banks",),
    "glb.entry_words": ("glb.model=banks",),
    "eyerissv2 glb.model": ("dram.model=unlimited",),
    # The preset's 384 PEs are done with the digits before most of its memory counts.
    **{
        f"eyerissv2 {key}": ("pe.rows=1", "pe.cols=4")
        for key in ("glb.words", "dram.write_queue_words", "input_share")
    },
    "eyerissv2 glb.entry_words": ("glb.model=banks", "dram.gigabytes_per_second=1"),
    "eyerissv2 dma.tile_buffers": ("dram.gigabytes_per_second=1",),
    **{
        f"{name} {key}": ("pe.rows=2", "pe.cols=2")
        for name in ("scnn", "sparten")
        for key in ("dram.turnaround_cycles", "dram.write_queue_words", "dma.tile_buffers")
    },
    **{f"{name} glb.model": ("dram.model=unlimited",) for name in ("scnn", "sparten")},
    **{
        f"{name} glb.entry_words": ("dram.model=unlimited", "glb.model=banks", "glb.banks=8")
        for name in ("scnn", "sparten")
    },
    "sparten glb.words": ("pe.cols=4", "value_bits=32"),
    **dict.fromkeys(("prefix_share", "lost_share"), ("mode=predictive",)),
    **{
        f"snapea {key}": ("pe.rows=2", "pe.cols=2")
        for key in ("glb.words", "dram.turnaround_cycles", "dram.write_queue_words",
                    "dma.tile_buffers")
    },
    "snapea glb.model": ("dram.model=unlimited",),
    "snapea glb.entry_words": ("dram.model=unlimited", "glb.model=banks", "glb.banks=8"),
    "eyerissv2 psum_bits": ("glb.words=300", "pe.rows=1", "pe.cols=4"),
}  # fmt: skip
#: Keys that name a file or a table, tested where those are.
NAMED = {"mapping", "technology"}
#: Sizes of PEs' buffers that energies alone depend on.
ENERGIES = {
    "scnn pe.weight_words", "sparten pe.input_words", "sparten pe.weight_words",
    "sparten pe.psum_words", "snapea pe.weight_words",
}  # fmt: skip
KEYS = [
    (name, key)
    for name in ("dense", "sparse", "systolic", "fuse", "eyerissv2", "scnn", "snapea", "sparten")
    for key in known_keys(machine(name).spec_type)
    if key not in NAMED
]
LINES = network("mobilenet_v3_small-fuse-half")


def _without_energy(layer: LayerReport) -> LayerReport:
    return dataclasses.replace(layer, energy=None, energy_pj=None, actions={})


@pytest.mark.sampled(5)
@pytest.mark.parametrize(("name", "key"), KEYS)
def test_every_key_has_an_effect(name: str, key: str) -> None:
    """A flag without an effect is worse than no flag."""
    beside = BESIDE.get(f"{name} {key}", BESIDE.get(key, ()))
    works = [WORK, LINES] if name in TIMINGS else [WORK]
    if key == "space":  # few layers are quicker in the free space, and only where all is multiplied
        works = [network("mobilenetv2_c10-ics21")]
        beside = ("nnz=density", "pointwise_density=1", "depthwise_density=1") * (name == "sparse")

    def figures(*overrides: str) -> list[object]:
        layers = [run(name, *beside, *overrides, work=work).layers for work in works]
        # Sizes change energies, too, but must show elsewhere.
        if key == "energy_rules" or f"{name} {key}" in ENERGIES:
            return [*layers]
        return [_without_energy(one) for layer in layers for one in layer]

    assert figures(f"{key}={TIMINGS[name] if key == 'timing' else CHANGES[key]}") != figures()


@pytest.mark.parametrize("name", ["dense", "systolic", "fuse"])
def test_machines_that_skip_nothing_do_every_mac(name: str) -> None:
    assert run(name).total_macs == WORK.macs
