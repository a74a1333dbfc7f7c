"""Figures: from data frames of results to matplotlib Figures that carry the table they show.

Each function returns a :class:`~archonsim.plots.chart.Chart`, a matplotlib Figure with ``table`` (what is drawn) and
``write(folder, name)`` (PNG, PDF and CSV). ``docs/plots.md`` shows the kinds.
"""

from archonsim.plots.breakdown import plot_run
from archonsim.plots.chart import Chart
from archonsim.plots.curves import plot_sweep
from archonsim.plots.frames import (
    about_rows,
    about_runs,
    about_workload,
    check_alike,
)
from archonsim.plots.heatmap import plot_heatmap
from archonsim.plots.images import plot_images
from archonsim.plots.points import speedups, where
from archonsim.plots.read import read_question, read_result, read_sweep, read_waterfall, runs_of
from archonsim.plots.roofline import plot_roofline
from archonsim.plots.speedup import plot_compare
from archonsim.plots.style import Size
from archonsim.plots.survival import density_frame, plot_density, plot_survival, survival_frame
from archonsim.plots.waterfall import plot_waterfall, waterfall_frame
from archonsim.report.frames import compare_frame, run_frame

__all__ = [
    "Chart",
    "Size",
    "about_rows",
    "about_runs",
    "about_workload",
    "check_alike",
    "compare_frame",
    "density_frame",
    "plot_compare",
    "plot_density",
    "plot_heatmap",
    "plot_images",
    "plot_roofline",
    "plot_run",
    "plot_survival",
    "plot_sweep",
    "plot_waterfall",
    "read_question",
    "read_result",
    "read_sweep",
    "read_waterfall",
    "run_frame",
    "runs_of",
    "speedups",
    "survival_frame",
    "waterfall_frame",
    "where",
]
