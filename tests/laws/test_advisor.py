"""Advice: its cycles are those of runs with each block fused and unfused.

Its closed form knows what fusing hinges on.
"""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import archonsim
from archonsim.cli.app import run_command
from archonsim.errors import MaskError, SpecError, UserError, WorkloadError
from archonsim.explain.advise import advise, with_block
from archonsim.machines.archon import MACHINE
from archonsim.machines.archon.estimate import estimate_fused, estimate_plain
from archonsim.machines.archon.spec import ArchonSpec
from archonsim.machines.protocol import Densities
from archonsim.machines.registry import machine, machine_spec
from archonsim.network.block import Block
from archonsim.network.networks import network
from archonsim.network.workload import Workload
from archonsim.result.report import Report
from archonsim.runs.simulate import simulate
from archonsim.trace.synthetic import synthesize
from archonsim.trace.what_if import MaskPolicy
from archonsim.tracefile.find import find_workload
from archonsim.tracefile.writer import write_workload
from tests.examples import examples
from tests.laws.test_archon import BLOCKS, workload_of
from tests.strategies import archon, make_block

WORKLOADS = Path(__file__).parents[2] / "workloads"


def outcome(work: Workload, spec: ArchonSpec, policy: MaskPolicy) -> Report | str:
    """Run a network; where it cannot run, say why."""
    try:
        return simulate(work, MACHINE, spec, masks=policy)
    except UserError as error:
        return str(error)


def check_against_runs(work: Workload, spec: ArchonSpec, policy: MaskPolicy) -> None:
    """Run the whole network with each block one way and the other, from nothing, and compare."""
    as_is = outcome(work, spec, policy)
    if isinstance(as_is, str):
        with pytest.raises(UserError) as caught:
            advise(work, MACHINE, spec, masks=policy)
        assert str(caught.value) == as_is
        return
    advice = advise(work, MACHINE, spec, masks=policy)
    assert [one.block for one in advice.blocks] == [block.name for block in work.blocks()]
    assert advice.total_cycles == as_is.total_cycles
    for one, block in zip(advice.blocks, work.blocks(), strict=True):
        reports = [
            outcome(with_block(work, block.name, fused=fused), spec, policy)
            for fused in (True, False)
        ]
        done = [report for report in reports if isinstance(report, Report)]
        assert [one.fused_total, one.plain_total] == [
            None if isinstance(each, str) else each.total_cycles for each in reports
        ]
        assert one.reason == "".join(each for each in reports if isinstance(each, str))
        own = [[layer for layer in report.layers if layer.block == block.index] for report in done]
        known = [cycles for cycles in (one.fused_cycles, one.plain_cycles) if cycles is not None]
        assert known == [sum(layer.cycles for layer in layers) for layers in own]
        if len(done) == 2:
            assert [layer.phase for layer in own[0]] == [
                "predict_pw1",
                f"predict_{block.layers[1].role}",
                "main",
            ]
            assert [layer.name for layer in own[1]] == [layer.name for layer in block.layers]
            assert one.pays == (done[0].total_cycles < done[1].total_cycles)
            assert one.saved == done[1].total_cycles - done[0].total_cycles
            assert one.agrees == (one.pays == one.expected)
    assert set(advice.disagreements) == {
        one.block for one in advice.blocks if one.pays is not None and one.pays != one.expected
    }


@examples(25)
@given(
    block=BLOCKS,
    density=st.floats(0, 1),
    weights=st.sampled_from([0.05, 0.3, 1.0]),
    seed=st.integers(0, 1000),
    glb=st.sampled_from([200, 2000, 51200]),
    adders=st.integers(1, 8),
    masks=st.sampled_from(["trace", "all", "random:0.5"]),
    predicted=st.booleans(),
)
def test_advice_is_what_runs_say(
    block: Block,
    density: float,
    weights: float,
    seed: int,
    glb: int,
    adders: int,
    masks: str,
    predicted: bool,
) -> None:
    after = make_block(
        channels=block.out_channels, mid=16, out=4, size=(block.dw.out_h, block.dw.out_w), index=2
    )
    work = workload_of(block, after, density=density, weights=weights, seed=seed)
    if masks != "trace" and not predicted:
        work = with_block(work, "b2", fused=False)
    check_against_runs(
        work, archon(f"glb.words={glb}", f"pe.adders={adders}"), MaskPolicy.parse(masks, seed)
    )


@pytest.mark.parametrize(
    "name", ["fusionet_digits.h5", pytest.param("fusionet_c10.h5", marks=pytest.mark.full)]
)
def test_shipped_workloads(name: str) -> None:
    work = find_workload(str(WORKLOADS / name))
    advice = advise(work, MACHINE, machine_spec(MACHINE))
    blocks = list(work.blocks())
    assert len(advice.blocks) == len(blocks)
    for number in {0, len(blocks) - 1}:  # the law above runs all; these take seconds
        plain = simulate(
            with_block(work, blocks[number].name, fused=False), MACHINE, machine_spec(MACHINE)
        )
        assert advice.blocks[number].plain_total == plain.total_cycles
        assert advice.blocks[number].fused_total == advice.total_cycles
    as_is = simulate(work, MACHINE, machine_spec(MACHINE))
    assert [one.fused_cycles for one in advice.blocks] == [
        sum(layer.cycles for layer in as_is.layers if layer.block == block.index)
        for block in blocks
    ]


