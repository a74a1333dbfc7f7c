"""Keys that count only while another key has certain values: declared, and refused elsewhere."""

from __future__ import annotations

import dataclasses
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from archonsim.errors import MaskError, SpecError, UserError
from archonsim.machines.registry import machine, machine_names, machine_spec
from archonsim.network.layer import Layer
from archonsim.network.workload import Provenance, Workload
from archonsim.runs.scenario import Scenario
from archonsim.runs.simulate import simulate
from archonsim.spec.effect import Needs
from archonsim.spec.load import flat_items, resolve, to_table
from archonsim.sweeps.question import ask
from archonsim.sweeps.sweep import conduct
from archonsim.tracefile.find import find_workload
from tests.laws.test_archon import wide

DIGITS = Path(__file__).parents[2] / "workloads" / "fusionet_digits.h5"
#: All values of what governs other keys.
VALUES: dict[str, tuple[object, ...]] = {
    "dram.model": ("fixed", "banks", "unlimited"),
    "glb.model": ("ports", "banks", "unlimited"),
    "prediction_glb.model": ("ports", "banks", "unlimited"),
    "mapping": ("search", "ics21"),
    "nnz": ("weights", "density"),
    "main_order": ("published", "mapped"),
    "accumulator.model": ("banks", "unlimited"),
    "mode": ("exact", "predictive", "off"),
}
#: Changes that show where a key counts, one of them at least.
CHANGES: dict[str, tuple[object, ...]] = {
    "device": ("hbm2",),
    "gigabytes_per_second": (1.0,),
    "latency_cycles": (500,),
    "latency_ns": (900.0,),
    "burst_words": (64,),
    "turnaround_cycles": (100,),
    "turnaround_ns": (400.0,),
    "write_queue_words": (0, 100_000),
    "free": (("weight",), ("input", "output", "weight")),
    "read_words_per_cycle": (1,),
    "write_words_per_cycle": (1,),
    "banks": (2,),
    "entry_words": (1, 32),
    "space": ("free",),
    "group_order": ("profiled", "published"),
    "mapping": (str(Path(__file__).parents[1] / "data" / "archon_mapping.toml"),),
    "pointwise_density": (0.9,),
    "depthwise_density": (0.9,),
    "conv_density": (0.5,),
    "fc_density": (0.5,),
    "queue": (0,),
    "negatives": ("stored",),
    "zero_weights": ("keep",),
    "prefix_share": (0.5,),
    "lost_share": (0.5,),
}


#: What else is set. ARCHON's mappings are made for the width of ports whatever their model, so that
#: a what-if moves the same words; nobody can give both.
SKIP_BOTH = ("eyerissv2", "scnn", "snapea", "sparten")
#: Arrays as small as the digits, behind a DRAM that lets a GLB's banks show.
SMALL = (("pe.rows", 2), ("pe.cols", 2), ("glb.banks", 8), ("dram.gigabytes_per_second", 400.0))
BESIDE: dict[str, tuple[tuple[str, object], ...]] = {
    "archon": (("main_order", "published"), ("mask_fetch", "once")),
    **dict.fromkeys(SKIP_BOTH, SMALL),
}


@cache
def digits() -> Workload:
    return find_workload(str(DIGITS))


@cache
def one_row() -> Workload:
    layer = Layer(
        name="row", kind="conv", role="conv", in_channels=64, out_channels=64, in_w=512,
        sparsity=(1, 1),
    )  # fmt: skip
    return Workload(name="row", items=(layer,), provenance=Provenance(network="row"))


def declared(spec: Any, prefix: str = "") -> dict[str, tuple[str, tuple[object, ...]]]:
    """All needs of a description and its parts, by dotted keys."""
    needs: Needs = getattr(spec, "needs", {})
    found = {prefix + key: (prefix + one, values) for key, (one, values) in needs.items()}
    for field in dataclasses.fields(spec):
        inner = getattr(spec, field.name)
        if dataclasses.is_dataclass(inner):
            found |= declared(inner, f"{prefix}{field.name}.")
    return found


def put(spec: Any, key: str, value: object) -> Any:
    """A description with another value, whether that has an effect or not."""
    first, _, rest = key.partition(".")
    inner = put(getattr(spec, first), rest, value) if rest else value
    return dataclasses.replace(spec, **{first: inner})


