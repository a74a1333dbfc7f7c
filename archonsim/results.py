"""What the Python interface returns: results that become data frames, lines of text or figures.

pandas and matplotlib are imported when a frame or a figure is asked for, so that a run needs
neither.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from archonsim.errors import SpecError
from archonsim.result.advice import Advice
from archonsim.result.compare import Comparison
from archonsim.result.report import Report
from archonsim.result.sweep_table import CSV_NAME, PARQUET_NAME
from archonsim.result.values import Number
from archonsim.result.wording import microjoules, number, origin_line
from archonsim.sweeps.store import mask_sources
from archonsim.sweeps.values import plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame


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

        What was run stands in each row (arch, workload, digest, fidelity, masks, seed, clock_mhz),
        so that frames of several runs can be joined; then come the columns of ``result.csv``,
        energy in pJ, and 16-bit words moved, a column ``words.dram.read.weight`` for each kind of
        traffic.
        """
        from archonsim.result.frames import run_frame

        return run_frame([self.report])

    def summary(self) -> str:
        """Return a few lines for reading."""
        report = self.report
        stalls = sum(sum(layer.stalls.values()) for layer in report.layers)
        energy = "" if report.energy_uj is None else f", {microjoules(report.energy_uj)} uJ"
        masks = f", masks: {report.masks}" if report.masks else ""
        lines = [
            f"{report.arch} on {report.workload}, {report.fidelity} fidelity{masks}",
            (
                f"{number(report.total_cycles)} cycles = {report.time_ms:.3f} ms at"
                f" {report.clock_mhz:g} MHz{energy}; {number(stalls)} of them stalled"
            ),
            f"{number(report.total_macs)} MACs, {number(report.total_adds)} adds",
        ]
        return "\n".join([*lines, *origin_line(report.workload, report.provenance.masks_from)])

    def plot(self) -> Figure:
        """Draw cycles by layer and phase."""
        from archonsim.show.figures import plot_run

        return plot_run(self.to_dataframe())


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
        """Return one row for each workload and machine.

        The columns of ``archonsim compare --format csv``.
        """
        from archonsim.result.frames import compare_frame

        return compare_frame(self.comparison)

    def summary(self) -> str:
        """Return a line for each row, and the warnings."""
        lines = []
        for row in self.comparison.rows:
            if row.cycles is None:
                continue  # its reason is among the warnings
            times = "" if row.speedup is None else f", {row.speedup:.2f}x"
            lines.append(
                f"{row.workload} on {row.arch}: {number(row.cycles)} cycles,"
                f" {row.time_ms:.3f} ms{times}"
            )
        return "\n".join([*lines, *self.comparison.warnings])

    def plot(self) -> Figure:
        """Draw speedups over the base."""
        from archonsim.show.figures import plot_compare

        return plot_compare(self.to_dataframe())


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
        """Return one row for each point, infeasible ones with their reason.

        Columns as in ``docs/sweep.md``.
        """
        import pandas

        return pandas.read_parquet(self.parquet)

    def summary(self) -> str:
        """Return how many points there are, and the fastest of each workload and architecture."""
        frame = self.to_dataframe()
        done = frame[frame["status"] == "ok"]
        infeasible = len(frame) - len(done)
        lines = [
            f"{number(len(frame))} points"
            + (f", {number(infeasible)} of them infeasible" if infeasible else "")
        ]
        fastest = done.loc[done.groupby(["workload", "arch"], sort=False)["time_ms"].idxmin()]
        for row in fastest.to_dict("records"):
            chosen = [
                f"{name}={row[name]}"
                for name in self.parameters
                if row[name] == row[name] and row[name] is not None
            ]
            masks = [f"masks={row['masks']}"] if row["masks"] else []
            lines.append(
                f"fastest of {row['workload']} on {row['arch']}: {number(row['cycles'])} cycles,"
                f" {row['time_ms']:.3f} ms with {', '.join([*chosen, *masks]) or 'the preset'}"
            )
        for workload, source in mask_sources(self.folder).items():
            lines += origin_line(workload, source)
        return "\n".join(lines)

    def plot(
        self,
        x: str | None = None,
        y: str = "cycles",
        series: str | Sequence[str] | None = None,
        where: Mapping[str, object] | None = None,
    ) -> Figure:
        """Draw a column over a parameter.

        Parameters
        ----------
        x : str, optional
            The first parameter by default.
        y : str
            Any column of figures.
        series : str or one or two strs, optional
            Columns with one curve for each value; by default the first two other parameters.
        where : dict of column to value, optional
            Draw these points only.

        Raises
        ------
        UserError
            A column is unknown, or several points share one place.
        """
        from archonsim.show.figures import plot_sweep, read_sweep
        from archonsim.show.figures import where as choose

        frame = choose(
            read_sweep(self.csv), {name: str(plain(value)) for name, value in (where or {}).items()}
        )
        if not (x or self.parameters):
            raise SpecError("this sweep varied no parameter; name a column: plot(x=...)")
        across = x or self.parameters[0]
        others = [name for name in self.parameters if name != across and name not in (where or {})]
        return plot_sweep(frame, across, y, others[:2] if series is None else series)


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
        """Return which blocks gain from fusing, which do not, and where the estimate is wrong."""
        named = {True: "fuse", False: "leave plain", None: "cannot say"}
        lines = []
        for verdict, text in named.items():
            blocks = [one.block for one in self.advice.blocks if one.pays is verdict]
            lines += [f"{text}: {', '.join(blocks)}"] if blocks else []
        advice, wrong = self.advice, ", ".join(self.advice.disagreements) or "none"
        lines += [
            f"closed form and simulator disagree on: {wrong}",
            *origin_line(advice.workload, advice.mask_source),
        ]
        return "\n".join([f"{advice.workload} on {advice.arch}", *lines])
