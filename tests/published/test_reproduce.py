"""``archonsim reproduce``.

Headline to the digit, nothing unexplained, and an altered figure is found.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from pathlib import Path

import pytest

from archonsim.cli.app import run_command
from archonsim.network.published import printed_as
from archonsim.reproduce import published as shipped
from archonsim.reproduce.cell import Cell, Reproduction
from archonsim.reproduce.date21 import reproduce_date21
from archonsim.reproduce.ics21 import reproduce_ics21
from archonsim.reproduce.ics21_runs import read_runs
from tests.present import present
from tests.published.sources import shared_rows

Alter = Callable[[str, str, str], None]

#: Our names of the layers and phases of the authors' result files.
HEAD = {
    "conv1": "head_conv",
    "PW1": "head_pw",
    "DW1": "head_dw",
    "head_PW": "head_pw",
    "head_DW": "head_dw",
}
MOBILENET_HEAD = {"conv1": "head_conv", "PW1": "b0.pw1", "DW1": "b0.dw", "PW2": "b0.pw2"}
TAIL = {"PW1": "tail_pw", "GPW1": "tail_pw", "last_PW": "tail_pw", "FC1": "fc"}
PHASES = {
    "decom": "pw1", "conv": "dw", "comp": "pw2", "pred_decom": "predict_pw1",
    "pred_conv": "predict_dw", "pred_comp": "predict_pw2", "main": "main",
}  # fmt: skip
#: What the columns say whose labels are swapped; the reference has put the values right.
LABELS = {"sparse_DW_c": "dw", "sparse_PW2_c": "pw2"}


@cache
def ics21() -> Reproduction:
    return reproduce_ics21()


@cache
def date21() -> Reproduction:
    return reproduce_date21()


def cells(found: Reproduction, section: str, run: str = "") -> dict[str, Cell]:
    return {
        cell.item: cell
        for cell in found.cells
        if cell.section == section and cell.run.startswith(run)
    }


@pytest.fixture
def alter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Alter:
    """Replace a line of a copy of the shipped figures."""
    folder = tmp_path / "published"
    shutil.copytree(str(shipped.FOLDER), folder)
    monkeypatch.setattr(shipped, "FOLDER", folder)

    def replace(file: str, line: str, other: str) -> None:
        text = (folder / file).read_text("utf-8")
        assert text.count(line) == 1
        (folder / file).write_text(text.replace(line, other), "utf-8")

    return replace


def test_headline_of_ics21_to_the_digit() -> None:
    """5.75x and 2.11x, in the abstract 5.8x and 2.1x; printed first."""
    first = ics21().cells[:4]
    assert [(cell.section, cell.published, cell.ours) for cell in first] == [
        ("headline", "5.75", 5.75),
        ("headline", "5.8", 5.8),
        ("headline", "2.11", 2.11),
        ("headline", "2.1", 2.1),
    ]
    assert "4132672 / 718116" in first[0].item
    assert "1512504 / 718116" in first[2].item
    assert all(cell.status != "differs" for cell in first)


def test_every_figure_of_ics21_is_exact_or_listed() -> None:
    tally = ics21().tally()
    assert tally["differs"] == 0
    assert sum(tally.values()) == 4 + 70 + 64 + 951 + (54 + 47) + (341 + 105)
    listed = {note.id for note in ics21().notes}
    for cell in ics21().cells:
        assert set(cell.notes) <= listed
        assert cell.notes or cell.status in ("exact", "rounding"), cell


def test_cycles_that_are_repeated_and_not_computed_say_so() -> None:
    """Eleven lost matrices of MobileNetV2, and the pruned layers of three runs without counts."""
    given = Counter(
        cell.run for cell in ics21().cells if cell.section == "cycles" and cell.status == "given"
    )
    assert given == {
        "mobilenet/cifar10/sparse": 11,
        "mobilenet/cifar100/sparse": 3 * 16,
        "mnasnet/cifar10/sparse": 3 * 15,
        "mnasnet/cifar100/sparse": 3 * 15,
    }


def test_corrected_totals() -> None:
    """The closed form throughout.

    MnasNet 916 256 instead of 940 768 cycles, ShuffleNet 281 279 instead of 295 535.
    """
    for run, published, corrected in (
        ("mnasnet", 940_768, 916_256),
        ("shufflenet", 295_535, 281_279),
    ):
        cell = cells(ics21(), "totals", f"{run}/cifar10/archon")["all"]
        assert (cell.published, cell.ours, cell.corrected, cell.status) == (
            str(published),
            published,
            corrected,
            "defect",
        )


def test_main_cycles_that_the_closed_form_does_not_give() -> None:
    """Nine of MnasNet's fifteen blocks, two of ShuffleNet's, none of the others'."""
    wrong = {
        run: [
            cell.item
            for cell in cells(ics21(), "cycles", f"{run}/cifar10/archon").values()
            if cell.status == "defect"
        ]
        for run in ("mnasnet", "shufflenet", "mobilenet", "fusionet")
    }
    assert wrong["mnasnet"] == [f"b{block}.main" for block in (3, 4, 5, 6, 7, 10, 12, 13, 14)]
    assert wrong["shufflenet"] == ["b3.main", "b7.main"]
    assert wrong["mobilenet"] == wrong["fusionet"] == []


