"""Several runs side by side.

Speedups over a base, and a warning where like is not compared with like.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from archonsim.errors import ResultError
from archonsim.result.files import rows_to_csv
from archonsim.result.read import check_schema, from_tree
from archonsim.result.report import Report
from archonsim.result.values import Amount, Count, Whole
from archonsim.result.wording import origin_line
from archonsim.spec.dram_device import say_dram
from archonsim.spec.resources import Resources
from archonsim.version import __version__

SCHEMA: Final = 1

#: Values that a warning names before it only counts them.
NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One workload on one architecture, as it was run.

    Attributes
    ----------
    workload, arch : str
    network : str
    report : Report or None
        None where the run is not possible.
    reason : str
        Why it is not.
    resources : Resources
    rows, cols : int or None
        The array; None where a plug-in's description has no ``pe.rows`` and ``pe.cols``.
    """

    workload: str
    arch: str
    network: str
    report: Report | None
    reason: str
    resources: Resources
    rows: int | None
    cols: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of a comparison's table.

    Attributes
    ----------
    workload, network, arch : str
    fidelity : str or None
    cycles : number or None
    time_ms, energy_uj : float or None
        Of one image; None where the run is not possible, or energy is not known.
    speedup : float or None
        Time of the base over the time of this row; above 1, this row is faster.
    rows, cols : int or None
        The array; None where a plug-in's description has no ``pe.rows`` and ``pe.cols``.
    pes : int
    buffer_kib : float
        Shared on-chip buffers.
    area_mm2 : float or None
        As the published total counts it; None where nothing is published.
    extra_area_mm2 : float
        What the published total leaves out.
    digest : str
    mask_source : str
        ``"trained"``, ``"untrained"``, ``"synthetic"`` or ``"none"``.
    note : str
        Of the workload.
    reason : str
        Why the run is not possible.
    """

    workload: str
    network: str
    arch: str
    fidelity: str | None
    cycles: Count | None
    time_ms: Amount | None
    energy_uj: Amount | None
    speedup: Amount | None
    rows: Whole | None
    cols: Whole | None
    pes: Whole
    buffer_kib: Amount
    area_mm2: Amount | None
    extra_area_mm2: Amount
    digest: str
    mask_source: str
    note: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All rows, in the order asked for.

    Attributes
    ----------
    budget : {"none", "pes", "area"}
        What arrays were rescaled to be equal in.
    base : int
        Row that speedups refer to.
    rows : tuple of Row
    warnings : tuple of str
        Where the comparison is not like with like.
    runs : tuple of (Report or None), or None
        Each row's whole result; None where it could not run. None altogether in a comparison that
        was saved without them.
    archonsim : str
        Version of the program that ran it.
    """

    schema: Literal[1] = SCHEMA
    archonsim: str = __version__
    budget: str
    base: Whole
    rows: tuple[Row, ...]
    warnings: tuple[str, ...]
    runs: tuple[Report | None, ...] | None = None

    @classmethod
    def from_dict(cls, tree: Mapping[str, Any], source: str = "the comparison") -> Comparison:
        """Read the JSON form; `source` names it in messages.

        Raises
        ------
        ResultError
            It is of another form, a key is missing, or a value is not what it must be.
        """
        check_schema(tree, (SCHEMA,), source)
        found = from_tree(cls, tree, source)
        if found.base >= len(found.rows):
            raise ResultError(
                f"{source}: base is {found.base}; it must be the number of one of"
                f" {len(found.rows)} rows, from 0 on"
            )
        if found.runs is not None and len(found.runs) != len(found.rows):
            raise ResultError(
                f"{source}: runs holds {len(found.runs)} results; it must hold one for each of"
                f" {len(found.rows)} rows"
            )
        return found

    def whole_runs(self, source: str = "the comparison") -> tuple[Report, ...]:
        """Return the results of all rows that could run; `source` names the comparison in messages.

        Raises
        ------
        ResultError
            It was saved without them.
        """
        if self.runs is None:
            raise ResultError(
                f"{source}: a comparison without its runs; write it with `archonsim compare -o`,"
                " which keeps them"
            )
        return tuple(run for run in self.runs if run is not None)

    def to_dict(self, *, runs: bool = False) -> dict[str, Any]:
        """Return the JSON form.

        With `runs`, also each row's complete result, null where it could not run.
        """
        plain = dataclasses.replace(self, runs=None)
        tree = dataclasses.asdict(plain)
        del tree["runs"]
        if runs and self.runs is not None:
            tree["runs"] = [None if run is None else run.to_dict() for run in self.runs]
        return tree

    def to_csv(self) -> str:
        """Return one line a row."""
        return rows_to_csv([dataclasses.asdict(row) for row in self.rows])


