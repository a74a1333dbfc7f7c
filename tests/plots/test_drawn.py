"""What is drawn is what the CSV says: numbers are read back from the artists."""

from __future__ import annotations

import io
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.container import BarContainer
from numpy.testing import assert_allclose

from archonsim.explain.attribute import explain
from archonsim.machines.registry import machine, machine_spec
from archonsim.show import figures as plots
from archonsim.show.figures.roofline import roofs
from archonsim.show.figures.style import phase_fill, stall_fill
from archonsim.spec.dram_device import load_device
from archonsim.stats.bootstrap import speedup_interval
from archonsim.trace.what_if import MaskPolicy
from tests import results


def csv(chart: plots.Chart) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(chart.csv()))


def bars(axes: Axes) -> dict[str, list[tuple[float, float]]]:
    """Left end and length of every bar, by its label."""
    return {
        str(one.get_label()): [(bar.get_x(), bar.get_width()) for bar in one]
        for one in axes.containers
        if isinstance(one, BarContainer)
    }


def lines(axes: Axes, marker: str | None = None) -> list[np.ndarray[Any, Any]]:
    return [
        np.asarray(line.get_xydata())
        for line in axes.lines
        if marker is None or line.get_marker() == marker
    ]


def infeasible(artists: Any) -> list[Any]:
    return [one for one in artists if str(one.get_gid()).startswith("infeasible")]


def test_cycles_by_layer() -> None:
    run = results.run()
    chart = plots.plot_run(plots.run_frame([run]))
    table, drawn = csv(chart), bars(chart.axes[0])
    for (kind, segment), rows in table.groupby(["kind", "segment"]):
        fill = stall_fill(segment) if kind == "stall" else phase_fill(segment)
        assert_allclose([length for _, length in drawn[fill.label]], rows["cycles"])
    assert table["cycles"].sum() == pytest.approx(run.total_cycles)
    for bar, rows in table.groupby("bar"):
        same = [one.cycles for one in run.layers if one.name == bar]
        assert rows["cycles"].sum() == pytest.approx(sum(same))
    assert set(table.loc[table["kind"] == "stall", "segment"]) == {
        cause for one in run.layers for cause in one.stalls
    }


def test_stacks_touch() -> None:
    chart = plots.plot_run(plots.run_frame([results.run()]))
    ends: dict[float, float] = {}
    for container in chart.axes[0].containers:
        for bar in container:
            assert bar.get_x() == pytest.approx(ends.get(round(bar.get_y(), 6), 0))
            ends[round(bar.get_y(), 6)] = bar.get_x() + bar.get_width()


def test_cycles_and_energy_by_run() -> None:
    runs = results.comparison().whole_runs()
    table = csv(plots.plot_run(plots.run_frame(runs), by="run"))
    for run in runs:
        assert table.loc[table["bar"] == run.arch, "cycles"].sum() == pytest.approx(
            run.total_cycles
        )
    chart = plots.plot_run(plots.run_frame([results.run("dense")]), quantity="energy")
    picojoules = sum(layer.energy_pj or 0.0 for layer in results.run("dense").layers)
    assert csv(chart)["energy_uj"].sum() == pytest.approx(picojoules / 1e6)
    assert sum(length for _, length in bars(chart.axes[0])["layer"]) == pytest.approx(
        picojoules / 1e6
    )


def test_speedups() -> None:
    tree = results.comparison()
    chart = plots.plot_compare(plots.compare_frame(tree))
    table, drawn = csv(chart), bars(chart.axes[0])
    times = {row.arch: row.time_ms or 0.0 for row in tree.rows}
    for arch in ("dense", "sparse"):
        mine = table.loc[table["over"] == arch, "speedup"].tolist()
        assert mine == [pytest.approx(times[arch] / times["archon"])]
        assert_allclose([length for _, length in drawn[f"over {arch}"]], mine)


def test_a_geometric_mean_and_a_network_in_anothers_place() -> None:
    tree = results.comparison()
    rows = [
        {**asdict(row), "workload": name, "time_ms": (row.time_ms or 0) * by}
        for name, by in (("a", 1), ("b", 4))
        for row in tree.rows
    ]
    table = plots.plot_compare(pd.DataFrame(rows)).table
    assert set(table["workload"]) == {"a", "b", "geometric mean"}
    paired = plots.plot_compare(pd.DataFrame(rows), over=["dense"], baselines={"a": "b"}).table
    plain = plots.plot_compare(pd.DataFrame(rows), over=["dense"]).table
    assert paired["speedup"].tolist() == [pytest.approx(4 * plain["speedup"].iloc[0])]