def test_swapped_columns_are_put_right() -> None:
    sparse = cells(ics21(), "cycles", "mobilenet/cifar10/sparse")
    assert (sparse["b1.dw"].published, sparse["b1.dw"].corrected) == ("9088", 8192)
    assert (sparse["b1.pw2"].published, sparse["b1.pw2"].corrected) == ("8192", 9088)


def test_energies_of_the_authors_own_mappings() -> None:
    """ShuffleNet's depthwise layers are charged for four times their input maps.

    Seven of MobileNetV2's differ from ours, too.
    """
    found = [
        cell for cell in ics21().cells if cell.section == "energies" and cell.run.endswith("dense")
    ]
    assert Counter((cell.run, cell.status) for cell in found) == {
        ("mobilenet/cifar10/dense", "exact"): 37,
        ("mobilenet/cifar10/dense", "rounding"): 10,
        ("mobilenet/cifar10/dense", "defect"): 7,
        ("shufflenet/cifar10/dense", "exact"): 16,
        ("shufflenet/cifar10/dense", "rounding"): 16,
        ("shufflenet/cifar10/dense", "defect"): 15,
    }


def test_energies_of_archon() -> None:
    """All 446; our rules agree on plain layers and main.

    Exceptions are the heads' depthwise layers and copied figures.
    """
    found = [
        cell for cell in ics21().cells if cell.section == "energies" and cell.run.endswith("archon")
    ]
    assert len(found) == 446
    same = ("exact", "rounding")
    for cell in found:
        if cell.item.endswith(".main"):
            assert cell.status in same or set(cell.notes) & {"copied-main", "stale-5x5"}, cell
        elif cell.item in ("head_dw", "b0.dw"):
            assert (cell.status, cell.notes) == ("defect", ("head-at-glb",))
        elif "predict" in cell.item or cell.item.endswith(".overhead"):
            assert cell.status == "rules"
        else:
            assert cell.status in same, cell


def test_energies_are_exact_by_their_digits_or_say_by_how_much_they_were_rounded() -> None:
    """423 of 547 to the printed digits, 124 within the rounding of the summed figures."""
    found = [cell for cell in ics21().cells if cell.section == "energies"]
    assert len(found) == 547
    for cell in found:
        digits = printed_as(Fraction(str(cell.ours)), cell.published) != "no"
        assert digits == (cell.within is None)
        assert cell.status != "exact" or digits
        if cell.within is not None:
            assert cell.status in ("rounding", "rules", "defect")
            assert abs(present(cell.ours) - float(cell.published)) <= cell.within + 1e-6
    assert Counter(cell.status for cell in found if cell.within is not None) == {
        "rounding": 58,
        "rules": 49,
        "defect": 17,
    }
    assert max(cell.within or 0 for cell in found) == 0.025
    assert Counter(cell.status for cell in found)["rules"] == 315


