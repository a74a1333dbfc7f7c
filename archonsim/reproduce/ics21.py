"""ICS'21 (FusioNet / ARCHON): headline, sums, speedups, and cycles of every layer and phase."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from archonsim.network.published import printed_as
from archonsim.reproduce.cell import Cell, Number, Reproduction, Status, worst
from archonsim.reproduce.ics21_energies import energy_cells
from archonsim.reproduce.ics21_runs import SCOPES, Run, Runs, read_runs, scope_of
from archonsim.reproduce.published import read_rows, read_tree

SOURCE = (
    "Olyaiy, Ng, Lis: Accelerating DNNs Inference with Predictive Layer Fusion, ICS 2021;"
    " compstruct/fusion-timeloop-model, ab4a7ef"
)

#: FusioNet has no baseline of its own: its dense and sparse runs are not compared with.
NO_BASELINE = "fusionet/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """Cycles of a part of a network.

    Attributes
    ----------
    published, ours : int or None
        `ours` is the sum of what the published cells hold; None where one of them cannot be
        computed.
    right, trained : int or None
        Without the source's defects, and with the trained network's shapes as well; None where they
        cannot be known.
    status : str
    notes : tuple of str
    """

    published: int
    ours: int | None
    right: int | None
    trained: int | None
    status: Status
    notes: tuple[str, ...]


def _other(value: Number | None, *known: Number | None) -> Number | None:
    """Return `value` unless it says nothing new."""
    return None if value in known else value


def total(runs: Runs, run: Run, scope: str, published: int) -> Total:
    """Add up what the published cells of a part of a network hold."""
    cells = [cell for cell in run.published if scope in ("all", scope_of(cell))]
    held = [runs.held(run.id, cell) for cell in cells]
    ours = None if None in held else sum(one for one in held if one is not None)
    right = run.own_total(scope)
    wrong = right != ours
    touched = dict.fromkeys(note for cell in (*cells, scope) for note in runs.notes(run.id, cell))
    kinds = ("shape", "given", "defect") if wrong else ("shape", "given")
    notes = tuple(note for note in touched if runs.by_id[note].kind in kinds)
    whole = run.trained_cycles if scope == "all" else None
    statuses = runs.statuses(notes, differs=ours != published, wrong=wrong)
    trained = None if whole is None else sum(whole.values())
    return Total(
        published=published,
        ours=ours,
        right=right,
        trained=trained,
        status=worst(statuses),
        notes=notes,
    )


def totals(runs: Runs) -> dict[tuple[str, str], Total]:
    """All published sums, by run and scope."""
    return {
        (row["run"], row["scope"]): total(
            runs, runs.runs[row["run"]], row["scope"], int(row["cycles"])
        )
        for row in read_rows("ics21_totals")
    }


def _total_cells(sums: dict[tuple[str, str], Total]) -> Iterator[Cell]:
    for (run, scope), one in sorted(
        sums.items(), key=lambda pair: (pair[0][0], SCOPES.index(pair[0][1]))
    ):
        yield Cell(
            section="totals",
            run=run,
            item=scope,
            quantity="cycles",
            published=str(one.published),
            ours=one.ours,
            corrected=_other(one.right, one.ours),
            trained=_other(one.trained, one.ours, one.right),
            status=one.status,
            notes=one.notes,
        )


def _ratio(over: int | None, under: int | None) -> float | None:
    return None if over is None or under is None else round(over / under, 4)


def _speedup(
    archon: Total, base: Total
) -> tuple[float | None, float | None, float | None, Status, tuple[str, ...]]:
    """Return ours, corrected, of trained networks, status and notes of a quotient."""
    ours = _ratio(base.ours, archon.ours)
    right = _other(_ratio(base.right, archon.right), ours)
    trained = _other(_ratio(base.trained, archon.trained), ours, right)
    return (
        ours,
        right,
        trained,
        worst((archon.status, base.status)),
        tuple(dict.fromkeys((*archon.notes, *base.notes))),
    )


def _headline_cells(sums: dict[tuple[str, str], Total]) -> Iterator[Cell]:
    for entry in read_tree("ics21")["headline"]:
        archon, base = sums[entry["archon"], "all"], sums[entry["against"], "all"]
        ours, right, trained, status, notes = _speedup(archon, base)
        for quantity in ("quotient", "abstract"):
            printed = entry[quantity]
            equal = (
                base.ours
                and archon.ours
                and printed_as(Fraction(base.ours, archon.ours), printed) != "no"
            )
            yield Cell(
                section="headline",
                run=entry["archon"],
                item=f"{entry['claim']}: {base.ours} / {archon.ours} ({quantity})",
                quantity="speedup",
                published=printed,
                ours=None if ours is None else round(ours, len(printed.partition(".")[2])),
                corrected=right,
                trained=trained,
                status=status if equal else "differs",
                notes=(entry["note"], *notes) if quantity == "abstract" else notes,
            )


def _speedup_cells(sums: dict[tuple[str, str], Total]) -> Iterator[Cell]:
    """Quotients of published sums, of runs on the same data set."""
    for (run, scope), archon in sums.items():
        _, dataset, arch = run.split("/")
        if arch != "archon" or scope not in ("all", "bottleneck"):
            continue
        for (other, other_scope), base in sums.items():
            if (
                other.endswith("/archon")
                or other.startswith(NO_BASELINE)
                or other_scope != scope
                or f"/{dataset}/" not in other
            ):
                continue
            ours, right, trained, status, notes = _speedup(archon, base)
            yield Cell(
                section="speedups",
                run=run,
                item=f"{scope}, over {other.replace(f'/{dataset}/', ' on ')}",
                quantity="speedup",
                published=f"{base.published / archon.published:.4f}",
                ours=ours,
                corrected=right,
                trained=trained,
                status=status,
                notes=notes,
            )


def _cycle_cell(runs: Runs, run: Run, name: str, published: int) -> Cell:
    ours, own = runs.held(run.id, name), run.own(name)
    notes = runs.notes(run.id, name)
    shape = any(runs.by_id[note].kind == "shape" for note in notes)
    # A layer that the trained network does not have takes no cycles.
    trained = run.trained_cycles.get(name, 0) if shape and run.trained_cycles is not None else None
    statuses = runs.statuses(notes, differs=ours != published, wrong=own != ours)
    return Cell(
        section="cycles",
        run=run.id,
        item=name,
        quantity="cycles",
        published=str(published),
        ours=ours,
        corrected=_other(own, ours),
        trained=_other(trained, ours, own),
        status=worst(statuses),
        notes=notes,
    )


def _cycle_cells(runs: Runs) -> Iterator[Cell]:
    for run in runs.runs.values():
        for name, published in run.published.items():
            yield _cycle_cell(runs, run, name, published)


def reproduce_ics21() -> Reproduction:
    """Compute every figure of ICS'21 that our machines can compute."""
    runs = read_runs()
    sums = totals(runs)
    cells = (
        *_headline_cells(sums),
        *_total_cells(sums),
        *_speedup_cells(sums),
        *_cycle_cells(runs),
        *energy_cells(runs),
    )
    return Reproduction(
        name="ics21",
        source=SOURCE,
        cells=cells,
        notes=tuple(defect.note for defect in runs.defects),
    )
