"""The page of one run."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

import pandas as pd

from archonsim.network.workload import mask_origin
from archonsim.show.figures import (
    about_runs,
    plot_density,
    plot_images,
    plot_roofline,
    plot_run,
    plot_waterfall,
    run_frame,
    waterfall_frame,
)
from archonsim.show.figures.roofline import STREAM
from archonsim.show.figures.style import stall_fill
from archonsim.show.page.model import Card, Interactive, Page, Picture, Table, grouped, table, trust
from archonsim.show.page.timeline import run_timeline, title_of
from archonsim.spec.load import to_toml
from archonsim.stats.timeline import Timeline
from archonsim.vocabulary.known import in_order

Tree = dict[str, Any]

TIMELINE_HELP = (
    "Drag to move; Ctrl and wheel, pinch, or the buttons to zoom; keys + - 0 and arrows. Owners are"
    " sums within a phase, drawn as shares of its span, not in the order in which they happened."
)


def warnings_of(run: Tree) -> list[str]:
    """What a reader must know before trusting a number."""
    origin = run["provenance"]
    lines = trust(run["workload"], mask_origin(origin), origin["note"])
    if run["masks"] not in ("", "trace"):
        lines.append(
            f"What-if masks: {run['masks']}, seed {run['seed']}; not what the network's predictors"
            " said"
        )
    if run["fidelity"] == "ideal":
        lines.append("ideal fidelity: a closed-form model without masks, stalls and memory")
    return lines


def origin_of(run: Tree) -> list[tuple[str, str]]:
    """Where a workload comes from, and what ran it."""
    origin = run["provenance"]
    source = mask_origin(origin)
    masks = {
        "none": "none: shapes only",
        "synthetic": "SYNTHETIC",
        "untrained": "UNTRAINED network",
    }.get(source, f"{source} network")
    rows = [
        (
            "workload",
            f"{run['workload']} ({origin['network']}, {origin['dataset']}, {origin['flavour']})",
        ),
        ("masks", masks),
    ]
    if origin["test_accuracy"] is not None:
        rows.append(
            (
                "test accuracy",
                (
                    f"{100 * origin['test_accuracy']:.2f} % of {origin['test_images']} images, as"
                    " exported"
                ),
            )
        )
    rows += [
        ("trace digest", run["digest"] or "none: shapes only"),
        ("trace written by", origin["created_by"] or "unknown"),
    ]
    return [*rows, ("simulated by", f"archonsim {run['archonsim']}, result schema {run['schema']}")]


def command_of(run: Tree) -> str:
    """Return the command that runs the same again, with the machine's description saved as ``machine.toml``."""
    words = [
        "archonsim",
        "run",
        "-a",
        run["arch"],
        "-w",
        run["workload"],
        "--fidelity",
        run["fidelity"],
        "--config",
        "machine.toml",
    ]
    if run["image_numbers"]:
        words += ["--images", ",".join(map(str, run["image_numbers"]))]
    if run["masks"] not in ("", "trace"):
        words += ["--masks", run["masks"], "--seed", str(run["seed"])]
    return shlex.join(words)


def cards_of(run: Tree) -> list[Card]:
    """Headline numbers."""
    layers, cycles = run["layers"], run["total_cycles"]
    stalls = sum(sum(layer["stalls"].values()) for layer in layers)
    possible = sum(layer["adds_possible"] for layer in layers if layer["phase"] == "main")
    done = sum(layer["adds"] for layer in layers if layer["phase"] == "main")
    words = sum(
        count
        for layer in layers
        for key, count in layer["traffic"].items()
        if key.startswith("dram.")
    )
    images = f"mean of {run['images']} images" if run["images"] > 1 else "one image"
    cards = [
        Card("Cycles", grouped(cycles), images),
        Card(
            "Time",
            f"{run['time_ms']:.4g} ms",
            f"{grouped(1000 / run['time_ms'])} images a second at {run['clock_mhz']:g} MHz",
        ),
        Card("Stalled", f"{100 * stalls / cycles:.1f} %", f"{grouped(stalls)} cycles"),
        Card("MACs", grouped(run["total_macs"]), f"{grouped(run['total_adds'])} additions"),
    ]
    if possible:
        cards.append(
            Card(
                "Survival in main phases",
                f"{100 * done / possible:.1f} %",
                "additions done of those possible",
            )
        )
    if words:
        cards.append(
            Card("DRAM traffic", f"{words * 2 / 1e6:.3g} MB", f"{grouped(words)} words of 16 bits")
        )
    energies = [layer["energy_pj"] for layer in layers]
    if all(one is not None for one in energies):
        microjoules = sum(energies) / 1e6
        cards.append(
            Card(
                "Energy",
                f"{grouped(microjoules) if microjoules > 1000 else f'{microjoules:.4g}'} µJ",
                images,
            )
        )
    return cards