@cache
def figures(arch: str, *changes: tuple[str, object]) -> str:
    found = machine(arch)
    spec = machine_spec(found)
    for key, value in (*BESIDE.get(arch, ()), *changes):
        spec = put(spec, key, value)
    works = [digits(), wide()] if arch == "archon" else [digits()]
    if arch != "archon" and any(key in ("space", "mapping") for key, _ in changes):
        works = [one_row()]  # few maps are quicker in the free space
    layers = [layer for work in works for layer in simulate(work, found, spec).layers]
    # Counts of events are of the simulator, not of the machine.
    # Energies of machines that skip both operands' zeros are those of a GLB bank, which the preset
    # alone sizes where banks take no time.
    silent: dict[str, Any] = {"energy": None, "energy_pj": None} if arch in SKIP_BOTH else {}
    return str([dataclasses.replace(layer, activity={}, **silent) for layer in layers])


PAIRS = [
    (arch, key, governor, value)
    for arch in machine_names()
    for key, (governor, _) in declared(machine_spec(machine(arch))).items()
    for value in VALUES[governor]
]


@pytest.mark.sampled(5)
@pytest.mark.parametrize(
    ("arch", "key", "governor", "value"), PAIRS, ids=["-".join(map(str, pair)) for pair in PAIRS]
)
def test_a_key_counts_exactly_where_it_is_declared_to(
    arch: str, key: str, governor: str, value: object
) -> None:
    counts = value in declared(machine_spec(machine(arch)))[key][1]
    plain = (governor, value)
    try:
        before = figures(arch, plain)
    except UserError:
        pytest.skip("the authors mapped other networks")
    changes = CHANGES[key.rpartition(".")[2]]
    after = [figures(arch, plain, (key, change)) for change in changes]
    assert any(one != before for one in after) == counts
    if not counts:
        given = {governor: value, key: changes[0]}
        with pytest.raises(SpecError, match=f"--set {key} has no effect while {governor} is"):
            machine_spec(machine(arch), None, given)


def test_a_whole_file_is_taken_and_a_half_one_is_not(tmp_path: Path) -> None:
    found, path = machine("dense"), tmp_path / "my.toml"
    path.write_text('[dram]\ndevice = "hbm2"')
    with pytest.raises(SpecError) as caught:
        machine_spec(found, path)
    assert str(caught.value) == (
        f"{path}: dram.device has no effect while dram.model is fixed; it counts with"
        " dram.model=banks"
    )
    assert machine_spec(found, path, {"dram.model": "banks"}).dram.device == "hbm2"
    path.write_text('[dram]\nmodel = "banks"\ndevice = "hbm2"')
    assert machine_spec(found, path, {"dram.model": "fixed"}).dram.device == "hbm2"
    path.write_text('[dram]\ndevice = "lpddr4-3200"')  # the preset's own: nothing is asked for
    assert dict(flat_items(to_table(machine_spec(found, path)))) == dict(
        flat_items(to_table(machine_spec(found)))
    )


def test_what_a_sweep_varies_may_stand_beside_all_its_values(tmp_path: Path) -> None:
    asked = ask(
        "dense",
        "fusionet_digits",
        {"dram.model": ["fixed", "banks"], "dram.device": ["hbm2", "ddr4-2400"]},
        fidelity="ideal",
    )
    csv, _ = conduct(asked, tmp_path / "both")
    assert csv.read_text().count(",ok,") == 4
    alone = ask("dense", "fusionet_digits", {"dram.device": ["hbm2"]}, fidelity="ideal")
    csv, _ = conduct(alone, tmp_path / "alone")
    assert "dram.device has no effect while dram.model is fixed" in csv.read_text()


def test_options_that_a_fidelity_ignores_are_refused() -> None:
    with pytest.raises(MaskError, match="--masks oracle: ideal fidelity uses no masks"):
        Scenario(arch="archon", workload="fusionet_digits", fidelity="ideal", masks="oracle")
    changed = Scenario(arch="archon", workload="fusionet_digits", set={"survival": 0.25})
    with pytest.raises(SpecError, match="--set survival has no effect in cycle fidelity"):
        changed.spec()
    assert dataclasses.replace(changed, fidelity="ideal").spec().survival == 0.25


def test_a_plug_in_declares_its_own(tmp_path: Path) -> None:
    from archonsim.machines.sparse.spec import SparseSpec

    class Mine(SparseSpec):
        """A description of somebody else's, with a condition across parts."""

        needs = {**SparseSpec.needs, "pe.psum_words": ("nnz", ("weights",))}  # noqa: RUF012

    preset = to_table(machine_spec(machine("sparse")))
    assert resolve(Mine, preset, None, {"pe.psum_words": 8}).pe.psum_words == 8
    with pytest.raises(SpecError, match=r"--set pe\.psum_words has no effect while nnz is density"):
        resolve(Mine, preset, None, {"pe.psum_words": 8, "nnz": "density"})