def test_a_row_that_could_not_run_is_crossed() -> None:
    frame = plots.compare_frame(results.comparison())
    frame.loc[frame["arch"] == "dense", ["time_ms", "reason"]] = [np.nan, "no mapping"]
    chart = plots.plot_compare(frame)
    assert csv(chart).set_index("over").loc["dense", "reason"] == "no mapping"
    assert len(infeasible(chart.axes[0].lines)) == 1
    assert "not possible" in [text.get_text() for text in chart.axes[0].texts]


def test_curves_and_their_infeasible_points() -> None:
    chart = plots.plot_sweep(results.fifo_sweep(), "pe.fifo_depth", "cycles", "pe.adders")
    table = csv(chart)
    crosses = infeasible(chart.axes[0].lines)
    drawn = [line for line in chart.axes[0].lines if line not in crosses]
    for line, (_, rows) in zip(drawn, table.groupby("pe.adders"), strict=True):
        good = rows[rows["status"] == "ok"]
        assert_allclose(np.asarray(line.get_xydata()), good[["pe.fifo_depth", "cycles"]])
    bad = table[table["status"] == "infeasible"]
    assert bad["pe.fifo_depth"].tolist() == [3, 3, 3]
    assert "never fit" in bad["reason"].iloc[0]
    assert [line.get_xdata().tolist() for line in crosses] == [[3], [3], [3]]


def test_the_asymptote_bounds_every_point() -> None:
    chart = plots.plot_sweep(
        results.dram_sweep(),
        "dram.gigabytes_per_second",
        "time_ms",
        "arch",
        asymptote=True,
        log="xy",
    )
    table = csv(chart)
    words = results.dram_sweep().groupby("arch")["dram_words"].first()
    for arch, rows in table.groupby("arch"):
        assert_allclose(
            rows["bytes_over_bandwidth"], words[arch] * 2 / rows["dram.gigabytes_per_second"] / 1e6
        )
    assert (table["time_ms"] >= table["bytes_over_bandwidth"]).all()
    assert (
        sum(
            line.get_linestyle() == ":" and line.get_marker() in ("", "None")
            for line in chart.axes[0].lines
        )
        == 3
    )


def test_speedups_of_a_sweep() -> None:
    frame = plots.speedups(results.dram_sweep(), ["dense", "sparse"])
    times = results.dram_sweep().set_index(["arch", "dram.gigabytes_per_second"])["time_ms"]
    for row in frame.to_dict("records"):
        rate = row["dram.gigabytes_per_second"]
        assert row["arch"] == "archon"
        assert row["speedup"] == pytest.approx(times[row["over"], rate] / times["archon", rate])
    chart = plots.plot_sweep(frame, "dram.gigabytes_per_second", "speedup", ["workload", "over"])
    assert len(chart.axes[0].lines) == 2


def test_heat_map() -> None:
    chart = plots.plot_heatmap(results.fifo_sweep(), "pe.fifo_depth", "pe.adders")
    cells = chart.axes[0].images[0].get_array()
    wanted = (
        csv(chart).pivot(index="pe.adders", columns="pe.fifo_depth", values="cycles").to_numpy()
    )
    assert isinstance(cells, np.ma.MaskedArray)
    assert_allclose(cells.filled(np.nan), wanted)
    hatched = infeasible(chart.axes[0].patches)
    assert sorted((patch.get_x() + 0.5, patch.get_y() + 0.5) for patch in hatched) == [
        (0, 0),
        (0, 1),
        (0, 2),
    ]


def test_waterfall_ends_where_the_run_did() -> None:
    work = results.workload()
    found = explain(work, machine("archon"), machine_spec(machine("archon")))
    chart = plots.plot_waterfall(plots.waterfall_frame(found))
    table = csv(chart)
    drawn = sorted(
        one for name, ends in bars(chart.axes[0]).items() if name != "taken" for one in ends
    )
    assert_allclose(
        drawn, sorted(zip(table["cumulative"] - table["cycles"], table["cycles"], strict=True))
    )
    first = results.run().per_image[0].total_cycles
    assert table["cumulative"].iloc[-1] == table["cycles"].sum() == first
    assert bars(chart.axes[0])["taken"] == [(0, first)]


