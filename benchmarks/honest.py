"""Studies of what a buildable ARCHON takes: its assumptions one by one, and its main phase's order.

`studies.py` runs them; docs/buildable.md and benchmarks/README.md say what they show.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

import archonsim
from archonsim.network.networks import network
from archonsim.result.report import Report
from archonsim.show import figures as plots
from archonsim.show.figures.style import look
from archonsim.trace.synthetic import synthesize
from archonsim.tracefile.writer import write_workload

ROOT = Path(__file__).parents[1]
FUSIONET = str((ROOT / "workloads" / "fusionet_c10.h5").relative_to(ROOT))
PAGE = ROOT / "docs" / "buildable.md"
TABLE = re.compile(r"(<!-- begin: buildable -->\n).*?(<!-- end -->)", re.DOTALL)

#: What the authors' accounting leaves out, switched off: the machine as published.
PUBLISHED: dict[str, Any] = {
    "main_order": "published",
    "group_order": "published",
    "mask_fetch": "once",
    "prediction_sums": "free",
    "requantise": "free",
}
#: One assumption at a time, as a change to the default machine.
ASSUMPTIONS: dict[str, dict[str, Any]] = {
    "the default": {},
    "masks travel for free": {"mask_fetch": "once"},
    "masks pass on from PE to PE": {"pe.mask_links": True},
    "groups in the published order": {"group_order": "published"},
    "whole main phase in the published order": {"main_order": "published"},
    "running sums for free": {"prediction_sums": "free"},
    "running sums in the pads": {"prediction_sums": "pads"},
    "requantisation for free": {"requantise": "free"},
    "requantisation by MACs": {"requantise": "mac"},
    "12 lookups a cycle": {"pe.lookups_per_cycle": 12},
    "6 lookups a cycle": {"pe.lookups_per_cycle": 6},
    "one psum pad, read out between tiles": {"pe.psum_pads": "single"},
    "group sizes in the stream, 8 bits each": {"group_count_bits": 8},
    "as published": PUBLISHED,
}
#: Orders of the main phase; "published" alone pays for masks.
ORDERS: dict[str, dict[str, Any]] = {
    "published, masks once": PUBLISHED | {"prediction_sums": "registers", "requantise": "compare"},
    "published": {"main_order": "published"},
    "mapped": {},
    "mapped, links": {"pe.mask_links": True},
}
BUFFERS = (64, 128, 256, 512)
#: Orders of groups, and the machines on which they are compared.
GROUP_ORDERS = ("published", "balanced", "profiled")
ORDERED: dict[str, dict[str, Any]] = {
    "default": {},
    "FIFOs of 8": {"pe.fifo_depth": 8},
    "masks for free": {"mask_fetch": "once"},
}
SYNTHETIC = ("mobilenetv2mod_c10", "shufflenetmod_c10", "mnasnetmod_c10")


def _run(workload: str, changes: Mapping[str, Any]) -> Report:
    return archonsim.run("archon", workload, set=dict(changes), energy="consistent").report


def _energy_uj(report: Report) -> float:
    return sum(layer.energy_pj or 0.0 for layer in report.layers) / 1e6


def buildable() -> plots.Chart:
    """Cycles and energy when one assumption at a time changes; FusioNet, image 0."""
    rows = []
    for name, changes in ASSUMPTIONS.items():
        report = _run(FUSIONET, changes)
        keys = " ".join(f"{key}={str(value).lower()}" for key, value in changes.items())
        rows.append((name, keys, report.total_cycles, round(_energy_uj(report), 1)))
    frame = pd.DataFrame(rows, columns=["assumption", "set", "cycles", "energy_uj"])
    base = frame.iloc[0]
    frame["cycles_percent"] = (100 * (frame["cycles"] / base["cycles"] - 1)).round(1)
    frame["energy_percent"] = (100 * (frame["energy_uj"] / base["energy_uj"] - 1)).round(1)
    _write_table(frame)
    shown = frame[1:]
    with look(plots.Size.page):
        chart = plots.Chart(
            frame,
            size=plots.Size.page,
            height=0.55 + 0.19 * len(shown),
            title="What each assumption about ARCHON is worth",
            subtitle="fusionet_c10, image 0 (interim trace); cycles against the default machine",
        )
        axes = chart.subplots()
        values = shown["cycles"] / base["cycles"]
        axes.barh(range(len(shown)), values - 1, left=1, color="#0072B2")
        axes.set_yticks(range(len(shown)), shown["assumption"])
        axes.set_ylim(len(shown) - 0.5, -0.5)
        axes.set_xscale("log")
        axes.set_xticks([0.75, 1, 1.5, 2, 4, 8], ["0.75", "1", "1.5", "2", "4", "8"])
        axes.minorticks_off()
        axes.set_xlabel("cycles, default = 1")
    return chart


def _write_table(frame: pd.DataFrame) -> None:
    """Put the table into docs/buildable.md."""
    lines = ["| what changes | `--set` | cycles | | energy (uJ) | |", f"|{' --- |' * 6}"]
    for row in frame.itertuples():
        energy = f"{row.energy_uj:,.0f}".replace(",", " ")
        cells = (
            row.assumption,
            f"`{row.set}`" if row.set else "",
            f"{row.cycles:,.0f}".replace(",", " "),
            f"{row.cycles_percent:+.1f} %",
            energy,
            f"{row.energy_percent:+.1f} %",
        )
        lines.append(f"| {' | '.join(cells)} |")
    table = "\n".join(lines)
    text = TABLE.sub(lambda found: f"{found[1]}{table}\n{found[2]}", PAGE.read_text("utf-8"))
    PAGE.write_text(text, "utf-8")


def main_order() -> plots.Chart:
    """Cycles, energy and mask words by the main phase's order and the prediction buffer's size."""
    folder = ROOT / "build" / "studies"
    folder.mkdir(parents=True, exist_ok=True)
    paths = {"fusionet_c10": FUSIONET}
    for name in SYNTHETIC:
        path = folder / f"{name}.h5"
        write_workload(path, *synthesize(network(name), seed=1, images=1))
        paths[name] = str(path)
    rows = []
    for name, workload in paths.items():
        for order, changes in ORDERS.items():
            for words in BUFFERS if "once" not in order else BUFFERS[1:2]:
                report = _run(workload, changes | {"pe.prediction_buffer_words": words})
                masks = sum(
                    layer.traffic.get("prediction_glb.read.mask", 0) for layer in report.layers
                )
                rows.append(
                    (name, order, words, report.total_cycles, round(_energy_uj(report), 1), masks)
                )
    columns = ["workload", "order", "prediction_buffer_words", "cycles", "energy_uj", "mask_words"]
    return _orders_chart(pd.DataFrame(rows, columns=columns))


def _orders_chart(frame: pd.DataFrame) -> plots.Chart:
    names = list(dict.fromkeys(frame["workload"]))
    with look(plots.Size.page):
        chart = plots.Chart(
            frame,
            size=plots.Size.page,
            height=2.4,
            title="Cycles by order of the main phase and size of the prediction buffer",
            subtitle="fusionet_c10: interim trace, image 0; the others SYNTHETIC masks and weights",
        )
        panels = chart.subplots(1, len(names), sharey=True)
        for axes, name in zip(panels, names, strict=True):
            for order in ORDERS:
                part = frame[(frame["workload"] == name) & (frame["order"] == order)]
                marker = "x" if len(part) == 1 else "o"
                words = part["prediction_buffer_words"]
                axes.plot(words, part["cycles"], marker=marker, markersize=3, label=order)
            axes.set_title(name, fontsize=6)
            axes.set_xscale("log", base=2)
            axes.set_yscale("log")
            axes.set_xticks(BUFFERS, [str(words) for words in BUFFERS])
            axes.minorticks_off()
        panels[0].set_yticks([1e6, 1e7, 1e8], ["1 M", "10 M", "100 M"])
        panels[0].set_ylabel("cycles")
        panels[1].set_xlabel("prediction buffer of a PE (16-bit words)")
        panels[0].legend(fontsize=5)
    return chart


def group_order() -> plots.Chart:
    """How near offline schedules of the stream come to the adder bound; FusioNet, image 0.

    The bound of a main phase: every beat is issued when it is there, no FIFO is ever full. Bounded
    below by it are all orders of the groups; what is above is what FIFOs of a few entries could not
    even out.
    """
    rows = []
    for machine, changes in ORDERED.items():
        for order in GROUP_ORDERS:
            report = _run(FUSIONET, {"group_order": order} | changes)
            main = [layer for layer in report.layers if layer.phase == "main"]
            cycles = sum(layer.cycles for layer in main)
            full = sum(layer.stalls.get("broadcast", 0) for layer in main)
            masks = sum(layer.stalls.get("masks", 0) for layer in main)
            rows.append((machine, order, report.total_cycles, cycles, full, masks, cycles - full))
    columns = ["machine", "group_order", "total_cycles", "main_cycles", "fifo_stalls"]
    frame = pd.DataFrame(rows, columns=[*columns, "mask_stalls", "without_fifo_stalls"])
    frame["above_bound_percent"] = (
        100 * frame["fifo_stalls"] / frame["without_fifo_stalls"]
    ).round(1)
    with look(plots.Size.page):
        chart = plots.Chart(
            frame,
            size=plots.Size.page,
            height=2.2,
            title="Stalls on full FIFOs by the order of the groups",
            subtitle="fusionet_c10, main phases of image 0 (interim trace); 0 is the adder bound",
        )
        axes = chart.subplots()
        width = 0.8 / len(GROUP_ORDERS)
        for at, order in enumerate(GROUP_ORDERS):
            part = frame[frame["group_order"] == order]
            axes.bar(
                [place + at * width for place in range(len(part))],
                part["fifo_stalls"],
                width,
                label=order,
            )
        axes.set_xticks([place + width for place in range(len(ORDERED))], list(ORDERED))
        axes.set_ylabel("cycles")
        axes.legend(fontsize=6)
    return chart
