"""The page of one run."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

import pandas as pd

from archonsim.result.files import frame_to_csv
from archonsim.result.report import Report
from archonsim.result.waterfall import Waterfall
from archonsim.result.wording import share, trust
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
from archonsim.show.figures.roofline import STREAM, has_array
from archonsim.show.figures.style import stall_fill
from archonsim.show.page.model import (
    Card,
    Interactive,
    Page,
    Picture,
    Table,
    doubts,
    grouped,
    table,
)
from archonsim.show.page.timeline import run_timeline, title_of
from archonsim.spec.load import to_toml
from archonsim.stats.timeline import Timeline
from archonsim.vocabulary.known import in_order

TIMELINE_HELP = (
    "Drag to move; Ctrl and wheel, pinch, or the buttons to zoom; keys + - 0 and arrows. Owners are"
    " sums within a phase, drawn as shares of its span, not in the order in which they happened."
)


def warnings_of(run: Report) -> list[str]:
    """What a reader must know before trusting a number."""
    origin = run.provenance
    lines = doubts(run.workload, origin.masks_from, origin.note)
    if run.masks not in ("", "trace"):
        lines.append(
            f"What-if masks: {run.masks}, seed {run.seed}; not what the network's predictors said"
        )
    if run.fidelity == "ideal":
        lines.append("ideal fidelity: a closed-form model without masks, stalls and memory")
    return lines


def origin_of(run: Report) -> list[tuple[str, str]]:
    """Where a workload comes from, and what ran it."""
    origin = run.provenance
    source = origin.masks_from
    masks = "trained network" if source == "trained" else trust(source).masks
    rows = [
        (
            "workload",
            f"{run.workload} ({origin.network}, {origin.dataset}, {origin.flavour})",
        ),
        ("masks", masks),
    ]
    if origin.test_accuracy is not None:
        rows.append(
            (
                "test accuracy",
                (f"{100 * origin.test_accuracy:.2f} % of {origin.test_images} images, as exported"),
            )
        )
    rows += [
        ("trace digest", run.digest or "none: shapes only"),
        ("trace written by", origin.created_by or "unknown"),
    ]
    return [*rows, ("simulated by", f"archonsim {run.archonsim}, result schema {run.schema}")]


def command_of(run: Report) -> str:
    """Return the command that repeats the run; ``machine.toml`` holds the description."""
    words = [
        "archonsim",
        "run",
        "-a",
        run.arch,
        "-w",
        run.workload,
        "--fidelity",
        run.fidelity,
        "--config",
        "machine.toml",
    ]
    if run.image_numbers:
        words += ["--images", ",".join(map(str, run.image_numbers))]
    if run.masks not in ("", "trace"):
        words += ["--masks", run.masks, "--seed", str(run.seed)]
    return shlex.join(words)


def cards_of(run: Report) -> list[Card]:
    """Headline numbers."""
    layers, cycles = run.layers, run.total_cycles
    stalls = sum(sum(layer.stalls.values()) for layer in layers)
    possible = sum(layer.adds_possible for layer in layers if layer.phase == "main")
    done = sum(layer.adds for layer in layers if layer.phase == "main")
    words = sum(
        count for layer in layers for key, count in layer.traffic.items() if key.startswith("dram.")
    )
    images = f"mean of {run.images} images" if run.images > 1 else "one image"
    rate = f"{grouped(1000 / run.time_ms)} images a second" if run.time_ms else "no time"
    cards = [
        Card("Cycles", grouped(cycles), images),
        Card(
            "Time",
            f"{run.time_ms:.4g} ms",
            f"{rate} at {run.clock_mhz:g} MHz",
        ),
        Card("Stalled", share(stalls, cycles), f"{grouped(stalls)} cycles"),
        Card("MACs", grouped(run.total_macs), f"{grouped(run.total_adds)} additions"),
    ]
    if possible:
        cards.append(
            Card(
                "Survival in main phases",
                share(done, possible),
                "additions done of those possible",
            )
        )
    if words:
        cards.append(
            Card("DRAM traffic", f"{words * 2 / 1e6:.3g} MB", f"{grouped(words)} words of 16 bits")
        )
    if run.energy_uj is not None:
        energy = grouped(run.energy_uj) if run.energy_uj > 1000 else f"{run.energy_uj:.4g}"
        cards.append(Card("Energy", f"{energy} µJ", images))
    return cards


def phase_table(run: Report) -> Table:
    """All phases of all layers."""
    total, layers = run.total_cycles, run.layers
    causes = in_order("stalls", {one for layer in layers for one in layer.stalls})
    energy = all(layer.energy_pj is not None for layer in layers)
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
            layer.name,
            layer.phase,
            layer.cycles,
            100 * layer.cycles / total if total else None,
            layer.compute,
            *(layer.stalls.get(one, 0) for one in causes),
            layer.macs,
            layer.adds,
            100 * layer.adds / layer.adds_possible if layer.adds_possible else None,
            100 * layer.utilization,
            *([(layer.energy_pj or 0.0) / 1e6] if energy else []),
        ]
        for layer in layers
    ]
    text = frame_to_csv(pd.DataFrame(rows, columns=columns))
    return table("phases", "Layers and phases", columns, rows, text)


def _pictures(
    run: Report, frame: pd.DataFrame, waterfall: Waterfall | None, density: pd.DataFrame | None
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
    if STREAM in frame and frame[STREAM].any() and has_array(run.machine):
        chart = plot_roofline(frame, run.machine, subtitle="")
        pictures.append(
            Picture(
                "roofline",
                chart,
                f"Phases of {name} under the bounds of MACs, adders and weight stream",
            )
        )
    if len(run.per_image) > 1:
        pictures.append(
            Picture(
                "images",
                plot_images(frame, subtitle=""),
                f"Distribution of the times of {run.images} images",
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
    run: Report,
    *,
    timeline: Timeline | None = None,
    waterfall: Waterfall | None = None,
    density: pd.DataFrame | None = None,
) -> Page:
    """Put the page of a run together.

    Parameters
    ----------
    run : Report
    timeline : Timeline, optional
        Recorded in its first image.
    waterfall : Waterfall, optional
        Of its cycles.
    density : DataFrame, optional
        As :func:`archonsim.show.figures.survival.density_frame` gives it.
    """
    frame = run_frame([run])
    first = f" of image {run.image_numbers[0]}" if run.image_numbers else ""
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
    if len(run.per_image) > 1:
        rows = [
            [one.image, one.total_cycles, one.total_cycles / run.clock_mhz / 1000]
            for one in run.per_image
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
        machines=[(run.arch, to_toml(run.machine))],
        includes=list(run.includes),
        excludes=list(run.excludes),
        origin=origin_of(run),
    )
