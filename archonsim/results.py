"""What the Python interface returns: results that become data frames, lines of text or figures.

pandas and matplotlib are imported when a frame or a figure is asked for, so that a run needs neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archonsim.explain.advice import Advice
from archonsim.report.compare import Comparison
from archonsim.report.report import Number, Report
from archonsim.report.text import number
from archonsim.sweeps.table import CSV_NAME, PARQUET_NAME

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame


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
        """Return one row for each image, layer and phase.

        What was run stands in each row (arch, workload, digest, fidelity, masks, seed, clock_mhz), so that frames of several
        runs can be joined; then come the columns of ``result.csv``, energy in pJ, and 16-bit words moved, a column
        ``words.dram.read.weight`` for each kind of traffic.
        """
        from archonsim.report.frames import run_frame

        return run_frame([self.report.to_dict()])

    def summary(self) -> str:
        """Return a few lines for reading."""
        report = self.report
        stalls = sum(sum(layer.stalls.values()) for layer in report.layers)
        energy = "" if report.energy_uj is None else f", {report.energy_uj:.3g} uJ"
        masks = f", masks: {report.masks}" if report.masks else ""
        return (
            f"{report.arch} on {report.workload}, {report.fidelity} fidelity{masks}\n"
            f"{number(report.total_cycles)} cycles = {report.time_ms:.3f} ms at {report.clock_mhz:g} MHz{energy}; "
            f"{number(stalls)} of them stalled\n"
            f"{number(report.total_macs)} MACs, {number(report.total_adds)} adds"
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
        from archonsim.report.frames import compare_frame

        return compare_frame(self.comparison.to_dict())

    def summary(self) -> str:
        """Return a line for each row, and the warnings."""
        lines = []
        for row in self.comparison.rows:
            name, speedup = f"{row.workload} on {row.arch}", self.comparison.speedup(row)
            if row.report is None:
                continue  # its reason is among the warnings
            times = "" if speedup is None else f", {speedup:.2f}x"
            lines.append(f"{name}: {number(row.report.total_cycles)} cycles, {row.report.time_ms:.3f} ms{times}")
        return "\n".join([*lines, *self.comparison.warnings()])

    def plot(self) -> Figure:
        """Draw speedups over the base."""
        return _draw("plot_compare", self.to_dataframe())


@dataclass(frozen=True, slots=True, weakref_slot=True)
class SweepResult:
    """The table of a sweep.

    Attributes
    ----------
    folder : Path
        Holds ``results.csv``, ``results.parquet`` and the journal.
    parameters : tuple of str
        Columns that were varied.
    """

    folder: Path
    parameters: tuple[str, ...]

    @property
    def csv(self) -> Path:
        """Path of the table as CSV."""
        return self.folder / CSV_NAME

    @property
    def parquet(self) -> Path:
        """Path of the table as Parquet."""
        return self.folder / PARQUET_NAME

    def to_dataframe(self) -> DataFrame:
        """Return one row for each point, infeasible ones with their reason; columns as in ``docs/sweep.md``."""
        import pandas

        return pandas.read_parquet(self.parquet)

    def summary(self) -> str:
        """Return how many points there are, and the fastest of each workload and architecture."""
        frame = self.to_dataframe()
        done = frame[frame["status"] == "ok"]
        infeasible = len(frame) - len(done)
        lines = [f"{number(len(frame))} points" + (f", {number(infeasible)} of them infeasible" if infeasible else "")]
        fastest = done.loc[done.groupby(["workload", "arch"], sort=False)["time_ms"].idxmin()]
        for row in fastest.to_dict("records"):
            chosen = [f"{name}={row[name]}" for name in self.parameters if row[name] == row[name] and row[name] is not None]
            masks = [f"masks={row['masks']}"] if row["masks"] else []
            lines.append(
                f"fastest of {row['workload']} on {row['arch']}: {number(row['cycles'])} cycles, {row['time_ms']:.3f} ms "
                f"with {', '.join([*chosen, *masks]) or 'the preset'}"
            )
        return "\n".join(lines)

    def plot(self, x: str | None = None, y: str = "cycles", series: str | None = None) -> Figure:
        """Draw a column over a parameter, the first one by default; one curve for each value of `series`."""
        frame = import_module("archonsim.plots").read_sweep(self.csv)  # with where the workloads come from
        return _draw("plot_sweep", frame, x or self.parameters[0], y, series)


@dataclass(frozen=True, slots=True)
class AdviceResult:
    """Whether fusing pays, block by block.

    Attributes
    ----------
    advice : Advice
    """

    advice: Advice

    def to_dataframe(self) -> DataFrame:
        """Return one row for each block: the columns of ``archonsim advise --format csv``."""
        import pandas

        return pandas.DataFrame([block.to_dict() for block in self.advice.blocks])

    def summary(self) -> str:
        """Return which blocks gain from fusing, which do not, and where the closed form is wrong."""
        named = {True: "fuse", False: "leave plain", None: "cannot say"}
        lines = []
        for verdict, text in named.items():
            blocks = [one.block for one in self.advice.blocks if one.pays is verdict]
            lines += [f"{text}: {', '.join(blocks)}"] if blocks else []
        wrong = ", ".join(self.advice.disagreements) or "none"
        return "\n".join(
            [f"{self.advice.workload} on {self.advice.arch}", *lines, f"closed form and simulator disagree on: {wrong}"]
        )