def test_the_tolerance_stands_beside_the_figure(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["reproduce", "ics21"]) == 0
    out = capsys.readouterr().out
    assert "± 0.005" in out
    assert "± 0.025" in out
    assert "rounding: within rounding of the source's own sums" in out
    assert run_command(["reproduce", "ics21", "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert sum(row["within"] != "" for row in rows) == 124


def test_an_altered_energy_is_found(alter: Alter) -> None:
    alter(
        "ics21_cycles.csv",
        "shufflenet/cifar10/dense,b1.dw,7680,66.59",
        "shufflenet/cifar10/dense,b1.dw,7680,66.61",
    )
    assert [
        (cell.run, cell.item) for cell in reproduce_ics21().cells if cell.status == "differs"
    ] == [("shufflenet/cifar10/dense", "b1.dw")]


def test_layers_of_other_shape_than_trained_are_all_listed() -> None:
    """A cell whose cycles differ with the trained network's shapes has a note.

    ShuffleNet's units correspond to no blocks.
    """
    runs, checked = read_runs(), 0
    for run in runs.runs.values():
        trained = run.trained_cycles
        if trained is None or not run.trained or run.id == "shufflenet/cifar10/dense":
            continue
        for cell in run.published:
            if trained.get(cell, 0) != run.own(cell):
                assert any(runs.by_id[note].kind == "shape" for note in runs.notes(run.id, cell)), (
                    run.id,
                    cell,
                )
                checked += 1
    assert checked == 25


def test_date21() -> None:
    """19 of 20 speedups, 24 of 25 operations, all parameters; every total and layer."""
    tally = Counter((cell.section, cell.quantity, cell.status) for cell in date21().cells)
    assert tally == {
        ("table", "speedup", "exact"): 5 + 19,  # a baseline's is 1
        ("table", "speedup", "defect"): 1,
        ("table", "flops_m", "exact"): 24,
        ("table", "flops_m", "defect"): 1,
        ("table", "params_m", "exact"): 25,
        ("plotted", "cycles", "exact"): 25,
        ("older model", "cycles", "exact"): 4 * 112,
        ("public model", "cycles", "exact"): 4 * 168,
        ("layers", "cycles", "exact"): 2 * 1680,
    }
    (wrong,) = [
        cell for cell in date21().cells if cell.quantity == "speedup" and cell.status == "defect"
    ]
    assert (wrong.run, wrong.published, wrong.ours, wrong.notes) == (
        "MobileNetV1/full-50",
        "2.3",
        2.2038,
        ("full-50-speedup",),
    )


@pytest.mark.sampled(4)
@pytest.mark.parametrize(
    ("cell", "cycles"),
    [
        ("fusionet/cifar10/archon,b5.main", 36864),
        ("mnasnet/cifar10/archon,b6.main", 82944),
        ("mobilenet/cifar10/sparse,b3.dw", 20992),
        ("mobilenet/cifar10/sparse,b3.pw1", 15104),
    ],
    ids=["exact", "copied", "swapped", "given"],
)
def test_an_altered_cell_is_found(
    cell: str, cycles: int, alter: Alter, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where a defect is listed: it explains one figure, not any."""
    alter("ics21_cycles.csv", f"{cell},{cycles},", f"{cell},{cycles + 1},")
    assert run_command(["reproduce", "ics21", "--format", "json"]) == 1
    tree = json.loads(capsys.readouterr().out)
    assert not tree["ok"]
    assert [
        f"{one['run']},{one['item']}" for one in tree["cells"] if one["status"] == "differs"
    ] == [cell]


def test_an_altered_total_is_found_with_all_that_rests_on_it(
    alter: Alter, capsys: pytest.CaptureFixture[str]
) -> None:
    alter(
        "ics21_totals.csv",
        "mobilenet/cifar10/archon,all,718116",
        "mobilenet/cifar10/archon,all,718117",
    )
    assert run_command(["reproduce", "ics21", "--format", "json"]) == 1
    different = Counter(
        one["section"]
        for one in json.loads(capsys.readouterr().out)["cells"]
        if one["status"] == "differs"
    )
    assert different == {"headline": 4, "totals": 1, "speedups": 6}


def test_an_altered_claim_is_found(alter: Alter, capsys: pytest.CaptureFixture[str]) -> None:
    alter("ics21.toml", 'quotient = "5.75"', 'quotient = "5.76"')
    assert run_command(["reproduce", "ics21", "--brief"]) == 1
    out = capsys.readouterr().out
    assert "5.76   5.75" in out
    assert out.rstrip().endswith("1 figures differ, and no listed defect explains them")


def test_an_altered_layer_of_date21_is_found(
    alter: Alter, capsys: pytest.CaptureFixture[str]
) -> None:
    alter("date21_layers.csv", "MobileNetV1,half,fuse,23912", "MobileNetV1,half,fuse,23913")
    assert run_command(["reproduce", "date21", "--format", "csv"]) == 1
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["run"], row["item"]) for row in rows if row["status"] == "differs"] == [
        ("MobileNetV1/half", "conv1, fuse 64x64")
    ]


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("paper", "first"), [("ics21", "headline"), ("date21", "the printed table")]
)
def test_tables_and_exit_code(paper: str, first: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["reproduce", paper]) == 0
    whole = capsys.readouterr().out
    assert whole.splitlines()[2].strip() == first
    assert whole.rstrip().endswith(f"{paper}: every figure is exact or listed")
    assert run_command(["reproduce", paper, "--brief"]) == 0
    assert len(capsys.readouterr().out) < len(whole) / 2


def test_an_unknown_paper_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["reproduce", "isca21"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def _cell(row: dict[str, str]) -> str:
    if row["part"] == "head":
        return (MOBILENET_HEAD if row["network"] == "mobilenet" else HEAD)[row["layer"]]
    if row["part"] == "tail":
        return TAIL[row["layer"]]
    swapped = row["flag"] == "column_swapped"
    return (
        f"{row['layer']}.{LABELS[row['source_cycle_column']] if swapped else PHASES[row['phase']]}"
    )


def test_shipped_cycles_and_energies_are_the_published_ones() -> None:
    rows = [row for row in shared_rows("ics21/results.csv") if row["phase"] != "overhead"]
    reference = {
        ("/".join((row["network"], row["dataset"], row["accelerator"])), _cell(row)): row
        for row in rows
    }
    ours = {(row["run"], row["cell"]): row for row in shipped.read_rows("ics21_cycles")}
    assert {key: row["cycles"] for key, row in ours.items()} == {
        key: row["cycles"] for key, row in reference.items()
    }
    assert all(row["uj"] in ("", reference[key]["energy_uJ"]) for key, row in ours.items())
    assert len(ours) == len(rows)


def test_shipped_totals_and_quotients_are_the_published_ones() -> None:
    reference = [row for row in shared_rows("ics21/totals.csv") if row["variant"] == "authors"]
    runs = {
        ("/".join((row["network"], row["dataset"], row["accelerator"])), row["scope"]): row[
            "cycles"
        ]
        for row in reference
    }
    assert {
        (row["run"], row["scope"]): row["cycles"] for row in shipped.read_rows("ics21_totals")
    } == runs
    adders = {
        row["network"] + row["dataset"]: row["adders_per_PE"]
        for row in reference
        if row["accelerator"] == "archon"
    }
    speedups = {
        (
            f"{row['archon_network']}/{row['dataset']}/archon",
            f"{row['scope']}, over {row['vs_network']} on {row['vs_accelerator']}",
        ): row["speedup"]
        for row in shared_rows("ics21/speedups.csv")
        if row["main_cycles_variant"] == "authors"
        and row["adders_per_PE"] == adders[row["archon_network"] + row["dataset"]]
    }
    assert {
        (cell.run, cell.item): cell.published
        for cell in ics21().cells
        if cell.section == "speedups"
    } == speedups


def test_corrected_totals_are_the_closed_form() -> None:
    adders = {"mobilenet/cifar100/archon": "5", "mnasnet/cifar100/archon": "5"}
    checked = 0
    for row in shared_rows("ics21/totals.csv"):
        run = f"{row['network']}/{row['dataset']}/archon"
        own = cells(ics21(), "totals", run)
        if (
            row["variant"] == "recomputed_main_corrected"
            and row["adders_per_PE"] == adders.get(run, "6")
            and row["scope"] in own
        ):
            cell = own[row["scope"]]
            assert int(row["cycles"]) == (cell.corrected or cell.ours)
            checked += 1
    assert checked == 5 * 2 + 2  # CIFAR-100's MobileNetV2 and MnasNet: bottlenecks only


def test_shipped_layers_of_date21_are_the_published_ones() -> None:
    reference = {
        (row["network"], row["variant"], hardware, row["index"]): (
            row["name"],
            row[f"cycles_{hardware}"],
        )
        for row in shared_rows("date21/layer_cycles_64.csv")
        for hardware in ("systolic", "fuse")
    }
    ours = [cell for cell in date21().cells if cell.section == "layers"]
    named = [(cell.run, cell.item, cell.published) for cell in ours]
    expected = [
        (f"{network}/{variant}", f"{name}, {hardware} 64x64", cycles)
        for (network, variant, hardware, _), (name, cycles) in reference.items()
    ]
    assert sorted(named) == sorted(expected)
