"""DATE'21 (FuSeConv).

The printed table, and cycles of networks and layers by the authors' two models.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from functools import cache

from archonsim.network.networks import network
from archonsim.network.published import date21_rows, network_name, printed_as, published_flops
from archonsim.reproduce.cell import Cell, Note, Number, Reproduction, Status
from archonsim.reproduce.measure import measure
from archonsim.reproduce.published import read_rows, read_tree

SOURCE = (
    "FuSeConv, DATE 2021; iitm-sysdl/FuSeConv, commit 04cdf54 (public model and table) and before"
    " 6e8d229 (the older model)"
)

#: Roles of layers that the authors' split does not call "other".
SPLIT = {
    "pointwise": "pointwise",
    "depthwise": "depthwise",
    "fuse_1xk": "depthwise",
    "fuse_kx1": "depthwise",
}
SPLITS = ("pointwise", "depthwise", "other")

#: The machine and its convention behind each kind of hardware of the public model.
HARDWARE = {"fuse": ("fuse", "timing=public"), "systolic": ("systolic", "timing=fuseconv")}

Row = dict[str, str]


def _array(rows: str, cols: str) -> tuple[str, ...]:
    return f"pe.rows={rows}", f"pe.cols={cols}"


def _cycles(
    row: Row, arch: str, timing: str, size: tuple[str, str] = ("64", "64")
) -> dict[str, int]:
    """Our cycles of each layer, in order."""
    return measure(
        arch, network_name(row["network"], row["variant"]), (timing, *_array(*size))
    ).cycles


@cache
def _kinds(name: str) -> dict[str, str]:
    return {
        layer.name: SPLIT.get(layer.role, "other")
        for layer in network(name).layers()
        if layer.is_compute
    }


def _sums(row: Row, cycles: dict[str, int]) -> dict[str, int]:
    """Total and split of a network's cycles, as the authors' tables have them."""
    kinds = _kinds(network_name(row["network"], row["variant"]))
    split: Counter[str] = Counter()
    for name, taken in cycles.items():
        split[kinds[name]] += taken
    return {"total": sum(cycles.values()), **{kind: split[kind] for kind in SPLITS}}


def _run(row: Row) -> str:
    return f"{row['network']}/{row['variant']}"


def _integer(section: str, row: Row, item: str, published: str, ours: int) -> Cell:
    status: Status = "exact" if ours == int(published) else "differs"
    return Cell(
        section=section,
        run=_run(row),
        item=item,
        quantity="cycles",
        published=published,
        ours=ours,
        status=status,
    )


def _paper_speedup(row: Row, size: tuple[str, str] = ("64", "64")) -> Fraction:
    """Baseline over variant, both on the FuSe array, by the older model."""
    baseline, variant = (
        sum(_cycles({**row, "variant": one}, "fuse", "timing=paper", size).values())
        for one in ("baseline", row["variant"])
    )
    return Fraction(baseline, variant)


def _printed(row: Row, cell: str, published: str, ours: Fraction) -> Cell:
    """Compare with printed digits.

    A listed defect must still be the figure that was looked into, and ours what it should be.
    """
    status: Status = "exact" if printed_as(ours, published) != "no" else "differs"
    notes: tuple[str, ...] = ()
    for one in read_tree("date21")["defect"]:
        if (one["run"], one["cell"]) == (_run(row), cell) and published == one["published"]:
            status = "defect" if printed_as(ours, one["computed"]) != "no" else "differs"
            notes = (one["id"],)
    value: Number = round(float(ours), 4)
    return Cell(
        section="table",
        run=_run(row),
        item=cell,
        quantity=cell,
        published=published,
        ours=value,
        corrected=value if notes else None,
        status=status,
        notes=notes,
    )


def _table_cells() -> Iterator[Cell]:
    """Speedups, operations and parameters as printed.

    ResNet50 has no row in it, and accuracies need trained weights.
    """
    rows = [row for row in date21_rows("table") if row["pub_speedup"]]
    for row in rows:
        yield _printed(row, "speedup", row["pub_speedup"], _paper_speedup(row))
    for row in rows:
        work = network(network_name(row["network"], row["variant"]))
        yield _printed(row, "flops_m", row["pub_flops_m"], Fraction(published_flops(work), 10**6))
        yield _printed(row, "params_m", row["pub_params_m"], Fraction(work.params, 10**6))


def _paper_cells() -> Iterator[Cell]:
    """Totals of the older model.

    At 64 x 64, the authors' plot scripts hold many of them as integers.
    """
    for row in date21_rows("cycles_paper"):
        size = (row["rows"], row["cols"])
        where = f"{row['rows']}x{row['cols']}"
        sums = _sums(row, _cycles(row, "fuse", "timing=paper", size))
        if row["authors_total_64"]:
            yield _integer("plotted", row, "total, 64x64", row["authors_total_64"], sums["total"])
        for kind, ours in sums.items():
            yield _integer("older model", row, f"{kind}, {where}", row[f"{kind}_cycles"], ours)


def _public_cells() -> Iterator[Cell]:
    """Totals of the public model, on both kinds of hardware."""
    for row in date21_rows("cycles"):
        size = (row["rows"], row["cols"])
        sums = _sums(row, _cycles(row, *HARDWARE[row["hardware"].lower()], size))
        where = f"{row['hardware'].lower()} {row['rows']}x{row['cols']}"
        for kind, ours in sums.items():
            yield _integer("public model", row, f"{kind}, {where}", row[f"{kind}_cycles"], ours)


def _layer_cells() -> Iterator[Cell]:
    """Every layer by the public model at 64 x 64, on both kinds of hardware."""
    for row in read_rows("date21_layers"):
        ours = _cycles(row, *HARDWARE[row["hardware"]])
        for (name, cycles), published in zip(ours.items(), row["cycles"].split(), strict=True):
            yield _integer("layers", row, f"{name}, {row['hardware']} 64x64", published, cycles)


def reproduce_date21() -> Reproduction:
    """Compute every figure of DATE'21 that our machines can compute."""
    notes = tuple(
        Note(one["id"], one["text"], one["corrected"]) for one in read_tree("date21")["defect"]
    )
    paper = list(_paper_cells())
    cells = (
        *_table_cells(),
        *(cell for cell in paper if cell.section == "plotted"),
        *(cell for cell in paper if cell.section != "plotted"),
        *_public_cells(),
        *_layer_cells(),
    )
    return Reproduction(name="date21", source=SOURCE, cells=cells, notes=notes)