def phase_table(run: Tree) -> Table:
    """All phases of all layers."""
    total, layers = run["total_cycles"], run["layers"]
    causes = in_order("stalls", {one for layer in layers for one in layer["stalls"]})
    energy = all(layer["energy_pj"] is not None for layer in layers)
    columns = [
        "layer",
        "phase",
        "cycles",
        "share %",
        "work",
        *(stall_fill(one).label for one in causes),
        "MACs",
        "additions",
    ]
    columns += ["survival %", "utilization %", *(["energy µJ"] if energy else [])]
    rows: list[Sequence[Any]] = [
        [
            layer["name"],
            layer["phase"],
            layer["cycles"],
            100 * layer["cycles"] / total,
            layer["compute"],
            *(layer["stalls"].get(one, 0) for one in causes),
            layer["macs"],
            layer["adds"],
            100 * layer["adds"] / layer["adds_possible"] if layer["adds_possible"] else None,
            100 * layer["utilization"],
            *([layer["energy_pj"] / 1e6] if energy else []),
        ]
        for layer in layers
    ]
    text = pd.DataFrame(rows, columns=columns).to_csv(index=False, lineterminator="\n")
    return table("phases", "Layers and phases", columns, rows, text)


def _pictures(
    run: Tree, frame: pd.DataFrame, waterfall: Tree | None, density: pd.DataFrame | None
) -> list[Picture]:
    name = title_of(run)
    pictures = [
        Picture(
            "cycles",
            plot_run(frame, subtitle=""),
            f"Cycles of {name} by layer, phase and stall; the table says the same",
        )
    ]
    if waterfall is not None:
        chart = plot_waterfall(waterfall_frame(waterfall))
        pictures.append(
            Picture(
                "waterfall", chart, f"From necessary work to the cycles of {name}, owner by owner"
            )
        )
    if frame["energy_pj"].notna().all():
        pictures.append(
            Picture(
                "energy",
                plot_run(frame, quantity="energy", subtitle=""),
                f"Energy of {name} by layer and phase",
            )
        )
    if STREAM in frame and frame[STREAM].any():
        chart = plot_roofline(frame, run["machine"], subtitle="")
        pictures.append(
            Picture(
                "roofline",
                chart,
                f"Phases of {name} under the bounds of MACs, adders and weight stream",
            )
        )
    if len(run["per_image"]) > 1:
        pictures.append(
            Picture(
                "images",
                plot_images(frame, subtitle=""),
                f"Distribution of the times of {run['images']} images",
            )
        )
    if density is not None:
        pictures.append(
            Picture(
                "density",
                plot_density(density),
                "Share of activations that survive each block's two ReLUs",
            )
        )
    return pictures


def run_page(
    run: Tree,
    *,
    timeline: Timeline | None = None,
    waterfall: Tree | None = None,
    density: pd.DataFrame | None = None,
) -> Page:
    """Put the page of a run together.

    Parameters
    ----------
    run : dict
        JSON form of a report.
    timeline : Timeline, optional
        Recorded in its first image.
    waterfall : dict, optional
        JSON form of its waterfall.
    density : DataFrame, optional
        As :func:`archonsim.show.figures.survival.density_frame` gives it.
    """
    frame = run_frame([run])
    first = f" of image {run['image_numbers'][0]}" if run["image_numbers"] else ""
    look = Interactive(
        "timeline",
        "timeline",
        f"Timeline{first}",
        TIMELINE_HELP,
        f"Timeline{first}: phases and their owners of cycles, left to right; the table of layers"
        " and phases holds the numbers",
        run_timeline(run, timeline),
    )
    tables = [phase_table(run)]
    if len(run["per_image"]) > 1:
        rows = [
            [one["image"], one["total_cycles"], one["total_cycles"] / run["clock_mhz"] / 1000]
            for one in run["per_image"]
        ]
        tables.append(table("images", "Images", ("image", "cycles", "time ms"), rows))
    return Page(
        title=title_of(run),
        subtitle=about_runs([run]),
        command=command_of(run),
        warnings=warnings_of(run),
        cards=cards_of(run),
        interactive=[look],
        pictures=_pictures(run, frame, waterfall, density),
        tables=tables,
        machines=[(run["arch"], to_toml(run["machine"]))],
        includes=list(run["includes"]),
        excludes=list(run["excludes"]),
        origin=origin_of(run),
    )
