"""Several runs side by side.

Speedups over a base, and a warning where like is not compared with like.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from archonsim.network.workload import mask_origin
from archonsim.result.files import rows_to_csv
from archonsim.result.report import Number, Report
from archonsim.result.wording import origin_line
from archonsim.spec.dram_device import say_dram
from archonsim.spec.resources import Resources
from archonsim.version import __version__

SCHEMA = 1

#: Values that a warning names before it only counts them.
NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One workload on one architecture.

    Attributes
    ----------
    workload, arch : str
    network : str
    report : Report or None
        None where the run is not possible.
    reason : str
        Why it is not.
    resources : Resources
    rows, cols : int
        The array.
    """

    workload: str
    arch: str
    network: str
    report: Report | None
    reason: str
    resources: Resources
    rows: int
    cols: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All rows, in the order asked for.

    Attributes
    ----------
    rows : tuple of Row
    base : int
        Row that speedups refer to.
    budget : {"none", "pes", "area"}
        What arrays were rescaled to be equal in.
    """

    rows: tuple[Row, ...]
    base: int
    budget: str

    def speedup(self, row: Row) -> float | None:
        """Time of the base over the time of `row`; above 1, `row` is faster."""
        base = self.rows[self.base].report
        if base is None or row.report is None or not row.report.time_ms:
            return None
        return base.time_ms / row.report.time_ms

    def warnings(self) -> list[str]:
        """Say where the comparison is not like with like."""
        done = [row for row in self.rows if row.report is not None]
        lines = [
            f"{row.workload} on {row.arch}: not run: {row.reason}"
            for row in self.rows
            if row.report is None
        ]
        lines += _differ("networks", [row.network for row in done])
        lines += _differ(
            "clocks (MHz)", [f"{row.report.clock_mhz:g}" for row in done if row.report]
        )
        lines += _differ("fidelities", [row.report.fidelity for row in done if row.report])
        lines += _differ(
            "DRAMs", [say_dram(row.report.machine.get("dram", {})) for row in done if row.report]
        )
        sources = {row.workload: mask_origin(row.report.provenance) for row in done if row.report}
        lines += [
            line for workload, source in sources.items() for line in origin_line(workload, source)
        ]
        if self.budget == "none":
            lines += _differ("numbers of PEs", [str(row.resources.pes) for row in done])
        return lines

    def to_dict(self, *, runs: bool = False) -> dict[str, Any]:
        """Return the JSON form.

        With `runs`, each row's whole result beside it, null where it could not run.
        """
        whole = (
            {"runs": [row.report.to_dict() if row.report else None for row in self.rows]}
            if runs
            else {}
        )
        return {
            "schema": SCHEMA,
            "archonsim": __version__,
            "budget": self.budget,
            "base": self.base,
            "rows": [self._plain(row) for row in self.rows],
            "warnings": self.warnings(),
            **whole,
        }

    def to_csv(self) -> str:
        """Return one line a row."""
        return rows_to_csv([self._plain(row) for row in self.rows])

    def _plain(self, row: Row) -> dict[str, Any]:
        report, area = row.report, row.resources.area_um2
        cycles: Number | None = None if report is None else report.total_cycles
        return {
            "workload": row.workload,
            "network": row.network,
            "arch": row.arch,
            "fidelity": report.fidelity if report else None,
            "cycles": cycles,
            "time_ms": report.time_ms if report else None,
            "energy_uj": report.energy_uj if report else None,
            "speedup": self.speedup(row),
            "rows": row.rows,
            "cols": row.cols,
            "pes": row.resources.pes,
            "buffer_kib": row.resources.buffer_kib,
            "area_mm2": None if area is None else area / 1e6,
            "extra_area_mm2": row.resources.extra_area_um2 / 1e6,
            "digest": report.digest if report else "",
            "mask_source": mask_origin(report.provenance) if report else "",
            "note": report.provenance["note"] if report else "",
            "reason": row.reason,
        }


def _differ(what: str, values: Sequence[str]) -> list[str]:
    distinct = list(dict.fromkeys(values))
    if len(distinct) < 2:
        return []
    more = f" and {len(distinct) - NAMED} more" if len(distinct) > NAMED else ""
    return [f"not like with like: different {what}: {', '.join(distinct[:NAMED])}{more}"]