def test_maps_of_survival() -> None:
    work = results.workload()
    chart = plots.plot_survival(plots.survival_frame(work, blocks=["b2"]))
    block = next(one for one in work.blocks() if one.name == "b2")
    for axes, mask in zip(chart.axes, MaskPolicy().masks(work, block, 0), strict=False):
        assert_allclose(np.asarray(axes.images[0].get_array()), mask.unpack().mean(axis=0))
    assert len(csv(chart)) == sum(
        mask.height * mask.width for mask in MaskPolicy().masks(work, block, 0)
    )


def test_densities() -> None:
    work = results.workload()
    chart = plots.plot_density(plots.density_frame(work, images=[0, 1]))
    table = csv(chart)
    block = next(work.blocks())
    densities = [MaskPolicy().masks(work, block, image)[0].density() for image in (0, 1)]
    assert table["mean"].iloc[0] == pytest.approx(sum(densities) / 2)
    means = np.concatenate(
        [
            line.get_xdata()
            for line in chart.axes[0].lines
            if line.get_label() in ("first ReLU", "second ReLU")
        ]
    )
    assert sorted(means) == pytest.approx(sorted(table["mean"]))
    spans = [one for one in chart.axes[0].collections if isinstance(one, LineCollection)]
    ends = {tuple(segment[:, 0]) for one in spans for segment in one.get_segments()}
    assert {tuple(one) for one in table[["p05", "p95"]].to_numpy()} <= ends


def test_roofline_points_lie_under_the_roof() -> None:
    run = results.run()
    chart = plots.plot_roofline(plots.run_frame([run]), run.machine)
    table = csv(chart)
    assert set(table["operation"]) == {"macs", "adds"}
    assert (table["per_cycle"] <= table["bound_per_cycle"] * (1 + 1e-9)).all()
    assert roofs(run.machine).words == pytest.approx(25.6)
    stacked = {
        **run.machine,
        "dram": {**run.machine["dram"], "model": "banks", "device": "hbm2"},
    }
    assert roofs(stacked).words == pytest.approx(load_device("hbm2").gigabytes_per_second)
    drawn = np.concatenate(
        [
            line.get_xydata()
            for axes in chart.axes
            for line in axes.lines
            if line.get_marker() in ("o", "s")
        ]
    )
    assert_allclose(
        sorted(map(tuple, drawn)), sorted(map(tuple, table[["per_word", "per_cycle"]].to_numpy()))
    )
    block = next(one for one in run.layers if one.name == "b1" and one.phase == "main")
    row = table[(table["name"] == "b1") & (table["operation"] == "adds")].iloc[0]
    assert row["per_word"] == pytest.approx(block.adds / block.traffic["dram.read.weight"])


def test_images_and_their_interval() -> None:
    mine, base = (plots.run_frame([results.run(arch)]) for arch in ("archon", "sparse"))
    chart = plots.plot_images(mine, base)
    table = csv(chart)
    cycles = {one.image: one.total_cycles for one in results.run().per_image}
    assert table.set_index("image")["time_ms"].to_dict() == pytest.approx(
        {key: value / 500e3 for key, value in cycles.items()}
    )
    assert_allclose(lines(chart.axes[0], "o")[0], table[["time_ms", "share"]])
    assert_allclose(lines(chart.axes[1], "|")[0][:, 0], table["speedup"])
    assert "10000 resamples" in chart.subtitle
    medians = [
        np.asarray(line.get_xdata())[0]
        for line in chart.axes[0].lines
        if str(line.get_label()).startswith("median")
    ]
    assert medians == [pytest.approx(table["time_ms"].median())]


def test_the_bootstrap_is_seeded_and_covers() -> None:
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(60):
        mine = rng.normal(1.0, 0.1, 40)
        base = 2 * mine + rng.normal(0, 0.1, 40)
        found = speedup_interval(base, mine)
        assert found == speedup_interval(base, mine)
        assert found.low <= found.value <= found.high
        inside += found.low <= 2.0 <= found.high
    assert inside >= 50, "about 95 % of intervals should hold the truth"
    same = speedup_interval(np.full(5, 3.0), np.full(5, 2.0))
    assert (same.low, same.value, same.high) == (1.5, 1.5, 1.5)
