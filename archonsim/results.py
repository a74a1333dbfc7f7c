"""What the Python interface returns: results that become data frames, lines of text or figures.

pandas and matplotlib are imported when a frame or a figure is asked for, so that a run needs neither.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from archonsim.report.compare import Comparison
from archonsim.report.files import to_csv
from archonsim.report.report import Number, Report

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame


def _frame(text: str, **attributes: Any) -> DataFrame:
    """Read our CSV as a data frame with the same columns, floats to the last bit."""
    import pandas

    frame = pandas.read_csv(io.StringIO(text), float_precision="round_trip", keep_default_na=False, na_values=[""])
    frame.attrs.update(attributes)
    return frame


def _draw(function: str, *arguments: Any) -> Figure:
    """Call one of the drawing functions."""
    figure: Figure = getattr(import_module("archonsim.plots"), function)(*arguments)
    return figure


@dataclass(frozen=True, slots=True)
class Result:
    """One workload on one machine.

    Attributes
    ----------
    report : Report
        Everything that is known of the run; ``report.to_dict()`` is what ``--format json`` prints.
    """

    report: Report

    @property
    def cycles(self) -> Number:
        """Cycles of the array's clock: an integer for one image, the mean over several."""
        return self.report.total_cycles

    @property
    def time_ms(self) -> float:
        """Milliseconds of one image."""
        return self.report.time_ms

    @property
    def energy_uj(self) -> float | None:
        """Microjoules of one image; None where energy is unknown."""
        return self.report.energy_uj

    def to_dataframe(self) -> DataFrame:
        """Return one row for each image, layer and phase: the columns of ``result.csv``.

        ``attrs`` holds what is the same in all rows: arch, workload, fidelity, masks, seed, digest and clock_mhz.
        """
        report = self.report
        same = {name: getattr(report, name) for name in ("arch", "workload", "fidelity", "masks", "seed", "digest", "clock_mhz")}
        return _frame(to_csv(report), **same)

    def summary(self) -> str:
        """Return a few lines for reading."""
        report = self.report
        stalls = sum(sum(layer.stalls.values()) for layer in report.layers)
        energy = "" if report.energy_uj is None else f", {report.energy_uj:,.1f} uJ"
        masks = f", masks: {report.masks}" if report.masks else ""
        return (
            f"{report.arch} on {report.workload}, {report.fidelity} fidelity{masks}\n"
            f"{report.total_cycles:,.0f} cycles = {report.time_ms:.3f} ms at {report.clock_mhz:g} MHz{energy}; "
            f"{stalls:,.0f} of them stalled\n"
            f"{report.total_macs:,.0f} MACs, {report.total_adds:,.0f} adds"
        )

    def plot(self) -> Figure:
        """Draw cycles by layer and phase."""
        return _draw("plot_run", self.to_dataframe())


@dataclass(frozen=True, slots=True)
class CompareResult:
    """Workloads on several machines.

    Attributes
    ----------
    comparison : Comparison
        The rows with their reports, speedups and warnings.
    """

    comparison: Comparison

    def to_dataframe(self) -> DataFrame:
        """Return one row for each workload and machine: the columns of ``archonsim compare --format csv``."""
        return _frame(self.comparison.to_csv(), base=self.comparison.base, budget=self.comparison.budget)

    def summary(self) -> str:
        """Return a line for each row, and the warnings."""
        lines = []
        for row in self.comparison.rows:
            name, speedup = f"{row.workload} on {row.arch}", self.comparison.speedup(row)
            if row.report is None:
                continue  # its reason is among the warnings
            times = "" if speedup is None else f", {speedup:.2f}x"
            lines.append(f"{name}: {row.report.total_cycles:,.0f} cycles, {row.report.time_ms:.3f} ms{times}")
        return "\n".join([*lines, *self.comparison.warnings()])

    def plot(self) -> Figure:
        """Draw speedups over the base."""
        return _draw("plot_compare", self.to_dataframe())
