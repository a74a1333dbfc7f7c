"""Figures as files, their looks, and what is refused."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

from archonsim.cli.app import run_command
from archonsim.errors import ResultError
from archonsim.result.files import to_json
from archonsim.runs.comparison import every_pair
from archonsim.runs.scenario import Settings
from archonsim.show import figures as plots
from archonsim.show.figures.style import (
    MACHINES,
    Size,
    machine_fill,
    phase_fill,
    stall_fill,
)
from archonsim.show.page.comparison import comparison_page
from archonsim.show.page.render import render as render_page
from archonsim.show.page.run import run_page
from archonsim.trace.what_if import MaskPolicy
from archonsim.vocabulary.phases import PHASES
from archonsim.vocabulary.stalls import STALLS
from tests import results


@pytest.fixture
def saved(tmp_path: Path) -> dict[str, Path]:
    tree = results.comparison()
    paths = {
        "compare": tmp_path / "compare.json",
        "sweep": tmp_path / "results.csv",
        "dram": tmp_path / "dram.csv",
    }
    paths["compare"].write_text(to_json(tree.to_dict(runs=True)))
    results.fifo_sweep().to_csv(paths["sweep"], index=False)
    results.dram_sweep().to_csv(paths["dram"], index=False)
    paths["columns"] = tmp_path / "columns.csv"
    results.fifo_sweep().drop(columns="status").to_csv(paths["columns"], index=False)
    paths["unknown"] = tmp_path / "unknown.json"
    first = results.run().per_image[0]
    layers = tuple(replace(layer, energy_pj=None) for layer in first.layers)
    unknown = replace(results.run(), per_image=(replace(first, layers=layers),))
    paths["unknown"].write_text(to_json(unknown.to_dict()))
    for arch in results.ARCHS:
        paths[arch] = tmp_path / f"{arch}.json"
        paths[arch].write_text(to_json(results.run(arch).to_dict()))
    return paths


KINDS: dict[str, list[str]] = {
    "speedup": ["{compare}"],
    "cycles": ["{archon}"],
    "energy": ["{dense}"],
    "roofline": ["{archon}"],
    "images": ["{archon}", "{sparse}", "--over", "sparse"],
    "curve": [
        "{dram}",
        "--x",
        "dram.gigabytes_per_second",
        "--y",
        "time_ms",
        "--series",
        "arch",
        "--asymptote",
        "--log",
        "xy",
    ],
    "heatmap": ["{sweep}", "--x", "pe.fifo_depth", "--y", "pe.adders"],
}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", ["column", "slide"])
def test_every_kind_is_three_files_with_the_same_bytes_each_time(
    kind: str, size: str, saved: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        one.format_map({key: str(path) for key, path in saved.items()}) for one in KINDS[kind]
    ]
    written = []
    for attempt in ("one", "two"):
        assert (
            run_command(["plot", kind, *arguments, "--size", size, "-o", str(tmp_path / attempt)])
            == 0
        ), capsys.readouterr().err
        written.append(
            {path.name: path.read_bytes() for path in sorted((tmp_path / attempt).iterdir())}
        )
    assert list(written[0]) == [f"{kind}.csv", f"{kind}.pdf", f"{kind}.png"]
    assert written[0] == written[1]
    pixels = imread(tmp_path / "one" / f"{kind}.png")[..., :3]
    assert pixels.shape[1] == {"column": 837, "slide": 2500}[size]
    assert pixels.std() > 0.05, "a blank figure"
    border = np.concatenate([pixels[:4].ravel(), pixels[:, :2].ravel(), pixels[:, -2:].ravel()])
    assert (border == 1).all(), "something is cut off at the edge"


def test_a_simulation_can_be_drawn_directly(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "plot",
        "speedup",
        "-w",
        "fusionet_digits",
        "-a",
        "dense,archon",
        "--fidelity",
        "ideal",
        "-o",
        str(tmp_path),
    ]
    assert run_command(arguments) == 0
    assert "wrote" in capsys.readouterr().err
    assert pd.read_csv(tmp_path / "speedup.csv")["over"].tolist() == ["dense"]


def test_synthetic_masks_are_called_so() -> None:
    assert "SYNTHETIC" in plots.about_runs([results.run()])
    assert "SYNTHETIC" in plots.plot_compare(plots.compare_frame(results.comparison())).subtitle


def test_masks_of_untrained_networks_are_called_so() -> None:
    known = results.workload()
    origin = replace(known.provenance, mask_source="trained", untrained=True)
    work = replace(known, provenance=origin)
    comparison = every_pair("archon", work, Settings()).prepare().execute()
    assert comparison.rows[0].mask_source == "untrained"
    assert comparison.warnings == (f"{work.name}: weights and masks are of an UNTRAINED network",)
    for said in (
        plots.about_runs(comparison.whole_runs()),
        plots.about_rows(plots.compare_frame(comparison)),
        plots.about_workload(work, [0], MaskPolicy.parse("trace", 0)),
        render_page(run_page(comparison.whole_runs()[0])),
        render_page(comparison_page(comparison)),
    ):
        assert "UNTRAINED" in said
        assert "trained networks" not in said.replace("UNTRAINED", "")
    told = replace(origin, untrained=False)
    assert "masks of trained networks" in plots.about_workload(
        replace(work, provenance=told), [0], MaskPolicy.parse("trace", 0)
    )


def test_the_users_own_settings_neither_matter_nor_change() -> None:
    frame = plots.run_frame([results.run()])
    plain = plots.plot_run(frame).render("png")
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "black"}):
        assert plots.plot_run(frame).render("png") == plain
        assert mpl.rcParams["font.size"] == 30


def _luminance(color: str) -> float:
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in (int(color[at : at + 2], 16) / 255 for at in (1, 3, 5))
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_fills_are_told_apart_in_grey() -> None:
    """Neighbours in a stack differ in lightness, or one of them is hatched."""
    order = [phase_fill(one) for one in ("predict_pw1", "predict_dw", "main")]
    stalls = [stall_fill(one.name) for one in STALLS]
    lightness = [_luminance(fill.color) for fill in order]
    assert min(abs(a - b) for a, b in itertools.pairwise(lightness)) > 0.05
    assert len({fill.hatch for fill in stalls}) == len(stalls)
    assert all(fill.hatch for fill in stalls)
    assert not any(phase_fill(one.name).hatch for one in PHASES)
    assert len({fill.color for fill in MACHINES.values()}) == len(MACHINES)


def test_unknown_phases_causes_and_machines_are_drawn_too() -> None:
    assert phase_fill("my_phase").label == "my phase"
    assert stall_fill("refresh").hatch
    assert machine_fill("mine").color.startswith("#")


REFUSED: list[tuple[list[str], str]] = [
    (["cycles", "{compare}"], "this figure shows one run, and here are 3"),
    (["speedup", "{archon}"], "give one compare.json"),
    (["speedup", "{compare}", "--of", "archn"], "did you mean 'archon'"),
    (["speedup", "{compare}", "--against", "a"], "write NAME=VALUE"),
    (["energy", "{unknown}"], "energy of archon is not known"),
    (["images", "{archon}", "--over", "sparse"], "one run of 'sparse' is needed"),
    (["curve", "{sweep}", "--x", "pe.fifo_dept"], "did you mean 'pe.fifo_depth'"),
    (["curve", "{sweep}", "--x", "pe.fifo_depth"], "also varying: pe.adders (2, 4, 6)"),
    (
        ["curve", "{sweep}", "--x", "pe.fifo_depth", "--where", "pe.adders=5"],
        "no point has pe.adders = 5; there are 2, 4, 6",
    ),
    (
        [
            "curve",
            "{sweep}",
            "--x",
            "pe.fifo_depth",
            "--where",
            "pe.fifo_depth=3",
            "--series",
            "pe.adders",
        ],
        "no point is feasible",
    ),
    (
        ["curve", "{sweep}", "--x", "pe.adders", "--where", "pe.fifo_depth=5", "--asymptote"],
        "needs --x dram.gigabytes_per_second",
    ),
    (["curve", "{archon}", "--x", "pe.adders"], "not a sweep's table"),
    (["curve", "{columns}", "--x", "pe.adders"], "column 'status' is missing"),
    (["cycles", "{sweep}"], "not JSON"),
    (["cycles", "nowhere.json"], "cannot be read: No such file"),
    (["cycles"], "give either result files, or what to simulate"),
    (
        ["cycles", "{archon}", "-a", "archon", "-w", "fusionet_digits"],
        "give either result files, or what to simulate",
    ),
]


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("arguments", "needed"), REFUSED, ids=lambda one: " ".join(one) if isinstance(one, list) else ""
)
def test_bad_input_is_one_line(
    arguments: list[str],
    needed: str,
    saved: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = [one.format_map({key: str(path) for key, path in saved.items()}) for one in arguments]
    assert run_command(["plot", *given, "-o", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert needed in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_unlike_results_do_not_mix() -> None:
    run, other = results.run(), results.run("dense")
    with pytest.raises(
        ResultError,
        match=r"different traces of digits1\.h5 .*digests 0000000000000000…, ffffffffffffffff…",
    ):
        plots.plot_run(plots.run_frame([run, replace(other, digest="f" * 64)]), by="run")
    with pytest.raises(
        ResultError, match="different fidelities do not go into one figure: cycle, ideal"
    ):
        plots.plot_run(plots.run_frame([run, replace(other, fidelity="ideal")]), by="run")
    with pytest.raises(ResultError, match="different traces"):
        plots.plot_images(
            plots.run_frame([run]), plots.run_frame([replace(other, digest="f" * 64)])
        )
    fewer = replace(other, per_image=other.per_image[:2])
    with pytest.raises(ResultError, match="baseline ran images 0, 1, this run 0, 1, 2"):
        plots.plot_images(plots.run_frame([run]), plots.run_frame([fewer]))
    sweep = results.dram_sweep().copy()
    sweep.loc[0, "digest"] = "f" * 64
    with pytest.raises(ResultError, match="different traces"):
        plots.plot_sweep(sweep, "dram.gigabytes_per_second", "cycles", "arch")


def test_results_of_another_version_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "old.json"
    path.write_text(to_json(results.run().to_dict() | {"schema": 0}))
    with pytest.raises(ResultError, match="schema is 0, and this version reads 1"):
        plots.read_result(path)


def test_a_comparison_without_its_runs_says_how_to_get_them() -> None:
    tree = results.comparison()
    with pytest.raises(ResultError, match="compare -o"):
        plots.runs_of(replace(tree, runs=None))


def test_compare_keeps_whole_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["compare", "-w", "fusionet_digits", "-a", "dense,archon", "--fidelity", "ideal"]
    assert run_command([*arguments, "-f", "json"]) == 0
    brief = json.loads(capsys.readouterr().out)
    assert run_command([*arguments, "-o", str(tmp_path)]) == 0
    tree = json.loads((tmp_path / "compare.json").read_text())
    assert [run["arch"] for run in tree.pop("runs")] == ["dense", "archon"]
    assert tree == brief
    assert (tmp_path / "compare.csv").read_text().startswith("workload,")


def test_no_other_command_waits_for_matplotlib() -> None:
    code = (
        "import sys, archonsim.cli.app; print([one for one in ('matplotlib', 'pandas', 'jinja2') if"
        " one in sys.modules])"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout
        == "[]\n"
    )


def test_sizes() -> None:
    frame = plots.run_frame([results.run()])
    for size, width in ((Size.column, 3.35), (Size.page, 7.0), (Size.slide, 10.0)):
        assert plots.plot_run(frame, size=size).get_size_inches()[0] == width
    assert plots.plot_run(frame, size=Size.slide).get_size_inches()[1] == pytest.approx(10 * 9 / 16)


def test_what_does_not_fit_a_slide_is_refused() -> None:
    rows = [asdict(row) for row in results.comparison().rows]
    many = pd.DataFrame(
        [{**row, "workload": f"network{number}"} for number in range(30) for row in rows]
    )
    plots.plot_compare(many, size=Size.page)
    with pytest.raises(ResultError, match="too much for one slide"):
        plots.plot_compare(many, size=Size.slide)


def test_legends_and_names_stay_inside() -> None:
    """Four machines to beat, and names longer than a column.

    The legend is not cut, the bars keep their room.
    """
    rows = [asdict(row) for row in results.comparison().rows]
    more = [
        {**row, "arch": name}
        for row in rows
        if row["arch"] == "dense"
        for name in ("systolic", "fuse")
    ]
    chart = plots.plot_compare(
        pd.DataFrame([{**row, "workload": "a_name_" * 20} for row in [*rows, *more]])
    )
    chart.render("png")
    box, (wide, _) = chart.legends[0].get_window_extent(), chart.canvas.get_width_height()
    assert box.x0 >= 0
    assert box.x1 <= wide
    assert chart.axes[0].get_position().width > 0.25


def test_curves_look_different_each() -> None:
    base = results.fifo_sweep().query("status == 'ok'").iloc[[0]]
    swept = pd.concat(
        [
            base.assign(**{"pe.adders": number, "pe.rows": rows})
            for number in range(32)
            for rows in (4, 8)
        ]
    )
    chart = plots.plot_sweep(swept, "pe.rows", "cycles", "pe.adders")
    looks = {(line.get_color(), line.get_linestyle()) for line in chart.axes[0].lines}
    assert len(looks) == 32
    with pytest.raises(ResultError, match="33 curves cannot be told apart"):
        plots.plot_sweep(
            pd.concat([swept, base.assign(**{"pe.adders": 99, "pe.rows": 4})]),
            "pe.rows",
            "cycles",
            "pe.adders",
        )


def test_ticks_of_a_large_heat_map_have_room() -> None:
    base = results.fifo_sweep().query("status == 'ok'").iloc[[0]]
    swept = pd.concat(
        [
            base.assign(**{"pe.adders": number, "pe.rows": rows})
            for number in range(1, 26)
            for rows in range(1, 41)
        ]
    )
    axes = plots.plot_heatmap(swept, "pe.adders", "pe.rows").axes[0]
    assert len(axes.get_xticks()) <= 16
    assert len(axes.get_yticks()) <= 14
    assert [text.get_text() for text in axes.get_xticklabels()][:2] == ["1", "3"]


def test_a_figure_inside_its_bar_where_there_is_no_room_beside_it() -> None:
    """A waterfall whose longest owner begins at the axis: its figures do not run into the names."""
    frame = pd.DataFrame(
        {"name": "all", "owner": ["macs", "empty"], "cycles": [10, 990], "cumulative": [10, 1000]}
    )
    axes = plots.plot_waterfall(frame).axes[0]
    said = {text.get_text(): text for text in axes.texts}
    inside = said["990 (99.0 %)"]
    assert inside.get_horizontalalignment() == "right"
    assert inside.get_position()[0] > 900
    assert "10 (1.0 %)" in said


def test_notes_on_many_workloads_are_counted() -> None:
    rows = [asdict(row) for row in results.comparison().rows]
    frame = pd.DataFrame(
        [
            {**row, "workload": f"w{number}", "note": f"note {number}"}
            for number in range(5)
            for row in rows
        ]
    )
    said = plots.about_rows(frame)
    assert "note 2" in said
    assert "note 3" not in said
    assert said.endswith("notes on 2 more workloads")