def test_fusing_dense_weights_does_not_pay_and_fusing_sparse_ones_does() -> None:
    """What the paper's idea hinges on, by both.

    Fused, a block has as many more candidates as its densities multiply to.
    """
    for weights, pays in ((0.1, True), (1.0, False)):
        work = workload_of(make_block(channels=32, mid=192, out=32, size=(16, 16)), weights=weights)
        one = advise(work, MACHINE, archon()).blocks[0]
        assert (one.expected, one.pays) == (pays, pays)


@given(
    block=BLOCKS,
    less=st.floats(0, 1),
    survival=st.floats(0, 1),
    factor=st.floats(0, 1),
    adders=st.integers(1, 8),
    more=st.integers(0, 8),
)
def test_the_estimate_is_monotonous(
    block: Block, less: float, survival: float, factor: float, adders: int, more: int
) -> None:
    """Fewer candidates, fewer survivors and more adders never cost cycles."""
    base = estimate_fused(block, archon(f"pe.adders={adders}"), Densities(less, 0.5, 0.5, survival))
    assert (
        estimate_fused(
            block, archon(f"pe.adders={adders}"), Densities(less * factor, 0.5, 0.5, survival)
        )
        <= base
    )
    assert (
        estimate_fused(
            block, archon(f"pe.adders={adders}"), Densities(less, 0.5, 0.5, survival * factor)
        )
        <= base
    )
    assert (
        estimate_fused(
            block, archon(f"pe.adders={adders + more}"), Densities(less, 0.5, 0.5, survival)
        )
        <= base
    )


@examples(25)
@given(block=BLOCKS, seed=st.integers(0, 1000))
def test_the_estimate_of_plain_layers_is_a_lower_bound(block: Block, seed: int) -> None:
    """One MAC a PE and cycle, and every word that must come from DRAM: no run is below that."""
    work = with_block(workload_of(block, seed=seed), block.name, fused=False)
    report = simulate(work, MACHINE, archon())
    assert estimate_plain(work, block, archon()) <= report.total_cycles


def test_a_block_without_masks_says_why(tmp_path: Path) -> None:
    work = with_block(synthesize(network("fusionet_digits"), seed=1)[0], "b2", fused=False)
    write_workload(tmp_path / "x.h5", *synthesize(work, seed=1))
    advice = archonsim.advise(tmp_path / "x.h5").advice
    assert advice.blocks[1].pays is None
    assert "b2" in advice.blocks[1].reason
    assert all(one.pays is not None for one in advice.blocks if one.block != "b2")
    guessed = archonsim.advise(tmp_path / "x.h5", masks="random:0.5").advice
    assert guessed.blocks[1].fused_total is not None
    assert guessed.blocks[1].plain_total == guessed.total_cycles


def test_formats_say_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["advise", "-w", str(WORKLOADS / "fusionet_digits.h5")]
    out = {}
    for form in ("table", "json", "csv"):
        assert run_command([*arguments, "-f", form]) == 0
        out[form] = capsys.readouterr().out
    tree = json.loads(out["json"])
    rows = list(csv.DictReader(io.StringIO(out["csv"])))
    assert [one["block"] for one in tree["blocks"]] == [row["block"] for row in rows]
    assert [str(one["fused_total"]) for one in tree["blocks"]] == [
        row["fused_total"] for row in rows
    ]
    for one in tree["disagreements"]:
        assert f"disagree on {', '.join(tree['disagreements'])}" in out["table"], one


@pytest.mark.parametrize(
    ("workload", "arch", "error", "needed"),
    [
        ("fusionet_digits", "archon", MaskError, "shapes only"),
        (
            str(WORKLOADS / "fusionet_digits.h5"),
            "dense",
            SpecError,
            "'dense' runs blocks layer by layer",
        ),
        ("nowhere.h5", "archon", WorkloadError, "no such file"),
    ],
)
def test_bad_input(workload: str, arch: str, error: type[UserError], needed: str) -> None:
    with pytest.raises(error) as caught:
        archonsim.advise(workload, arch=arch)
    assert needed in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_network_without_blocks_has_nothing_to_fuse() -> None:
    layers = tuple(
        layer for layer in network("fusionet_digits").layers() if layer.role.startswith("head")
    )
    work = Workload(name="head", items=layers, provenance=network("fusionet_digits").provenance)
    with pytest.raises(WorkloadError, match="nothing to fuse"):
        advise(synthesize(work, seed=0)[0], machine("archon"), archon())


def test_synthetic_masks_are_called_so_everywhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "made.h5"
    write_workload(path, *synthesize(network("fusionet_digits"), seed=1))
    said = "made.h5: masks and weights are SYNTHETIC"
    assert run_command(["advise", "-w", str(path)]) == 0
    assert said in capsys.readouterr().out
    assert run_command(["advise", "-w", str(path), "-f", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["mask_source"] == "synthetic"
    assert (
        run_command(["sweep", "-a", "archon", "-w", str(path), "-o", str(tmp_path / "sweep")]) == 0
    )
    assert said in capsys.readouterr().out
    asked = (
        archonsim.run("archon", path),
        archonsim.compare("archon,dense", path),
        archonsim.sweep("archon", path),
    )
    for result in (*asked, archonsim.advise(path)):
        assert said in result.summary()
    assert "SYNTHETIC" not in archonsim.run("archon", WORKLOADS / "fusionet_digits.h5").summary()