def build(entries: Sequence[Entry], base: int, budget: str) -> Comparison:
    """Put a comparison together.

    Parameters
    ----------
    entries : sequence of Entry
        What was run, in the order of the table.
    base : int
        Entry that speedups refer to.
    budget : {"none", "pes", "area"}
    """
    return Comparison(
        budget=budget,
        base=base,
        rows=tuple(_row(entry, entries[base].report) for entry in entries),
        warnings=tuple(_warnings(entries, base, budget)),
        runs=tuple(entry.report for entry in entries),
    )


def _row(entry: Entry, base: Report | None) -> Row:
    report, resources, area = entry.report, entry.resources, entry.resources.area_um2
    origin = None if report is None else report.provenance
    return Row(
        workload=entry.workload,
        network=entry.network,
        arch=entry.arch,
        fidelity=None if report is None else report.fidelity,
        cycles=None if report is None else report.total_cycles,
        time_ms=None if report is None else report.time_ms,
        energy_uj=None if report is None else report.energy_uj,
        speedup=_speedup(report, base),
        rows=entry.rows,
        cols=entry.cols,
        pes=resources.pes,
        buffer_kib=resources.buffer_kib,
        area_mm2=None if area is None else area / 1e6,
        extra_area_mm2=resources.extra_area_um2 / 1e6,
        digest="" if report is None else report.digest,
        mask_source="" if origin is None else origin.masks_from,
        note="" if origin is None else origin.note,
        reason=entry.reason,
    )


def _speedup(report: Report | None, base: Report | None) -> float | None:
    """Time of the base over the time of a run."""
    if base is None or report is None or not report.time_ms:
        return None
    return base.time_ms / report.time_ms


def _warnings(entries: Sequence[Entry], base: int, budget: str) -> Iterator[str]:
    """Say where the comparison is not like with like."""
    for entry in entries:
        if entry.report is None:
            yield f"{entry.workload} on {entry.arch}: not run: {entry.reason}"
    done = [(entry, entry.report) for entry in entries if entry.report is not None]
    yield from _differ("networks", [entry.network for entry, _ in done])
    yield from _differ("clocks (MHz)", [f"{report.clock_mhz:g}" for _, report in done])
    yield from _differ("fidelities", [report.fidelity for _, report in done])
    yield from _differ("DRAMs", [say_dram(report.machine.get("dram", {})) for _, report in done])
    sources = {entry.workload: report.provenance.masks_from for entry, report in done}
    for workload, source in sources.items():
        yield from origin_line(workload, source)
    if budget == "area":
        yield from _other_areas(entries, entries[base].resources.whole_area_um2)
    else:
        yield from _differ("numbers of PEs", [str(entry.resources.pes) for entry, _ in done])


def _other_areas(entries: Sequence[Entry], base: float | None) -> Iterator[str]:
    """Say by how much areas differ from the base's: PEs are whole."""
    for entry in {entry.arch: entry for entry in entries}.values():
        area = entry.resources.whole_area_um2
        if base is not None and area is not None and area != base:
            yield (
                f"areas as near as whole PEs allow: {entry.arch} {area / 1e6:.3f} mm2,"
                f" {abs(area / base - 1):.1%} {'more' if area > base else 'less'} than the base's"
                f" {base / 1e6:.3f}"
            )


def _differ(what: str, values: Sequence[str]) -> list[str]:
    distinct = list(dict.fromkeys(values))
    if len(distinct) < 2:
        return []
    more = f" and {len(distinct) - NAMED} more" if len(distinct) > NAMED else ""
    return [f"not like with like: different {what}: {', '.join(distinct[:NAMED])}{more}"]
