"""Figures: from data frames of results to matplotlib Figures that carry the table they show.

Each function returns a :class:`~archonsim.show.figures.chart.Chart`, a matplotlib Figure with
``table`` (what is drawn) and ``write(folder, name)`` (PNG, PDF and CSV). ``docs/plots.md`` shows
the kinds.
"""

from archonsim.result.frames import compare_frame, run_frame
from archonsim.result.stored import read_result, read_waterfall, runs_of
from archonsim.result.sweep_table import SweepTable
from archonsim.show.figures.breakdown import plot_run
from archonsim.show.figures.chart import Chart
from archonsim.show.figures.curves import plot_sweep
from archonsim.show.figures.frames import (
    about_rows,
    about_runs,
    about_waterfall,
    about_workload,
    check_alike,
)
from archonsim.show.figures.heatmap import plot_heatmap
from archonsim.show.figures.images import plot_images
from archonsim.show.figures.kind import (
    COMPARISON,
    MASKS,
    RUN,
    RUNS,
    SWEEP,
    WATERFALL,
    Figure,
    NoOptions,
    Option,
    figure,
    figure_names,
)
from archonsim.show.figures.masks import Masks
from archonsim.show.figures.points import read_sweep, speedups, where
from archonsim.show.figures.roofline import plot_roofline
from archonsim.show.figures.speedup import plot_compare
from archonsim.show.figures.style import Size, look, machine_fill, phase_fill, stall_fill
from archonsim.show.figures.survival import (
    density_frame,
    plot_density,
    plot_survival,
    survival_frame,
)
from archonsim.show.figures.waterfall import plot_waterfall, waterfall_frame

__all__ = [
    "COMPARISON",
    "MASKS",
    "RUN",
    "RUNS",
    "SWEEP",
    "WATERFALL",
    "Chart",
    "Figure",
    "Masks",
    "NoOptions",
    "Option",
    "Size",
    "SweepTable",
    "about_rows",
    "about_runs",
    "about_waterfall",
    "about_workload",
    "check_alike",
    "compare_frame",
    "density_frame",
    "figure",
    "figure_names",
    "look",
    "machine_fill",
    "phase_fill",
    "plot_compare",
    "plot_density",
    "plot_heatmap",
    "plot_images",
    "plot_roofline",
    "plot_run",
    "plot_survival",
    "plot_sweep",
    "plot_waterfall",
    "read_result",
    "read_sweep",
    "read_waterfall",
    "run_frame",
    "runs_of",
    "speedups",
    "stall_fill",
    "survival_frame",
    "waterfall_frame",
    "where",
]
